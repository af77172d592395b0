"""Was everything kept for as long as it was owed? Recomputed from the log, in its order.

The policies adopted and the holds standing before a disposal decide whether it was lawful, not what
its record says of itself. What cannot be known here any more (the roll of a session before it
opened, a clock that was wrong) is left out, so that nothing lawful is ever called unlawful; central
judges the same by its own time.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention.checking.log import Emptied
from retention.checking.report import MOST_FINDINGS, Bad
from retention.checking.subject import Subject
from retention.policy import AdoptedPolicy, owed_until
from retention.records import keeping as k
from retention.records import payloads as p
from retention.records.clock import from_micros, from_text
from retention.records.envelope import Record
from retention.records.fields import Frozen
from retention.records.kinds import KINDS

AHEAD = timedelta(minutes=5)
"""How far a node's clocks may differ from the asker's without meaning anything."""
RETENTION = {kind.name: kind.retention.value for kind in KINDS}


@dataclass(slots=True)
class _Session:
    """What a hold on a session or a person surely covers: from opening to closing."""

    opened_at: datetime
    closed_at: datetime | None = None


class Promises:
    """Follows policies, holds and sessions; judges each disposal by what stood before it."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._policies: list[AdoptedPolicy] = []
        self._holds: dict[str, k.Hold] = {}
        self._sessions: dict[str, _Session] = {}
        self._of_person: dict[str, list[_Session]] = defaultdict(list)
        self._latest: dict[int, dict[str, datetime]] = defaultdict(dict)
        self._found: list[Bad] = []

    def see(self, record: Record, content: Frozen | None) -> None:
        if isinstance(content, k.PolicyAdopted):
            adopted_at = from_text(record.occurred_at)
            self._policies.append(AdoptedPolicy(content.policy, adopted_at))
        elif isinstance(content, k.HoldPlaced):
            self._holds[content.hold.hold] = content.hold
        elif isinstance(content, k.HoldReleased):
            self._holds.pop(content.hold, None)
        elif isinstance(content, k.SegmentDisposed):
            self._segment(record, content)
        elif isinstance(content, k.RecordsDisposed):
            self._records(record, content)
        else:
            self._session(record, content)

    def see_emptied(self, emptied: Emptied) -> None:
        """Remember the latest moment of each class that a later record disposes of."""
        occurred_at, latest = from_micros(emptied.occurred_at), self._latest[emptied.disposed_by]
        kind = RETENTION.get(emptied.kind, "processing")
        latest[kind] = max(occurred_at, latest.get(kind, occurred_at))

    def found(self) -> Iterator[Bad]:
        yield from self._found
        yield from self._tombstones()
        yield from self._trusted_time()

    # -- what stands ------------------------------------------------------------------------------

    def _session(self, record: Record, content: Frozen | None) -> None:
        if isinstance(content, p.SessionOpened):
            opened = _Session(from_text(record.occurred_at))
            self._sessions[content.session] = opened
            self._of_person[content.claim.person_ref].append(opened)
        elif isinstance(content, p.PrescriptionAttached) and content.session in self._sessions:
            self._of_person[content.patient_ref].append(self._sessions[content.session])
        elif isinstance(content, p.ProxyDeclared) and content.session in self._sessions:
            self._of_person[content.purchaser_ref].append(self._sessions[content.session])
        elif isinstance(content, p.SessionClosed) and content.session in self._sessions:
            self._sessions[content.session].closed_at = from_text(content.closed_at)

    def _hold_on(self, camera: str, started_at: datetime, ended_at: datetime) -> str | None:
        """Return a standing hold that keeps footage of a camera over a span."""
        for name, hold in self._holds.items():
            if hold.cameras and camera not in hold.cameras:
                continue
            for start, end in self._spans(hold):
                if (start is None or start < ended_at) and (end is None or started_at < end):
                    return name
        return None

    def _spans(self, hold: k.Hold) -> Iterator[tuple[datetime | None, datetime | None]]:
        if hold.scope == "pharmacy":
            yield None, None
        elif hold.scope == "span":
            yield _moment(hold.started_at), _moment(hold.ended_at)
        elif hold.scope == "session":
            session = self._sessions.get(hold.session or "")
            if session is not None:
                yield session.opened_at, session.closed_at or session.opened_at
        else:
            for session in self._of_person.get(hold.person_ref or "", ()):
                yield session.opened_at, session.closed_at or session.opened_at

    # -- disposals --------------------------------------------------------------------------------

    def _segment(self, record: Record, content: k.SegmentDisposed) -> None:
        started_at, ended_at = from_text(content.started_at), from_text(content.ended_at)
        owed = owed_until("footage", ended_at, self._policies)
        if from_text(record.occurred_at) + AHEAD <= owed:
            self._bad(
                content.segment, f"disposed of by record {record.sequence}, owed until {owed}"
            )
        elif from_text(content.owed_until) < owed:
            detail = f"record {record.sequence} says owed until {content.owed_until}, it is {owed}"
            self._bad(content.segment, detail)
        hold = self._hold_on(content.camera, started_at, ended_at)
        if hold is not None:
            detail = f"disposed of by record {record.sequence} while hold {hold} stood"
            self._bad(content.segment, detail)

    def _records(self, record: Record, content: k.RecordsDisposed) -> None:
        disposed_at = from_text(record.occurred_at)
        for retention, latest in self._latest.pop(record.sequence, {}).items():
            owed = owed_until(retention, latest, self._policies)  # type: ignore[arg-type]
            if disposed_at + AHEAD <= owed:
                detail = f"disposes of {retention} records of {latest}, owed until {owed}"
                self._bad(f"record {record.sequence}", detail)
        if any(hold.scope == "pharmacy" for hold in self._holds.values()):
            self._bad(f"record {record.sequence}", "disposes of records while all of it is held")

    def _tombstones(self) -> Iterator[Bad]:
        """A tombstoned file goes at the next start: what is owed must not carry a tombstone."""
        for path, camera, started_at, ended_at in self._subject.connection.execute(
            "SELECT path, camera, started_at, ended_at FROM segments WHERE state = 'tombstoned'"
            " ORDER BY sequence"
        ):
            span = from_micros(started_at), from_micros(ended_at)
            owed = owed_until("footage", span[1], self._policies)
            if self._subject.now + AHEAD <= owed:
                yield Bad("promises", path, f"is to be disposed of, owed until {owed}")
            elif (hold := self._hold_on(camera, *span)) is not None:
                yield Bad("promises", path, f"is to be disposed of, hold {hold} stands")

    def _trusted_time(self) -> Iterator[Bad]:
        connection: sqlite3.Connection = self._subject.connection
        row = connection.execute("SELECT passed_at FROM trusted_time").fetchone()
        if row is not None and from_micros(row[0]) > self._subject.now + AHEAD:
            detail = f"{from_micros(row[0])} is said to be past, now is {self._subject.now}"
            yield Bad("promises", "trusted time", detail)

    def _bad(self, subject: str, detail: str) -> None:
        if len(self._found) < MOST_FINDINGS:
            self._found.append(Bad("promises", subject, detail))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else from_text(text)
