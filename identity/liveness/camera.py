"""Through what was looked? Pictures of a device that is none prove nothing about this counter."""

from __future__ import annotations

from hardware.camera_identity import CameraIdentity
from identity.liveness.signals import About, Signal, failed, passed

ABOUT = About(
    name="camera",
    unit="none",
    source="address of the stream; driver, card and bus of a USB device as the kernel names them",
    blind_to="a real camera whose firmware or cable is tampered with, a device that lies",
)


def signal(camera: CameraIdentity) -> Signal:
    """Return the camera signal: a virtual device fails."""
    return (
        failed(ABOUT.name, "VIRTUAL_CAMERA", None, None) if camera.virtual else passed(ABOUT.name)
    )
