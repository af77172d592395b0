"""A device's answer is taken when it is fresh, whole and its own; everything else is none."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hardware.devices import (
    DeviceKind,
    DeviceUnavailable,
    DeviceUntrusted,
    HttpDevice,
    issued,
    portrait_of,
)
from hardware.simulated_devices import (
    Control,
    DeviceService,
    Fault,
    SimulatedDevices,
    Somebody,
    somebody,
)
from retention.records.signing import Ed25519Signer

NUMBER = "11010519491231002X"
KINDS: tuple[DeviceKind, ...] = ("certified_terminal", "fingerprint", "card_reader")
UNTRUSTED: tuple[Fault, ...] = ("forged", "other_nonce", "nobody")
UNAVAILABLE: tuple[Fault, ...] = ("timeout", "garbage", "huge", "error", "cut_off")


@pytest.fixture
def service() -> Iterator[DeviceService]:
    signer = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
    with DeviceService(SimulatedDevices(signer)) as running:
        yield running


def device(
    service: DeviceService, kind: DeviceKind, key: bytes | None = None, seconds: float = 20
) -> HttpDevice:
    known = key or service.devices.signer.public_key
    return HttpDevice(kind, service.url, known, timeout_seconds=seconds)


@pytest.mark.parametrize("kind", KINDS)
def test_the_person_in_front_is_confirmed_by_a_signed_answer(
    service: DeviceService, kind: DeviceKind
) -> None:
    service.devices.control(Control(kind=kind, person=somebody(NUMBER, name="张三")))
    answer = device(service, kind).ask()
    assert (answer.outcome, answer.cert_type, answer.number) == ("confirmed", "02", NUMBER)
    assert NUMBER not in repr(answer)
    assert "张三" not in repr(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_in_front_is_refused(service: DeviceService, kind: DeviceKind) -> None:
    assert device(service, kind).ask().outcome == "refused"


@pytest.mark.parametrize("fault", UNTRUSTED)
def test_an_answer_that_is_not_its_own_is_none(service: DeviceService, fault: Fault) -> None:
    service.devices.control(
        Control(kind="certified_terminal", person=somebody(NUMBER), fault=fault)
    )
    with pytest.raises(DeviceUntrusted) as caught:
        device(service, "certified_terminal").ask()
    assert NUMBER not in str(caught.value)


def test_an_answer_of_another_kind_of_device_is_none(service: DeviceService) -> None:
    fault = Control(kind="card_reader", person=somebody(NUMBER), fault="other_kind")
    service.devices.control(fault)
    with pytest.raises(DeviceUntrusted, match="another question"):
        device(service, "card_reader").ask()


def test_a_service_with_another_key_is_not_believed(service: DeviceService) -> None:
    service.devices.control(Control(kind="fingerprint", person=somebody(NUMBER)))
    with pytest.raises(DeviceUntrusted, match="signed by key"):
        device(service, "fingerprint", key=bytes(32)).ask()


@pytest.mark.parametrize("fault", UNAVAILABLE)
def test_what_is_no_answer_is_named_and_asked_once(service: DeviceService, fault: Fault) -> None:
    person = somebody(NUMBER)
    service.devices.control(Control(kind="fingerprint", person=person, fault=fault, seconds=5))
    with pytest.raises(DeviceUnavailable):
        device(service, "fingerprint", seconds=0.5 if fault == "timeout" else 20).ask()
    assert service.devices.asked.count("fingerprint") == (0 if fault == "error" else 1)


def test_an_answer_that_drips_is_bounded_as_a_whole(service: DeviceService) -> None:
    drips = Control(kind="fingerprint", person=somebody(NUMBER), fault="drip", seconds=3)
    service.devices.control(drips)
    assert device(service, "fingerprint").ask().outcome == "confirmed"
    # No single byte is late; the whole answer is.
    with pytest.raises(DeviceUnavailable, match="no answer in time"):
        device(service, "fingerprint", seconds=0.5).ask()


def test_a_device_cannot_send_the_question_elsewhere(service: DeviceService) -> None:
    elsewhere = Control(kind="fingerprint", person=somebody(NUMBER), fault="redirect")
    service.devices.control(elsewhere)
    with pytest.raises(DeviceUnavailable, match="HTTP status 307"):
        device(service, "fingerprint").ask()
    assert service.devices.asked == ["fingerprint"]


def test_a_service_that_is_not_there_is_unavailable(service: DeviceService) -> None:
    gone = HttpDevice("fingerprint", "http://127.0.0.1:1", bytes(32), timeout_seconds=5)
    with pytest.raises(DeviceUnavailable, match="ConnectError"):
        gone.ask()


def test_a_card_gives_its_portrait_and_its_date(service: DeviceService) -> None:
    person = Somebody(
        number=NUMBER, issued_at="2016-03-01T00:00:00.000000Z",
        portrait=base64.b64encode(b"\xff\xd8picture").decode(),
    )  # fmt: skip
    service.devices.control(Control(kind="card_reader", person=person))
    answer = device(service, "card_reader").ask()
    assert portrait_of(answer) == b"\xff\xd8picture"
    when = issued(answer)
    assert when is not None
    assert when.year == 2016
    service.devices.control(Control(kind="card_reader", person=somebody(NUMBER)))
    with pytest.raises(DeviceUnavailable, match="no portrait"):
        portrait_of(device(service, "card_reader").ask())
    with pytest.raises(DeviceUnavailable, match="cannot be read"):
        portrait_of(answer.model_copy(update={"portrait": "not base64"}))


def test_the_process_says_where_it_is_and_obeys() -> None:
    command = [sys.executable, "-P", "-m", "hardware.simulated_devices"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert running.stdout is not None
        said = json.loads(running.stdout.readline())
        control = {"kind": "fingerprint", "person": {"number": NUMBER}}
        told = httpx.post(f"{said['url']}/control", json=control, trust_env=False, timeout=30)
        assert told.status_code == 200
        key = bytes.fromhex(said["public_key"])
        answer = HttpDevice("fingerprint", said["url"], key, timeout_seconds=20).ask()
        assert answer.outcome == "confirmed"
        wrong = httpx.post(
            f"{said['url']}/control", json={"kind": "oven"}, trust_env=False, timeout=30
        )
        assert wrong.status_code == 422
    finally:
        running.terminate()
        running.wait(20)
        if running.stdout is not None:
            running.stdout.close()
