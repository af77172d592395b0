"""Central's tables. Times are microseconds since the Unix epoch, UTC.

`records` and `checkpoints` are evidence: rows are inserted and never updated or deleted.
`sessions`, `steps`, `flags`, `gaps`, `coverage_days` and everything named `node_…` are projections
and can be made again from `records` at any time. `holds` and `policies` are what was decided here.
Agency, pharmacy and node stand in every table about a node.
"""

from __future__ import annotations

from typing import cast

from sqlalchemy import (
    BigInteger,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CODE = String(64)
ID = String(36)
DIGEST = String(64)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """One naming convention, so that migrations name what they change."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {int: BigInteger, str: CODE, bytes: LargeBinary}  # noqa: RUF012


def table_of(model: type[Base]) -> Table:
    """Return the table behind a class, for statements on the hot path."""
    return cast(Table, model.__table__)


class Tenant:
    """Whose row this is."""

    agency: Mapped[str] = mapped_column(CODE)
    pharmacy: Mapped[str] = mapped_column(CODE)


class Node(Tenant, Base):
    """An enrolled node, and where its stream and its tree stand at central."""

    __tablename__ = "nodes"
    __table_args__ = (Index(None, "pharmacy"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    curve_key: Mapped[str] = mapped_column(String(40), unique=True)
    signing_key: Mapped[str] = mapped_column(DIGEST)
    enrolled_at: Mapped[int]
    revoked_at: Mapped[int | None]
    expected_sent: Mapped[int] = mapped_column(default=0)
    last_sequence: Mapped[int] = mapped_column(default=-1)
    tree_size: Mapped[int] = mapped_column(default=0)
    tree_sent: Mapped[int] = mapped_column(default=0)
    frontier: Mapped[bytes] = mapped_column(default=b"")
    projected_sent: Mapped[int] = mapped_column(default=0)
    last_seen: Mapped[int | None]
    status: Mapped[str | None] = mapped_column(Text)
    status_received_at: Mapped[int | None]


class StoredRecord(Tenant, Base):
    """A record as it came: canonical bytes and leaf. A payload that does not fit its kind is kept
    and acknowledged like any other."""

    __tablename__ = "records"
    __table_args__ = (UniqueConstraint("node", "sent_sequence"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    sent_sequence: Mapped[int]
    kind: Mapped[str]
    version: Mapped[int]
    occurred_at: Mapped[int]
    received_at: Mapped[int]
    body: Mapped[bytes]
    leaf: Mapped[bytes]


class CheckpointRow(Tenant, Base):
    """An acknowledged checkpoint and the leaves from `previous_size` to `tree_size`."""

    __tablename__ = "checkpoints"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    tree_size: Mapped[int] = mapped_column(primary_key=True)
    previous_size: Mapped[int]
    sent_count: Mapped[int]
    root_hash: Mapped[bytes]
    leaves: Mapped[bytes]
    body: Mapped[bytes]
    countersigned: Mapped[bytes]
    seen_at: Mapped[int]


class WireIncident(Tenant, Base):
    """Something on the wire that an honest node does not do; named once."""

    __tablename__ = "wire_incidents"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    code: Mapped[str] = mapped_column(CODE, primary_key=True)
    subject: Mapped[str] = mapped_column(String(200), primary_key=True)
    detail: Mapped[str] = mapped_column(Text)
    found_at: Mapped[int]


class Session(Tenant, Base):
    """One dispensing session, folded from its records. Of whoever was checked last: role, age band
    and sex, how often a face was looked at and compared, and the method that accepted them."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index(None, "session"),
        Index(None, "opened_at"),
        Index(None, "pharmacy", "opened_at"),
    )
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    session: Mapped[str] = mapped_column(ID, primary_key=True)
    counter: Mapped[str | None]
    opened_at: Mapped[int]
    closed_at: Mapped[int | None]
    outcome: Mapped[str | None]
    decision: Mapped[str | None]
    decision_method: Mapped[str | None]
    decision_reasons: Mapped[str | None] = mapped_column(Text)
    proxy: Mapped[int] = mapped_column(default=0)
    gate: Mapped[str | None]
    settlement: Mapped[str | None]
    setl_id: Mapped[str | None]
    subject_role: Mapped[str | None]
    age_band: Mapped[str | None]
    sex: Mapped[str | None]
    face_tries: Mapped[int] = mapped_column(default=0)
    face_compared: Mapped[int] = mapped_column(default=0)
    accepted_by: Mapped[str | None]
    span_started_at: Mapped[int | None]
    span_ended_at: Mapped[int | None]
    owed_ms: Mapped[int | None]
    covered_ms: Mapped[int | None]


