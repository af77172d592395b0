from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil
import pytest

from edge import cli, stopping
from edge import supervisor as supervisor_module
from edge.config import (
    CameraConfig,
    CentralConfig,
    EdgeConfig,
    NodeConfig,
    VerificationConfig,
)
from edge.processes import process_table
from edge.supervisor import DataFolderRefused, Supervisor
from retention.durable import FileLock, HeldElsewhere
from retention.store.log import all_records
from tests.edge.children import spec

ROOT = Path(__file__).resolve().parents[2]
TOML = """
[node]
agency = "430100"
pharmacy = "P1"
node = "node-a"
data = "{data}"
[[cameras]]
id = "cam"
scene_role = "purchase"
url = "rtsp://127.0.0.1:1/stream"
[verification]
camera = "cam"
"""
DEADLINE_SECONDS = 30.0


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    camera = CameraConfig(id="cam", scene_role="purchase", url="rtsp://127.0.0.1:1/stream")
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P1", node="node-a", data=tmp_path / "data"),
        cameras=(camera,),
        verification=VerificationConfig(camera="cam"),
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.05)


def marks(config: EdgeConfig, name: str, event: str) -> list[int]:
    """Return the process ids that left this mark."""
    found = (config.node.data / "marks").glob(f"{name}.*.{event}")
    return [int(path.name.split(".")[1]) for path in found]


@contextmanager
def running(supervisor: Supervisor) -> Iterator[None]:
    thread = threading.Thread(target=supervisor.run, kwargs={"handle_signals": False})
    thread.start()
    try:
        yield
    finally:
        supervisor.stop.set()
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()


def supervised(config: EdgeConfig, *names: str) -> subprocess.Popen[bytes]:
    """Start a supervisor as a process of its own."""
    command = "import sys; from tests.edge.children import supervise; supervise(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", command, config.model_dump_json(), *names],
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )


def records(config: EdgeConfig, kind: str) -> list[dict[str, object]]:
    store = config.open_store()
    with store.read() as connection:
        found = [
            stored.parse().payload for stored in all_records(connection) if stored.kind == kind
        ]
    store.close()
    return found


def test_killed_child_is_restarted_recorded_and_the_others_are_left_alone(config):
    with running(Supervisor(config, [spec("works"), spec("ends", budget=2)])):
        until(lambda: len(marks(config, "works", "started")) == 1)
        (first,) = marks(config, "works", "started")
        until(lambda: len(records(config, "process.exited")) >= 3)  # `ends` is given up
        assert psutil.pid_exists(first)
        assert psutil.Process(first).rlimit(psutil.RLIMIT_CORE) == (0, 0), "faces in a core file"
        os.kill(first, signal.SIGKILL)
        until(lambda: len(marks(config, "works", "started")) == 2)
    exits = records(config, "process.exited")
    decisions = [one["decision"] for one in exits if one["process"] == "ends"]
    assert decisions == ["restarted", "restarted", "given_up"]
    assert [one["exit_code"] for one in exits if one["process"] == "works"] == [-9]
    assert len(marks(config, "works", "sealed")) == 1
    assert len(records(config, "node.started")) == len(records(config, "node.stopped")) == 1


def test_child_with_a_thread_that_does_not_end_ends_well(config):
    """Native code that comes back to an interpreter at its end aborts the process."""
    with running(Supervisor(config, [spec("leaves_a_thread")])):
        until(lambda: len(marks(config, "leaves_a_thread", "started")) == 1)
    assert len(marks(config, "leaves_a_thread", "sealed")) == 1
    assert marks(config, "leaves_a_thread", "finalised") == []
    assert records(config, "process.exited") == []


def test_silent_child_is_killed_and_restarted(config):
    # Starting a process counts as silence too, and takes seconds on a busy machine.
    table = [spec("hangs", heartbeat_seconds=6.0, stop_seconds=0.5)]
    with running(Supervisor(config, table)):
        until(lambda: len(marks(config, "hangs", "started")) == 2)
    exits = records(config, "process.exited")
    assert (exits[0]["exit_code"], exits[0]["decision"]) == (-9, "restarted")
    assert exits[-1]["decision"] == "stopped"  # it would not end when asked


def test_child_that_cannot_even_be_killed_does_not_keep_the_node_from_ending(config, monkeypatch):
    """It hangs in the kernel, in a read of a dying disk."""
    with (
        monkeypatch.context() as patch,
        running(Supervisor(config, [spec("hangs", stop_seconds=0.5)])),
    ):
        until(lambda: len(marks(config, "hangs", "started")) == 1)
        patch.setattr(SpawnProcess, "kill", lambda _: None)
    (hanging,) = marks(config, "hangs", "started")
    assert psutil.pid_exists(hanging)
    os.kill(hanging, signal.SIGKILL)
    (exited,) = records(config, "process.exited")
    assert (exited["exit_code"], exited["decision"]) == (-9, "stopped")
    assert len(records(config, "node.stopped")) == 1


def test_machine_without_room_for_a_process_does_not_end_the_node(config, monkeypatch):
    begin, refusals = SpawnProcess.start, iter([OSError(errno.EAGAIN, "no more processes")])

    def refusing(process: SpawnProcess) -> None:
        for refusal in refusals:
            raise refusal
        begin(process)

    monkeypatch.setattr(SpawnProcess, "start", refusing)
    with running(Supervisor(config, [spec("works")])):
        until(lambda: len(marks(config, "works", "started")) == 1)
    assert records(config, "process.exited") == []


