"""A node that keeps things: small real segment files, sessions, and a clock that can go wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.disposal import Disposed, dispose_due
from retention.footage.layout import SegmentIdentity
from retention.footage.sink import fingerprint_of
from retention.footage.volumes import Volumes
from retention.record_disposal import RecordsGone, dispose_records
from retention.records import payloads as p
from retention.records.checkpoint import Countersignature, SignedCountersignature
from retention.records.clock import ClockState, ManualClock, to_text
from retention.records.envelope import Record
from retention.records.fields import Frozen
from retention.records.ids import SeededIds
from retention.records.keeping import Hold, HoldPlaced, PolicyAdopted, RetentionPolicy, Term
from retention.records.signing import Context, Ed25519Signer
from retention.store import footage, holds, policies, sessions, trusted, uplink
from retention.store.database import NodeStore
from retention.store.log import append

NODE, CENTRAL = (
    Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)) for number in (1, 2)
)
FTYP = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")
ROLE = p.SceneRole.PURCHASE
DAY = timedelta(days=1)


class RealClock(ManualClock):
    """A manual clock whose machine can be switched off, and whose wall clock can be wrong."""

    def __init__(self, now: datetime) -> None:
        super().__init__(now)
        self._boots = 0
        self.real = now

    def boot_id(self) -> str:
        return f"00000000-0000-4000-8000-{self._boots:012d}"

    def advance(self, by: timedelta) -> None:
        super().advance(by)
        self.real += by

    def reboot(self, after: timedelta = timedelta(0), wall: datetime | None = None) -> None:
        """Be off for `after`, and come up with what the battery's clock says."""
        self.real += after
        self._boots += 1
        self._monotonic_ns = 1_000_000_000
        self._state = ClockState.STEADY
        self._now = self.real if wall is None else wall

    def correct(self) -> None:
        """Let a time server set the wall clock right."""
        if self._now != self.real:
            self.jump(self.real - self._now)


