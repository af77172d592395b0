"""The slot for a depth or near-infrared camera. No driver comes with it yet: never assessed.

Protocol: a source is read beside the colour camera and answers how much a face stands out.
"""

from __future__ import annotations

from typing import Protocol

from identity.liveness.signals import About, Signal, not_assessed
from models.values import FaceDetection

ABOUT = About(
    name="depth",
    unit="millimetres",
    source="a depth or near-infrared camera beside the colour camera (none is supported yet)",
    blind_to="everything, until a device is there",
)


class DepthSource(Protocol):
    """A device that sees depth where the colour camera sees a face."""

    @property
    def name(self) -> str:
        """Return what the device calls itself."""

    def relief_mm(self, face: FaceDetection, monotonic_ns: int) -> float | None:
        """Return how far the nose stands out before the eyes and mouth, in millimetres; None when
        the device saw nothing there at that time."""


def signal() -> Signal:
    """Return the depth signal of a counter without such a device."""
    return not_assessed(ABOUT.name)
