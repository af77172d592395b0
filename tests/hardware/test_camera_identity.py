"""What stands behind a camera's address, and what is refused."""

from __future__ import annotations

import fcntl
import socket
import struct
from pathlib import Path

import psutil
import pytest

from hardware.camera_identity import (
    CameraIdentity,
    DeviceNames,
    identity_of,
    is_this_machine,
    is_virtual_name,
    names_of_device,
)
from hardware.errors import SIMULATION_VARIABLE


@pytest.fixture
def in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SIMULATION_VARIABLE, raising=False)


@pytest.fixture
def in_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIMULATION_VARIABLE, "1")


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "camera.localhost", "127.0.0.1", "127.9.8.7", "127.1", "0x7f.1",
        "0", "0.0.0.0",  # noqa: S104 - an address to refuse
        "2130706433", "::1", "::", "::ffff:127.0.0.1", "::1%lo", "",
        socket.gethostname(),
    ],
)  # fmt: skip
def test_every_way_to_write_this_machine_is_known(host: str) -> None:
    assert is_this_machine(host)


def test_a_stream_of_this_machine_by_its_own_address_on_the_network_is_known() -> None:
    """Whoever sits at the counter's computer must not become its camera through the back door."""
    found = [each.address for interface in psutil.net_if_addrs().values() for each in interface
             if each.family == socket.AF_INET]  # fmt: skip
    assert found
    assert all(is_this_machine(address) for address in found)


@pytest.mark.parametrize("host", ["192.168.1.64", "10.0.0.5", "fe80::1%eth0", "kamera-1.lan"])
def test_a_camera_on_the_network_is_another_machine(host: str) -> None:
    assert not is_this_machine(host)


@pytest.mark.parametrize(
    "name",
    [
        "v4l2 loopback", "v4l2_loopback", "platform:v4l2loopback-000",
        "Dummy video device (0x0000)", "OBS Virtual Camera",
        "OBS-Camera", "akvcam", "DroidCam", "Droidcam", "Iriun Webcam",
        "e2eSoft iVCam", "ManyCam Virtual Webcam", "XSplit VCam", "Snap Camera", "vivid",
        "VIRTUAL   CAMERA", "Scrcpy V4L2 sink", "EpocCam", "vimc",
    ],
)  # fmt: skip
def test_a_virtual_device_is_known_by_its_name(name: str) -> None:
    assert is_virtual_name(name)


@pytest.mark.parametrize(
    "name",
    ["uvcvideo", "HD Pro Webcam C920", "USB 2.0 Camera: USB Camera", "usb-0000:00:14.0-3",
     "Integrated Camera: Integrated C", "unicam", "bcm2835-isp", "Logi C270 HD WebCam"],
)  # fmt: skip
def test_a_real_device_is_not_taken_for_a_virtual_one(name: str) -> None:
    assert not is_virtual_name(name)


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize(
    "url",
    ["rtsp://127.0.0.1:8554/counter", "rtsp://user:secret@[::1]/a", "file:///films/a.mp4",
     "v4l2:///dev/video-that-is-not-there", "v4l2:///dev/null", "http://10.0.0.4/x", "nonsense",
     "rtsp://[broken/a"],
)  # fmt: skip
def test_what_is_no_camera_is_virtual_in_production(url: str, configured: bool) -> None:
    found = identity_of(url, simulated=configured)
    assert (found.virtual, found.simulated) == (True, False)
    assert found.code.endswith(":virtual")
    assert "secret" not in repr(found)


@pytest.mark.usefixtures("in_simulation")
@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:8554/counter", "file:///films/a.mp4"])
def test_a_simulation_allows_only_what_is_configured_as_simulated(url: str) -> None:
    assert identity_of(url, simulated=False).virtual
    allowed = identity_of(url, simulated=True)
    assert (allowed.virtual, allowed.simulated) == (False, True)
    assert allowed.code.endswith(":simulated")


@pytest.mark.usefixtures("in_production")
def test_a_real_camera_configured_as_simulated_is_refused_in_production() -> None:
    assert identity_of("rtsp://192.168.1.64/a", simulated=True).virtual


@pytest.mark.usefixtures("in_simulation")
def test_a_real_camera_stays_real_in_a_simulation() -> None:
    found = identity_of("rtsp://192.168.1.64/a", simulated=False)
    assert found == CameraIdentity("rtsp", "rtsp", simulated=False, virtual=False)
    assert found.code == "rtsp"


def capability(driver: str, card: str, bus: str) -> bytes:
    return struct.pack(
        "16s32s32s6I", driver.encode(), card.encode(), bus.encode(), 0x60100, 0x85200001, 0, 0, 0, 0
    )


@pytest.mark.usefixtures("in_production")
@pytest.mark.parametrize(
    ("driver", "card", "bus", "virtual"),
    [
        ("uvcvideo", "HD Pro Webcam C920", "usb-0000:00:14.0-3", False),
        ("v4l2 loopback", "HD Pro Webcam C920", "platform:v4l2loopback-000", True),
        ("uvcvideo", "OBS Virtual Camera", "usb-0000:00:14.0-3", True),
        ("somedriver", "Camera", "platform:v4l2loopback-003", True),
        ("", "Camera", "usb-0000:00:14.0-3", True),
    ],
)
def test_a_usb_device_is_asked_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    driver: str,
    card: str,
    bus: str,
    virtual: bool,
) -> None:
    device = tmp_path / "video0"
    device.touch()
    asked: list[int] = []

    def ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
        asked.append(request)
        assert len(argument) == 104
        return capability(driver, card, bus)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    found = identity_of(f"v4l2://{device}", simulated=False)
    assert (found.kind, found.name, found.virtual) == ("v4l2", card, virtual)
    assert asked == [0x80685600]


def test_a_device_without_hardware_behind_it_is_told_by_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device, behind = tmp_path / "video7", tmp_path / "devices" / "virtual" / "video7"
    device.touch()
    behind.mkdir(parents=True)
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "video7").symlink_to(behind)
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: capability("honest", "Camera", "usb-1"))
    named = names_of_device(device, tmp_path / "class")
    assert named == DeviceNames("honest", "Camera", "usb-1", virtual_in_sysfs=True)


def test_something_that_is_no_video_device_cannot_be_asked() -> None:
    assert names_of_device(Path("/dev/null")) is None
