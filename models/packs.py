"""Packs: detection and recognition files that insightface reads, named by a TOML manifest.

A pack is given as a folder of ONNX files and a manifest that says what each is, with its digest,
its licence and its input. An installed pack is `packs/NAME` in the models folder: the same files
and the same manifest. Unknown keys are refused, and no path leaves the pack's folder.

    name = "my-pack"
    licence = "the licence of the weights, in words"
    commercial_use = false
    training_data = "what the publisher states"

    [[models]]
    role = "detection"                  # SCRFD with five landmarks
    file = "det.onnx"
    sha256 = "..."
    input_size = 640

    [[models]]
    role = "embedding"                  # ArcFace: RGB, (value - mean) / std, aligned
    file = "rec.onnx"
    sha256 = "..."
    input_size = 112
    mean = "127.5"
    std = "127.5"
    dimensions = 512
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import ModelSourceUnusable
from models.manifest import (
    ALIGNMENT,
    KNOWN,
    YUNET,
    InputContract,
    Licence,
    ModelManifest,
    embedding_contract,
)

PACKS = "packs"
PACK_MANIFEST = "manifest.toml"
_LARGEST_MANIFEST_BYTES = 64 * 2**10
_SCRFD_MEAN, _SCRFD_STD = "127.5", "128"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,90}\.onnx$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Words = Annotated[str, Field(min_length=1, max_length=400)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PackModel(_Part):
    """One file of a pack. Sizes in pixels; `mean` and `std` in units of 0..255."""

    role: Literal["detection", "embedding"]
    file: FileName
    sha256: Digest
    input_size: Annotated[int, Field(ge=96, le=1920, multiple_of=16)]
    mean: Annotated[Decimal, Field(ge=0, le=255, decimal_places=6)] | None = None
    std: Annotated[Decimal, Field(gt=0, le=255, decimal_places=6)] | None = None
    dimensions: Annotated[int, Field(ge=32, le=4096)] | None = None

    @model_validator(mode="after")
    def _says_what_its_role_needs(self) -> Self:
        said = (self.mean is not None, self.std is not None, self.dimensions is not None)
        if self.role == "embedding" and not all(said):
            raise ValueError("an embedding model needs mean, std and dimensions")
        if self.role == "detection" and any(said):
            raise ValueError("a detection model has no mean, std or dimensions of its own")
        if self.role == "embedding" and self.input_size != 112:
            raise ValueError("an embedding model takes faces aligned to 112 pixels")
        return self


class Pack(_Part):
    """A pack's manifest."""

    name: Name
    licence: Words
    commercial_use: bool
    training_data: Words
    models: Annotated[tuple[PackModel, ...], Field(min_length=1, max_length=2)]

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.name in {"default", *(known.name for known in KNOWN)}:
            raise ValueError("name: it means another model")
        if len({model.role for model in self.models}) != len(self.models):
            raise ValueError("models: at most one of each role")
        if len({model.file for model in self.models}) != len(self.models):
            raise ValueError("models: a file occurs twice")
        return self

    def manifests(self) -> tuple[ModelManifest, ...]:
        """Return a manifest for each model, with file names relative to the models folder.

        An embedding model's contract is under the default detector until it is chosen
        (`models.active`).
        """
        return tuple(self._manifest(model) for model in self.models)

    def _manifest(self, model: PackModel) -> ModelManifest:
        detection = model.role == "detection"
        taken = _scrfd_input(model) if detection else _arcface_input(model)
        contract = None
        if not detection:
            contract = embedding_contract(model.sha256, taken, model.dimensions or 0, YUNET)
        return ModelManifest(
            name=f"{self.name}.{model.role}",
            role=model.role,
            file_name=f"{PACKS}/{self.name}/{model.file}",
            source=f"pack {self.name}",
            source_member=model.file,
            source_sha256=model.sha256,
            prepared_sha256=model.sha256,
            input_name="",
            input=taken,
            output="boxes, five landmarks and scores, per stride"
            if detection
            else f"{model.dimensions} values, made a unit vector",
            licence=Licence(self.licence, self.commercial_use),
            training_data=self.training_data,
            contract=contract,
            pack=self.name,
        )


def _scrfd_input(model: PackModel) -> InputContract:
    framing = "whole picture, fitted (SCRFD of insightface)"
    return InputContract(model.input_size, "RGB", (_SCRFD_MEAN,), (_SCRFD_STD,), framing)


def _arcface_input(model: PackModel) -> InputContract:
    return InputContract(
        model.input_size, "RGB", (f"{model.mean:f}",), (f"{model.std:f}",), ALIGNMENT
    )


def parse_pack(content: bytes, source: str) -> Pack:
    """Read a pack's manifest. Raises ModelSourceUnusable naming the key."""
    if len(content) > _LARGEST_MANIFEST_BYTES:
        raise ModelSourceUnusable(source, "the manifest is larger than allowed")
    try:
        return Pack.model_validate(tomllib.loads(content.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as exc:
        raise ModelSourceUnusable(source, f"the manifest is not TOML: {exc}") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ModelSourceUnusable(source, f"{key}: {first['msg']}") from exc


def installed_packs(folder: Path) -> list[Pack]:
    """Return the packs in a models folder, by name. Raises ModelSourceUnusable."""
    return [read_pack(path.parent) for path in sorted((folder / PACKS).glob(f"*/{PACK_MANIFEST}"))]


def read_pack(place: Path) -> Pack:
    """Read an installed pack. Raises ModelSourceUnusable."""
    path = place / PACK_MANIFEST
    try:
        pack = parse_pack(path.read_bytes(), str(path))
    except OSError as exc:
        raise ModelSourceUnusable(str(path), exc.strerror or "it cannot be read") from exc
    if pack.name != place.name:
        raise ModelSourceUnusable(str(path), f"it names the pack {pack.name}")
    return pack
