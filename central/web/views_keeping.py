"""What the API tells and takes about retention. Times are RFC 3339 in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from central.challenges import DEFAULT_SAMPLES, DEFAULT_SECONDS, Result
from central.holds import Asked
from central.keeping import Delivery, Kept, Standing, Stands
from retention.records.clock import from_micros, from_text, to_micros, to_text
from retention.records.fields import Code, Digest, Frozen, Id, Moment, Text
from retention.records.keeping import FaceMaterial, RetentionSubject
from retention.terms.commands import MOST_SAMPLES
from retention.terms.problems import Problem, Refusal

Reason = Annotated[str, Field(min_length=1, max_length=200)]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class AuditRequest(Frozen):
    model_config = _example(node="node-a", samples=300, seconds=3600, reason="spot check")
    node: Code
    samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] = DEFAULT_SAMPLES
    seconds: Annotated[int, Field(ge=60, le=7 * 86400)] = DEFAULT_SECONDS
    reason: Reason


class SampleView(Frozen):
    """A sample that was not proven. `verdict` is null while it is unanswered."""

    leaf: int
    verdict: str | None
    cause: str | None
    camera: str | None
    started_at: str | None
    ended_at: str | None


class AuditView(Frozen):
    """`lost_at_most` is the share of the footage owed that is lost at most, at 95 %."""

    audit: str
    pharmacy: str
    node: str
    state: Literal["running", "done", "unknown"]
    tree_size: int
    owed: int
    samples: int
    held: int
    records: int
    disposed: int
    missing: int
    unanswered: int
    lost_at_most: float | None
    ended: str | None
    asked_at: str
    expires_at: str
    actor: str
    reason: str
    not_proven: list[SampleView]


class AuditList(Frozen):
    audits: list[AuditView]


class PharmacyView(Frozen):
    """`proven` is the share that is there at least, at 95 %; null is UNKNOWN."""

    agency: str
    pharmacy: str
    nodes: list[str]
    standing: Standing
    proven: float | None
    missing: int
    audits: list[str]
    holds: int
    alarms: int
    breaches: int


class AlarmView(Frozen):
    pharmacy: str
    node: str
    alarm: str
    subject: str
    detail: str
    since: str


class BreachView(Frozen):
    pharmacy: str
    node: str
    breach: str
    stage: str
    camera: str | None
    started_at: str
    ended_at: str | None
    cause: str
    detail: str


class RetentionView(Frozen):
    pharmacies: list[PharmacyView]
    alarms: list[AlarmView]
    breaches: list[BreachView]


class DeliveryView(Frozen):
    node: str
    state: Delivery
    detail: str


class HoldRequest(Frozen):
    model_config = _example(
        agency="430100", pharmacy="P43010000001", scope="span", reason="case 12",
        started_at="2026-01-01T00:00:00.000000Z", ended_at="2026-01-02T00:00:00.000000Z",
    )  # fmt: skip
    agency: Code
    pharmacy: Code
    scope: Literal["session", "person", "pharmacy", "span"]
    reason: Reason
    session: Id | None = None
    person_ref: Digest | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    cameras: Annotated[tuple[Code, ...], Field(max_length=16)] = ()

    def to_asked(self) -> Asked:
        """Return it as a hold takes it. Raises Refusal (422 HOLD_REFUSED) for no moment."""
        try:
            started_at, ended_at = (
                None if moment is None else to_micros(from_text(moment))
                for moment in (self.started_at, self.ended_at)
            )
        except ValueError as exc:
            raise Refusal(Problem(422, "HOLD_REFUSED", "no such moment")) from exc
        return Asked(
            agency=self.agency, pharmacy=self.pharmacy, scope=self.scope, reason=self.reason,
            session=self.session, person_ref=self.person_ref, started_at=started_at,
            ended_at=ended_at, cameras=self.cameras,
        )  # fmt: skip


class ReleaseRequest(Frozen):
    model_config = _example(reason="case 12 is closed")
    reason: Reason


class HoldView(Frozen):
    hold: dict[str, Any]
    agency: str
    pharmacy: str
    actor: str
    reason: str
    placed_at: str
    taken_from: str | None
    released_at: str | None
    released_by: str | None
    release_reason: str | None
    nodes: list[DeliveryView]


class HoldList(Frozen):
    holds: list[HoldView]


class PolicyRequest(Frozen):
    """`years` by what is kept, `ceilings` in days by face material."""

    model_config = _example(
        agency="430100", pharmacy="P43010000001", policy="province", years={"footage": 2},
        ceilings={"probe_crop": 7}, reason="agreement 2026",
    )  # fmt: skip
    agency: Code
    pharmacy: Code
    policy: Code
    years: dict[RetentionSubject, Annotated[int, Field(ge=1, le=30)]] = Field(default_factory=dict)
    ceilings: dict[FaceMaterial, Annotated[int, Field(ge=0, le=3650)]] = Field(default_factory=dict)
    reason: Reason


class PolicyView(Frozen):
    policy: dict[str, Any]
    agency: str
    pharmacy: str
    actor: Text
    reason: Text
    decided_at: str
    taken_from: str | None
    nodes: list[DeliveryView]


class PolicyList(Frozen):
    policies: list[PolicyView]


def pharmacy(kept: Kept) -> PharmacyView:
    return PharmacyView(
        agency=kept.agency, pharmacy=kept.pharmacy, nodes=list(kept.nodes),
        standing=kept.standing, proven=kept.proven, missing=kept.missing,
        audits=[one.audit.audit for one in kept.audits if one is not None], holds=kept.holds,
        alarms=kept.alarms, breaches=kept.breaches,
    )  # fmt: skip


def audit(result: Result, samples: Sequence[Any]) -> AuditView:
    row = result.audit
    return AuditView(
        audit=row.audit, pharmacy=row.pharmacy, node=row.node, state=result.state,
        tree_size=row.tree_size, owed=row.owed, samples=row.samples, held=result.held,
        records=result.records, disposed=result.disposed, missing=result.missing,
        unanswered=row.samples - result.answered, lost_at_most=result.lost_at_most,
        ended=result.ended, asked_at=_text(row.asked_at), expires_at=_text(row.expires_at),
        actor=row.actor, reason=row.reason,
        not_proven=[
            SampleView(
                leaf=one.leaf, verdict=one.verdict, cause=one.cause, camera=one.camera,
                started_at=_maybe(one.started_at), ended_at=_maybe(one.ended_at),
            )
            for one in samples
        ],
    )  # fmt: skip


def alarm(row: Any) -> AlarmView:
    return AlarmView(
        pharmacy=row.pharmacy, node=row.node, alarm=row.alarm, subject=row.subject,
        detail=row.detail, since=_text(row.since),
    )  # fmt: skip


def breach(row: Any) -> BreachView:
    return BreachView(
        pharmacy=row.pharmacy, node=row.node, breach=row.breach, stage=row.stage,
        camera=row.camera, started_at=_text(row.started_at), ended_at=_maybe(row.ended_at),
        cause=row.cause, detail=row.detail,
    )  # fmt: skip


def hold(stands: Stands) -> HoldView:
    row = stands.row
    return HoldView(
        hold=stands.content, agency=row.agency, pharmacy=row.pharmacy, actor=row.actor,
        reason=row.reason, placed_at=_text(row.placed_at), taken_from=row.taken_from,
        released_at=_maybe(row.released_at), released_by=row.released_by,
        release_reason=row.release_reason, nodes=_nodes(stands),
    )  # fmt: skip


def policy(stands: Stands) -> PolicyView:
    row = stands.row
    return PolicyView(
        policy=stands.content, agency=row.agency, pharmacy=row.pharmacy, actor=row.actor,
        reason=row.reason, decided_at=_text(row.decided_at), taken_from=row.taken_from,
        nodes=_nodes(stands),
    )  # fmt: skip


def _nodes(stands: Stands) -> list[DeliveryView]:
    return [
        DeliveryView(node=node, state=state, detail=detail) for node, state, detail in stands.nodes
    ]


def _text(moment: int) -> str:
    return to_text(from_micros(moment))


def _maybe(moment: int | None) -> str | None:
    return None if moment is None else _text(moment)
