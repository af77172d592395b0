"""Rows that a node works from, against the records that made them.

Holds, policies, gaps, alarms and the like are rows only for speed: the log says the same. One line
a table: which kinds make its rows, what the records come to, and what the rows say.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from retention.checking.log import Emptied
from retention.checking.report import MOST_FINDINGS, Bad
from retention.records import keeping as k
from retention.records import payloads as p
from retention.records import people as f
from retention.records.clock import from_text, to_micros
from retention.records.envelope import Record
from retention.records.fields import Frozen

Key = tuple[str, ...]
Values = tuple[object, ...]
Rows = dict[Key, Values]


@dataclass(frozen=True, slots=True)
class Projection:
    """A table; `fold` adds one record to what its rows must be; `read` says what they are."""

    table: str
    payloads: tuple[type[Frozen], ...]
    fold: Callable[[Rows, Frozen], None]
    read: Callable[[sqlite3.Connection], Rows]

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(kind_name(payload) for payload in self.payloads)


def kind_name(payload: type[Frozen]) -> str:
    """Return the name of a payload's kind."""
    from retention.records.kinds import BY_PAYLOAD

    return BY_PAYLOAD[payload].name


def _micros(moment: str) -> int:
    return to_micros(from_text(moment))


def _select(sql: str, keys: int) -> Callable[[sqlite3.Connection], Rows]:
    def read(connection: sqlite3.Connection) -> Rows:
        return {
            tuple(str(part) for part in tuple(row)[:keys]): tuple(row)[keys:]
            for row in connection.execute(sql)
        }

    return read


def _select_body(sql: str, keys: int) -> Callable[[sqlite3.Connection], Rows]:
    """Like `_select`, with a JSON document in the last column."""
    plain = _select(sql, keys)

    def read(connection: sqlite3.Connection) -> Rows:
        return {
            key: (*found[:-1], _document(found[-1])) for key, found in plain(connection).items()
        }

    return read


def _document(body: object) -> object:
    try:
        return json.loads(body) if isinstance(body, bytes | str) else None
    except ValueError:
        return None


def _runs(rows: Rows, said: Frozen) -> None:
    if isinstance(said, p.RunStarted):
        rows[(said.run,)] = (
            said.camera, said.scene_role.value, said.codec, _micros(said.started_at),
        )  # fmt: skip


def _gaps(rows: Rows, said: Frozen) -> None:
    if isinstance(said, p.GapOpened | p.GapClosed):
        layer = "view" if said.cause in p.VIEW_CAUSES else "footage"
        ended = _micros(said.ended_at) if isinstance(said, p.GapClosed) else None
        rows[(said.gap,)] = (
            said.camera, said.scene_role.value, _micros(said.started_at), ended,
            said.cause.value, layer,
        )  # fmt: skip


def _incidents(rows: Rows, said: Frozen) -> None:
    if isinstance(said, p.IncidentRecorded):
        rows[(said.incident, said.subject)] = ()


def _policies(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.PolicyAdopted):
        policy = said.policy
        rows[(policy.policy, str(policy.version))] = (
            _micros(policy.effective_from), policy.model_dump(mode="json"),
        )  # fmt: skip


def _holds(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.HoldPlaced):
        rows[(said.hold.hold,)] = (
            said.authority, said.author, said.reason, "standing",
            said.hold.model_dump(mode="json"),
        )  # fmt: skip
    elif isinstance(said, k.HoldReleased) and (said.hold,) in rows:
        authority, author, reason, _, body = rows[(said.hold,)]
        rows[(said.hold,)] = (authority, author, reason, "released", body)


def _alarms(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.AlarmRaised):
        rows[(said.alarm, said.subject)] = (_micros(said.since),)
    elif isinstance(said, k.AlarmCleared):
        rows.pop((said.alarm, said.subject), None)


def _breaches(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.RetentionBreach):
        rows[(said.breach,)] = (said.stage, said.camera, said.cause, _micros(said.started_at))


def _openings(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.OpeningAdopted):
        rows[(str(_micros(said.effective_from)),)] = ()


def _closures(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.ClosureDeclared):
        rows[(said.closure,)] = (
            said.kind, _micros(said.started_at), _micros(said.ended_at), "standing",
        )  # fmt: skip
    elif isinstance(said, k.ClosureCancelled) and (said.closure,) in rows:
        rows[(said.closure,)] = (*rows[(said.closure,)][:-1], "cancelled")


