"""What the API answers with. Field names are the field's words; times are RFC 3339 in UTC."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from retention.records.fields import Code, Frozen, Text

Page = Annotated[int, Field(ge=1, le=500)]
Z85_KEY = Annotated[str, Field(pattern=r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$")]


class Enrolment(Frozen):
    """What `countersight edge enrol` prints."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agency": "430100",
                    "pharmacy": "P43010000001",
                    "node": "node-a",
                    "curve_public_key": "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
                    "signing_public_key": "d" * 64,
                }
            ]
        }
    )
    agency: Code
    pharmacy: Code
    node: Code
    curve_public_key: Z85_KEY
    signing_public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NodeView(Frozen):
    agency: str
    pharmacy: str
    node: str
    curve_public_key: str
    signing_public_key: str
    enrolled_at: str
    revoked_at: str | None
    last_seen: str | None
    records: int
    projected: int
    tree_size: int
    checkpoints: int
    incidents: int
    status: dict[str, Any] | None


class NodeList(Frozen):
    nodes: list[NodeView]


class KeysView(Frozen):
    """Central's public keys, as a node's [central] section takes them."""

    endpoint: str
    server_key: str
    signing_key: str


class RecordView(Frozen):
    node: str
    sequence: int
    sent_sequence: int
    kind: str
    version: int
    occurred_at: str
    leaf: str
    problem: str | None
    record: dict[str, Any]


class RecordList(Frozen):
    """`next_after` is given back as `after` for the next page; null at the end."""

    records: list[RecordView]
    next_after: int | None


class FlagEntry(Frozen):
    code: str
    subject: str
    sequence: int
    raised_at: str
    cleared_at: str | None


class SessionSummary(Frozen):
    session: str
    agency: str
    pharmacy: str
    node: str
    counter: str | None
    opened_at: str
    closed_at: str | None
    outcome: str | None
    decision: str | None
    decision_method: str | None
    decision_reasons: list[str]
    proxy: bool
    gate: str | None
    settlement: str | None
    setl_id: str | None
    owed_ms: int | None
    covered_ms: int | None
    flags: list[FlagEntry]


class SessionList(Frozen):
    sessions: list[SessionSummary]
    next_after: str | None


class StepView(Frozen):
    sequence: int
    kind: str
    version: int
    occurred_at: str
    payload: dict[str, Any]


class SegmentView(Frozen):
    segment: str
    camera: str
    scene_role: str
    started_at: str
    ended_at: str
    bytes: int
    file_sha256: str
    chunk_root: str
    sequence: int
    tree_size: int
    state: str
    verified: bool
    reason: str | None
    path: str | None


class CommandView(Frozen):
    command: str
    issued_at: str
    expires_at: str
    actor: str
    reason: str
    outcome: str | None
    detail: str | None
    segments_offered: int | None
    segments: list[SegmentView]


class FootageView(Frozen):
    session: str
    commands: list[CommandView]


class SessionView(Frozen):
    """One session in full."""

    summary: SessionSummary
    steps: list[StepView]
    receipt: dict[str, Any] | None
    authorisation: dict[str, Any] | None
    settlement: dict[str, Any] | None
    coverage: dict[str, Any] | None
    footage: FootageView


class FootageRequest(Frozen):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "case 12"}]})
    reason: Annotated[Text, StringConstraints(strip_whitespace=True, min_length=1)]
    cameras: Annotated[tuple[Code, ...], Field(max_length=16)] = ()


class AccessView(Frozen):
    id: str
    at: str
    actor: str
    action: str
    subject: str
    reason: str
    node: str | None


class AccessList(Frozen):
    access: list[AccessView]
    next_after: str | None
