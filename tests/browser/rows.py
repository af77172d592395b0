"""Rows of a central with much in it, made without nodes: for looking at pages and measuring them.

Sessions are written as records and projected like any others; coverage days and status are written
as they end up. Nothing here is signed or proven, so `central check` has no business with it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from central.database import Database
from central.projector import project_all
from central.tables import Access, CheckpointRow, CoverageDay, Node, StoredRecord, table_of
from retention.records import payloads as p
from retention.records.clock import to_micros, to_text
from retention.records.fields import Frozen
from retention.records.kinds import kind_of
from tests.golden import samples as g

CAMERAS = (("counter", "purchase"), ("desk", "prescription"), ("shelf", "dispensing"))
MINUTE, DAY = 60_000_000, 86_400_000_000
NAMES = ("张*三", "王*明", "李*", "欧阳*", "陈*英")
STORIES = ("normal", "normal", "normal", "mismatch", "proxy", "short", "attested", "open")
DRUG = '<b onmouseover=alert(1)>盐酸二甲双胍片</b> & "0.5g"'


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to make. `sessions` spread evenly over nodes and days, the newest a minute old."""

    nodes: int = 50
    sessions: int = 10_000
    days: int = 60
    access: int = 2_000


def node_name(number: int) -> str:
    return f"node-{number:03d}"


def pharmacy_of(number: int) -> str:
    return f"P4301{number:07d}"


