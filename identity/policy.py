"""The identity policy: what a check of a person at the counter must fulfil, as one frozen tree.

A policy file is TOML; unknown keys are refused and every limit has a floor or a ceiling that a
file cannot pass. Numbers are decimals, never floats, so that the digest that a receipt names is
the digest of exactly these values. A threshold is never written here: it follows from a false
match rate and a calibration. Which file is in force, and who signed it: `identity.policy_files`.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from identity.errors import PolicyRefused
from retention.records.canonical import digest_of
from retention.records.clock import from_text
from retention.records.fields import Moment

_DEFAULT = Path(__file__).with_name("policies") / "counter-default.toml"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Band(_Part):
    """Amounts up to `up_to` (yuan; without it: any amount), and the false match rate accepted for
    a whole transaction, retries counted in."""

    up_to: Annotated[Decimal, Field(gt=0, le=Decimal("99999999.99"))] | None = None
    false_match_rate: Annotated[Decimal, Field(gt=0, le=Decimal("1e-3"))]


class Matching(_Part):
    """Below the thresholds of the bands: scores that reach the grey rate are INCONCLUSIVE, the rest
    MISMATCH. The best `frames` frames are fused. A stale reference needs `stale_false_match_rate`.
    """

    grey_false_match_rate: Annotated[Decimal, Field(gt=0, le=Decimal("1e-1"))]
    stale_false_match_rate: Annotated[Decimal, Field(gt=0, le=Decimal("1e-3"))]
    frames: Annotated[int, Field(ge=3, le=12)]


class TransactionLimits(_Part):
    """How often one person is looked at: `attempts` within `within_seconds`, of which at most
    `comparisons` may end in a comparison (each is one more chance for a stranger). `suspicions`
    suspected attacks within `suspicion_minutes` lock the face method of a credential."""

    attempts: Annotated[int, Field(ge=1, le=5)]
    within_seconds: Annotated[int, Field(ge=10, le=300)]
    comparisons: Annotated[int, Field(ge=1, le=3)]
    suspicions: Annotated[int, Field(ge=1, le=5)]
    suspicion_minutes: Annotated[int, Field(ge=1, le=60)]


SignalName = Literal[
    "camera", "replay", "likeness", "challenge", "motion", "planarity", "passive", "depth"
]


class AttemptLimits(_Part):
    """How long an attempt lasts, and how often it looks and embeds."""

    deadline_seconds: Annotated[Decimal, Field(ge=2, le=15)]
    minimum_seconds: Annotated[Decimal, Field(ge=1, le=10)]
    decide_within_seconds: Annotated[Decimal, Field(gt=0, le=10)]
    look_every_ms: Annotated[int, Field(ge=30, le=500)]
    embed_every_ms: Annotated[int, Field(ge=100, le=2000)]

    @model_validator(mode="after")
    def _minimum_fits(self) -> AttemptLimits:
        if self.minimum_seconds >= self.deadline_seconds:
            raise ValueError("minimum_seconds must be below deadline_seconds")
        return self


class Faces(_Part):
    """Which faces count when more than one is in view; sizes by the distance of the eyes."""

    comparable_size_ratio: Annotated[Decimal, Field(gt=0, le=Decimal("0.8"))]
    ignore_below_px: Annotated[Decimal, Field(ge=0, le=40)]
    # The marked zone: the share of the frame's width and height around its middle.
    zone_width: Annotated[Decimal, Field(ge=Decimal("0.3"), le=1)]
    zone_height: Annotated[Decimal, Field(ge=Decimal("0.3"), le=1)]


class QualityLimits(_Part):
    """The gate before a frame is embedded; units are those of identity.quality."""

    min_detection_score: Annotated[Decimal, Field(ge=Decimal("0.5"), le=1)]
    min_inter_eye_px: Annotated[Decimal, Field(ge=40, le=400)]
    picture_min_inter_eye_px: Annotated[Decimal, Field(ge=24, le=400)]
    max_yaw_degrees: Annotated[Decimal, Field(gt=0, le=30)]
    max_pitch_degrees: Annotated[Decimal, Field(gt=0, le=30)]
    max_roll_degrees: Annotated[Decimal, Field(gt=0, le=45)]
    min_sharpness: Annotated[Decimal, Field(ge=10)]
    min_brightness: Annotated[Decimal, Field(ge=20, le=120)]
    max_brightness: Annotated[Decimal, Field(ge=130, le=240)]
    max_clipped_share: Annotated[Decimal, Field(gt=0, le=Decimal("0.5"))]
    min_light_balance: Annotated[Decimal, Field(ge=Decimal("0.1"), le=1)]
    # Zero switches a covering check off: a site whose customers it sends away can do so.
    min_eyes_visible: Annotated[Decimal, Field(ge=0, le=Decimal("0.3"))]
    min_nose_visible: Annotated[Decimal, Field(ge=0, le=Decimal("0.3"))]
    min_mouth_visible: Annotated[Decimal, Field(ge=0, le=Decimal("0.3"))]
    min_inside_share: Annotated[Decimal, Field(ge=Decimal("0.8"), le=1)]
    max_size_share: Annotated[Decimal, Field(ge=Decimal("0.4"), le=1)]

    def for_pictures(self) -> QualityLimits:
        """Return the limits for picture files: a smaller face, which may fill the picture."""
        return self.model_copy(
            update={
                "min_inter_eye_px": self.picture_min_inter_eye_px,
                "max_size_share": Decimal("1.5"),
            }
        )


class LivenessLimits(_Part):
    """The set of signals. Every name in `required` must have passed; any signal that was assessed
    and failed speaks against a face. Lengths are shares of the eye distance."""

    required: Annotated[tuple[SignalName, ...], Field(min_length=1, max_length=8)]
    challenge: Literal["on_grey", "always", "never"]
    challenge_seconds: Annotated[Decimal, Field(ge=2, le=15)]
    challenge_turns: Annotated[int, Field(ge=1, le=4)]
    min_turn: Annotated[Decimal, Field(ge=Decimal("0.05"), le=Decimal("0.5"))]
    min_motion: Annotated[Decimal, Field(ge=Decimal("0.005"), le=1)]
    min_plane_residual: Annotated[Decimal, Field(ge=Decimal("0.008"), le=1)]
    min_sheet_residual: Annotated[Decimal, Field(ge=Decimal("0.006"), le=1)]
    min_live_probability: Annotated[Decimal, Field(ge=Decimal("0.1"), le=1)]
    # A turn made as asked outweighs a passive model that doubts, but not below this probability.
    passive_veto_below: Annotated[Decimal, Field(ge=0, le=Decimal("0.5"))]
    # A compared frame that is more alike to the reference picture than this is a copy of it.
    max_likeness: Annotated[Decimal, Field(ge=Decimal("0.85"), le=1)]

    @model_validator(mode="after")
    def _something_is_required(self) -> Self:
        if not {"planarity", "challenge", "depth"} & set(self.required):
            raise ValueError("required must name planarity, challenge or depth")
        return self


class ReferenceLimits(_Part):
    """From when on a reference is stale: it needs a stronger match and asks to be renewed."""

    stale_after_years: Annotated[int, Field(ge=1, le=20)]


class IdentityPolicy(_Part):
    """All that decides an attempt, apart from the model and its calibration."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,6}$")]
    effective_from: Moment
    bands: Annotated[tuple[Band, ...], Field(min_length=1, max_length=8)]
    matching: Matching
    transaction: TransactionLimits
    attempt: AttemptLimits
    faces: Faces
    quality: QualityLimits
    liveness: LivenessLimits
    reference: ReferenceLimits

    @model_validator(mode="after")
    def _begins_on_a_day_that_exists(self) -> Self:
        try:
            from_text(self.effective_from)
        except ValueError as exc:
            raise ValueError("effective_from: no such moment") from exc
        return self

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        limits = [band.up_to for band in self.bands]
        if limits[-1] is not None or None in limits[:-1]:
            raise ValueError("bands: the last one, and only it, has no up_to")
        amounts = [limit for limit in limits if limit is not None]
        if amounts != sorted(set(amounts)):
            raise ValueError("bands: up_to must rise")
        rates = [band.false_match_rate for band in self.bands]
        if rates != sorted(rates, reverse=True):
            raise ValueError("bands: false_match_rate must not rise with the amount")
        if self.matching.grey_false_match_rate < rates[0]:
            raise ValueError("matching.grey_false_match_rate must not be below that of a band")
        if self.matching.stale_false_match_rate > rates[-1]:
            raise ValueError("matching.stale_false_match_rate must not be above that of a band")
        return self

    @property
    def digest(self) -> str:
        """Return the SHA-256 over the canonical JSON of this policy, in hexadecimal."""
        return digest_of(self.model_dump(mode="json"))


def parse_policy(text: str, source: str) -> IdentityPolicy:
    """Read a policy from TOML text. Raises PolicyRefused naming source, key and what is allowed."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # too many digits or brackets are no TOML error
        raise PolicyRefused(source, f"not TOML: {exc}") from exc
    try:
        return IdentityPolicy.model_validate(values)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "policy"
        if first["type"] == "extra_forbidden":
            raise PolicyRefused(source, f"{key}: unknown key") from exc
        found = "" if isinstance(first["input"], dict) else f", found {first['input']!r}"
        raise PolicyRefused(source, f"{key}: {first['msg']}{found}") from exc


def load_policy(path: Path | None = None) -> IdentityPolicy:
    """Load a policy file, by default the one that ships. Raises PolicyRefused."""
    place = path if path is not None else _DEFAULT
    try:
        text = place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise PolicyRefused(str(place), f"cannot be read: {type(exc).__name__}") from exc
    return parse_policy(text, str(place))
