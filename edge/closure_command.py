"""`countersight edge closure declare|cancel|list`: closures and nights without power, said before.

Inside a declared closure no footage is owed, silence is normal and a sale is a finding. One begins
in the future: an outage cannot be excused afterwards. Times are local (Asia/Shanghai).
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from edge.config import EdgeConfig
from edge.said import said
from retention.pages.formats import absolute
from retention.records.clock import to_micros, to_text
from retention.records.errors import UsageError
from retention.records.keeping import ClosureCancelled, ClosureDeclared
from retention.store import opening
from retention.store.opening import Closure

SHANGHAI = ZoneInfo("Asia/Shanghai")
LISTED_BACK_US = 366 * 86_400_000_000
LISTED_AHEAD_US = 10 * 366 * 86_400_000_000
SPOKEN = "2026-02-16T21:00"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `countersight edge`."""
    purpose = "歇业与断电时段 / closures and spans without power"
    parser = commands.add_parser("closure", help=purpose, description=purpose)
    deeds = parser.add_subparsers(dest="deed", required=True)
    declare = deeds.add_parser("declare", help="事先申报 / declare one that lies ahead")
    declare.add_argument("--from", dest="begins", required=True, help=f"当地时间 / {SPOKEN}")
    declare.add_argument("--to", dest="ends", required=True, help=f"当地时间 / {SPOKEN}")
    declare.add_argument("--kind", choices=("closed", "power_off"), default="closed")
    cancel = deeds.add_parser("cancel", help="撤回 / take one back from now on")
    cancel.add_argument("--closure", required=True, help="编号 / its id")
    listed = deeds.add_parser("list", help="列出 / those of the last year and ahead")
    for deed, run in ((declare, _declare), (cancel, _cancel), (listed, _list)):
        deed.add_argument("--config", type=Path, required=True, help="the node's TOML file")
        deed.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if deed is not listed:
            deed.add_argument("--author", required=True, type=said, help="申报人 / who says so")
            deed.add_argument("--reason", required=True, type=said, help="原因 / why")
        deed.set_defaults(run=run)


def _declare(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    begins, ends = _moment("--from", wanted.begins), _moment("--to", wanted.ends)
    with closing(config.open_store()) as store:
        declared = ClosureDeclared(
            closure=store.ids.new(),
            kind=wanted.kind,
            started_at=to_text(begins),
            ended_at=to_text(ends),
            author=wanted.author,
            reason=wanted.reason,
        )
        with store.write() as connection:
            opening.declare(store, connection, declared)
    text = f"已申报 / declared {declared.closure}: {absolute(begins)} – {absolute(ends)}"
    return _print(wanted, declared.model_dump(mode="json"), [text])


def _cancel(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    try:
        cancelled = ClosureCancelled(
            closure=wanted.closure, author=wanted.author, reason=wanted.reason
        )
    except ValidationError as exc:
        raise UsageError(f"--closure {wanted.closure[:40]!r}: not an id") from exc
    with closing(config.open_store()) as store, store.write() as connection:
        answer = opening.cancel(store, connection, cancelled)
    if answer == "unknown":
        raise UsageError(f"closure {wanted.closure}: no closure has this id")
    if answer == "over":
        raise UsageError(f"closure {wanted.closure}: it is over or was cancelled before")
    return _print(wanted, {"closure": wanted.closure}, [f"已撤回 / cancelled: {wanted.closure}"])


def _list(wanted: argparse.Namespace, config: EdgeConfig) -> int:
    with closing(config.open_store()) as store:
        now = to_micros(store.clock.now())
        with store.read() as connection:
            found = opening.closures_between(
                connection, now - LISTED_BACK_US, now + LISTED_AHEAD_US
            )
    lines = [_line(one) for one in found] or ["没有歇业时段 / none"]
    return _print(wanted, {"closures": [_json(one) for one in found]}, lines)


def _moment(option: str, text: str) -> datetime:
    """Read a local time. Raises UsageError that names the option."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"{option} {text[:40]!r}: not a time such as {SPOKEN}") from exc
    if found.tzinfo is not None:
        raise UsageError(f"{option} {text[:40]!r}: local time without an offset, such as {SPOKEN}")
    if not 2000 <= found.year < 2200:
        raise UsageError(f"{option} {text[:40]!r}: the year is out of range")
    return found.replace(tzinfo=SHANGHAI)


def _json(closure: Closure) -> dict[str, str | None]:
    cancelled = closure.cancelled_at
    return {
        "closure": closure.id,
        "kind": closure.kind,
        "started_at": absolute(closure.started_at),
        "ended_at": absolute(closure.ended_at),
        "cancelled_at": None if cancelled is None else absolute(cancelled),
    }


def _line(closure: Closure) -> str:
    cancelled = closure.cancelled_at
    end = "" if cancelled is None else f", 撤回于 / cancelled {absolute(cancelled)}"
    span = f"{absolute(closure.started_at)} – {absolute(closure.ended_at)}"
    return f"{closure.id} {closure.kind}: {span}{end}"


def _print(wanted: argparse.Namespace, found: dict[str, object], lines: list[str]) -> int:
    print(json.dumps(found, ensure_ascii=False) if wanted.json else "\n".join(lines))
    return 0
