"""The access log, for admins: filters in the URL, pages by id, and an export.

Reading and exporting are access rows themselves. The export cannot be made to run formulas in a
spreadsheet: what would begin one begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Row

from central import access_log
from central.access_log import PAGE, Wanted
from central.pages.kit import kit_of
from central.pages.signed_in import AdminMe
from central.web.state import State, record_access
from retention.pages import formats
from retention.pages.kit import Language, language_of, query_path, translated
from retention.terms.problems import Problem, Refusal
from retention.terms.words import ACCESS_ACTIONS, word

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Query(max_length=200)]
BOM = "\ufeff"  # without it spreadsheets read UTF-8 as something else
# What a spreadsheet takes for a formula, also in its full-width form.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
COLUMNS = (
    ("时间（北京时间）", "Time (Asia/Shanghai)"),
    ("操作人", "Who"),
    ("操作", "Action"),
    ("操作代码", "Action code"),
    ("对象", "Subject"),
    ("理由", "Reason"),
    ("统筹区", "Agency"),
    ("药店", "Pharmacy"),
    ("节点", "Node"),
    ("编号", "Id"),
)


@router.get("/access")
def access_page(
    request: Request,
    state: State,
    me: AdminMe,
    who: Text = "",
    action: Text = "",
    node: Text = "",
    subject: Text = "",
    first: Annotated[str, Query(max_length=10, alias="from")] = "",
    last: Annotated[str, Query(max_length=10, alias="to")] = "",
    before: Annotated[str, Query(max_length=36)] = "",
) -> Response:
    """Show a page of the log, newest first; the next look shows this one."""
    wanted = _wanted(who, action, node, subject, first, last)
    with state.database.write() as connection:
        rows = access_log.page(connection, wanted, before or None, PAGE)
        total = access_log.count(connection, wanted)
        record_access(state, connection, me.actor(), "access.read", f"access {wanted.told()}")
    filters = {
        "who": who.strip(), "action": action, "node": node.strip(), "subject": subject.strip(),
        "from": first, "to": last,
    }  # fmt: skip
    older = rows[-1].id if len(rows) == PAGE else None
    return kit_of(request).page(
        request, "access.html", me=me, active="access", rows=rows, total=total,
        counted=access_log.COUNTED, filters=filters, filtered=any(filters.values()),
        actions=ACCESS_ACTIONS, before=before,
        older=older and query_path("/access", **filters, before=older),
        newest=query_path("/access", **filters),
        export=query_path("/access.csv", **filters), path=query_path,
    )  # fmt: skip


@router.get("/access.csv")
def access_export(
    request: Request,
    state: State,
    me: AdminMe,
    who: Text = "",
    action: Text = "",
    node: Text = "",
    subject: Text = "",
    first: Annotated[str, Query(max_length=10, alias="from")] = "",
    last: Annotated[str, Query(max_length=10, alias="to")] = "",
) -> Response:
    """Send all rows that the filters find, as CSV, while they are read."""
    wanted = _wanted(who, action, node, subject, first, last)
    with state.database.write() as connection:
        record_access(state, connection, me.actor(), "access.export", f"access {wanted.told()}")
    name = f"access-{formats.day_of(state.now())}.csv"
    return StreamingResponse(
        _lines(access_log.everything(state.database, wanted), language_of(request)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def cell(value: str | None) -> str:
    """Return a value as a spreadsheet shows it and does not run it."""
    text = value or ""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _lines(rows: Iterator[Row[*tuple[Any, ...]]], lang: Language) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(translated(lang, *pair) for pair in COLUMNS)
    yield BOM
    for row in rows:
        writer.writerow(
            cell(value)
            for value in (
                formats.absolute(row.at), row.actor, word(lang, "access", row.action), row.action,
                row.subject, row.reason, row.agency, row.pharmacy, row.node, row.id,
            )
        )  # fmt: skip
        if buffer.tell() > 16_384:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _wanted(
    who: str, action: str, node: str, subject: str, first: str, last: str
) -> Wanted:  # fmt: skip
    """Return what the filters mean. Raises Refusal when a day is none."""
    return Wanted(
        who=who.strip() or None,
        action=action.strip() or None,
        node=node.strip() or None,
        subject=subject.strip() or None,
        first=_day("from", first),
        last=_day("to", last),
    )


def _day(name: str, text: str) -> date | None:
    if not text.strip():
        return None
    try:
        found = date.fromisoformat(text.strip())
    except ValueError as exc:
        raise Refusal(Problem(422, "DAY_REFUSED", f"{name}: {text}")) from exc
    if not 2000 <= found.year < 3000:
        raise Refusal(Problem(422, "DAY_REFUSED", f"{name}: {text}"))
    return found
