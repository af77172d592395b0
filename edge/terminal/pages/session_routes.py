"""One session as a page: its path, and what is done at its steps before the settlement.

Every form is answered by leading on to the session's page, so that back, reload and a second tab
never send anything again. What is refused comes back as words beside what was typed.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge.session.service import Caller
from edge.session.state import SessionState
from edge.terminal import actions, consents
from edge.terminal.models import (
    AttestationRequest,
    BasketRequest,
    Certificate,
    ConsentTerms,
    PrescriptionTerms,
    ProxyRequest,
)
from edge.terminal.pages import notice
from edge.terminal.pages.forms import Posted, at_fault, error_of, read
from edge.terminal.pages.once import Once
from edge.terminal.pages.path import NEUTRAL, NOT_ENROLLED, RENEW, path_of, way_of
from edge.terminal.pages.whom import require_same, whom_of
from edge.terminal.pages.wiring import Form, Here, bar, go_on, session_path
from edge.terminal.parts import Parts
from edge.terminal.views import SessionView
from edge.verifier.protocol import MAX_PICTURE_BYTES
from retention.pages.formats import SHANGHAI
from retention.pages.kit import PageKit
from retention.records.clock import from_text
from retention.records.fields import Id
from retention.records.payloads import DecisionReceipt
from retention.records.people import DecisionReceipt2
from retention.terms.problems import Problem, Refusal

SIGNATURES = ("patient_signature_sha256", "purchaser_signature_sha256")


def session_router(parts: Parts, kit: PageKit, once: Once) -> APIRouter:
    """Return the routes of a session's page up to the gate."""
    router = APIRouter(prefix="/counter/sessions/{session}", include_in_schema=False)

    @router.get("")
    def show(
        request: Request,
        session: Id,
        caller: Here,
        way: str | None = None,
        step: str | None = None,
    ) -> Response:
        state = parts.service.load(caller, session)
        values = page_values(parts, state, way, step) | bar(parts)
        return kit.page(request, "session.html", caller=caller, **values)

    @router.post("/consent")
    def consent(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = actions.look_up(parts, caller, session)
        require_same(state, form)
        terms = ConsentTerms(
            purpose=consents.PURPOSE,
            notice_version=notice.VERSION,
            notice_sha256=notice.sha256(parts.config.verification.reference_days),
            method=notice.METHOD,
            operator=state.opened.operator,
        )
        if form.text("notice") != notice.VERSION:
            raise Refusal(Problem(409, "INVALID_REQUEST", "another version of the notice"))
        if state.subject_is_child:
            raise Refusal(Problem(409, "CHILD_NO_FACE"))
        renewing = {"way": "upload"} if form.text(RENEW) else {}

        def deed() -> str:
            consents.give_consent(parts, caller, state.subject[0], terms)
            return session_path(session, **renewing)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/reference")
    def reference(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = actions.look_up(parts, caller, session)
        require_same(state, form)
        given = consents.consented(parts, state)
        picture = form.files.get("picture")
        if picture is None:
            raise at_fault("reference", "picture")
        if len(picture) > MAX_PICTURE_BYTES:
            raise Refusal(Problem(413, "TOO_LARGE", "", {"limit": MAX_PICTURE_BYTES}))

        def deed() -> str:
            consents.enrol(
                parts,
                caller,
                state.subject[0],
                consent=given,
                source="card_picture_upload",
                picture=picture,
                age=state.subject_age_and_sex[0],
            )
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/camera-reference")
    def camera_reference(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = actions.look_up(parts, caller, session)
        require_same(state, form)
        given = consents.consented(parts, state)

        def deed() -> str:
            consents.enrol_from_camera(parts, caller, session, given)
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/child")
    def child(request: Request, session: Id, caller: Here, form: Form) -> Response:
        require_same(parts.service.load(caller, session), form)

        def deed() -> str:
            actions.say_child(parts, caller, session)
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/verification")
    def verification(request: Request, session: Id, caller: Here, form: Form) -> Response:
        require_same(parts.service.load(caller, session), form)

        def deed() -> str:
            actions.verify(parts, caller, session)
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/attestation")
    def attestation(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = parts.service.load(caller, session)
        require_same(state, form)
        body = read("attestation", AttestationRequest, form.nested("once", "whom"))

        def deed() -> str:
            actions.attest(parts, caller, session, body, of=state.subject[0])
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/proxy")
    def proxy(request: Request, session: Id, caller: Here, form: Form) -> Response:
        _declare_proxy(parts, caller, session, form)
        return go_on(request, session_path(session))

    @router.post("/prescription")
    def prescription(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = parts.service.load(caller, session)
        values = form.nested("once", "valid_until")
        values["valid_until"] = _end_of_day(form.text("valid_until"))
        someone = values.pop("patient", None)
        patient_ref = state.opened.claim.person_ref
        if form.text("patient.number"):
            patient = read("prescription", Certificate, someone or {}, within="patient.")
            patient_ref = parts.ref_of(patient)
        terms = read("prescription", PrescriptionTerms, values)
        actions.attach_prescription(parts, caller, session, patient_ref, terms)
        return go_on(request, session_path(session))

    @router.post("/basket")
    def basket(request: Request, session: Id, caller: Here, form: Form) -> Response:
        rows = _rows(form)
        lines = [{"line": number, **row} for number, row in enumerate(rows.values(), start=1)]
        body = read("basket", BasketRequest, {"lines": lines}, rows=list(rows))
        actions.set_basket(parts, caller, session, body)
        return go_on(request, session_path(session))

    return router


def page_values(
    parts: Parts, state: SessionState, way: str | None = None, step: str | None = None
) -> dict[str, Any]:
    """Return what the session's page shows."""
    view = parts.view(state)
    enrolled = parts.standing(state).enrolled
    agreed = consents.standing(parts, state.subject[0])
    consented = agreed is not None and agreed.notice_version == notice.VERSION
    chosen = way_of(view, way, enrolled, consented) if view.state == "open" else "none"
    leaving = chosen in ("self", "end")
    if step is None or way is not None:
        step = None if chosen == "none" or leaving else "identity"
    last = view.decision
    receipt = None if last is None else last.decided.receipt
    enrols = view.no_face is None or view.no_face.code not in NOT_ENROLLED
    return {
        "view": view,
        "whom": whom_of(state),
        "path": path_of(view, step),
        "way": chosen,
        "leaving": leaving,
        "enrolled": enrolled,
        "attempts": parts.service.terms.attempts,
        "renewing": way == RENEW,
        "notice_changed": agreed is not None and not consented,
        "last_reasons": [r.code for r in last.reasons if r.code not in NEUTRAL] if last else [],
        "of_subject": receipt is not None and receipt.subject_ref == state.subject[0],
        "attested": consents.attested_in_person(parts, state),
        "enrols": enrols,
        "stale": enrols
        and isinstance(receipt, DecisionReceipt2)
        and receipt.reference_standing == "stale",
        "amount_too_high": _amount_too_high(view, receipt),
        "devices": parts.devices.kinds,
        "absent": state.needs_prescription and parts.service.presence() == "absent",
        "may_be_child": state.opened_age == "unknown" and state.proxy is None and not view.child,
        "mode": parts.config.settlement.mode,
        "notice_version": notice.VERSION,
        "notice": notice.points(parts.config.verification.reference_days),
        "valid_day": _last_day(view.prescription.valid_until) if view.prescription else "",
    }


def _amount_too_high(view: SessionView, receipt: DecisionReceipt | None) -> bool:
    """Say whether an accepted identity is not enough for this basket."""
    limit = receipt.amount_limit if isinstance(receipt, DecisionReceipt2) else None
    if receipt is None or limit is None or view.basket is None or receipt.outcome != "ACCEPT":
        return False
    return Decimal(view.basket.total) > Decimal(limit)


def _declare_proxy(parts: Parts, caller: Caller, session: str, form: Posted) -> None:
    """Send the form on, each signature as the SHA-256 of its file; name all that is missing."""
    values = form.nested("once")
    if not form.text("certificate.number"):
        values.pop("certificate", None)
    both = form.files.get("both")
    for name in SIGNATURES:
        picture = form.files.get(name, both)
        if picture is not None:
            values[name] = hashlib.sha256(picture).hexdigest()
    body = read("proxy", ProxyRequest, values)
    try:
        actions.declare_proxy(parts, caller, session, body)
    except Refusal as exc:
        missing = exc.problem.facts.get("missing")
        if missing is None:
            raise
        child = parts.service.load(caller, session).patient_is_child
        errors = [error_of("guardian" if child else "proxy", name) for name in missing]
        problem = exc.problem
        raise Refusal(Problem(422, problem.code, problem.detail, {"errors": errors})) from exc


def _end_of_day(text: str) -> datetime:
    """Return the end of a day in Asia/Shanghai: the midnight after it."""
    try:
        day = date.fromisoformat(text) + timedelta(days=1)
    except (ValueError, OverflowError) as exc:
        raise at_fault("prescription", "valid_until") from exc
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)


def _last_day(valid_until: str) -> str:
    """Return the last day on which a prescription is valid, as a date field shows it."""
    last = from_text(valid_until) - timedelta(microseconds=1)
    return f"{last.astimezone(SHANGHAI):%Y-%m-%d}"


def _rows(form: Posted) -> dict[str, dict[str, Any]]:
    """Return the rows in which something was entered, by their names on the page. A new row begins
    with a quantity, which is nothing entered."""
    rows = form.nested("once").get("lines", {})
    if not isinstance(rows, dict):
        raise at_fault("basket", "lines")
    found: dict[str, dict[str, Any]] = {}
    for key in sorted(rows, key=lambda key: (len(key), key)):
        row = rows[key]
        if not isinstance(row, dict):
            raise at_fault("basket", "lines")
        codes = str(row.pop("trace_codes", "")).split()
        required = row.pop("prescription_required", None) is not None
        if row.keys() - {"quantity"} or codes or required:
            found[key] = row | {"trace_codes": codes, "prescription_required": required}
    return found
