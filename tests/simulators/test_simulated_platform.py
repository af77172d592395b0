"""The simulated parts warn outside a simulation, and the platform runs as a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from edge.simulators import SIMULATION_VARIABLE, SimulatedPartWarning
from edge.simulators.pharmacy import PharmacyClient, ProblemResponse
from edge.simulators.platform import Control, Faults, Ledger, create_platform


def test_simulated_parts_warn_outside_a_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SIMULATION_VARIABLE)
    with pytest.warns(SimulatedPartWarning, match="platform"):
        create_platform()
    with (
        pytest.warns(SimulatedPartWarning, match="pharmacy"),
        PharmacyClient("http://127.0.0.1:9") as client,
    ):
        assert not client.ready()


def test_a_fault_happens_as_often_as_asked_and_only_on_its_transaction() -> None:
    faults = Faults()
    faults.set(Control(fault="reject", times=2))
    assert faults.take("2601") is None
    taken = [faults.take("2102") for _ in range(3)]
    assert [one.fault if one else None for one in taken] == ["reject", "reject", None]
    faults.set(Control(fault="offline"))
    faults.set(Control(fault=None))
    assert faults.take("2102") is None


def test_a_reversed_basket_may_be_settled_again_and_a_reversed_message_may_not() -> None:
    from edge.platform.nhsa import DrugInfo

    info = DrugInfo(
        psn_no="",
        mdtrt_cert_type="02",
        mdtrt_cert_no="x",
        begntime="t",
        medfee_sumamt="1.00",
        invono="s",
        expContent="key",
    )
    ledger = Ledger()
    first = ledger.settle("m1", info)
    assert first is not None
    assert ledger.settle("m2", info) is first
    assert ledger.reverse("r1", "m1")
    assert not ledger.reverse("r2", "never-seen")
    assert ledger.settle("m1", info) is None
    assert ledger.settle("never-seen", info) is None
    again = ledger.settle("m3", info)
    assert again is not None
    assert again.setl_id != first.setl_id


def test_a_problem_tells_status_code_and_every_reason() -> None:
    body = {"detail": "d", "reasons": [{"code": "A"}, {"code": "B"}]}
    assert ProblemResponse(409, "A", body).reasons == ("A", "B")
    assert ProblemResponse(409, "A", {}).reasons == ("A",)


def test_the_platform_runs_as_a_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "edge.simulators.platform", "--port", str(port)],
        env=os.environ | {SIMULATION_VARIABLE: "1"},
    )
    try:
        assert _held(port, process) == {"settlements": [], "messages": []}
    finally:
        process.terminate()
        process.wait(10)


def _held(port: int, process: subprocess.Popen[bytes]) -> object:
    deadline, pause = time.monotonic() + 30, threading.Event()
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/held", trust_env=False, timeout=30).json()
        except httpx.TransportError:
            pause.wait(0.05)
    pytest.fail("the platform did not come up")
