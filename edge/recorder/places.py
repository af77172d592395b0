"""Which volume a camera's next segment goes to, and what must be done there first.

A segment stays on the volume it began on. Nothing is written to a volume before its recovery for
this camera ran and it took PROBE_BYTES durably; one that could not is left out for ASIDE_SECONDS,
so that a broken disk does not keep the camera from the good one beside it. Each camera's folder is
locked on the disk itself (flock of the folder), for two nodes may have copied one database.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from retention.durable import make_directory_durably
from retention.footage.layout import FootageError
from retention.footage.recovery import Recovered, recover
from retention.footage.sink import DirectorySyncFailed
from retention.footage.volume import Volume, VolumeRefused, prove_writable
from retention.footage.volumes import Volumes
from retention.store.database import NodeStore

ASIDE_SECONDS = 600.0

log = structlog.get_logger()


class VolumeInUse(VolumeRefused):
    """Another process writes this camera's footage to the same disk."""


@dataclass(slots=True)
class _Held:
    """The lock on a camera's folder: its descriptor, and which folder that is."""

    descriptor: int
    folder: tuple[int, int]


class Places:
    """The volumes of one camera. The caller holds the camera's lock on this node."""

    def __init__(
        self, store: NodeStore, volumes: Volumes, camera: str, beat: Callable[[], None]
    ) -> None:
        self._store, self._volumes = store, volumes
        self._camera, self._beat = camera, beat
        self._held: dict[str, _Held] = {}
        self._ready: set[str] = set()
        self._aside: dict[str, int] = {}

    def recover(self) -> Recovered:
        """Bring files and rows into agreement on every volume, and see which can be written; one
        that was left out is tried early only when there is no other.

        Raises VolumeRefused or OSError when none can, StoreError, DirectorySyncFailed.
        """
        self._volumes.open()
        self._ready.clear()
        total = Recovered()
        last: Exception | None = None
        for volume in sorted(self._volumes.writable(), key=self._is_aside):
            if self._ready and self._is_aside(volume):
                continue
            try:
                _add(total, self._prepare(volume, prove=True))
            except DirectorySyncFailed:
                raise
            except (OSError, FootageError) as exc:
                self._set_aside(volume, exc)
                last = exc
        if not self._ready:
            raise last or self._volumes.nowhere()
        return total

    def leave_room(self, volume: Volume | None) -> None:
        """Stop before footage takes what the database lives on. Raises OSError (ENOSPC)."""
        if volume is not None and self._volumes.is_left_to_the_database(volume):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(volume.root))

    def next(self, current: Volume | None) -> Volume:
        """Return where the next segment goes; one that came back is recovered first.

        Raises as `recover` does.
        """
        for volume in self._volumes.writable():
            if volume.name not in self._ready and not self._is_aside(volume):
                try:
                    self._prepare(volume, prove=True)
                except DirectorySyncFailed:
                    raise
                except (OSError, FootageError) as exc:
                    self._set_aside(volume, exc)
        self._ready &= {volume.name for volume in self._volumes.writable()}
        preferred = None if current is None else current.name
        return self._volumes.for_writing(preferred, among=self._ready)

    def recover_only(self) -> None:
        """Recover for a camera that nobody records any more. Raises as `recover` does."""
        for volume in self._volumes.writable():
            self._prepare(volume, prove=False)

    def close(self) -> None:
        """Give the folders' locks up."""
        for held in self._held.values():
            os.close(held.descriptor)
        self._held.clear()

    def _prepare(self, volume: Volume, *, prove: bool) -> Recovered:
        self._lock(volume)
        found = recover(self._store, volume.root, self._camera, self._beat, volume.name)
        if prove:
            prove_writable(volume.root / self._camera)
        self._ready.add(volume.name)
        self._aside.pop(volume.name, None)
        return found

    def _lock(self, volume: Volume) -> None:
        folder = volume.root / self._camera
        make_directory_durably(folder)
        facts = folder.stat()
        which, held = (facts.st_dev, facts.st_ino), self._held.get(volume.name)
        if held is not None and held.folder == which:
            return
        if held is not None:
            os.close(self._held.pop(volume.name).descriptor)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            raise VolumeInUse(f"{folder}: another recorder writes to it") from exc
        self._held[volume.name] = _Held(descriptor, which)

    def _set_aside(self, volume: Volume, exc: Exception) -> None:
        self._aside[volume.name] = self._store.clock.monotonic_ns()
        log.warning("volume_set_aside", camera=self._camera, volume=volume.name, reason=str(exc))

    def _is_aside(self, volume: Volume) -> bool:
        since = self._aside.get(volume.name)
        return since is not None and (
            self._store.clock.monotonic_ns() - since < ASIDE_SECONDS * 1_000_000_000
        )


def _add(total: Recovered, found: Recovered) -> None:
    total.sealed += found.sealed
    total.adopted += found.adopted
    total.truncated_bytes += found.truncated_bytes
    total.incidents += found.incidents
