"""What the watch says with a picture that it shows; both sides of the local socket use it.

Without OpenCV and numpy, so that the terminal's process stays as it is.
"""

from __future__ import annotations

from typing import Literal

from retention.records.fields import Count, Frozen

Condition = Literal["clear", "black", "frozen", "covered", "out_of_focus", "moved"]
PICTURE_TOPIC = b"J"


class Shown(Frozen):
    """What goes with a picture: when it was received, and how the camera's view is judged."""

    camera: str
    received_monotonic_ns: Count
    condition: Condition
    width: int
    height: int
