"""The one place where OpenCV is imported for models and identity.

opencv-python links against libGL. On a system without it the import fails with a loader message
that names no remedy, so it is translated here and nowhere else.
"""

from __future__ import annotations

import re

from models.errors import LibGlMissing

_LOADER_MESSAGE = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


def translated(problem: ImportError) -> Exception:
    """Return the clear error for a failed OpenCV import, or the problem itself."""
    found = _LOADER_MESSAGE.search(str(problem))
    return LibGlMissing(found.group(1)) if found else problem


try:
    import cv2
except ImportError as exc:
    raise translated(exc) from exc

__all__ = ["cv2", "translated"]