def _volumes(rows: Rows, said: Frozen) -> None:
    if isinstance(said, k.VolumeAdopted):
        rows[(said.name,)] = (said.volume,)


def _references(rows: Rows, said: Frozen) -> None:
    if isinstance(said, p.ReferenceEnrolled):
        rows[(said.reference,)] = (
            said.person_ref, said.consent, said.source, said.contract_id, _micros(said.expires_at),
        )  # fmt: skip
    elif isinstance(said, p.ReferenceErased):
        rows.pop((said.reference,), None)


def _probes(rows: Rows, said: Frozen) -> None:
    if isinstance(said, f.IdentityDecided2) and said.receipt.probe_digest is not None:
        rows[(said.receipt.receipt,)] = (said.session, said.receipt.subject_ref)
    elif isinstance(said, f.ProbesErased):
        for receipt in said.receipts:
            rows.pop((receipt,), None)


PROJECTIONS: tuple[Projection, ...] = (
    Projection("runs", (p.RunStarted,), _runs,
        _select("SELECT id, camera, scene_role, codec, started_at FROM runs", 1)),
    Projection("gaps", (p.GapOpened, p.GapClosed), _gaps,
        _select("SELECT id, camera, scene_role, started_at, ended_at, cause, layer FROM gaps", 1)),
    Projection("incidents", (p.IncidentRecorded,), _incidents,
        _select("SELECT incident, substr(subject, 1, 200) FROM incidents", 2)),
    Projection("policies", (k.PolicyAdopted,), _policies,
        _select_body("SELECT policy, version, effective_from, body FROM policies", 2)),
    Projection("holds", (k.HoldPlaced, k.HoldReleased), _holds,
        _select_body("SELECT id, authority, author, reason, iif(released_at IS NULL, 'standing',"
                     " 'released'), body FROM holds", 1)),
    Projection("alarms", (k.AlarmRaised, k.AlarmCleared), _alarms,
        _select("SELECT alarm, subject, since FROM alarms", 2)),
    Projection("breaches", (k.RetentionBreach,), _breaches,
        _select("SELECT id, stage, camera, cause, started_at FROM breaches", 1)),
    Projection("openings", (k.OpeningAdopted,), _openings,
        _select("SELECT effective_from FROM openings", 1)),
    Projection("closures", (k.ClosureDeclared, k.ClosureCancelled), _closures,
        _select("SELECT id, kind, started_at, ended_at, iif(cancelled_at IS NULL, 'standing',"
                " 'cancelled') FROM closures", 1)),
    Projection("volumes", (k.VolumeAdopted,), _volumes,
        _select("SELECT name, volume FROM volumes", 1)),
    Projection("references",
        (p.ReferenceEnrolled, f.ReferenceEnrolled2, p.ReferenceErased), _references,
        _select("SELECT id, person_ref, consent, source, contract_id, expires_at"
                " FROM reference_templates", 1)),
    Projection("probes", (f.IdentityDecided2, f.ProbesErased), _probes,
        _select("SELECT receipt, session, person_ref FROM probes", 1)),
)  # fmt: skip


class ProjectionObserver:
    """Folds the log into the rows that must be there, and compares."""

    def __init__(self, connection: sqlite3.Connection, projection: Projection) -> None:
        self._connection, self._projection = connection, projection
        self._kinds = projection.kinds
        self._rows: Rows = {}
        self.disposed = 0

    def see(self, record: Record, content: Frozen | None) -> None:
        if content is not None and record.kind in self._kinds:
            self._projection.fold(self._rows, content)

    def see_emptied(self, emptied: Emptied) -> None:
        self.disposed += emptied.kind in self._kinds

    def found(self) -> Iterator[Bad]:
        held = self._projection.read(self._connection)
        for count, bad in enumerate(self._differences(held)):
            if count >= MOST_FINDINGS:
                return
            yield bad

    def _differences(self, held: Rows) -> Iterator[Bad]:
        table = self._projection.table
        for key, said in self._rows.items():
            name = " ".join(key)
            if key not in held and not self.disposed:
                yield Bad(table, name, "a record made it, its row is gone")
            elif key in held and held[key] != said:
                yield Bad(table, name, f"the row says {held[key]}, the records say {said}"[:400])
        if not self.disposed:
            for key in held.keys() - self._rows.keys():
                yield Bad(table, " ".join(key), "a row that no record made")
