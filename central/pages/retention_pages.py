"""The admin's pages of retention: one number a pharmacy, and everything behind it.

Every answer leaves an access row in the transaction that read it. What an open page asks again by
itself while an audit runs is part of the look that was written down.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from central import challenges, holds, keeping, policies
from central.challenges import DEFAULT_SAMPLES
from central.days import DAY_US
from central.holds import Asked
from central.keeping import Whose
from central.pages.kit import kit_of
from central.pages.signed_in import AdminMe, SignedIn
from central.web.state import State, WebState, record_access
from retention.pages.formats import SHANGHAI
from retention.pages.kit import query_path
from retention.policy import CEILINGS, FLOORS
from retention.records.clock import to_micros
from retention.terms.commands import MOST_SAMPLES
from retention.terms.problems import Problem, Refusal

router = APIRouter(prefix="/retention", include_in_schema=False)
PAGE = 50
Line = Annotated[str, Form(max_length=400)]
Name = Annotated[str, Query(max_length=64)]
HOURS = ("1", "6", "24", "72")


@router.get("")
def retention_page(
    request: Request,
    state: State,
    me: AdminMe,
    pharmacy: Name = "",
    page: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    """List pharmacies worst first, with one number each, and what is open anywhere."""
    text = pharmacy.strip()
    with state.database.read() as connection:  # seconds over a province: lock nothing meanwhile
        every = keeping.pharmacies(connection, state.now())
    with state.database.write() as connection:
        record_access(state, connection, me.actor(), "retention.read", "pharmacies")
        alarms, breaches = keeping.alarms(connection), keeping.breaches(connection)
    found = [one for one in every if text.lower() in f"{one.agency} {one.pharmacy}".lower()]
    return kit_of(request).page(
        request, "retention.html", me=me, active="retention", every=every, found=found,
        shown=found[page * PAGE : (page + 1) * PAGE], page=page, pages=PAGE, pharmacy=text,
        alarms=alarms, breaches=breaches, query_path=query_path, percent=keeping.percent,
        proven_percent=keeping.proven_percent, proves_days=challenges.PROVES_US // DAY_US,
    )  # fmt: skip


@router.get("/pharmacy")
def pharmacy_page(
    request: Request, state: State, me: AdminMe, agency: Name, pharmacy: Name, done: str = ""
) -> Response:
    """Show everything about one pharmacy's retention, and what may be done."""
    return _pharmacy(request, state, me, (agency, pharmacy), done=done)


def _pharmacy(
    request: Request,
    state: WebState,
    me: SignedIn,
    whose: Whose,
    *,
    done: str = "",
    problem: Problem | None = None,
    about: str = "",
    typed: dict[str, str] | None = None,
) -> Response:
    now = state.now()
    with state.database.write() as connection:
        found = keeping.pharmacies(connection, now, whose)
        if not found:
            raise Refusal(Problem(404, "PHARMACY_UNKNOWN", whose[1]))
        _tell(state, connection, me, "retention.read", f"pharmacy {whose[1]}", whose)
        values: dict[str, Any] = {
            "audits": keeping.audits(connection, now, whose),
            "holds": keeping.holds(connection, whose),
            "local_holds": keeping.local_holds(connection, whose),
            "policies": keeping.policies(connection, whose),
            "alarms": keeping.alarms(connection, whose),
            "breaches": keeping.breaches(connection, whose),
            "closures": keeping.closures(connection, whose, now),
            "opening": keeping.opening_hours(connection, whose, now),
        }
    return kit_of(request).page(
        request, "retention_pharmacy.html", status=problem.status if problem else 200, me=me,
        active="retention", kept=found[0], done=done, problem=problem, about=about,
        typed=typed or {}, floors=FLOORS, ceilings=CEILINGS, hours=HOURS,
        default_samples=DEFAULT_SAMPLES, most_samples=MOST_SAMPLES, query_path=query_path,
        percent=keeping.percent, proven_percent=keeping.proven_percent, **values,
    )  # fmt: skip


# -- audits ---------------------------------------------------------------------------------------


