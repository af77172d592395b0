"""The admin's pages of nodes: all of them worst first, one in full, enrolling, revoking.

Every answer leaves an access row in the transaction that read it. A list that renews itself in an
open page is one reading: it leaves a row again after `WATCH_US`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from sqlalchemy import Connection, and_, select

from central.enrolment import EnrolmentConflict, enrol, revoke
from central.pages import fleet
from central.pages.fleet import NodeCard
from central.pages.kit import kit_of
from central.pages.signed_in import AdminMe, SignedIn
from central.tables import Access, table_of
from central.web.state import State, WebState, record_access
from central.web.views import Enrolment
from retention.pages.kit import query_path

router = APIRouter(include_in_schema=False)
ACCESS = table_of(Access)
PAGE = 50
WATCH_US = 600_000_000
FILTERS = ("attention", "online", "silent", "never", "revoked")
FIELDS = tuple(Enrolment.model_fields)
LATEST = 10
Typed = Annotated[str, Form()]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes that a list shows, and the counts of its sentence over all nodes."""

    shown: list[NodeCard]
    found: int
    total: int
    online: int
    silent: list[NodeCard]
    never: int
    revoked: int
    attention: int


def fleet_of(found: list[NodeCard], state: str, text: str, page: int) -> Fleet:
    """Filter and count. `text` is part of a pharmacy's or a node's id."""
    wanted = [
        card
        for card in found
        if _fits(card, state)
        and text.lower() in f"{card.row.agency} {card.row.pharmacy} {card.node}".lower()
    ]
    return Fleet(
        shown=wanted[page * PAGE : (page + 1) * PAGE],
        found=len(wanted),
        total=sum(card.state != "revoked" for card in found),
        online=sum(card.state == "online" for card in found),
        silent=sorted(
            (card for card in found if card.state == "silent"), key=lambda card: card.row.last_seen
        ),
        never=sum(card.state == "never" for card in found),
        revoked=sum(card.state == "revoked" for card in found),
        attention=sum(_fits(card, "attention") for card in found),
    )


def _fits(card: NodeCard, state: str) -> bool:
    if state == "attention":
        return card.state != "revoked" and card.level != "ok"
    return state not in FILTERS or card.state == state


@router.get("/nodes")
def nodes_page(
    request: Request,
    state: State,
    me: AdminMe,
    show: Annotated[str, Query(alias="state", max_length=20)] = "",
    pharmacy: Annotated[str, Query(max_length=64)] = "",
    page: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    """List nodes worst first, with a sentence about all of them."""
    with state.database.write() as connection:
        record_access(state, connection, me.actor(), "nodes.list", "nodes")
        found = fleet.cards(connection, state.now())
    text = pharmacy.strip()
    return kit_of(request).page(
        request, "nodes.html", me=me, active="nodes", now=state.now(),
        fleet=fleet_of(found, show, text, page), show=show if show in FILTERS else "",
        pharmacy=text, page=page, pages=PAGE, query_path=query_path, refresh=False,
    )  # fmt: skip


@router.get("/nodes/rows")
def nodes_rows(
    request: Request,
    state: State,
    me: AdminMe,
    node: Annotated[list[str], Query(max_length=PAGE)] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Return the rows that a page shows, anew, for htmx to put each in its place."""
    with state.database.write() as connection:
        _note_watching(state, connection, me)
        found = fleet.cards(connection, state.now())
    wanted = set(node)
    every = fleet_of(found, "", "", 0)
    return kit_of(request).page(
        request, "nodes_rows.html", me=me, now=state.now(), fleet=every, refresh=True,
        rows=[card for card in found if card.node in wanted],
    )  # fmt: skip


def _note_watching(state: WebState, connection: Connection, me: SignedIn) -> None:
    """Write that the list is being looked at, unless that was written a little while ago."""
    known = connection.execute(
        select(ACCESS.c.id)
        .where(
            and_(
                ACCESS.c.at > state.now() - WATCH_US,
                ACCESS.c.actor == me.account,
                ACCESS.c.action == "nodes.list",
            )
        )
        .limit(1)
    ).first()
    if known is None:
        record_access(state, connection, me.actor(), "nodes.list", "nodes, still open")


@router.get("/nodes/one")
def node_page(
    request: Request, state: State, me: AdminMe, node: str = "", done: str = ""
) -> Response:
    """Show everything of one node."""
    with state.database.write() as connection:
        card = _card(state, connection, node)
        if card is not None:
            record_access(state, connection, me.actor(), "node.read", f"node {node}", owner(card))
            facts = node_facts(connection, node)
    if card is None:
        return unknown_node(request, me, node)
    return kit_of(request).page(
        request, "node.html", me=me, active="nodes", card=card, now=state.now(), done=done,
        central=_central_section(state), query_path=query_path, **facts,
    )  # fmt: skip


def node_facts(connection: Connection, node: str) -> dict[str, Any]:
    """Return the newest checkpoints, the incidents, the node's own flags and its open gaps."""
    checkpoints, incidents, flags, gaps = (
        fleet.CHECKPOINTS, fleet.INCIDENTS, fleet.FLAGS, fleet.GAPS,
    )  # fmt: skip
    queries = {
        "checkpoints": select(
            checkpoints.c.tree_size, checkpoints.c.sent_count, checkpoints.c.seen_at
        )
        .where(checkpoints.c.node == node)
        .order_by(checkpoints.c.tree_size.desc())
        .limit(LATEST),
        "incidents": select(incidents)
        .where(incidents.c.node == node)
        .order_by(incidents.c.found_at.desc())
        .limit(100),
        "flags": select(flags)
        .where(
            flags.c.node == node,
            flags.c.code.in_(fleet.NODE_FLAGS),
            flags.c.cleared_at.is_(None),
        )
        .order_by(flags.c.raised_at.desc())
        .limit(100),
        "gaps": select(gaps)
        .where(gaps.c.node == node, gaps.c.ended_at.is_(None))
        .order_by(gaps.c.started_at)
        .limit(100),
    }
    return {name: connection.execute(query).all() for name, query in queries.items()}


def _card(state: WebState, connection: Connection, node: str) -> NodeCard | None:
    found = fleet.cards(connection, state.now(), node)
    return found[0] if found else None


def owner(card: NodeCard) -> dict[str, str | None]:
    return {"agency": card.row.agency, "pharmacy": card.row.pharmacy, "node": card.node}


def unknown_node(request: Request, me: SignedIn, node: str) -> Response:
    """Answer for a node that is not enrolled."""
    return kit_of(request).page(
        request, "fleet_problem.html", status=404, me=me, active="nodes", about="node", named=node
    )


# -- enrolling ------------------------------------------------------------------------------------


@router.get("/nodes/enrol")
def enrol_page(request: Request, state: State, me: AdminMe) -> Response:
    """Show the form."""
    with state.database.write() as connection:
        record_access(state, connection, me.actor(), "keys.read", "keys")
    return _enrol_form(request, state, me, {}, pasted="")


@router.post("/nodes/enrol")
def enrol_node(
    request: Request,
    state: State,
    me: AdminMe,
    pasted: Typed = "",
    agency: Typed = "",
    pharmacy: Typed = "",
    node: Typed = "",
    curve_public_key: Typed = "",
    signing_public_key: Typed = "",
) -> Response:
    """Enrol what was pasted or typed; the same again changes nothing."""
    values = {
        "agency": agency, "pharmacy": pharmacy, "node": node,
        "curve_public_key": curve_public_key, "signing_public_key": signing_public_key,
    }  # fmt: skip
    values = {name: value.strip() for name, value in values.items()}
    try:
        if pasted.strip():
            values |= read_pasted(pasted)
        asked = Enrolment.model_validate(values)
    except Unreadable as exc:
        return _enrol_form(request, state, me, values, pasted=pasted, unreadable=exc.code)
    except ValidationError as exc:
        wrong = [str(error["loc"][0]) for error in exc.errors()]
        return _enrol_form(request, state, me, values, pasted="", wrong=wrong)
    try:
        with state.database.write() as connection:
            new = enrol(connection, asked, state.now())
            tenant = {"agency": asked.agency, "pharmacy": asked.pharmacy, "node": asked.node}
            subject = f"node {asked.node}"
            record_access(state, connection, me.actor(), "node.enrol", subject, tenant)
    except EnrolmentConflict as exc:
        return _enrol_form(request, state, me, values, pasted="", conflict=exc)
    done = "enrolled" if new else "same"
    return RedirectResponse(query_path("/nodes/one", node=asked.node, done=done), 303)


class Unreadable(Exception):
    """What was pasted is not what `countersight edge enrol` prints."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_pasted(text: str) -> dict[str, str]:
    """Read the enrolment out of what was pasted; lines around it are forgiven.

    Raises Unreadable.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError) as exc:
        raise Unreadable("json") from exc
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in FIELDS):
        raise Unreadable("fields")
    return {name: found[name].strip() for name in FIELDS}


