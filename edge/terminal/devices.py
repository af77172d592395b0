"""The devices beside the counters, from the configuration; each is asked by one session at a
time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from edge.config import DeviceConfig, EdgeConfig
from hardware.devices import Device, DeviceKind, HttpDevice
from hardware.errors import warn_simulated
from retention.terms.problems import Problem, Refusal


class Devices:
    """The devices of a node, by kind; each is asked by one session at a time."""

    def __init__(self, devices: dict[DeviceKind, Device]) -> None:
        self._devices = devices
        self._busy = {kind: threading.Lock() for kind in devices}

    @property
    def kinds(self) -> frozenset[DeviceKind]:
        """Return which devices there are."""
        return frozenset(self._devices)

    @contextmanager
    def asked(self, kind: DeviceKind) -> Iterator[Device]:
        """Hold a device. Raises Refusal METHOD_NOT_CONFIGURED or BUSY."""
        device = self._devices.get(kind)
        if device is None:
            raise Refusal(Problem(409, "METHOD_NOT_CONFIGURED", f"devices.{kind}"))
        if not self._busy[kind].acquire(blocking=False):
            raise Refusal(Problem(409, "BUSY"))
        try:
            yield device
        finally:
            self._busy[kind].release()


def devices_of(config: EdgeConfig) -> Devices:
    """Return the devices of a configuration."""
    wanted: dict[DeviceKind, DeviceConfig | None] = {
        "certified_terminal": config.devices.certified_terminal,
        "fingerprint": config.devices.fingerprint,
        "card_reader": config.devices.card_reader,
        "authority": config.devices.authority,
    }
    made: dict[DeviceKind, Device] = {}
    for kind, known in wanted.items():
        if known is None:
            continue
        if known.simulated:
            warn_simulated(f"Device {kind}")
        key = bytes.fromhex(known.public_key)
        made[kind] = HttpDevice(kind, known.url, key, timeout_seconds=known.timeout_seconds)
    return Devices(made)
