"""Real fragmented MP4, made once: a head and four fragments of one GOP each."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import av
import numpy as np
import pytest

from retention.footage.layout import SegmentIdentity
from retention.footage.sink import SegmentSink, seal
from retention.records.clock import to_text
from retention.records.payloads import RunStarted, SceneRole, SegmentSealed
from retention.store import footage
from retention.store.database import NodeStore

GOP_PICTURES, PICTURES_PER_SECOND, GOPS = 5, 5, 4


class _Pipe:
    def __init__(self) -> None:
        self.raw = bytearray()

    def write(self, raw: bytes) -> int:
        self.raw += raw
        return len(raw)

    def tell(self) -> int:
        return len(self.raw)


@dataclass(frozen=True)
class Clip:
    """`head` is ftyp and moov; each fragment is one moof and mdat of a second."""

    head: bytes
    fragments: tuple[bytes, ...]


@pytest.fixture(scope="session")
def clip() -> Clip:
    pipe, random = _Pipe(), np.random.default_rng(1)
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer"}
    with av.open(pipe, "w", format="mp4", options=options) as container:
        stream = container.add_stream(
            "libx264",
            rate=PICTURES_PER_SECOND,
            options={"g": str(GOP_PICTURES), "preset": "ultrafast", "tune": "zerolatency"},
        )
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(GOPS * GOP_PICTURES):
            pixels = random.integers(0, 255, (120, 160, 3), dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    boxes, at = [], 0
    while at < len(pipe.raw):
        (size,) = struct.unpack_from(">I", pipe.raw, at)
        boxes.append(bytes(pipe.raw[at : at + size]))
        at += size
    head = boxes[0] + boxes[1]
    return Clip(head, tuple(a + b for a, b in zip(boxes[2::2], boxes[3::2], strict=True)))


@pytest.fixture
def pictures_in() -> Callable[[Path], int]:
    """Decode a file to its end and count the pictures; a broken one raises."""

    def count(path: Path) -> int:
        with av.open(io.BytesIO(path.read_bytes())) as container:
            return sum(1 for _ in container.decode(video=0))

    return count


@dataclass
class Camera:
    """Writes segments as a recorder does, without a camera."""

    store: NodeStore
    root: Path
    clip: Clip
    name: str = "counter-1"
    run: str = ""
    ordinal: int = 0

    def begin_run(self) -> None:
        self.run, self.ordinal = self.store.ids.new(), 0
        with self.store.write() as connection:
            footage.insert_run(
                self.store,
                connection,
                RunStarted(
                    run=self.run,
                    camera=self.name,
                    scene_role=SceneRole.PURCHASE,
                    codec="h264",
                    width=160,
                    height=120,
                    started_at=to_text(self.store.clock.now()),
                ),
            )

    def identity(self) -> SegmentIdentity:
        node = self.store.identity
        return SegmentIdentity(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            camera=self.name,
            scene_role=SceneRole.PURCHASE,
            run=self.run,
            ordinal=self.ordinal,
            segment=self.store.ids.new(),
            started_at=to_text(self.store.clock.now()),
            codec="h264",
        )

    def open_segment(self, fragments: int = GOPS) -> SegmentSink:
        """Write a head and some fragments, each made durable; leave it open."""
        if not self.run:
            self.begin_run()
        sink = SegmentSink(self.root, self.identity())
        self.ordinal += 1
        sink.write(self.clip.head)
        for fragment in self.clip.fragments[:fragments]:
            sink.write(fragment)
            sink.sync()
        return sink

    def record(self) -> SegmentSealed:
        """Write and seal one whole segment."""
        sink = self.open_segment()
        ended_at = self.store.clock.now() + timedelta(seconds=GOPS)
        return seal(self.store, self.root, sink.finish(ended_at))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "footage"


@pytest.fixture
def camera(store: NodeStore, root: Path, clip: Clip) -> Camera:
    return Camera(store, root, clip)