class Step(Tenant, Base):
    """Which records belong to which session, in order."""

    __tablename__ = "steps"
    __table_args__ = (Index(None, "session"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    session: Mapped[str] = mapped_column(ID)
    kind: Mapped[str]
    occurred_at: Mapped[int]


class Flag(Tenant, Base):
    """A fact that a reviewer should see. `cleared_at` when a later record ended it."""

    __tablename__ = "flags"
    __table_args__ = (Index(None, "session"), Index(None, "cleared_at", "code"))
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    code: Mapped[str] = mapped_column(CODE, primary_key=True)
    subject: Mapped[str] = mapped_column(String(200), primary_key=True)
    session: Mapped[str | None] = mapped_column(ID)
    sequence: Mapped[int]
    raised_at: Mapped[int]
    cleared_at: Mapped[int | None]


class Gap(Tenant, Base):
    """A span without footage of one camera, as its node told it; open until `ended_at`."""

    __tablename__ = "gaps"
    __table_args__ = (Index(None, "node", "camera", "started_at"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    gap: Mapped[str] = mapped_column(ID, primary_key=True)
    camera: Mapped[str]
    scene_role: Mapped[str]
    started_at: Mapped[int]
    ended_at: Mapped[int | None]
    cause: Mapped[str]


class CoverageDay(Tenant, Base):
    """Owed and covered footage of one camera on one day (Asia/Shanghai), from its summaries;
    nothing is known of it after `known_until`. `told_ms` is how much of the day they tell of: what
    is told of and not owed is time in which the pharmacy had declared itself closed."""

    __tablename__ = "coverage_days"
    __table_args__ = (Index(None, "day"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    camera: Mapped[str] = mapped_column(CODE, primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    scene_role: Mapped[str]
    known_until: Mapped[int]
    told_ms: Mapped[int]
    owed_ms: Mapped[int]
    covered_ms: Mapped[int]
    segments: Mapped[int]
    bytes: Mapped[int]


class CommandRow(Tenant, Base):
    """What central asked of a node, and how it ended. `session` is that of a footage command;
    `subject` is the hold, the policy's version or the audit that another command is about."""

    __tablename__ = "commands"
    __table_args__ = (
        Index(None, "node", "concluded_at"),
        Index(None, "session"),
        Index(None, "subject"),
    )
    command: Mapped[str] = mapped_column(ID, primary_key=True)
    node: Mapped[str]
    kind: Mapped[str] = mapped_column(default="footage")
    session: Mapped[str | None] = mapped_column(ID)
    subject: Mapped[str | None] = mapped_column(String(200))
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    body: Mapped[bytes]
    issued_at: Mapped[int]
    expires_at: Mapped[int]
    segments_offered: Mapped[int | None]
    outcome: Mapped[str | None]
    detail: Mapped[str | None] = mapped_column(Text)
    concluded_at: Mapped[int | None]


class Footage(Tenant, Base):
    """One segment that was asked for. `accepted` only after digest, chunk root and proof held."""

    __tablename__ = "footage"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    segment: Mapped[str] = mapped_column(ID, primary_key=True)
    camera: Mapped[str]
    scene_role: Mapped[str]
    started_at: Mapped[int]
    ended_at: Mapped[int]
    sequence: Mapped[int]
    tree_size: Mapped[int]
    size_bytes: Mapped[int]
    file_sha256: Mapped[str] = mapped_column(DIGEST)
    chunk_root: Mapped[str] = mapped_column(DIGEST)
    record: Mapped[bytes]
    proof: Mapped[bytes]
    state: Mapped[str]
    reason: Mapped[str | None] = mapped_column(Text)
    path: Mapped[str | None] = mapped_column(Text)
    concluded_at: Mapped[int | None]


class CommandSegment(Tenant, Base):
    """Which segments answer which command."""

    __tablename__ = "command_segments"
    command: Mapped[str] = mapped_column(ID, primary_key=True)
    segment: Mapped[str] = mapped_column(ID, primary_key=True)
    node: Mapped[str]
    ordinal: Mapped[int]


class Audit(Tenant, Base):
    """A challenge to a node: prove `samples` of the `owed` committed leaves of the tree of
    `tree_size`. Its answers are `audit_samples`, counted here by verdict as they are judged; its
    end is in its command."""

    __tablename__ = "audits"
    __table_args__ = (Index(None, "pharmacy", "asked_at"), Index(None, "node", "asked_at"))
    audit: Mapped[str] = mapped_column(ID, primary_key=True)
    node: Mapped[str]
    command: Mapped[str] = mapped_column(ID, unique=True)
    tree_size: Mapped[int]
    owed: Mapped[int]
    samples: Mapped[int]
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[int]
    expires_at: Mapped[int]
    held: Mapped[int] = mapped_column(default=0)
    records: Mapped[int] = mapped_column(default=0)
    disposed: Mapped[int] = mapped_column(default=0)
    missing: Mapped[int] = mapped_column(default=0)


class AuditSample(Tenant, Base):
    """One drawn leaf and the first judgement of what its node showed; nothing was shown in time
    while `verdict` is missing. Camera and time are what its own record says."""

    __tablename__ = "audit_samples"
    audit: Mapped[str] = mapped_column(ID, primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    node: Mapped[str]
    leaf: Mapped[int]
    chunk: Mapped[int]
    verdict: Mapped[str | None]
    cause: Mapped[str | None]
    camera: Mapped[str | None]
    started_at: Mapped[int | None]
    ended_at: Mapped[int | None]
    answered_at: Mapped[int | None]


class HoldRow(Tenant, Base):
    """A hold that every node of a pharmacy owes until it is released; `taken_from` names the
    replaced node on which an inspector had placed it."""

    __tablename__ = "holds"
    __table_args__ = (Index(None, "pharmacy", "released_at"),)
    hold: Mapped[str] = mapped_column(ID, primary_key=True)
    scope: Mapped[str]
    body: Mapped[bytes]
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    placed_at: Mapped[int]
    taken_from: Mapped[str | None]
    released_at: Mapped[int | None]
    released_by: Mapped[str | None] = mapped_column(String(200))
    release_reason: Mapped[str | None] = mapped_column(String(200))


class PolicyRow(Tenant, Base):
    """A version of a retention policy that every node of a pharmacy has to adopt; it is never
    taken back, a later version replaces it."""

    __tablename__ = "policies"
    agency: Mapped[str] = mapped_column(CODE, primary_key=True)
    pharmacy: Mapped[str] = mapped_column(CODE, primary_key=True)
    policy: Mapped[str] = mapped_column(CODE, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    effective_from: Mapped[int]
    body: Mapped[bytes]
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    decided_at: Mapped[int]
    taken_from: Mapped[str | None]


class NodeHold(Tenant, Base):
    """A hold that a node says it took up, and whether it was released there."""

    __tablename__ = "node_holds"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    hold: Mapped[str] = mapped_column(ID, primary_key=True)
    authority: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    placed_at: Mapped[int]
    released_at: Mapped[int | None]
    released_sequence: Mapped[int | None]


class NodePolicy(Tenant, Base):
    """A policy that a node says it adopted."""

    __tablename__ = "node_policies"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    policy: Mapped[str] = mapped_column(CODE, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    authority: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    adopted_at: Mapped[int]


class NodeAlarm(Tenant, Base):
    """The last time an alarm of a node was raised about something; open until `cleared_at`."""

    __tablename__ = "node_alarms"
    __table_args__ = (Index(None, "cleared_at"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    alarm: Mapped[str] = mapped_column(CODE, primary_key=True)
    subject: Mapped[str] = mapped_column(CODE, primary_key=True)
    detail: Mapped[str] = mapped_column(String(200))
    since: Mapped[int]
    sequence: Mapped[int]
    cleared_at: Mapped[int | None]


class NodeBreach(Tenant, Base):
    """A floor that a node says it cannot keep over a span, as it last told of it."""

    __tablename__ = "node_breaches"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    breach: Mapped[str] = mapped_column(ID, primary_key=True)
    stage: Mapped[str]
    camera: Mapped[str | None]
    started_at: Mapped[int]
    ended_at: Mapped[int | None]
    cause: Mapped[str]
    detail: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    told_at: Mapped[int]


class NodeClosure(Tenant, Base):
    """A span that a pharmacy said beforehand it is closed."""

    __tablename__ = "node_closures"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    closure: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str]
    started_at: Mapped[int]
    ended_at: Mapped[int]
    author: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    declared_at: Mapped[int]
    cancelled_at: Mapped[int | None]


class NodeOpening(Tenant, Base):
    """The weekly opening hours of a pharmacy from a moment on, Monday first, as JSON."""

    __tablename__ = "node_openings"
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    effective_from: Mapped[int] = mapped_column(primary_key=True)
    hours: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int]


class NodeSubjects(Tenant, Base):
    """Of how many people a node holds face references, as it last counted them."""

    __tablename__ = "node_subjects"
    __table_args__ = (Index(None, "controller"),)
    node: Mapped[str] = mapped_column(CODE, primary_key=True)
    controller: Mapped[str]
    subjects: Mapped[int]
    refs: Mapped[int]
    sequence: Mapped[int]
    counted_at: Mapped[int]


class Access(Base):
    """Who looked at what, why and when (invariant 10)."""

    __tablename__ = "access"
    __table_args__ = (
        Index(None, "actor", "id"),
        Index(None, "action", "id"),
        Index(None, "node", "id"),
    )
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    at: Mapped[int] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str]
    subject: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(200))
    agency: Mapped[str | None]
    pharmacy: Mapped[str | None]
    node: Mapped[str | None]


class Account(Base):
    """A person who may sign in. `must_change`: the password was given by somebody else."""

    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(CODE, primary_key=True)
    role: Mapped[str]
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int]
    created_by: Mapped[str] = mapped_column(String(200))
    must_change: Mapped[int] = mapped_column(default=0)
    disabled_at: Mapped[int | None]
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int | None]


class SignIn(Base):
    """A browser that is signed in; of its cookie only the SHA-256 is kept."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index(None, "account"),)
    token_sha256: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    account: Mapped[str]
    created_at: Mapped[int]
    last_seen_at: Mapped[int]
    expires_at: Mapped[int]
    ended_at: Mapped[int | None]


class Opening(Tenant, Base):
    """A session that somebody opened for a reason, in one sign-in, until `expires_at`.
    `clear_at`: since when its pictures are shown clearly."""

    __tablename__ = "openings"
    __table_args__ = (Index(None, "sign_in", "node", "session"),)
    id: Mapped[str] = mapped_column(ID, primary_key=True)
    sign_in: Mapped[str] = mapped_column(DIGEST)
    account: Mapped[str]
    node: Mapped[str]
    session: Mapped[str] = mapped_column(ID)
    reason: Mapped[str] = mapped_column(String(200))
    opened_at: Mapped[int]
    expires_at: Mapped[int]
    clear_at: Mapped[int | None]
