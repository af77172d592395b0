"""What can go wrong with a device, as nouns with facts.

A camera's address often carries its password. No error here ever repeats one:
``without_credentials`` is applied before an address is kept or printed.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

ALLOWED_CODECS: tuple[str, ...] = ("h264", "hevc")
SIMULATION_VARIABLE = "COUNTERSIGHT_SIMULATION"


def without_credentials(url: str) -> str:
    """Return the address without user, password, query and fragment; safe to log."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable camera address)"
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme and "://" in url:
        return f"{parts.scheme}://{host}{parts.path}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


class HardwareError(Exception):
    """Base of everything this package raises on purpose."""


class CameraUnavailable(HardwareError):
    """The camera refused, did not answer in time, or stopped sending."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = without_credentials(url)
        self.reason = reason.replace(url, self.url)
        super().__init__(f"Camera {self.url} is unavailable: {self.reason}")


class UnsupportedCodec(HardwareError):
    """The camera sends video that this product does not record."""

    def __init__(self, found: str, allowed: tuple[str, ...] = ALLOWED_CODECS) -> None:
        super().__init__(f"Camera sends {found!r}; allowed are {', '.join(allowed)}")
        self.found, self.allowed = found, allowed


class CameraEnded(HardwareError):
    """The camera closed its stream."""

    def __init__(self, url: str) -> None:
        self.url = without_credentials(url)
        super().__init__(f"Camera {self.url} ended its stream")


class SimulatedPartWarning(UserWarning):
    """A simulated device was made outside the demo and the tests."""


def warn_simulated(part: str) -> None:
    """Warn that ``part`` is simulated, unless the environment says this is a simulation."""
    if os.environ.get(SIMULATION_VARIABLE) != "1":
        warnings.warn(
            f"{part} is simulated; set {SIMULATION_VARIABLE}=1 only for the demo and tests",
            SimulatedPartWarning,
            stacklevel=3,
        )


class PeopleMissing(HardwareError):
    """The photographs that the simulated scene shows have not been fetched, or were changed."""

    COMMAND = "python -P -m hardware.simulated_people"

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{reason} in {folder}; run: {self.COMMAND}")
        self.folder, self.reason = folder, reason
