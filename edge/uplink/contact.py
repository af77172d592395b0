"""When central last answered, for whoever looks at the counter.

Live state, so it may be lost: one small file below DATA/run, replaced by rename and never synced.
The database would cost a durable write every few seconds, and its lock, for something that decides
nothing. `written_ns` (monotonic clock of this machine) tells a file of a dead uplink from a fresh
one, whatever the wall clock did meanwhile.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from edge.config import EdgeConfig
from retention.records.clock import Clock, to_text
from retention.records.fields import Count, Frozen

REFRESH_SECONDS = 5.0
STALE_SECONDS = 20.0


class Contact(Frozen):
    """`answered_at` is when central last said anything, to this uplink or an earlier one."""

    connected: bool
    answered_at: Annotated[str, Field(max_length=40)] | None
    written_ns: Count


@dataclass(slots=True)
class ContactNote:
    """The uplink's side. Called every step; writes when the word changes, else every 5 s."""

    path: Path
    clock: Clock
    answered_at: str | None = None
    _connected: bool | None = None
    _due_ns: int = 0

    def answered(self) -> None:
        """Central said something."""
        self.answered_at = to_text(self.clock.now())

    def write(self, connected: bool) -> None:
        """Write it down when it is due. Raises OSError."""
        now_ns = self.clock.monotonic_ns()
        if connected == self._connected and now_ns < self._due_ns:
            return
        self._connected, self._due_ns = connected, now_ns + int(REFRESH_SECONDS * 1e9)
        contact = Contact(connected=connected, answered_at=self.answered_at, written_ns=now_ns)
        temporary = self.path.with_name(self.path.name + ".new")
        temporary.write_text(contact.model_dump_json())
        os.replace(temporary, self.path)


def note_of(config: EdgeConfig, clock: Clock) -> ContactNote:
    """Return the uplink's note, which goes on from what an earlier process wrote."""
    path = contact_path(config)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = _read(path)
    return ContactNote(path, clock, None if known is None else known.answered_at)


def read_contact(config: EdgeConfig, clock: Clock) -> Contact | None:
    """Return how the uplink stands with central; None when it never wrote. A file that nobody
    refreshes any more says when central last answered, but not that it still does."""
    known = _read(contact_path(config))
    if known is None:
        return None
    age_seconds = (clock.monotonic_ns() - known.written_ns) / 1e9
    fresh = 0 <= age_seconds < STALE_SECONDS
    return known.model_copy(update={"connected": known.connected and fresh})


def contact_path(config: EdgeConfig) -> Path:
    """Return where the file lies."""
    return config.node.data / "run" / "central.json"


def _read(path: Path) -> Contact | None:
    try:
        return Contact.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        # Not there yet, or cut short by a crash: nobody knows, and the next step writes it anew.
        return None
