"""A node with footage, a session, a gap and a central that countersigns: enough to export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.export.build import Made, Wanted, export
from retention.export.selection import Span
from retention.footage.volumes import Volumes
from retention.records.checkpoint import Countersignature, SignedCountersignature
from retention.records.clock import ManualClock, from_text, to_micros, to_text
from retention.records.payloads import GapCause, SceneRole, SegmentSealed
from retention.records.signing import Context, Ed25519Signer
from retention.store import footage, uplink
from retention.store.database import NodeStore
from retention.store.log import append
from retention.store.sessions import insert_session, mark_closed
from tests.golden.samples import SAMPLES
from tests.retention.footage.conftest import Camera, Clip, clip

__all__ = ["clip"]
ROLLS = (2_000_000, 2_000_000)
DAY = timedelta(days=1)


def signer_of(seed: int) -> Ed25519Signer:
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def quiet(_what: str, _done: int, _whole: int) -> None:
    pass


@dataclass
class Node:
    """What a node would have, made by hand on the test's clock."""

    store: NodeStore
    clock: ManualClock
    folder: Path
    camera: Camera
    signer: Ed25519Signer = field(default_factory=lambda: signer_of(1))
    central: Ed25519Signer = field(default_factory=lambda: signer_of(2))
    sealed: list[SegmentSealed] = field(default_factory=list)
    session: str = ""
    reason: str = "案件 12"

    @property
    def root(self) -> Path:
        return self.camera.root

    def volumes(self) -> Volumes:
        return Volumes(self.store, {"main": self.root}, made_by_us=["main"])

    def record(self, count: int = 1) -> None:
        for _ in range(count):
            self.sealed.append(self.camera.record())
            self.clock.advance(timedelta(seconds=4))

    def gap(self, seconds: float) -> None:
        """A gap row, while the camera's run ends."""
        with self.store.write() as connection:
            start = to_micros(self.clock.now())
            footage.open_gap(
                self.store, connection, self.camera.name, SceneRole.PURCHASE, start,
                GapCause.CAMERA_UNREACHABLE,
            )  # fmt: skip
            self.clock.advance(timedelta(seconds=seconds))
            footage.close_gap(self.store, connection, self.camera.name, to_micros(self.clock.now()))
        self.camera.run, self.camera.ordinal = "", 0

    def sell(self) -> str:
        """A session with the steps of the golden samples, all under one id."""
        self.session = self.store.ids.new()
        opened = self.clock.now()
        with self.store.write() as connection:
            insert_session(connection, self.session, "counter-1", opened)
            for name in ("SessionOpened", "BasketSet", "SessionClosed"):
                sample = next(one for one in SAMPLES if type(one).__name__ == name)
                append(
                    self.store, connection, sample.model_copy(update={"session": self.session}),
                    counter="counter-1",
                )  # fmt: skip
            mark_closed(connection, self.session, opened + timedelta(seconds=2))
        return self.session

    def countersign(self, seen_at: datetime | None = None) -> None:
        """Central saw the log as it is now, by its own clock."""
        with self.store.write() as connection:
            said = uplink.make_checkpoint(self.store, connection, self.signer).checkpoint
            seen = Countersignature(
                node=said.node,
                tree_size=said.tree_size,
                root_hash=said.root_hash,
                seen_at=to_text(seen_at or self.clock.now()),
            )
            signature = self.central.sign(Context.COUNTERSIGNATURE, seen)
            uplink.keep_countersignature(
                connection, SignedCountersignature(countersignature=seen, signature=signature)
            )

    def span(self, session: str | None = None) -> Span:
        """From the first footage until now."""
        began = to_micros(from_text(self.sealed[0].started_at))
        return Span(session, began, to_micros(self.clock.now()), (self.camera.name,))

    def export(
        self,
        span: Span | None = None,
        *,
        name: str = "out.zip",
        with_central: bool = True,
        beat: Callable[[str, int, int], None] = quiet,
    ) -> Made:
        wanted = Wanted(span or self.span(), "inspector-1", self.reason, self.folder / name, ROLLS)
        key = self.central.public_key if with_central else None
        return export(self.store, self.volumes(), self.signer, key, wanted, beat)


@pytest.fixture
def node(store: NodeStore, clock: ManualClock, tmp_path: Path, clip: Clip) -> Node:
    made = Node(store, clock, tmp_path, Camera(store, tmp_path / "footage", clip))
    made.volumes().open()
    made.record(2)
    made.sell()
    made.countersign()
    made.gap(30)
    made.record(2)
    made.countersign()
    return made
