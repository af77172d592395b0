"""The one place where OpenCV is imported for models and identity.

opencv-python links against libGL. On a system without it the import fails with a loader message
that names no remedy, so it is translated here, before insightface imports OpenCV for itself.
"""

from __future__ import annotations

from retention.records.errors import explained_import

try:
    import cv2
except ImportError as exc:
    raise explained_import(exc) from exc

__all__ = ["cv2"]
