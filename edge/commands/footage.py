"""One footage command, from its checks to its conclusion.

Footage of a real camera does not leave the node (invariant 9): if one camera that is asked for is
not simulated, the whole command is refused. What leaves is covered by a checkpoint that central
countersigned, and leaves a `footage.sent` record (invariant 10).
"""

from __future__ import annotations

from typing import Literal

import structlog

from edge.commands.jobs import CommandRefused, Frames, JobTools, done_frames
from edge.commands.upload import REFUSED_SECONDS, Upload, UploadItem
from edge.config import EdgeConfig
from retention.footage.volumes import VolumeMissing
from retention.records.clock import from_text, to_micros
from retention.records.fields import Frozen
from retention.records.payloads import FootageSent
from retention.store import uplink
from retention.store.log import by_sequence, prove_inclusion
from retention.terms import wire
from retention.terms.commands import FootageCommand

log = structlog.get_logger()
SEAL_SECONDS = 20.0
MAX_SEGMENTS = 512

Outcome = Literal["sent", "refused", "failed"]


class FootageJob:
    """Steps through: wait for the span, seal, wait for the checkpoint, upload, conclude."""

    def __init__(self, tools: JobTools, command: FootageCommand) -> None:
        self._tools, self._command = tools, command
        self._cameras = cameras_of(tools.config, command)
        self._sealing_since: float | None = None
        self._upload: Upload | None = None
        self.conclusion: uplink.Conclusion | None = None

    def check(self) -> None:
        """See that everything asked for may leave the node. Raises CommandRefused."""
        check_cameras(self._tools.config, self._command)

    def step(self, now: float) -> list[Frames]:
        """Return what is to be sent now; the last thing is `command_done`."""
        try:
            # Central takes nothing for an expired command, so nothing more is tried.
            if self._tools.store.clock.now() >= from_text(self._command.expires_at):
                raise CommandRefused("EXPIRED")
            if self._upload is None:
                self._upload = self._prepare(now)
            if self._upload is None:
                return []
            frames = self._upload.send(now)
            return [*frames, self._finish(self._upload)] if self._upload.finished else frames
        except CommandRefused as exc:
            # What central accepted before has left the node: the record names it all the same.
            accepted = () if self._upload is None else tuple(self._upload.accepted)
            return [self._conclude("failed", accepted, exc.reason)]

    def receive(self, answer: Frozen, now: float) -> None:
        if self._upload is not None and isinstance(answer, wire.SegmentAck):
            self._upload.receive(answer, now)

    def start_over(self) -> None:
        """Offer the segment again at once: the connection was lost."""
        if self._upload is not None:
            self._upload.start_over()

    def pause(self, now: float) -> None:
        """Offer the segment again after a while: central refused what came.

        Every chunk on its way is refused too; without the pause each of them would start the
        segment once more.
        """
        if self._upload is not None:
            self._upload.start_over(now + REFUSED_SECONDS)

    def refuse(self, reason: str) -> Frames:
        return self._conclude("refused", (), reason)

    def _prepare(self, now: float) -> Upload | None:
        """Return the upload once everything asked for is sealed and countersigned."""
        ended = self._tools.store.clock.now() >= from_text(self._command.ended_at)
        if not ended or not self._sealed(now):
            return None
        span = (
            to_micros(from_text(self._command.started_at)),
            to_micros(from_text(self._command.ended_at)),
        )
        with self._tools.store.read() as connection:
            segments = uplink.segments_between(connection, self._cameras, *span)
            newest = max((segment.sequence for segment in segments), default=-1)
            size = uplink.covering_checkpoint(connection, newest)
        if not segments:
            raise CommandRefused("NO_FOOTAGE")
        if len(segments) > MAX_SEGMENTS:
            raise CommandRefused("TOO_MANY_SEGMENTS")
        if size is None:
            self._tools.log.make_checkpoint_if_grown()
            return None
        items = [UploadItem(one.segment, one.sequence, size, one.bytes) for one in segments]
        return Upload(self._command.command, items, _Files(self._tools, segments))

    def _sealed(self, now: float) -> bool:
        """Tell whether each camera has sealed past the span; ask those that have not."""
        ended_at = to_micros(from_text(self._command.ended_at))
        with self._tools.store.read() as connection:
            states = {name: uplink.camera_state(connection, name) for name in self._cameras}
        behind = [
            name
            for name, state in states.items()
            if not state.gap_open and (state.last_ended_at or 0) < ended_at
        ]
        if self._sealing_since is None:
            self._sealing_since = now
            for name in behind:
                self._tools.seal(name)
        return not behind or now - self._sealing_since >= SEAL_SECONDS

    def _finish(self, upload: Upload) -> Frames:
        if not upload.rejected:
            return self._conclude("sent", tuple(upload.accepted), None)
        first = upload.rejected[0]
        return self._conclude("failed", tuple(upload.accepted), f"{first.reason} {first.segment}")

    def _conclude(self, outcome: Outcome, segments: tuple[str, ...], reason: str | None) -> Frames:
        sent = FootageSent(
            command=self._command.command,
            session=self._command.session,
            segments=segments,
            outcome=outcome,
            reason=reason,
        )
        with self._tools.store.write() as connection:
            self.conclusion = uplink.conclude_command(self._tools.store, connection, sent)
        log.info("footage_command_done", command=sent.command, outcome=outcome, reason=reason)
        return done_frames(sent.command, self.conclusion)


class _Files:
    """The segments' records, proofs and files on this node."""

    def __init__(self, tools: JobTools, segments: list[uplink.SegmentFile]) -> None:
        self._store, self._locate = tools.store, tools.locate
        self._segments = {segment.segment: segment for segment in segments}

    def evidence(self, item: UploadItem) -> list[bytes]:
        with self._store.read() as connection:
            record = by_sequence(connection, item.sequence).raw
            return [record, b"".join(prove_inclusion(connection, item.sequence, item.tree_size))]

    def read(self, item: UploadItem, offset: int, length: int) -> bytes:
        try:
            with self._locate(self._segments[item.segment]).open("rb") as file:
                file.seek(offset)
                content = file.read(length)
        except VolumeMissing as exc:
            raise CommandRefused(f"VOLUME_MISSING {item.segment}") from exc
        except OSError as exc:
            raise CommandRefused(f"FILE_UNREADABLE {item.segment}") from exc
        if len(content) != length:
            raise CommandRefused(f"FILE_TOO_SHORT {item.segment}")
        return content


def check_cameras(config: EdgeConfig, command: FootageCommand) -> None:
    """Check that everything asked for may leave the node. Raises CommandRefused."""
    simulated = {camera.id: camera.simulated for camera in config.cameras}
    for name in cameras_of(config, command):
        if name not in simulated:
            raise CommandRefused(f"NO_SUCH_CAMERA {name}")
        # Invariant 9: a camera that may show real people keeps its footage on the node.
        if not simulated[name]:
            raise CommandRefused("NOT_SIMULATED")


def cameras_of(config: EdgeConfig, command: FootageCommand) -> tuple[str, ...]:
    """Return the cameras a command means: those it names, or all."""
    return command.cameras or tuple(camera.id for camera in config.cameras)
