"""The alarm that no face can be looked at on this node, raised once and cleared when it is over.

US-09: a face method that does not work is off, and loudly so; every other way stays open.
"""

from __future__ import annotations

import structlog

from retention.records.clock import to_micros
from retention.store import alarms
from retention.store.alarms import Alarm
from retention.store.database import NodeStore, StoreUnavailable

log = structlog.get_logger()
SUBJECT = "verifier"


class FaceAlarm:
    """Keeps the alarm as the method is. What cannot be written now is written at the next call."""

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._told: str | None = None
        self._in_step = False

    def set(self, reason: str | None) -> None:
        """Say why the face method is off; None says that it works."""
        if self._in_step and (reason is None) == (self._told is None):
            return
        try:
            with self._store.write() as connection:
                if reason is None:
                    alarms.clear_alarm(self._store, connection, Alarm.FACE_METHOD_OFF, SUBJECT)
                else:
                    since = to_micros(self._store.clock.now())
                    alarms.raise_alarm(
                        self._store, connection, Alarm.FACE_METHOD_OFF, SUBJECT, reason, since
                    )
        except StoreUnavailable as exc:
            log.error("face_alarm_waits", detail=str(exc))
            return
        if reason is not None:
            log.error("face_method_off", reason=reason)
        self._told, self._in_step = reason, True
