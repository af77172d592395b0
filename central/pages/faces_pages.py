"""The admin's page of the face method: how many people are enrolled, whom it fails, what attacked
it. The answer leaves an access row in the transaction that read it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from central import faces
from central.pages.faces_chart import chart
from central.pages.kit import kit_of
from central.pages.signed_in import AdminMe
from central.web.state import State, record_access
from retention.pages.kit import Language, language_of, query_path
from retention.terms.words import word

router = APIRouter(include_in_schema=False)
PERIODS = (30, 90, 365)


@router.get("/faces")
def faces_page(
    request: Request,
    state: State,
    me: AdminMe,
    days: Annotated[int, Query(ge=1, le=1096)] = 90,
) -> Response:
    """Show people per controller, exclusion by sex and age, suspected attacks."""
    with state.database.read() as connection:
        people = faces.controllers(connection)
        report = faces.fairness(connection, state.clock.now(), days)
        attacks = faces.attacks(connection)
    with state.database.write() as connection:
        record_access(state, connection, me.actor(), "faces.read", f"faces of {days} days")
    lang = language_of(request)
    rows = [(_name_of(lang, group), group) for group in report.groups]
    charts = {
        name: chart(
            name,
            # A group stands out by whom the face refused; the other picture marks nobody.
            [
                (said, getattr(group, name), name == "refused" and report.stands_out(group))
                for said, group in rows
            ],
            getattr(report.everybody, name),
        )
        for name in ("refused", "other_way")
    }
    return kit_of(request).page(
        request, "faces.html", me=me, active="faces", people=people, report=report, rows=rows,
        attacks=attacks, charts=charts, days=days, periods=PERIODS, query_path=query_path,
        warn_at=faces.WARN_AT, file_at=faces.FILE_AT, working_days=faces.FILING_WORKING_DAYS,
    )  # fmt: skip


def _name_of(lang: Language, group: faces.Group) -> str:
    """Return what a group is called; of whom something is not known, what that is."""
    code = f"{group.dimension}_unknown" if group.code == "unknown" else group.code
    return word(lang, "group", code)