def session_id(number: int, at: int) -> str:
    """Return a UUIDv7 of a moment (microseconds), the same for the same arguments."""
    value = (at // 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number
    return str(uuid.UUID(int=value))


def fill(database: Database, now: datetime, plan: Plan | None = None) -> list[tuple[str, str]]:
    """Write the rows and project them; return (node, session) of every session, oldest first."""
    plan, at = plan or Plan(), to_micros(now)
    made: list[tuple[str, str]] = []
    with database.write() as connection:
        sent = _sessions(connection, at, plan, made)
        connection.execute(
            insert(table_of(Node)), [_node(n, at, sent.get(n, 0)) for n in range(plan.nodes)]
        )
        connection.execute(
            insert(table_of(CheckpointRow)),
            [_checkpoint(n, at, sent.get(n, 0)) for n in range(plan.nodes)],
        )
        connection.execute(insert(table_of(CoverageDay)), list(_days(now, plan)))
        if plan.access:
            connection.execute(insert(table_of(Access)), list(_access(at, plan)))
    project_all(database)
    return made


def _node(number: int, at: int, sent: int) -> dict[str, Any]:
    return {
        "agency": "430100",
        "pharmacy": pharmacy_of(number),
        "node": node_name(number),
        "curve_key": f"{number:040d}",
        "signing_key": f"{number:064x}",
        "enrolled_at": at - 90 * DAY,
        "revoked_at": None,
        "expected_sent": sent,
        "tree_size": sent,
        "tree_sent": sent,
        "last_sequence": sent - 1,
        "frontier": b"",
        "projected_sent": 0,
        "last_seen": _last_seen(number, at),
        "status": json.dumps(_status(number, _last_seen(number, at))),
    }


def _checkpoint(number: int, at: int, size: int) -> dict[str, Any]:
    return {
        "agency": "430100",
        "pharmacy": pharmacy_of(number),
        "node": node_name(number),
        "tree_size": size,
        "previous_size": 0,
        "sent_count": size,
        "root_hash": bytes(32),
        "leaves": b"",
        "body": b"",
        "countersigned": b"",
        "seen_at": _last_seen(number, at),
    }


def _last_seen(number: int, at: int) -> int:
    return at - (3 * DAY if number % 10 == 7 else 5_000_000)


def _status(number: int, at: int) -> dict[str, object]:
    moment = to_text(datetime.fromtimestamp(at / 1e6, UTC))
    return {
        "occurred_at": moment,
        "clock_state": "steady",
        "cameras": [
            {
                "camera": camera,
                "scene_role": role,
                "state": "down" if number % 9 == 4 and camera == "desk" else "recording",
                "last_sealed_at": moment,
                "simulated": True,
            }
            for camera, role in CAMERAS
        ],
        "disk_free_bytes": (700 + number * 37 % 400 if number % 6 else 400) * 10**10,
        "bytes_per_day": 6 * 10**10,
        "backlog": number % 5,
        "oldest_unsent_at": None,
    }


def _days(now: datetime, plan: Plan) -> Iterator[dict[str, Any]]:
    for back in range(plan.days):
        moment = now + timedelta(hours=8) - timedelta(days=back)
        begins = datetime(moment.year, moment.month, moment.day, tzinfo=UTC) - timedelta(hours=8)
        known_until = min(to_micros(now), to_micros(begins + timedelta(days=1)))
        owed = (known_until - to_micros(begins)) // 1000
        for number in range(plan.nodes):
            for place, (camera, role) in enumerate(CAMERAS):
                if (number * 7 + place + back) % 53 == 0:
                    continue  # a day that nothing is known of
                lost = owed // 4 if (number * 31 + place * 11 + back) % 29 == 0 else 0
                yield {
                    "agency": "430100",
                    "pharmacy": pharmacy_of(number),
                    "node": node_name(number),
                    "camera": camera,
                    "day": f"{moment:%Y-%m-%d}",
                    "scene_role": role,
                    "known_until": known_until,
                    "told_ms": owed,
                    "owed_ms": owed,
                    "covered_ms": owed - lost,
                    "segments": 840,
                    "bytes": 6_000_000_000,
                }


def _access(at: int, plan: Plan) -> Iterator[dict[str, Any]]:
    actions = ("sessions.list", "session.open", "session.read", "footage.play", "nodes.list")
    for number in range(plan.access):
        moment = at - (plan.access - number) * 7_000_000
        yield {
            "id": session_id(number, moment),
            "at": moment,
            "actor": f"inspector-{number % 7}",
            "action": actions[number % len(actions)],
            "subject": f"session {number}",
            "reason": "随机复审",
            "agency": "430100",
            "pharmacy": pharmacy_of(number % plan.nodes),
            "node": node_name(number % plan.nodes),
        }


def _sessions(
    connection: Connection, at: int, plan: Plan, made: list[tuple[str, str]]
) -> dict[int, int]:
    """Write the records of all sessions; return how many each node has sent."""
    sent: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    step = plan.days * DAY // max(1, plan.sessions)
    for number in range(plan.sessions):
        opened = at - 5 * MINUTE - (plan.sessions - 1 - number) * step
        node = number % plan.nodes
        session = session_id(number, opened)
        made.append((node_name(node), session))
        story = STORIES[(number + number // plan.nodes) % len(STORIES)]
        for moment, payload in _story(number, session, opened, story):
            sequence = sent.get(node, 0)
            rows.append(_record(node, sequence, session_id(len(rows), moment), moment, payload))
            sent[node] = sequence + 1
        if len(rows) > 5_000:
            connection.execute(insert(table_of(StoredRecord)), rows)
            rows = []
    if rows:
        connection.execute(insert(table_of(StoredRecord)), rows)
    return sent


def _record(node: int, sequence: int, name: str, at: int, payload: Frozen) -> dict[str, Any]:
    kind = kind_of(payload)
    record = g.record_of(payload, sequence).model_copy(
        update={
            "id": name,
            "pharmacy": pharmacy_of(node),
            "node": node_name(node),
            "counter": "counter-1",
            "occurred_at": _text(at),
        }
    )
    body = record.to_bytes()
    return {
        "agency": "430100",
        "pharmacy": pharmacy_of(node),
        "node": node_name(node),
        "sequence": sequence,
        "sent_sequence": sequence,
        "kind": kind.name,
        "version": kind.version,
        "occurred_at": at,
        "received_at": at + 1_000_000,
        "body": body,
        "leaf": record.leaf(),
    }


def _story(number: int, session: str, opened: int, story: str) -> Iterator[tuple[int, Frozen]]:
    """Yield what happened in a session, as (moment, payload)."""
    claim = g.CLAIM.model_copy(update={"display_name": NAMES[number % len(NAMES)]})
    of = {"session": session}
    yield (
        opened,
        p.SessionOpened(
            session=session, terminal=g.B, operator="op-7", claim=claim, claim_digest=g.D
        ),
    )
    line = g.LINE.model_copy(update={"name": DRUG, "prescription_required": False})
    basket = p.BasketSet(
        session=session, revision=1, lines=(line,), total="37.00", basket_digest=g.E
    )
    yield opened + 4_000_000, basket
    if story == "proxy":
        form = next(one for one in g.SAMPLES if isinstance(one, p.ProxyDeclared))
        yield opened + 6_000_000, form.model_copy(update=of)
    changes: dict[str, Any] = {**of}
    if story == "mismatch":
        changes |= {"outcome": "REFER", "reasons": ("MISMATCH",), "comparison_score": "0.0812"}
    if story in ("attested", "proxy"):
        changes |= {
            "method": "document_attested", "reasons": ("ATTESTED",), "attested_by": "HY43",
            "document_type": "id_card", "comparison_score": None, "neg_log10_fmr": None,
        }  # fmt: skip
    receipt = g.RECEIPT.model_copy(update=changes)
    yield (
        opened + 12_000_000,
        p.IdentityDecided(session=session, receipt=receipt, signature=g.SIGNATURE),
    )
    if story == "open":
        return
    closed = opened + 30_000_000
    if story == "mismatch":
        refused = p.SessionRefused(
            session=session,
            basket_digest=g.E,
            rules=(p.RuleOutcome(rule="decision_present", outcome="refuse",
                                 reason="RECEIPT_NOT_ACCEPT"),),
            reasons=("RECEIPT_NOT_ACCEPT",),
        )  # fmt: skip
        yield opened + 15_000_000, refused
    else:
        permission = g.AUTHORISATION.model_copy(update=of)
        yield (
            opened + 15_000_000,
            p.SessionAuthorised(session=session, authorisation=permission, signature=g.SIGNATURE),
        )
        settled = next(one for one in g.SAMPLES if isinstance(one, p.SettlementConcluded))
        yield opened + 20_000_000, settled.model_copy(update=of)
    outcome = "refused" if story == "mismatch" else "settled"
    yield (
        closed,
        p.SessionClosed(
            session=session, outcome=outcome, opened_at=_text(opened), closed_at=_text(closed)
        ),
    )
    yield closed + 60_000_000, _covered(session, opened, closed, short=story == "short")


def _covered(session: str, opened: int, closed: int, *, short: bool) -> p.SessionCovered:
    begins, ends = opened - 30_000_000, closed + 30_000_000
    owed = (ends - begins) // 1000
    missing = 12_000 if short else 0
    scenes = tuple(
        p.SceneCoverage(
            camera=camera,
            scene_role=p.SceneRole(role),
            owed_ms=owed,
            covered_ms=owed - (missing if camera == "shelf" else 0),
            gap_causes=(p.GapCause.CAMERA_UNREACHABLE,) if short and camera == "shelf" else (),
        )
        for camera, role in CAMERAS
    )
    return p.SessionCovered(
        session=session,
        started_at=_text(begins),
        ended_at=_text(ends),
        owed_ms=3 * owed,
        covered_ms=3 * owed - missing,
        scenes=scenes,
    )


def _text(at: int) -> str:
    return to_text(datetime.fromtimestamp(at / 1e6, UTC))
