"""What a recorder does to disk and database: runs, segments, gaps. One object for its lifetime.

A gap begins where the footage that the database knows ends, so it can be opened late (a full
disk) without losing a second. Whatever ends a run, the camera is then in an open gap until the
next run begins.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import structlog
from av.packet import Packet
from av.video.stream import VideoStream

from edge.recorder.footage_end import FootageEnd
from edge.recorder.parameters import (
    LENGTH_PREFIXED,
    LOOKED_AT_BYTES,
    FormatChanged,
    parameter_set,
)
from edge.recorder.places import Places
from edge.recorder.segmenter import Segmenter, Step
from edge.recorder.watchdog import Watchdog
from edge.recorder.writer import SegmentWriter
from hardware.packets import PacketSource, ReceivedPacket
from retention.footage.layout import SegmentIdentity
from retention.footage.recovery import Recovered
from retention.footage.sink import SegmentSink, seal
from retention.footage.summary import summarise_due
from retention.footage.volume import Volume
from retention.footage.volumes import Volumes
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.payloads import ClockJumped, GapCause, RunStarted, SceneRole
from retention.store import footage
from retention.store.database import NodeStore
from retention.store.log import append

log = structlog.get_logger()


class Recording:
    """Writes the footage of one camera. The caller holds the camera's lock."""

    def __init__(
        self,
        store: NodeStore,
        volumes: Volumes,
        camera: str,
        scene_role: SceneRole,
        *,
        segment_seconds: float,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._beat = store, beat
        self._places = Places(store, volumes, camera, beat)
        self._volume: Volume | None = None
        self._camera, self._scene_role = camera, scene_role
        self._segment_seconds = segment_seconds
        self._watchdog = Watchdog(store, camera, segment_seconds)
        self._end = FootageEnd(store, camera, scene_role)
        self._source: PacketSource | None = None
        self._segmenter: Segmenter | None = None
        self._writer: SegmentWriter | None = None
        self._run, self._ordinal = "", 0
        self._codec = ""
        self._parameters: bytes | None = None
        self._summary_due_us = 0

    @property
    def recording(self) -> bool:
        """Tell whether a segment is open that has footage on the disk."""
        return self._writer is not None and self._writer.sink.durable

    @property
    def run(self) -> str:
        """Return the id of the run that is open, or was last; empty before the first."""
        return self._run

    # -- between connections ----------------------------------------------------------------------

    def recover(self) -> Recovered:
        """Check the volumes, bring files and rows into agreement, and see that there is room.

        Raises VolumeRefused, OSError, StoreError, DirectorySyncFailed.
        """
        found = self._places.recover()
        if found.sealed or found.adopted:
            self._end.recovered()
        if found.sealed or found.adopted or found.incidents:
            log.info(
                "footage_recovered",
                camera=self._camera,
                sealed=found.sealed,
                adopted=found.adopted,
                truncated_bytes=found.truncated_bytes,
                incidents=found.incidents,
            )
        return found

    def close(self) -> None:
        """Give up what is held on the volumes."""
        self._places.close()

    def note_unexplained_end(self) -> None:
        """At start: footage that ends without a gap means that the last recorder crashed."""
        with self._store.write() as connection:
            self._end.open_gap_after_crash(connection)

    def open_gap(self, cause: GapCause) -> None:
        """Say that there is no footage from the end of the last one on."""
        with self._store.write() as connection:
            self._end.open_gap(connection, cause)

    def summarise(self) -> None:
        """Write the coverage of every full hour that is over; cheap when none is."""
        if to_micros(self._store.clock.now()) < self._summary_due_us:
            return
        with self._store.write() as connection:
            self._summary_due_us = summarise_due(
                self._store, connection, self._camera, self._scene_role
            )

    # -- one connection ---------------------------------------------------------------------------

    def connected(self, source: PacketSource) -> Fraction:
        """Take packets from this source from now on; returns its seconds a tick."""
        time_base = source.stream.time_base
        if time_base is None:
            raise ValueError("the camera's stream has no time base")
        self._source, self._codec, self._parameters = source, source.codec_name, None
        before = self._end.before_next_run()
        self._segmenter = Segmenter(time_base, self._segment_seconds, before)
        return time_base

    def take(self, received: ReceivedPacket, *, seal_asked: Callable[[], bool]) -> None:
        """Handle one packet. Raises OSError, StoreError, DirectorySyncFailed."""
        packet, segmenter = received.packet, self._segmenter
        dts = packet.dts
        if segmenter is None or dts is None:
            return
        received_us = received.received_monotonic_ns // 1000
        self._watchdog.arrived(received_us)
        if not packet.is_keyframe:
            step = segmenter.frame(dts, received_us)
            if step is Step.WRITE and self._writer is not None:
                self._writer.write(packet)
            elif step is Step.END_RUN:
                self._end_run(segmenter.ended_us, GapCause.STREAM_CHANGED)
            return
        self._take_keyframe(segmenter, packet, received.received_monotonic_ns, seal_asked())

    def finish(self, cause: GapCause) -> None:
        """End the run, if any: seal what is there and open a gap. Raises as `take` does."""
        segmenter = self._segmenter
        self._leave()
        if segmenter is not None and self._writer is not None:
            self._end_run(segmenter.end_us, cause)
        else:
            self.open_gap(cause)

    def abandon(self) -> None:
        """After a failed write: leave the open segment to recovery. Never raises OSError."""
        writer, self._writer = self._writer, None
        self._leave()
        if writer is not None:
            writer.abandon()

    def _leave(self) -> None:
        """Forget the connection, but not where its footage ended."""
        if self._segmenter is not None:
            self._end.left(self._segmenter.before)
            self._watchdog.left()
        self._segmenter = self._source = None

    # -- steps ------------------------------------------------------------------------------------

    def _take_keyframe(
        self,
        segmenter: Segmenter,
        packet: Packet[VideoStream],
        received_ns: int,
        seal_asked: bool,
    ) -> None:
        self._refuse_new_parameters(packet)
        offset_us = self._end.wall_offset_us()
        step = segmenter.keyframe(
            packet.dts or 0, received_ns // 1000, offset_us, seal_asked=seal_asked
        )
        if step is Step.WRITE and self._writer is not None:
            self._writer.write(packet)
            self._writer.sync()
            self._places.leave_room(self._volume)
            self._beat()
            return
        if step is Step.BEGIN_RUN:
            if self._writer is not None:
                self._end_run(segmenter.ended_us, GapCause.STREAM_CHANGED)
            self._begin_run(segmenter)
        elif step is Step.CUT:
            self._seal(segmenter.start_us())
            self._ordinal += 1
        self._begin_segment(segmenter)
        if self._writer is not None:
            self._writer.write(packet)
        self._beat()

    def _refuse_new_parameters(self, packet: Packet[VideoStream]) -> None:
        if self._source is None or self._source.extradata[:1] == LENGTH_PREFIXED:
            return  # A film: one format throughout, and its lengths can look like start codes.
        head = bytes(memoryview(packet)[:LOOKED_AT_BYTES])
        found = parameter_set(head, self._codec)
        if found is not None and self._parameters not in (None, found):
            raise FormatChanged("the camera changed its picture format")
        self._parameters = found or self._parameters

    def _begin_run(self, segmenter: Segmenter) -> None:
        source = self._source
        if source is None:
            return
        self._run, self._ordinal = self._store.ids.new(), 0
        start_us = segmenter.start_us()
        with self._store.write() as connection:
            if segmenter.wall_moved_us:
                moved = ClockJumped(
                    process=f"recorder-{self._camera}", moved_ms=segmenter.wall_moved_us // 1000
                )
                append(self._store, connection, moved)
            run = RunStarted(
                run=self._run,
                camera=self._camera,
                scene_role=self._scene_role,
                codec=self._codec,
                width=source.width,
                height=source.height,
                started_at=to_text(from_micros(start_us)),
            )
            footage.insert_run(self._store, connection, run)
            footage.close_gap(self._store, connection, self._camera, start_us)
        self._end.is_at(start_us)
        log.info("run_started", camera=self._camera, run=self._run, codec=self._codec)

    def _begin_segment(self, segmenter: Segmenter) -> None:
        source, node = self._source, self._store.identity
        if source is None:
            return
        identity = SegmentIdentity(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            camera=self._camera,
            scene_role=self._scene_role,
            run=self._run,
            ordinal=self._ordinal,
            segment=self._store.ids.new(),
            started_at=to_text(from_micros(segmenter.start_us())),
            codec=self._codec,
        )
        self._volume = self._places.next(self._volume)
        sink = SegmentSink(self._volume.root, identity)
        self._writer = SegmentWriter(sink, source.stream, segmenter.segment_base())

    def _seal(self, end_us: int) -> None:
        writer, volume = self._writer, self._volume
        if writer is None or volume is None:
            return
        writer.close()
        finished = writer.sink.finish(from_micros(end_us))
        self._writer = None
        sealed = seal(self._store, volume.root, finished, volume.name)
        self._end.is_at(end_us)
        self._watchdog.sealed(volume.root / finished.identity.path(), sealed.segment)
        log.info(
            "segment_sealed",
            camera=self._camera,
            segment=sealed.segment,
            milliseconds=sealed.duration_ms,
            bytes=sealed.bytes,
        )
        self.summarise()

    def _end_run(self, end_us: int, cause: GapCause) -> None:
        self._seal(end_us)
        self.open_gap(cause)
