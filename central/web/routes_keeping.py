"""Retention over the API: one number a pharmacy, audits, holds, policies, alarms and breaches.

The same functions as the pages. Every reading and every change is an access row.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import Connection, select

from central import challenges, holds, keeping, policies
from central.tables import Node, table_of
from central.web import views
from central.web import views_keeping as shown
from central.web.problems import responses
from central.web.state import Admin, State, WebState, record_access
from retention.records.fields import Id
from retention.terms.problems import Problem, Refusal

router = APIRouter(prefix="/v1", tags=["retention"], responses=responses())
NODES = table_of(Node)
AuditPath = Annotated[Id, Path(examples=["01900000-0000-7000-8000-000000000001"])]


@router.get("/retention")
def retention(state: State, actor: Admin) -> shown.RetentionView:
    """One number for each pharmacy, worst first; null is UNKNOWN."""
    with state.database.read() as connection:  # seconds over a province: lock nothing meanwhile
        found = keeping.pharmacies(connection, state.now())
    with state.database.write() as connection:
        record_access(state, connection, actor, "retention.read", "pharmacies")
        return shown.RetentionView(
            pharmacies=[shown.pharmacy(one) for one in found],
            alarms=[shown.alarm(row) for row in keeping.alarms(connection)],
            breaches=[shown.breach(row) for row in keeping.breaches(connection)],
        )


@router.post(
    "/audits",
    status_code=202,
    responses=responses({404: "NODE_UNKNOWN", 409: "AUDIT_UNDER_WAY"}),
)
def start_audit(state: State, actor: Admin, asked: shown.AuditRequest) -> shown.AuditView:
    """Challenge a node to prove that it holds what it committed to."""
    with state.database.write() as connection:
        audit = challenges.start(
            connection, asked.node, state.keys.signer, state.ids, secrets.randbelow,
            count=asked.samples, lasts=timedelta(seconds=asked.seconds), actor=actor.name,
            reason=asked.reason, now=state.now(),
        )  # fmt: skip
        owner = _owner(connection, asked.node)
        record_access(
            state, connection, actor, "audit.start", f"audit {audit}", owner, asked.reason
        )
        return _audit(state, connection, audit)


@router.get("/audits")
def list_audits(state: State, actor: Admin, limit: views.Page = 100) -> shown.AuditList:
    """List audits, newest first."""
    with state.database.write() as connection:
        record_access(state, connection, actor, "audit.read", "audits")
        found = keeping.audits(connection, state.now(), limit=limit)
        return shown.AuditList(audits=[shown.audit(one, ()) for one in found])


@router.get("/audits/{audit}", responses=responses({404: "AUDIT_UNKNOWN"}))
def read_audit(state: State, actor: Admin, audit: AuditPath) -> shown.AuditView:
    """Read one audit with everything that was not proven."""
    with state.database.write() as connection:
        view = _audit(state, connection, audit)
        owner = _owner(connection, view.node)
        record_access(state, connection, actor, "audit.read", f"audit {audit}", owner)
        return view


@router.get("/holds")
def list_holds(state: State, actor: Admin, released: bool = False) -> shown.HoldList:
    """List the holds that stand, newest first, and how far each came; with `released` all."""
    with state.database.write() as connection:
        record_access(state, connection, actor, "hold.read", "holds")
        found = keeping.holds(connection, all_=released)
        return shown.HoldList(holds=[shown.hold(one) for one in found])


@router.post("/holds", status_code=201, responses=responses({404: "PHARMACY_UNKNOWN"}))
def place_hold(state: State, actor: Admin, asked: shown.HoldRequest) -> shown.HoldView:
    """Place a hold at every node of a pharmacy."""
    with state.database.write() as connection:
        hold = holds.place(state, connection, asked.to_asked(), actor.name)
        owner = {"agency": asked.agency, "pharmacy": asked.pharmacy}
        record_access(state, connection, actor, "hold.place", f"hold {hold}", owner, asked.reason)
        return _hold(connection, hold)


@router.post("/holds/{hold}/release", responses=responses({404: "HOLD_UNKNOWN"}))
def release_hold(
    state: State, actor: Admin, hold: AuditPath, asked: shown.ReleaseRequest
) -> shown.HoldView:
    """Release a hold at every node."""
    with state.database.write() as connection:
        row = holds.release(state, connection, hold, actor.name, asked.reason)
        owner = {"agency": row.agency, "pharmacy": row.pharmacy}
        record_access(state, connection, actor, "hold.release", f"hold {hold}", owner, asked.reason)
        return _hold(connection, hold)


@router.get("/policies")
def list_policies(state: State, actor: Admin) -> shown.PolicyList:
    """List the policies that were decided, newest first, and how far each came."""
    with state.database.write() as connection:
        record_access(state, connection, actor, "retention.read", "policies")
        found = keeping.policies(connection)
        return shown.PolicyList(policies=[shown.policy(one) for one in found])


@router.post("/policies", status_code=201, responses=responses({404: "PHARMACY_UNKNOWN"}))
def adopt_policy(state: State, actor: Admin, asked: shown.PolicyRequest) -> shown.PolicyView:
    """Decide the next version of a retention policy for a pharmacy."""
    with state.database.write() as connection:
        version = policies.adopt(
            state, connection, agency=asked.agency, pharmacy=asked.pharmacy, policy=asked.policy,
            years={str(name): number for name, number in asked.years.items()},
            ceilings={str(name): days for name, days in asked.ceilings.items()},
            actor=actor.name, reason=asked.reason,
        )  # fmt: skip
        owner = {"agency": asked.agency, "pharmacy": asked.pharmacy}
        subject = f"policy {asked.policy}@{version}"
        record_access(state, connection, actor, "policy.adopt", subject, owner, asked.reason)
        found = keeping.policies(connection, (asked.agency, asked.pharmacy))
        (made,) = (
            one for one in found if (one.row.policy, one.row.version) == (asked.policy, version)
        )
        return shown.policy(made)


def _audit(state: WebState, connection: Connection, audit: str) -> shown.AuditView:
    found = keeping.audit(connection, audit, state.now())
    if found is None:
        raise Refusal(Problem(404, "AUDIT_UNKNOWN", f"no audit {audit}"))
    return shown.audit(found, keeping.samples(connection, audit, ("missing", None)))


def _hold(connection: Connection, hold: str) -> shown.HoldView:
    row = holds.hold_row(connection, hold)
    found = keeping.holds(connection, (row.agency, row.pharmacy), all_=True)
    return shown.hold(next(one for one in found if one.row.hold == hold))


def _owner(connection: Connection, node: str) -> dict[str, Any]:
    row = connection.execute(select(NODES).where(NODES.c.node == node)).one()
    return {"agency": row.agency, "pharmacy": row.pharmacy, "node": node}
