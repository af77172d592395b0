"""What the records about keeping say: policy, holds, disposal, alarms, breaches, audits.

As in `payloads.py`: a class is never changed after release, a new version gets a new class.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from retention.records.fields import (
    Code,
    Count,
    Decimal,
    Digest,
    Frozen,
    Id,
    Moment,
    ShortText,
    Text,
)
from retention.records.payloads import SceneRole

RetentionSubject = Literal[
    "footage",
    "archive",
    "purchase_evidence",
    "processing",
    "footage_index",
    "operations",
]
"""What a policy may lengthen: footage itself, and the classes of records."""

FaceMaterial = Literal["face_reference", "probe_crop"]
"""What a policy may shorten: things that may not be kept longer."""


# -- policy ---------------------------------------------------------------------------------------


class Term(Frozen):
    """Kept until the later of `years` calendar years and `days` days after it ended."""

    subject: RetentionSubject
    years: Annotated[int, Field(ge=0, le=30)]
    days: Annotated[int, Field(ge=0, le=11_000)]


class Ceiling(Frozen):
    """Gone at the latest `days` days after it was made."""

    material: FaceMaterial
    days: Annotated[int, Field(ge=0, le=3650)]


class RetentionPolicy(Frozen):
    """What an agreement promises. It lengthens the floors of the law and shortens its ceilings;
    a subject that it does not name keeps the floor. In force from `effective_from` until a later
    version of the same `policy` is."""

    policy: Code
    version: Count
    province: Code | None
    agreement: Code | None
    effective_from: Moment
    terms: Annotated[tuple[Term, ...], Field(max_length=6)]
    ceilings: Annotated[tuple[Ceiling, ...], Field(max_length=2)]


class PolicyAdopted(Frozen):
    """A policy holds on this node from now on, besides those it adopted before."""

    policy: RetentionPolicy
    authority: Literal["central", "inspector"]
    author: Text
    reason: Text


# -- holds ----------------------------------------------------------------------------------------


class Hold(Frozen):
    """Nothing that the scope covers is disposed of until it is released.

    `session`: the footage owed to that session and its records; `person`: every session of that
    insured person, whoever collected; `span`: the cameras named (all, if none) between two
    moments; `pharmacy`: everything.
    """

    hold: Id
    scope: Literal["session", "person", "pharmacy", "span"]
    session: Id | None
    person_ref: Digest | None
    started_at: Moment | None
    ended_at: Moment | None
    cameras: Annotated[tuple[Code, ...], Field(max_length=16)]


class HoldPlaced(Frozen):
    hold: Hold
    authority: Literal["central", "inspector"]
    author: Text
    reason: Text


class HoldReleased(Frozen):
    hold: Id
    authority: Literal["central", "inspector"]
    author: Text
    reason: Text


# -- disposal -------------------------------------------------------------------------------------


class SegmentDisposed(Frozen):
    """A segment's file is gone, lawfully. `sequence` is the place of its `segment.sealed`."""

    segment: Id
    sequence: Count
    camera: Code
    scene_role: SceneRole
    started_at: Moment
    ended_at: Moment
    bytes: Count
    file_sha256: Digest
    owed_until: Moment


class FootageDisposed(Frozen):
    """One pass of disposal over one camera: how much went, and the latest promise it outlived."""

    camera: Code
    started_at: Moment
    ended_at: Moment
    segments: Count
    bytes: Count
    owed_until: Moment


class RecordsDisposed(Frozen):
    """The bytes of these records are gone, lawfully; their leaves stay in the log."""

    retention: RetentionSubject
    sequences: Annotated[tuple[Count, ...], Field(min_length=1, max_length=500)]
    owed_until: Moment


# -- alarms and breaches --------------------------------------------------------------------------


class AlarmRaised(Frozen):
    """Something that a person must see to; open until `alarm.cleared` names it."""

    alarm: Code
    subject: ShortText
    detail: Text
    since: Moment


class AlarmCleared(Frozen):
    alarm: Code
    subject: ShortText
    since: Moment


class RetentionBreach(Frozen):
    """A floor that cannot be met over a span: announced before it happens, recorded when it did,
    averted when it will not happen any more. `ended_at` is None while it lasts."""

    breach: Id
    stage: Literal["announced", "recorded", "averted"]
    camera: Code | None
    started_at: Moment
    ended_at: Moment | None
    cause: Literal["disk_full", "footage_missing", "footage_changed", "volume_missing"]
    detail: Text


# -- pictures, opening hours ----------------------------------------------------------------------


class ViewChanged(Frozen):
    """What a camera shows became unusable, or usable again; `value` against `limit`."""

    camera: Code
    scene_role: SceneRole
    condition: Literal["clear", "black", "frozen", "covered", "out_of_focus", "moved"]
    measure: Code
    value: Decimal
    limit: Decimal
    since: Moment


class OpeningAdopted(Frozen):
    """The weekly opening hours from now on, Monday first: `HH:MM-HH:MM`, local time, or `closed`
    or `open` (around the clock). Outside them silence is normal and a sale is a finding."""

    hours: Annotated[tuple[Code, ...], Field(min_length=7, max_length=7)]
    effective_from: Moment


class ClosureDeclared(Frozen):
    """A span in which the pharmacy is closed, said before it began."""

    closure: Id
    kind: Literal["closed", "power_off"]
    started_at: Moment
    ended_at: Moment
    author: Text
    reason: Text


class ClosureCancelled(Frozen):
    closure: Id
    author: Text
    reason: Text


# -- looking after what is kept -------------------------------------------------------------------


class ChallengeAnswered(Frozen):
    """Central asked for proof of holding; what this node could and could not show."""

    command: Id
    challenge: Id
    tree_size: Count
    samples: Count
    held: Count
    disposed: Count
    missing: Count


class FootageScrubbed(Frozen):
    """Every segment of a round was read again and compared with its record."""

    started_at: Moment
    ended_at: Moment
    segments: Count
    bytes: Count
    broken: Count


class VolumeAdopted(Frozen):
    """A disk became this node's: from now on its absence is known."""

    volume: Id
    name: Code


class IndexRebuilt(Frozen):
    """The index was made again from the files alone, after its database was lost."""

    previous_database: Id | None
    segments: Count
    bytes: Count
    first_started_at: Moment | None
    last_ended_at: Moment | None


class EvidenceExported(Frozen):
    """Evidence left the node in a file (invariant 10)."""

    export: Id
    session: Id | None
    started_at: Moment
    ended_at: Moment
    segments: Count
    records: Count
    manifest_sha256: Digest
    author: Text
    reason: Text
