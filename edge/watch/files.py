"""Where the watch keeps what it learned, and where it is asked to learn anew: in DATA/run."""

from __future__ import annotations

from pathlib import Path

from edge.config import EdgeConfig


def baseline_file(config: EdgeConfig, camera: str) -> Path:
    """Return where the usual view of a camera is kept."""
    return config.node.data / "run" / f"watch-{camera}.npz"


def accept_file(config: EdgeConfig, camera: str) -> Path:
    """Return the file whose presence asks to take a camera's view as it is now for the usual."""
    return config.node.data / "run" / f"watch-accept-{camera}"
