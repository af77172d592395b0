"""Stopping on a signal without waiting for oneself.

A handler runs in the main thread between any two of its steps, also while that thread holds the
lock inside the very event it waits on. `Event.set` there would wait for itself for ever, so the
handler only puts into a SimpleQueue (whose `put` may be re-entered) and a thread sets the event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


def setting(stop: threading.Event) -> Handler:
    """Return a signal handler that has `stop` set at once, whatever the main thread is doing."""
    asked: SimpleQueue[int] = SimpleQueue()

    def relay() -> None:
        asked.get()
        stop.set()

    threading.Thread(target=relay, name="signals", daemon=True).start()
    return lambda number, _frame: asked.put(number)