def test_damaged_database_does_not_end_the_node(config, monkeypatch):
    def damaged(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with running(Supervisor(config, [spec("works")])):
        until(lambda: len(marks(config, "works", "started")) == 1)
        monkeypatch.setattr(supervisor_module, "append", damaged)
        os.kill(marks(config, "works", "started")[0], signal.SIGKILL)
        until(lambda: len(marks(config, "works", "started")) == 2)
        monkeypatch.undo()
    # What could not be written waited.
    assert [one["exit_code"] for one in records(config, "process.exited")] == [-9]


def test_children_of_a_killed_supervisor_end_orderly_and_the_next_one_starts(config):
    killed = supervised(config, "works", "hangs")
    until(lambda: len(marks(config, "works", "started") + marks(config, "hangs", "started")) == 2)
    (child,), (hanging,) = (marks(config, name, "started") for name in ("works", "hangs"))
    with pytest.raises(HeldElsewhere, match=f"process {killed.pid}"):
        Supervisor(config, [spec("works")]).run(handle_signals=False)
    killed.kill()
    killed.communicate()
    until(lambda: marks(config, "works", "sealed") == [child])
    until(lambda: not psutil.pid_exists(child))
    until(lambda: not psutil.pid_exists(hanging))  # it never would by itself
    with running(Supervisor(config, [spec("works")])):
        until(lambda: len(marks(config, "works", "started")) == 2)
    assert len(records(config, "node.started")) == 2
    assert len(records(config, "node.stopped")) == 1


def test_term_ends_the_node_orderly(config):
    node = supervised(config, "works")
    until(lambda: len(marks(config, "works", "started")) == 1)
    node.terminate()
    node.communicate(timeout=DEADLINE_SECONDS)
    assert node.returncode == 0
    assert len(marks(config, "works", "sealed")) == 1
    assert records(config, "node.stopped") == [{"reason": "sigterm"}]
    assert records(config, "process.exited") == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGPWR, "power_failing"), (signal.SIGUSR1, "planned_shutdown")],
)
def test_reason_to_stop_is_told_to_the_children_and_recorded_whatever_comes_with_it(
    config, number, reason
):
    node = supervised(config, "works")
    until(lambda: len(marks(config, "works", "started")) == 1)
    told = config.node.data / "run" / "stopping.json"
    os.kill(marks(config, "works", "started")[0], number)  # a signal to the group ends no child
    node.send_signal(signal.SIGSTOP)  # so that it sees both signals at once
    node.terminate()
    node.send_signal(number)
    node.send_signal(signal.SIGCONT)
    until(told.exists)
    if node.poll() is None:
        node.terminate()
    node.communicate(timeout=DEADLINE_SECONDS)
    assert node.returncode == 0
    assert len(marks(config, "works", "sealed")) == 1
    assert records(config, "node.stopped") == [{"reason": reason}]
    assert records(config, "process.exited") == []
    assert json.loads(told.read_text()) == {"reason": reason}
    with running(Supervisor(config, [spec("works")])):
        until(lambda: not told.exists())


def test_shut_down_command_ends_a_node_and_refuses_where_none_runs(config, tmp_path, capsys):
    file = tmp_path / "node.toml"
    file.write_text(TOML.format(data=config.node.data))
    command = ["shut-down", "--config", str(file), "--json", "--reason", "new disk"]
    assert cli.main(command) == 2
    assert "no node runs here" in capsys.readouterr().err
    node = supervised(config, "works")
    try:
        until(lambda: len(marks(config, "works", "started")) == 1)
        assert cli.main(command) == 0
        assert json.loads(capsys.readouterr().out) == {"stopped": True, "pid": node.pid}
        assert stopping.request_text(config.node.data) == "new disk"
    finally:
        node.kill()
        node.communicate()
    assert records(config, "node.stopped") == [{"reason": "planned_shutdown"}]
    assert len(marks(config, "works", "sealed")) == 1


def test_process_that_only_has_the_number_of_an_earlier_holder_is_never_signalled(config):
    """The lock is taken, and still names who held it last: that number is somebody else's now."""
    path = config.node.data / "run" / "supervisor.lock"
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock = FileLock(path)
    try:
        assert stopping.running_supervisor(config.node.data) == os.getpid()
        path.write_text(f"{stranger.pid:<10}\n")
        assert stopping.running_supervisor(config.node.data) is None
    finally:
        lock.release()
        stranger.communicate(b"\n")


def test_data_folder_of_another_node_or_format_is_refused(config):
    config.node.data.mkdir(parents=True)
    for content in ('{"format": 2}', "{", "[]"):
        (config.node.data / "VERSION").write_text(content)
        with pytest.raises(DataFolderRefused, match="VERSION"):
            Supervisor(config, [spec("works")]).run(handle_signals=False)


def test_table_holds_one_recorder_a_camera_and_the_uplink_only_with_a_central(config):
    names = [line.name for line in process_table(config)]
    assert names == ["recorder-cam", "verifier", "terminal", "watch", "custodian"]
    central = CentralConfig(endpoint="tcp://127.0.0.1:1", server_key="x" * 40, signing_key="0" * 64)
    table = process_table(config.model_copy(update={"central": central}))
    assert [line.name for line in table][-2:] == ["uplink", "commands"]
    assert all(line.target.endswith(".process:run") for line in table)
    slow = config.cameras[0].model_copy(update={"timeout_seconds": 60.0})
    recorder, *others = process_table(config.model_copy(update={"cameras": (slow,)}))
    assert recorder.heartbeat_seconds > 180  # three silences in a row while it connects
    assert recorder.stop_seconds > 60
    assert {line.stop_seconds for line in others} == {8.0}
    assert all(line.heartbeat_seconds >= 30 and line.restart_budget > 0 for line in table)
