"""What kind of camera pictures come from, and whether it is one at all.

A virtual device (a loopback driver, OBS, DroidCam, a film, a stream of this very machine) shows
whatever somebody feeds it. It is refused unless this is a simulation: the camera is configured as
simulated and the environment says COUNTERSIGHT_SIMULATION=1. Anything unsure counts as virtual.
What a real camera shows, and what happens to it on its way here, this cannot tell.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from hardware.errors import SIMULATION_VARIABLE

Kind = Literal["rtsp", "v4l2", "film"]

# VIDIOC_QUERYCAP: _IOR('V', 0, struct v4l2_capability), linux/videodev2.h.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32s6I")
_SYSFS = Path("/sys/class/video4linux")

VIRTUAL_NAMES: tuple[str, ...] = (
    "v4l2 loopback", "v4l2loopback", "dummy video device", "akvcam", "akvirtualcamera",
    "virtual camera", "virtualcam", "webcamoid", "obs-camera", "obs virtual", "droidcam",
    "iriun", "ivcam", "epoccam", "manycam", "xsplit", "snap camera", "vivid", "vimc",
    "screen capture", "scrcpy", "ndi webcam", "camtwist", "vcam", "gstreamer", "ffmpeg",
)  # fmt: skip
"""Parts of driver, card and bus names, lower case, by which virtual devices call themselves."""


@dataclass(frozen=True, slots=True)
class CameraIdentity:
    """`name` is what the device calls itself, without address or credentials; `simulated` says
    that a virtual one is allowed because this is a simulation, `virtual` that it must be refused.
    """

    kind: Kind
    name: str
    simulated: bool
    virtual: bool

    @property
    def code(self) -> str:
        """Return what the receipt names: the kind, and what stands behind it."""
        if self.simulated:
            return f"{self.kind}:simulated"
        return f"{self.kind}:virtual" if self.virtual else self.kind


@dataclass(frozen=True, slots=True)
class DeviceNames:
    """What the kernel says of a V4L2 device; `virtual_in_sysfs` when no hardware is behind it."""

    driver: str
    card: str
    bus: str
    virtual_in_sysfs: bool


def identity_of(url: str, *, simulated: bool, device_name: str | None = None) -> CameraIdentity:
    """Return what stands behind an address (`rtsp://`, `v4l2:///dev/video0`, `file://`).

    `simulated` is what the configuration says of the camera; it only counts in a simulation.
    `device_name` stands in for what the kernel would say of a USB device.
    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
    except ValueError:
        return _identity("film", "unreadable", simulated, virtual=True)
    if scheme in ("rtsp", "rtsps"):
        return _identity("rtsp", scheme, simulated, virtual=is_this_machine(host))
    if scheme == "v4l2":
        if device_name is not None:
            return _identity("v4l2", device_name, simulated, virtual=is_virtual_name(device_name))
        names = names_of_device(Path(unquote(parts.path)))
        if names is None:
            return _identity("v4l2", "unreadable", simulated, virtual=True)
        return _identity("v4l2", names.card or names.driver, simulated, virtual=_is_virtual(names))
    return _identity("film", "film", simulated, virtual=True)


def simulation_is_on(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether the environment says that this is a simulation."""
    return (os.environ if environment is None else environment).get(SIMULATION_VARIABLE) == "1"


def _identity(kind: Kind, name: str, configured: bool, *, virtual: bool) -> CameraIdentity:
    # A camera that is configured as simulated is virtual, whatever it calls itself.
    stands_in = virtual or configured
    allowed = stands_in and configured and simulation_is_on()
    return CameraIdentity(kind, name, simulated=allowed, virtual=stands_in and not allowed)


def is_virtual_name(text: str) -> bool:
    """Return whether a driver, card or bus name is that of a virtual device."""
    folded = re.sub(r"[\s_]+", " ", text.casefold())
    return any(name in folded for name in VIRTUAL_NAMES)


def _is_virtual(names: DeviceNames) -> bool:
    named = any(is_virtual_name(text) for text in (names.driver, names.card, names.bus))
    return names.virtual_in_sysfs or named or not names.driver


def names_of_device(path: Path, sysfs: Path = _SYSFS) -> DeviceNames | None:
    """Ask the kernel what a V4L2 device is; None when it cannot be asked."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        answer = fcntl.ioctl(descriptor, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    driver, card, bus = (_text(field) for field in _CAPABILITY.unpack(answer)[:3])
    place = (sysfs / path.resolve().name).resolve()
    return DeviceNames(driver, card, bus, virtual_in_sysfs="virtual" in place.parts)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def is_this_machine(host: str) -> bool:
    """Return whether a host, as an address writes it, is this machine. Asks no name server."""
    folded = host.casefold().rstrip(".")
    if not folded or folded == "localhost" or folded.endswith(".localhost"):
        return True
    if folded in {"localhost.localdomain", "ip6-localhost", socket.gethostname().casefold()}:
        return True
    address = _address(folded)
    if address is None:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    asked = mapped or address
    return asked.is_loopback or asked.is_unspecified or _is_own(asked)


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an interface of this machine has this address: only then can it be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as taken:
            taken.bind((str(address), 0))
    except OSError:
        return False
    return True


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        pass
    try:
        # The short, octal and hexadecimal forms that the resolver of C takes, such as 127.1.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