def _enrol_form(
    request: Request,
    state: WebState,
    me: SignedIn,
    values: dict[str, str],
    *,
    pasted: str,
    unreadable: str = "",
    wrong: list[str] | None = None,
    conflict: EnrolmentConflict | None = None,
) -> Response:
    refused = bool(unreadable or wrong or conflict)
    return kit_of(request).page(
        request, "enrol.html", status=422 if refused else 200, me=me, active="nodes",
        values={name: values.get(name, "") for name in FIELDS}, pasted=pasted[:4000],
        unreadable=unreadable, wrong=wrong or [], conflict=conflict, fields=FIELDS,
        central=_central_section(state),
    )  # fmt: skip


def _central_section(state: WebState) -> dict[str, str]:
    return {
        "endpoint": state.config.collector.endpoint,
        "server_key": state.keys.curve_public,
        "signing_key": state.keys.signer.public_key.hex(),
    }


# -- revoking -------------------------------------------------------------------------------------


@router.get("/nodes/revoke")
def revoke_page(request: Request, state: State, me: AdminMe, node: str = "") -> Response:
    """Say what revoking does, and ask for the node's id."""
    return _revoke_form(request, state, me, node, mistyped=False)


@router.post("/nodes/revoke")
def revoke_node(
    request: Request, state: State, me: AdminMe, node: Typed = "", typed: Typed = ""
) -> Response:
    """Revoke a node whose id was typed; a node that was revoked stays so."""
    if typed.strip() != node:
        return _revoke_form(request, state, me, node, mistyped=True)
    with state.database.write() as connection:
        card = _card(state, connection, node)
        if card is not None:
            revoke(connection, node, state.now())
            record_access(state, connection, me.actor(), "node.revoke", f"node {node}", owner(card))
    if card is None:
        return unknown_node(request, me, node)
    return RedirectResponse(query_path("/nodes/one", node=node, done="revoked"), 303)


def _revoke_form(
    request: Request, state: WebState, me: SignedIn, node: str, *, mistyped: bool
) -> Response:
    with state.database.write() as connection:
        card = _card(state, connection, node)
        if card is not None:
            record_access(state, connection, me.actor(), "node.read", f"node {node}", owner(card))
    if card is None:
        return unknown_node(request, me, node)
    return kit_of(request).page(
        request, "revoke.html", status=422 if mistyped else 200, me=me, active="nodes",
        card=card, mistyped=mistyped,
    )  # fmt: skip
