"""What every process of a node is given, so that the supervisor can watch and stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.config import EdgeConfig


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """`stop` asks for an orderly end; `beat` says that a step was done; `argument` is what the
    process table gave (a camera id for a recorder)."""

    config: EdgeConfig
    stop: threading.Event
    beat: Callable[[], None]
    argument: str | None = None
