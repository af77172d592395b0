"""`countersight edge hold place|release|list`: an inspector's holds at the node itself.

Placing and releasing ask for the inspector's own secret. A hold that central placed is released by
central only. Times are local (Asia/Shanghai) unless they say otherwise.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from edge.command_kit import ask_secret, tell
from edge.config import EdgeConfig
from edge.said import said
from retention.pages.formats import absolute
from retention.policy import SHANGHAI
from retention.records.clock import to_text
from retention.records.envelope import first_error
from retention.records.errors import UsageError
from retention.records.keeping import Hold, HoldPlaced, HoldReleased
from retention.store import footage, holds, inspectors
from retention.store.database import NodeStore
from retention.store.holds import HoldRow

SCOPES = ("session", "person", "span", "pharmacy")
SCOPE_NAMES = {
    "session": "一次购药 / session",
    "person": "参保人 / person",
    "span": "时段 / span",
    "pharmacy": "全店 / pharmacy",
}
SPOKEN = "2026-02-16T21:00"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    purpose = "保全：在解除之前不删除 / holds: nothing in them goes until they are released"
    parser = commands.add_parser("hold", help=purpose, description=purpose)
    deeds = parser.add_subparsers(dest="deed", required=True)
    placed = deeds.add_parser("place", help="保全 / place a hold")
    placed.add_argument("--scope", choices=SCOPES, required=True)
    placed.add_argument(
        "--session", help="session：编号；person：其参保人 / its id, or its person's"
    )
    placed.add_argument(
        "--person", help="person：参保人代码 / the person's reference, 64 hex digits"
    )
    placed.add_argument("--from", dest="begins", help=f"span：{SPOKEN}")
    placed.add_argument("--to", dest="ends", help=f"span：{SPOKEN}")
    placed.add_argument("--camera", action="append", default=[], help="span：摄像头 / all if none")
    released = deeds.add_parser("release", help="解除 / release a hold placed here")
    released.add_argument("--hold", required=True, help="编号 / its id")
    listed = deeds.add_parser("list", help="列出 / all there ever were")
    for deed, run in ((placed, _place), (released, _release), (listed, _list)):
        deed.add_argument("--config", type=Path, required=True, help="the node's TOML file")
        deed.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if deed is not listed:
            deed.add_argument("--author", required=True, type=said, help="检查员 / the inspector")
            deed.add_argument("--reason", required=True, type=said, help="原因 / why")
        deed.set_defaults(run=run)


def _place(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    with closing(config.open_store()) as store:
        try:
            placed = HoldPlaced(
                hold=_hold(wanted, store),
                authority="inspector",
                author=wanted.author,
                reason=wanted.reason,
            )
            holds.check_scope(placed.hold)
        except ValidationError as exc:
            raise UsageError(f"hold: {first_error(exc)}") from exc
        except holds.HoldRefused as exc:
            raise UsageError(str(exc)) from exc
        _check_cameras(store, config, wanted.camera)
        inspectors.check(store, wanted.author, ask_secret("inspectors"))
        with store.write() as connection:
            holds.place(store, connection, placed)
            known = placed.hold.session is None or holds.knows(connection, placed.hold.session)
    if not known:
        sys.stderr.write(
            "本机没有该编号的购药，只保全编号前后各一天 / "
            "no session here has this id: only a day around its birth is held\n"
        )
    hold = placed.hold.hold
    lines = [f"已保全 / placed ({SCOPE_NAMES[wanted.scope]}): {hold}"]
    return tell(wanted, placed.model_dump(mode="json"), lines)


def _check_cameras(store: NodeStore, config: EdgeConfig, named: list[str]) -> None:
    """A hold on a camera that never was would hold nothing, and look as if it did."""
    with store.read() as connection:
        cameras = footage.known_cameras(connection) | {camera.id for camera in config.cameras}
    for camera in named:
        if camera not in cameras:
            raise UsageError(f"--camera {camera[:64]!r}: known are {', '.join(sorted(cameras))}")


def _hold(wanted: argparse.Namespace, store: NodeStore) -> Hold:
    """Raises UsageError, ValidationError."""
    person, session = wanted.person, wanted.session
    if wanted.scope == "person" and person is None and session is not None:
        person, session = _person_of(store, session), None
    return Hold(
        hold=store.ids.new(),
        scope=wanted.scope,
        session=session,
        person_ref=person,
        started_at=_moment("--from", wanted.begins),
        ended_at=_moment("--to", wanted.ends),
        cameras=tuple(wanted.camera),
    )


def _person_of(store: NodeStore, session: str) -> str:
    with store.read() as connection:
        person = holds.person_of(connection, session)
    if person is None:
        raise UsageError(f"--session {session[:80]!r}: no session here has this id")
    return person


def _moment(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"{name} {text[:40]!r}: write it like {SPOKEN}") from exc
    if not 2000 <= moment.year < 2200:
        raise UsageError(f"{name} {text[:40]!r}: the year is out of range")
    return to_text(moment if moment.tzinfo is not None else moment.replace(tzinfo=SHANGHAI))


def _release(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    try:
        released = HoldReleased(
            hold=wanted.hold, authority="inspector", author=wanted.author, reason=wanted.reason
        )
    except ValidationError as exc:
        raise UsageError(f"hold: {first_error(exc)}") from exc
    with closing(config.open_store()) as store:
        inspectors.check(store, wanted.author, ask_secret("inspectors"))
        with store.write() as connection:
            answer = holds.release(store, connection, released)
    if answer == "unknown":
        raise UsageError(f"hold {wanted.hold}: no hold has this id")
    if answer == "other_authority":
        raise UsageError(
            f"hold {wanted.hold}: 由中心保全，只能由中心解除 / central placed it, and releases it"
        )
    return tell(wanted, {"hold": wanted.hold}, [f"已解除 / released: {wanted.hold}"])


def _list(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    with closing(config.open_store()) as store, store.read() as connection:
        rows = holds.listed(connection)
    found = [
        {
            **row.hold.model_dump(mode="json"),
            "authority": row.authority,
            "author": row.author,
            "reason": row.reason,
            "placed_at": to_text(row.placed_at),
            "released_at": None if row.released_at is None else to_text(row.released_at),
        }
        for row in rows
    ]
    return tell(wanted, {"holds": found}, [_line(row) for row in rows] or ["没有 / none"])


def _line(row: HoldRow) -> str:
    over = "保全中 / stands"
    if row.released_at is not None:
        over = f"已解除 / released {absolute(row.released_at)}"
    scope = SCOPE_NAMES[row.hold.scope]
    return (
        f"{row.hold.hold}  {scope}  {absolute(row.placed_at)}  {row.author}: {row.reason}  {over}"
    )
