"""Footage of sessions at central, made without a node: real H.264 in real segment files, and rows.

Each picture carries its number in black and white blocks along its upper edge, so a test can read
off the screen which moment it shows. `prove` signs what was kept, as its node and central would.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from sqlalchemy import insert, select, update

from central.collector.receiving import file_of
from central.database import Database
from central.tables import (
    CheckpointRow,
    CommandRow,
    CommandSegment,
    Footage,
    Node,
    Session,
    table_of,
)
from retention.footage.layout import SegmentIdentity
from retention.records.canonical import canonical_bytes
from retention.records.checkpoint import (
    Checkpoint,
    Countersignature,
    SignedCheckpoint,
    SignedCountersignature,
)
from retention.records.clock import from_micros, to_text
from retention.records.merkle import chunk_root, inclusion_proof, leaf_hash, tree_root
from retention.records.payloads import SceneRole, SegmentSealed
from retention.records.signing import Context, Signer
from retention.terms.commands import FootageCommand, SignedCommand
from tests.golden import samples as g

BITS, SECOND = 16, 1_000_000
MUXER = {"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer"}


def clip(
    seconds: float,
    *,
    size: tuple[int, int] = (320, 180),
    fps: int = 25,
    gop: int = 50,
    bits_per_second: int | None = None,
) -> bytes:
    """Return fragmented MP4 as a recorder writes it, one fragment a GOP, media time from 0."""
    out, (width, height) = io.BytesIO(), size
    noise = np.random.default_rng(3).integers(0, 255, (height, width * 2, 3), dtype=np.uint8)
    options = {"g": str(gop), "preset": "ultrafast", "tune": "zerolatency", "bf": "0"}
    with av.open(out, "w", format="mp4", options=MUXER) as container:
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = bits_per_second or 200_000
        for number in range(round(seconds * fps)):
            shift = number * 4 % width
            pixels = np.full((height, width, 3), 90, np.uint8)
            # noise for a real bit rate; grey for tests, which look at the blocks only
            if bits_per_second:
                pixels[height // 2 :] = noise[height // 2 :, shift : shift + width]
            _mark(pixels, number)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return out.getvalue()


def _mark(pixels: np.ndarray, number: int) -> None:
    side = pixels.shape[1] // BITS
    for bit in range(BITS):
        white = number >> (BITS - 1 - bit) & 1
        pixels[:side, bit * side : (bit + 1) * side] = 255 if white else 0


READ_NUMBER = """(video) => {
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  pen.drawImage(video, 0, 0);
  const side = Math.floor(canvas.width / 16);
  let number = 0;
  for (let bit = 0; bit < 16; bit += 1) {
    const [red] = pen.getImageData(bit * side + side / 2, side / 2, 1, 1).data;
    number = number * 2 + (red > 128 ? 1 : 0);
  }
  return number;
}"""


@dataclass(frozen=True, slots=True)
class Film:
    """Puts footage of one session at central, as if its node had been asked for it."""

    database: Database
    root: Path
    node: str
    session: str

    @property
    def row(self):
        sessions = table_of(Session)
        with self.database.read() as connection:
            return connection.execute(
                select(sessions).where(
                    sessions.c.node == self.node, sessions.c.session == self.session
                )
            ).one()

    def asked(self, started_at: int, ended_at: int, outcome: str | None = "sent") -> str:
        """Write a command for a span, concluded with an outcome; return its id."""
        row, name = self.row, str(uuid.uuid4())
        command = FootageCommand(
            command=g.A, node=self.node, session=self.session,
            started_at=to_text(from_micros(started_at)), ended_at=to_text(from_micros(ended_at)),
            cameras=(), actor="test", reason="test", issued_at=to_text(from_micros(ended_at)),
            expires_at=to_text(from_micros(ended_at + 600 * SECOND)),
        )  # fmt: skip
        body = SignedCommand(command=command, signature=g.SIGNATURE).model_dump(mode="json")
        with self.database.write() as connection:
            connection.execute(
                insert(table_of(CommandRow)).values(
                    agency=row.agency, pharmacy=row.pharmacy, command=name, node=self.node,
                    session=self.session, actor="test", reason="test", body=canonical_bytes(body),
                    issued_at=ended_at, expires_at=ended_at + 600 * SECOND, outcome=outcome,
                    concluded_at=None if outcome is None else ended_at + SECOND,
                )
            )  # fmt: skip
        return name

    def keep(
        self,
        command: str,
        camera: str,
        role: str,
        started_at: int,
        raw: bytes,
        seconds: float,
        *,
        state: str = "accepted",
    ) -> str:
        """Write a segment's file and rows; return its id."""
        row, segment = self.row, str(uuid.uuid4())
        started = to_text(from_micros(started_at))
        identity = SegmentIdentity(
            agency=row.agency, pharmacy=row.pharmacy, node=self.node, camera=camera,
            scene_role=SceneRole(role), run=g.A, ordinal=0, segment=g.A, started_at=started,
            codec="h264",
        )  # fmt: skip
        head = int.from_bytes(raw[:4], "big")
        raw = raw[:head] + identity.to_box() + raw[head:]
        path = file_of(self.root, self.node, segment)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        ended_at = started_at + round(seconds * SECOND)
        sample = next(one for one in g.SAMPLES if isinstance(one, SegmentSealed))
        sealed = sample.model_copy(
            update={
                "segment": segment, "bytes": len(raw), "chunk_root": chunk_root(raw).hex(),
                "file_sha256": hashlib.sha256(raw).hexdigest(),
                "camera": camera, "scene_role": SceneRole(role), "started_at": started,
                "ended_at": to_text(from_micros(ended_at)), "codec": "h264",
            }
        )  # fmt: skip
        tenant = {"agency": row.agency, "pharmacy": row.pharmacy, "node": self.node}
        with self.database.write() as connection:
            connection.execute(
                insert(table_of(Footage)).values(
                    **tenant, segment=segment, camera=camera, scene_role=role,
                    started_at=started_at, ended_at=ended_at, sequence=0, tree_size=1,
                    size_bytes=len(raw), file_sha256=hashlib.sha256(raw).hexdigest(),
                    chunk_root=sealed.chunk_root, record=g.record_of(sealed, 0).to_bytes(),
                    proof=b"",
                    state=state, path=str(path.relative_to(self.root)), concluded_at=ended_at,
                )
            )  # fmt: skip
            connection.execute(
                insert(table_of(CommandSegment)).values(
                    **tenant, command=command, segment=segment, ordinal=0
                )
            )
        return segment

    def prove(self, node_signer: Signer, central_signer: Signer) -> None:
        """Make a tree of the segments kept so far and a checkpoint of it that both signed."""
        footage, nodes, row = table_of(Footage), table_of(Node), self.row
        tenant = {"agency": row.agency, "pharmacy": row.pharmacy, "node": self.node}
        with self.database.write() as connection:
            kept = connection.execute(select(footage).where(footage.c.node == self.node)).all()
            leaves = [leaf_hash(one.record) for one in kept]
            size, root = len(kept), tree_root(leaves)
            for number, one in enumerate(kept):
                proof = b"".join(inclusion_proof(leaves, number, size))
                values = {"sequence": number, "tree_size": size, "proof": proof}
                connection.execute(
                    update(footage).where(footage.c.segment == one.segment).values(**values)
                )
            seen = row.opened_at
            checkpoint = Checkpoint(
                **tenant, tree_size=size, root_hash=root.hex(), sent_count=0, digest="sha-256",
                occurred_at=to_text(from_micros(seen)),
            )  # fmt: skip
            signature = node_signer.sign(Context.CHECKPOINT, checkpoint)
            statement = Countersignature(
                node=self.node, tree_size=size, root_hash=root.hex(),
                seen_at=to_text(from_micros(seen)),
            )  # fmt: skip
            counter = central_signer.sign(Context.COUNTERSIGNATURE, statement)
            body = SignedCheckpoint(checkpoint=checkpoint, signature=signature)
            countersigned = SignedCountersignature(countersignature=statement, signature=counter)
            connection.execute(
                insert(table_of(CheckpointRow)).values(
                    **tenant, tree_size=size, previous_size=0, sent_count=0, root_hash=root,
                    leaves=b"".join(leaves), seen_at=seen,
                    body=canonical_bytes(body.model_dump(mode="json")),
                    countersigned=canonical_bytes(countersigned.model_dump(mode="json")),
                )
            )  # fmt: skip
            key = {"signing_key": node_signer.public_key.hex()}
            connection.execute(update(nodes).where(nodes.c.node == self.node).values(**key))
