"""What a change of a camera's view does to the database: one transaction, fact and record.

`camera.view_changed`, the gap of the layer `view`, and the alarm. The gap begins with the first
picture that showed nothing, however long it took to be sure or to write it. Inside declared closed
spans the gap is a row as ever, but nobody is called: the alarm waits until the pharmacy opens.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import structlog

from edge.config import CameraConfig
from edge.watch.shown import Condition
from edge.watch.view import Change
from retention.footage.coverage import Span
from retention.footage.summary import closed_of
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.keeping import ViewChanged
from retention.records.payloads import GapCause
from retention.store import alarms, footage
from retention.store.alarms import Alarm
from retention.store.database import NodeStore
from retention.store.log import append

CAUSES: dict[Condition, GapCause] = {
    "black": GapCause.VIEW_BLACK,
    "frozen": GapCause.VIEW_FROZEN,
    "covered": GapCause.VIEW_COVERED,
    "out_of_focus": GapCause.VIEW_OUT_OF_FOCUS,
    "moved": GapCause.VIEW_MOVED,
}
CONDITIONS: dict[str, Condition] = {cause.value: condition for condition, cause in CAUSES.items()}

log = structlog.get_logger()


def standing_condition(connection: sqlite3.Connection, camera: str) -> Condition:
    """Return the condition of a camera's open view gap; clear when none is open."""
    gap = footage.open_gap_of(connection, camera, "view")
    return "clear" if gap is None else CONDITIONS.get(gap.cause, "clear")


def retire_views(store: NodeStore, configured: Iterable[str]) -> None:
    """Close the view gap of a camera that was taken out of the configuration: nobody looks at it
    any more. Its footage ends before now, so none of it gains worth; its alarms end with
    `edge.custodian.silence`. Raises StoreUnavailable."""
    now, known = to_micros(store.clock.now()), set(configured)
    with store.read() as connection:
        retired = {gap.camera for gap in footage.open_gaps(connection, "view")} - known
    for camera in sorted(retired):
        with store.write() as connection:
            footage.close_gap(store, connection, camera, now, "view")
        log.info("view_of_removed_camera_closed", camera=camera)


def write_change(store: NodeStore, camera: CameraConfig, change: Change) -> None:
    """Write a change of view. Raises StoreUnavailable."""
    verdict = change.verdict
    with store.write() as connection:
        append(
            store,
            connection,
            ViewChanged(
                camera=camera.id,
                scene_role=camera.scene_role,
                condition=change.now,
                measure=verdict.measure,
                value=f"{verdict.value:.3f}",
                limit=f"{verdict.limit:.3f}",
                since=to_text(from_micros(change.since)),
            ),
        )
        footage.close_gap(store, connection, camera.id, change.since, "view")
        if change.now != "clear":
            footage.open_gap(
                store, connection, camera.id, camera.scene_role, change.since, CAUSES[change.now]
            )


def see_to_alarm(store: NodeStore, camera: str) -> None:
    """Raise VIEW_UNUSABLE while a view gap is open and the pharmacy too, clear it when the view is
    usable again. Raises StoreUnavailable."""
    now = to_micros(store.clock.now())
    with store.read() as connection:
        gap = footage.open_gap_of(connection, camera, "view")
        raised = alarms.is_open(connection, Alarm.VIEW_UNUSABLE, camera)
        closed = bool(closed_of(connection, Span(now, now + 1)))
    if gap is None and raised:
        with store.write() as connection:
            alarms.clear_alarm(store, connection, Alarm.VIEW_UNUSABLE, camera)
    elif gap is not None and not raised and not closed:
        with store.write() as connection:
            alarms.raise_alarm(
                store, connection, Alarm.VIEW_UNUSABLE, camera, gap.cause, gap.started_at
            )
