"""The identity policy: what one attempt at the counter must fulfil, as one frozen tree.

A policy file is TOML; unknown keys are refused and every limit has a floor or a ceiling that a
file cannot pass. Numbers are decimals, never floats, so that the digest that a receipt names is
the digest of exactly these values.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from identity.errors import PolicyRefused
from retention.records.canonical import digest_of

_DEFAULT = Path(__file__).with_name("policies") / "counter-default.toml"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Matching(_Part):
    """The accepted false match rates of a single comparison, and the frames that are averaged."""

    false_match_rate: Annotated[Decimal, Field(gt=0, le=Decimal("1e-3"))]
    grey_false_match_rate: Annotated[Decimal, Field(gt=0, le=Decimal("1e-1"))]
    frames: Annotated[int, Field(ge=3, le=12)]

    @model_validator(mode="after")
    def _grey_is_looser(self) -> Matching:
        if self.grey_false_match_rate < self.false_match_rate:
            raise ValueError("grey_false_match_rate must not be below false_match_rate")
        return self


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


class QualityLimits(_Part):
    """The gate before a frame is embedded; units are those of identity.quality."""

    min_detection_score: Annotated[Decimal, Field(ge=Decimal("0.5"), le=1)]
    min_inter_eye_px: Annotated[Decimal, Field(ge=40, le=400)]
    picture_min_inter_eye_px: Annotated[Decimal, Field(ge=24, le=400)]
    max_yaw_degrees: Annotated[Decimal, Field(gt=0, le=30)]
    max_pitch_degrees: Annotated[Decimal, Field(gt=0, le=30)]
    min_sharpness: Annotated[Decimal, Field(ge=10)]
    min_brightness: Annotated[Decimal, Field(ge=20, le=120)]
    max_brightness: Annotated[Decimal, Field(ge=130, le=240)]
    min_inside_share: Annotated[Decimal, Field(ge=Decimal("0.8"), le=1)]

    def for_pictures(self) -> QualityLimits:
        """Return the limits for picture files, where faces may be smaller than at the counter."""
        return self.model_copy(update={"min_inter_eye_px": self.picture_min_inter_eye_px})


class LivenessLimits(_Part):
    """The least motion, and the least motion that no plane explains; shares of the eye distance."""

    min_motion: Annotated[Decimal, Field(ge=Decimal("0.005"), le=1)]
    min_plane_residual: Annotated[Decimal, Field(ge=Decimal("0.008"), le=1)]


class IdentityPolicy(_Part):
    """All that decides an attempt, apart from the model and its calibration."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,6}$")]
    matching: Matching
    attempt: AttemptLimits
    faces: Faces
    quality: QualityLimits
    liveness: LivenessLimits

    @property
    def digest(self) -> str:
        """Return the SHA-256 over the canonical JSON of this policy, in hexadecimal."""
        return digest_of(self.model_dump(mode="json"))


def parse_policy(text: str, source: str) -> IdentityPolicy:
    """Read a policy from TOML text. Raises PolicyRefused naming source, key and what is allowed."""
    try:
        return IdentityPolicy.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise PolicyRefused(source, f"not TOML: {exc}") from exc
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