@router.post("/audits")
def start_audit(
    request: Request,
    state: State,
    me: AdminMe,
    agency: Line = "",
    pharmacy: Line = "",
    node: Line = "",
    samples: Line = "",
    hours: Line = "1",
    reason: Line = "",
) -> Response:
    """Challenge a node, then show how it goes."""
    typed = {"node": node, "samples": samples, "hours": hours, "audit_reason": reason}
    try:
        holds.need_reason(reason := _one_line(reason))
        count = _number(samples, 1, MOST_SAMPLES)
        lasts = timedelta(hours=int(hours if hours in HOURS else "1"))
        with state.database.write() as connection:
            audit = challenges.start(
                connection, node, state.keys.signer, state.ids, secrets.randbelow, count=count,
                lasts=lasts, actor=me.account, reason=reason, now=state.now(),
            )  # fmt: skip
            _tell(
                state, connection, me, "audit.start", f"audit {audit}", (agency, pharmacy),
                node=node, reason=reason,
            )  # fmt: skip
    except Refusal as refusal:
        return _refused(request, state, me, (agency, pharmacy), refusal, "audit", typed)
    return RedirectResponse(query_path("/retention/audit", audit=audit), 303)


@router.get("/audit")
def audit_page(request: Request, state: State, me: AdminMe, audit: Name) -> Response:
    """Show an audit: its sentence, and every sample that was not proven."""
    return _audit(request, state, me, audit, "retention_audit.html", written=True)


@router.get("/audit/progress")
def audit_progress(request: Request, state: State, me: AdminMe, audit: Name) -> Response:
    """Show how an audit stands, for htmx."""
    return _audit(request, state, me, audit, "retention_progress.html", written=False)


def _audit(
    request: Request, state: WebState, me: SignedIn, audit: str, template: str, *, written: bool
) -> Response:
    database = state.database
    with database.write() if written else database.read() as connection:
        found = keeping.audit(connection, audit, state.now())
        if found is None:
            raise Refusal(Problem(404, "AUDIT_UNKNOWN", audit))
        row = found.audit
        if written:
            _tell(
                state, connection, me, "audit.read", f"audit {audit}",
                (row.agency, row.pharmacy), node=row.node,
            )  # fmt: skip
        wanted = ("missing",) if found.state == "running" else ("missing", None)
        unproven = keeping.samples(connection, audit, wanted)
    return kit_of(request).page(
        request, template, me=me, active="retention", found=found, row=row, unproven=unproven,
        query_path=query_path, percent=keeping.percent, proven_percent=keeping.proven_percent,
        progress_url=query_path("/retention/audit/progress", audit=audit),
    )  # fmt: skip


# -- holds ----------------------------------------------------------------------------------------


@router.post("/holds")
def place_hold(
    request: Request,
    state: State,
    me: AdminMe,
    agency: Line = "",
    pharmacy: Line = "",
    scope: Line = "",
    started_at: Line = "",
    ended_at: Line = "",
    cameras: Line = "",
    reason: Line = "",
) -> Response:
    """Hold a whole pharmacy, or a span of its cameras."""
    whose = (agency, pharmacy)
    typed = {
        "scope": scope, "started_at": started_at, "ended_at": ended_at, "cameras": cameras,
        "hold_reason": reason,
    }  # fmt: skip
    try:
        asked = _asked(whose, scope, started_at, ended_at, cameras, _one_line(reason))
        with state.database.write() as connection:
            hold = holds.place(state, connection, asked, me.account)
            subject = f"hold {hold} ({asked.scope})"
            _tell(state, connection, me, "hold.place", subject, whose, reason=asked.reason)
    except Refusal as refusal:
        return _refused(request, state, me, whose, refusal, "hold", typed)
    return _back(whose, "held")


def _asked(
    whose: Whose, scope: str, started_at: str, ended_at: str, cameras: str, reason: str
) -> Asked:
    if scope == "pharmacy":
        return Asked(*whose, scope="pharmacy", reason=reason)
    named = tuple(dict.fromkeys(cameras.replace(",", " ").replace("，", " ").split()))
    if scope != "span" or len(named) > 16 or any(len(name) > 64 for name in named):
        raise Refusal(Problem(422, "HOLD_REFUSED"))
    return Asked(
        *whose, scope="span", reason=reason, started_at=_moment(started_at),
        ended_at=_moment(ended_at), cameras=named,
    )  # fmt: skip


@router.get("/hold")
def hold_page(request: Request, state: State, me: AdminMe, hold: Name) -> Response:
    """Show a hold, how far it came at each node, and the form that releases it."""
    return _hold(request, state, me, hold)