@dataclass
class Node:
    """A node's store and its disk; every method does what a process of the node would do."""

    store: NodeStore
    root: Path
    clock: ManualClock
    central: bool = False
    ids: SeededIds = field(default_factory=lambda: SeededIds(99))
    runs: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.volumes = Volumes(self.store, {"main": self.root}, ("main",))
        self.volumes.open()

    # -- making things ----------------------------------------------------------------------------

    def record(self, payload: Frozen) -> Record:
        with self.store.write() as connection:
            return append(self.store, connection, payload)

    def seal(
        self, camera: str = "counter-1", at: datetime | None = None, size: int = 400
    ) -> footage.SegmentRow:
        """Seal a minute of footage that ends now, or began at `at`, with a file that says so."""
        started = self.clock.now() - timedelta(minutes=1) if at is None else at
        run, ordinal = self._place_in_run(camera, started)
        identity = SegmentIdentity(
            agency=self.store.identity.agency,
            pharmacy=self.store.identity.pharmacy,
            node=self.store.identity.node,
            camera=camera,
            scene_role=ROLE,
            run=run,
            ordinal=ordinal,
            segment=self.store.ids.new(),
            started_at=to_text(started),
            codec="h264",
        )
        file = self.root / identity.path()
        file.parent.mkdir(parents=True, exist_ok=True)
        content = FTYP + identity.to_box()
        file.write_bytes(content + struct.pack(">I4s", size, b"free") + bytes(size - 8))
        found = fingerprint_of(file)
        sealed = p.SegmentSealed(
            segment=identity.segment,
            camera=camera,
            scene_role=ROLE,
            run=run,
            ordinal=ordinal,
            started_at=identity.started_at,
            ended_at=to_text(started + timedelta(minutes=1)),
            duration_ms=60_000,
            bytes=file.stat().st_size,
            codec="h264",
            file_sha256=found.file_sha256(),
            chunk_root=found.chunk_root(),
            recovered=False,
            truncated_bytes=0,
        )
        with self.store.write() as connection:
            footage.insert_segment(self.store, connection, sealed, identity.path())
            row = footage.segment_by_id(connection, identity.segment)
        assert row is not None
        return row

    def _place_in_run(self, camera: str, started: datetime) -> tuple[str, int]:
        if camera not in self.runs:
            self.runs[camera] = (self.store.ids.new(), 0)
            run = p.RunStarted(
                run=self.runs[camera][0],
                camera=camera,
                scene_role=ROLE,
                codec="h264",
                width=16,
                height=16,
                started_at=to_text(started),
            )
            with self.store.write() as connection:
                footage.insert_run(self.store, connection, run)
        run_id, ordinal = self.runs[camera]
        self.runs[camera] = (run_id, ordinal + 1)
        return run_id, ordinal

    def serve(
        self, person: str = "a" * 64, purchaser: str | None = None, closed: bool = True
    ) -> str:
        """Serve one customer now; returns the session."""
        session, now = self.store.ids.new(), self.clock.now()
        claim = p.Claim(
            person_ref=person, display_name="张*", mdtrt_cert_type="02", insuplc_admdvs="430100"
        )
        said: list[Frozen] = [
            p.SessionOpened(
                session=session,
                terminal=self.ids.new(),
                operator="op",
                claim=claim,
                claim_digest="d" * 64,
            )
        ]
        if purchaser is not None:
            said.append(
                p.ProxyDeclared(
                    session=session,
                    purchaser_ref=purchaser,
                    purchaser_display_name="李*",
                    purchaser_cert_type="01",
                    relation="child",
                    reason="r",
                    patient_signature_sha256="1" * 64,
                    purchaser_signature_sha256="2" * 64,
                )
            )
        if closed:
            said.append(
                p.SessionClosed(
                    session=session,
                    outcome="settled",
                    opened_at=to_text(now),
                    closed_at=to_text(now),
                )
            )
        with self.store.write() as connection:
            sessions.insert_session(connection, session, "c1", now)
            for payload in said:
                append(self.store, connection, payload)
            if closed:
                sessions.mark_closed(connection, session, now)
        return session

    # -- time, promises, central ------------------------------------------------------------------

    def advance(self, by: timedelta = timedelta(0)) -> None:
        """Let time pass, with the custodian looking after an hour and then every ten days."""
        longest = timedelta(hours=1)
        while by > timedelta(0):
            part, longest = min(by, longest), 10 * DAY
            self.clock.advance(part)
            by -= part
            self.tick()
        self.tick()

    def tick(self) -> None:
        with self.store.write() as connection:
            seen = trusted.newest_seen_at(connection)
            if seen is not None or not self.central:
                trusted.advance(self.store, connection, seen)

    def hear_central(self, at: datetime | None = None) -> None:
        """Let central acknowledge and countersign all there is, by its own clock."""
        self.ask_central()(self.clock.now() if at is None else at)

    def ask_central(self) -> Callable[[datetime], None]:
        """Make a checkpoint of all there is; returns how central countersigns it, later."""
        with self.store.write() as connection:
            signed = uplink.make_checkpoint(self.store, connection, NODE)

        def answer(at: datetime) -> None:
            said = Countersignature(
                node=self.store.identity.node,
                tree_size=signed.checkpoint.tree_size,
                root_hash=signed.checkpoint.root_hash,
                seen_at=to_text(at),
            )
            countersigned = SignedCountersignature(
                countersignature=said, signature=CENTRAL.sign(Context.COUNTERSIGNATURE, said)
            )
            with self.store.write() as connection:
                uplink.keep_countersignature(connection, countersigned)
                uplink.note_acked(connection, signed.checkpoint.sent_count)

        return answer

    def hold(self, scope: str, **said: object) -> str:
        """Place a hold and return its id."""
        hold = self.store.ids.new()
        nothing = dict.fromkeys(("session", "person_ref", "started_at", "ended_at"))
        body = Hold.model_validate({**nothing, "hold": hold, "scope": scope, "cameras": (), **said})
        placed = HoldPlaced(hold=body, authority="inspector", author="i", reason="case")
        with self.store.write() as connection:
            assert holds.place(self.store, connection, placed)
        return hold

    def promise(self, years: int, version: int = 1, subject: str = "footage") -> None:
        """Adopt a policy that is in force from now on."""
        policy = RetentionPolicy(
            policy="p",
            version=version,
            province=None,
            agreement=None,
            effective_from=to_text(self.clock.now()),
            terms=(Term.model_validate({"subject": subject, "years": years, "days": 0}),),
            ceilings=(),
        )
        adopted = PolicyAdopted(policy=policy, authority="central", author="a", reason="r")
        with self.store.write() as connection:
            assert policies.adopt(self.store, connection, adopted)

    # -- looking ----------------------------------------------------------------------------------

    def dispose(self, limit: int = 10_000) -> Disposed:
        self.tick()
        return dispose_due(self.store, self.volumes, limit, lambda: None, central=self.central)

    def dispose_records(self, limit: int = 10_000) -> RecordsGone:
        self.tick()
        return dispose_records(self.store, limit, lambda: None, central=self.central)

    def segments(self) -> list[str]:
        with self.store.read() as connection:
            return [row.id for row in footage.segments_in_log_order(connection)]

    def files(self) -> list[str]:
        return sorted(str(file.relative_to(self.root)) for file in self.root.rglob("*.mp4"))

    def kinds(self, *, kept: bool = True) -> list[str]:
        """Return the kinds of the records that still say something (or no longer do)."""
        with self.store.read() as connection:
            rows = connection.execute(
                "SELECT kind FROM log WHERE (length(bytes) > 0) = ? ORDER BY sequence", (kept,)
            )
            return [row[0] for row in rows]

    def payloads(self, kind: str) -> list[dict[str, object]]:
        with self.store.read() as connection:
            rows = connection.execute(
                "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log"
                " WHERE kind = ? AND length(bytes) > 0 ORDER BY sequence",
                (kind,),
            ).fetchall()
        from retention.store.log import StoredRecord

        return [StoredRecord(*row).parse().payload for row in rows]

    def incidents(self) -> set[tuple[str, str]]:
        with self.store.read() as connection:
            rows = connection.execute("SELECT incident, subject FROM incidents")
            return {(row[0], row[1]) for row in rows}

    def forge(self, sql: str, *values: object) -> None:
        """Write to the database past every rule."""
        with self.store.write() as connection:
            connection.execute(sql, values)
