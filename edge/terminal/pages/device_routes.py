"""The devices beside the counter, from its page: a terminal or a reader vouches, a card is read.

What a card says goes from the reader into the session at once: its number and name are in no page
and in no address. While a device is asked the page says where to look.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge.terminal import actions, consents, device_actions
from edge.terminal.models import AuthorityReferenceRequest, SessionRequest
from edge.terminal.pages.forms import read
from edge.terminal.pages.once import Once
from edge.terminal.pages.whom import require_same
from edge.terminal.pages.wiring import Form, Here, go_on, session_path
from edge.terminal.parts import Parts
from hardware.devices import Holder
from identity.methods import DeviceMethod, Method
from retention.pages.kit import PageKit
from retention.records.fields import Id

BY_PATH: dict[str, DeviceMethod] = {
    "terminal": Method.CERTIFIED_TERMINAL,
    "fingerprint": Method.FINGERPRINT,
}


def device_router(parts: Parts, _kit: PageKit, once: Once) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/counter/sessions", include_in_schema=False)

    @router.post("/card")
    def open_by_card(request: Request, caller: Here, form: Form) -> Response:
        def deed() -> str:
            card = device_actions.read_card(parts, caller)
            values = form.nested("once")
            claim: dict[str, Any] = dict(values.get("claim") or {})
            claim["certificate"] = {"type": card.cert_type, "number": card.number}
            claim["name"] = card.name or claim.get("name")
            body = read("session", SessionRequest, values | {"claim": claim})
            return session_path(actions.open_session(parts, caller, body).session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/{session}/terminal")
    def terminal(request: Request, session: Id, caller: Here, form: Form) -> Response:
        return _vouched(request, session, caller, form, "terminal")

    @router.post("/{session}/fingerprint")
    def fingerprint(request: Request, session: Id, caller: Here, form: Form) -> Response:
        return _vouched(request, session, caller, form, "fingerprint")

    def _vouched(request: Request, session: Id, caller: Here, form: Form, way: str) -> Response:
        require_same(parts.service.load(caller, session), form)

        def deed() -> str:
            device_actions.verify(parts, caller, session, BY_PATH[way])
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/{session}/card-reference")
    def card_reference(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = actions.look_up(parts, caller, session)
        require_same(state, form)
        given = consents.consented(parts, state)

        def deed() -> str:
            device_actions.enrol_card(parts, caller, session, given)
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    @router.post("/{session}/authority-reference")
    def authority_reference(request: Request, session: Id, caller: Here, form: Form) -> Response:
        state = actions.look_up(parts, caller, session)
        require_same(state, form)
        given = {"consent": consents.consented(parts, state)}
        body = read("authority", AuthorityReferenceRequest, form.nested("once", "whom") | given)
        holder = Holder(
            cert_type=body.certificate.type, number=body.certificate.number, name=body.name
        )

        def deed() -> str:
            device_actions.enrol_from_authority(parts, caller, session, holder, body.consent)
            return session_path(session)

        return go_on(request, once.do(caller.terminal, form.press(), deed))

    return router
