"""Retention on a node: trusted time, erasure of face material and the count of the people it is of,
disposal of what is owed no longer.

Wiring only: the rules are in `retention.policy`, the deeds in `retention.disposal`,
`retention.record_disposal` and `retention.erasure`.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edge.config import EdgeConfig
from retention.disposal import dispose_due
from retention.erasure import erase_due
from retention.footage.volumes import Volumes
from retention.keysources import REFERENCE
from retention.probe_files import ProbeSweep
from retention.record_disposal import RecordDisposal
from retention.records.clock import ClockState, to_micros
from retention.store import people, trusted
from retention.store.alarms import Alarm, clear_alarm, is_open, raise_alarm
from retention.store.database import NodeStore
from retention.store.subjects import count_subjects

SEGMENTS_AT_ONCE, RECORDS_AT_ONCE = 256, 1000
"""So much in one step, so that the other duties do not wait long."""
AT_ONCE, FOLD_AGAIN_SECONDS = 0.0, 60.0
SUBJECT = "node"

log = structlog.get_logger()


class Keeping:
    """Each method is one duty; it returns when it wants to go on, None for its usual time."""

    def __init__(
        self, config: EdgeConfig, store: NodeStore, volumes: Volumes, beat: Callable[[], None]
    ) -> None:
        self._store, self._volumes, self._beat = store, volumes, beat
        self._central = config.central is not None
        self._controller = config.controller
        self._records = RecordDisposal(store, beat, central=self._central)
        self._probes, self._keys = ProbeSweep(store), config.keys()

    def advance_time(self) -> None:
        """Write down how far time has surely come, and tell when the clock is in doubt."""
        store = self._store
        with store.write() as connection:
            seen_at = trusted.newest_seen_at(connection)
            if seen_at is not None or not self._central:
                trusted.advance(store, connection, seen_at)
            state = trusted.clock_state(connection, store.clock, seen_at)
            in_doubt = state is not ClockState.STEADY
            if in_doubt == is_open(connection, Alarm.CLOCK_JUMPED, SUBJECT):
                return
            if in_doubt:
                detail = "时钟不可信，暂停处置 / the clock is in doubt, nothing is disposed of"
                now = to_micros(store.clock.now())
                raise_alarm(store, connection, Alarm.CLOCK_JUMPED, SUBJECT, detail, now)
            else:
                clear_alarm(store, connection, Alarm.CLOCK_JUMPED, SUBJECT)

    def erase(self) -> None:
        """Erase face material whose end has come."""
        erased = erase_due(self._store)
        if erased:
            log.info("face_material_erased", **erased)

    def fold(self) -> float | None:
        """Fold the database's log, so that nothing erased stays in it for long where somebody was
        reading when it was erased."""
        return None if people.fold_wal(self._store) else FOLD_AGAIN_SECONDS

    def sweep_probes(self) -> None:
        """Remove sealed files that a crash left without their row, and what it left of a key that
        was being destroyed."""
        self._keys.finish_removals(REFERENCE)
        swept = self._probes.step()
        if swept:
            log.info("probe_files_swept", files=swept)

    def count_subjects(self) -> None:
        """Tell of how many people references are held, when that changed or a day has passed."""
        count_subjects(self._store, self._controller)

    def dispose_footage(self) -> float | None:
        """Dispose of footage that is due, some at a time."""
        done = dispose_due(
            self._store, self._volumes, SEGMENTS_AT_ONCE, self._beat, central=self._central
        )
        if done.segments or done.incidents or done.unreachable:
            log.info(
                "footage_disposed",
                segments=done.segments,
                bytes=done.bytes,
                incidents=done.incidents,
                unreachable=done.unreachable,
            )
        return AT_ONCE if done.more else None

    def dispose_records(self) -> float | None:
        """Dispose of records that are due, some at a time."""
        done = self._records.step(RECORDS_AT_ONCE)
        if done.total:
            log.info("records_disposed", **done.records)
        return AT_ONCE if done.more else None
