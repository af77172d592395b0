"""Nodes, central's own keys, and raw records."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from central.enrolment import enrol, revoke
from central.web import queries, views
from central.web.problems import responses
from central.web.state import Admin, State, record_access
from retention.records.fields import Code
from retention.terms.problems import Problem, Refusal

router = APIRouter(prefix="/v1", tags=["nodes"], responses=responses())


@router.get("/nodes")
def list_nodes(state: State, actor: Admin) -> views.NodeList:
    """List enrolled nodes with where their records and their tree stand."""
    with state.database.write() as connection:
        record_access(state, connection, actor, "nodes.list", "nodes")
        return views.NodeList(nodes=queries.nodes(connection))


@router.post("/nodes", status_code=201, responses=responses({409: "INVALID_REQUEST"}))
def enrol_node(
    state: State, actor: Admin, asked: views.Enrolment, response: Response
) -> views.NodeView:
    """Enrol a node by its keys: 201 when new, 200 when it was enrolled just so, else 409."""
    with state.database.write() as connection:
        new = enrol(connection, asked, state.now())
        owner = {"agency": asked.agency, "pharmacy": asked.pharmacy, "node": asked.node}
        record_access(state, connection, actor, "node.enrol", f"node {asked.node}", owner)
        view = queries.nodes(connection, asked.node)[0]
    response.status_code = 201 if new else 200
    return view


# A node id may hold "/".
@router.post("/nodes/{node:path}/revoke", responses=responses({404: "NODE_UNKNOWN"}))
def revoke_node(state: State, actor: Admin, node: Code) -> views.NodeView:
    """Take nothing more from a node. What it sent stays."""
    with state.database.write() as connection:
        revoke(connection, node, state.now())
        view = queries.nodes(connection, node)[0]
        owner = {"agency": view.agency, "pharmacy": view.pharmacy, "node": node}
        record_access(state, connection, actor, "node.revoke", f"node {node}", owner)
    return view


@router.get("/keys")
def keys(state: State, actor: Admin) -> views.KeysView:
    """Show central's public keys, for a node's [central] section."""
    with state.database.write() as connection:
        record_access(state, connection, actor, "keys.read", "keys")
    return views.KeysView(
        endpoint=state.config.collector.endpoint,
        server_key=state.keys.curve_public,
        signing_key=state.keys.signer.public_key.hex(),
    )


@router.get("/records", responses=responses({404: "NODE_UNKNOWN"}))
def list_records(
    state: State,
    actor: Admin,
    node: Code,
    after: Annotated[int, Query(ge=-1, le=2**53 - 1)] = -1,
    kind: Code | None = None,
    limit: views.Page = 100,
) -> views.RecordList:
    """Page through a node's records in the order they were sent."""
    with state.database.write() as connection:
        owners = queries.nodes(connection, node)
        if not owners:
            raise Refusal(Problem(404, "NODE_UNKNOWN", f"no node {node}"))
        found = queries.records(connection, node, after, kind, limit)
        owner = {"agency": owners[0].agency, "pharmacy": owners[0].pharmacy, "node": node}
        subject = f"records of {node} after {after}"
        record_access(state, connection, actor, "records.read", subject, owner)
    return found
