"""Did the same pictures come again? A sensor never gives the same picture twice.

Equal neighbours are no sign: cameras and servers double a frame when they are short of light or
time. The same pixels with something else in between are; so are pixels of an earlier attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from identity.liveness.signals import About, Signal, failed, not_assessed, passed
from identity.looked import LookedFrame

ABOUT = About(
    name="replay",
    unit="frames",
    source="digests over the face's pixels, within the attempt and of earlier attempts",
    blind_to="pictures that were encoded anew, or filmed from a screen",
)

SeenBefore = Callable[[bytes], bool]
_MOST = 0.0


def repeats(frames: Sequence[LookedFrame], seen_before: SeenBefore) -> int:
    """Return how many frames came again, neighbours that are equal not counted."""
    count, earlier, last = 0, set[bytes](), b""
    for frame in frames:
        digest = frame.pixels_digest
        if digest == last:
            continue
        count += digest in earlier or seen_before(digest)
        earlier.add(digest)
        last = digest
    return count


def signal(frames: Sequence[LookedFrame], seen_before: SeenBefore) -> Signal:
    """Return the replay signal of an attempt."""
    if not frames:
        return not_assessed(ABOUT.name, _MOST)
    again = float(repeats(frames, seen_before))
    if again > _MOST:
        return failed(ABOUT.name, "REPLAYED_FRAMES", again, _MOST)
    return passed(ABOUT.name, again, _MOST)
