"""One press of a button, one deed: a form carries a number that is good for once.

A second press (a double click, a reload, the same form in two tabs) waits for the first and is led
to where that one led. A press (forms.py) is the number with all that was entered: what was changed
after going back is a deed of its own. What is refused is forgotten, so that it can be put right and
sent again. Kept in memory only: after a restart, what has to be single for ever (an authorisation,
a settlement) is still held by the session's own rules.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_REMEMBERED = 1024


@dataclass
class _Press:
    lock: threading.Lock = field(default_factory=threading.Lock)
    led_to: str | None = None


class Once:
    """What the last forms led to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._presses: OrderedDict[tuple[str, str], _Press] = OrderedDict()

    @staticmethod
    def new() -> str:
        """Return the number of a form that is about to be shown."""
        return secrets.token_urlsafe(12)

    def do(self, terminal: str, pressed: str, deed: Callable[[], str]) -> str:
        """Do it, or say where doing it led. Raises what the deed raises."""
        press = self._press_of((terminal, pressed))
        with press.lock:
            if press.led_to is None:
                press.led_to = deed()
            return press.led_to

    def _press_of(self, key: tuple[str, str]) -> _Press:
        with self._lock:
            press = self._presses.setdefault(key, _Press())
            self._presses.move_to_end(key)
            while len(self._presses) > MOST_REMEMBERED:
                self._presses.popitem(last=False)
            return press