@router.post("/holds/release")
def release_hold(
    request: Request, state: State, me: AdminMe, hold: Line = "", reason: Line = ""
) -> Response:
    """Release a hold at every node."""
    try:
        with state.database.write() as connection:
            row = holds.release(state, connection, hold, me.account, _one_line(reason))
            whose = (row.agency, row.pharmacy)
            _tell(
                state, connection, me, "hold.release", f"hold {hold}", whose,
                reason=_one_line(reason),
            )  # fmt: skip
    except Refusal as refusal:
        if refusal.problem.code != "REASON_NEEDED":
            raise
        return _hold(request, state, me, hold, problem=refusal.problem)
    return RedirectResponse(query_path("/retention/hold", hold=hold), 303)


def _hold(
    request: Request, state: WebState, me: SignedIn, hold: str, problem: Problem | None = None
) -> Response:
    with state.database.write() as connection:
        row = holds.hold_row(connection, hold)
        whose = (row.agency, row.pharmacy)
        _tell(state, connection, me, "hold.read", f"hold {hold}", whose)
        every = keeping.holds(connection, whose, all_=True)
    stands = next(one for one in every if one.row.hold == hold)
    return kit_of(request).page(
        request, "retention_hold.html", status=problem.status if problem else 200, me=me,
        active="retention", stands=stands, row=row, content=stands.content, problem=problem,
        query_path=query_path,
    )  # fmt: skip


# -- policies -------------------------------------------------------------------------------------


@router.post("/policies")
async def adopt_policy(request: Request, state: State, me: AdminMe) -> Response:
    """Decide the next version of a policy for a pharmacy."""
    form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    whose = (form.get("agency", ""), form.get("pharmacy", ""))
    reason = _one_line(form.get("reason", ""))
    try:
        given = {
            prefix: {
                name.removeprefix(prefix): _number(value, 0, 3650)
                for name, value in form.items()
                if name.startswith(prefix) and value.strip()
            }
            for prefix in ("years_", "days_")
        }
        with state.database.write() as connection:
            version = policies.adopt(
                state, connection, agency=whose[0], pharmacy=whose[1],
                policy=form.get("policy", "").strip(), years=given["years_"],
                ceilings=given["days_"], actor=me.account, reason=reason,
            )  # fmt: skip
            subject = f"policy {form['policy'].strip()}@{version}"
            _tell(state, connection, me, "policy.adopt", subject, whose, reason=reason)
    except Refusal as refusal:
        return _refused(request, state, me, whose, refusal, "policy", form)
    return _back(whose, "adopted")


# -- what the pages share -------------------------------------------------------------------------


def _tell(
    state: WebState,
    connection: Connection,
    me: SignedIn,
    action: str,
    subject: str,
    whose: Whose,
    *,
    node: str | None = None,
    reason: str = "",
) -> None:
    owner = {"agency": whose[0][:64], "pharmacy": whose[1][:64], "node": node and node[:64]}
    record_access(state, connection, me.actor(reason), action, subject, owner)


def _refused(
    request: Request,
    state: WebState,
    me: SignedIn,
    whose: Whose,
    refusal: Refusal,
    about: str,
    typed: dict[str, str],
) -> Response:
    """Show the pharmacy again with what went wrong beside the form that was sent."""
    if refusal.problem.code == "PHARMACY_UNKNOWN":
        raise refusal
    return _pharmacy(request, state, me, whose, problem=refusal.problem, about=about, typed=typed)


def _back(whose: Whose, done: str) -> Response:
    where = query_path("/retention/pharmacy", agency=whose[0], pharmacy=whose[1], done=done)
    return RedirectResponse(where, 303)


def _one_line(text: str) -> str:
    """Return a reason as the log keeps it: one line that nothing in it can turn around."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _number(text: str, least: int, most: int) -> int:
    """Read a number of a form. Raises Refusal (422)."""
    found = int(text) if text.strip().isascii() and text.strip().isdigit() else -1
    if len(text) > 10 or not least <= found <= most:
        raise Refusal(Problem(422, "INVALID_REQUEST", f"{least}–{most}"))
    return found


def _moment(text: str) -> int:
    """Read what a browser's field of day and time sends, in Shanghai. Raises Refusal (422)."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None or not 2000 <= found.year <= 2199:
            raise ValueError(text)
    except ValueError as exc:
        raise Refusal(Problem(422, "HOLD_REFUSED")) from exc
    return to_micros(found.replace(tzinfo=SHANGHAI))
