"""What a recorder does with its camera's folder before it writes: nothing is ever deleted.

The caller holds the camera's lock, so no `.part` here belongs to a live run.

    found                                  becomes
    .part with a whole fragment            cut after the last one, hashed, sealed (recovered)
    .part without one, or not ours         renamed to .part.unusable + incident PART_UNUSABLE
    .mp4 without a row, ours               adopted: hashed and sealed (recovered)
    .mp4 without a row, not ours           incident UNEXPLAINED_FILE
    row without a file                     incident FOOTAGE_MISSING
    .part or .mp4 that cannot be read      incident UNREADABLE_FILE
    anything else                          incident UNEXPLAINED_FILE
Only day folders since the day of the segment sealed last on this volume, or today's if that is
earlier, can hold what a crash left; the others are the custodian's hourly sweep (`sweep`), which
only reports.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from retention.durable import fsync_directory
from retention.footage.boxes import Scan, scan
from retention.footage.layout import (
    PART_SUFFIX,
    SEALED_SUFFIX,
    UNUSABLE_SUFFIX,
    SegmentIdentity,
    is_day_folder,
    on_volume,
    shown,
)
from retention.footage.sink import Finished, fingerprint_of, seal
from retention.records.clock import from_micros
from retention.store import footage
from retention.store.database import NodeStore
from retention.store.footage import MAIN_VOLUME, SegmentRow

_DISK_REFUSES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
Beat = Callable[[], None]


@dataclass(slots=True)
class Recovered:
    """What was found: counts of segments, and incidents by name."""

    sealed: int = 0
    adopted: int = 0
    truncated_bytes: int = 0
    incidents: int = 0


class CameraRecovery:
    """One pass over one camera's folder."""

    def __init__(
        self, store: NodeStore, root: Path, camera: str, beat: Beat, volume: str = MAIN_VOLUME
    ) -> None:
        self._store, self._root, self._camera, self._beat = store, root, camera, beat
        self._volume = volume
        self.found = Recovered()

    def run(self) -> Recovered:
        """Bring files and rows of the camera into agreement. Raises OSError, StoreError."""
        for folder in self._recent_folders():
            self._recover_folder(folder)
        return self.found

    def _recent_folders(self) -> list[Path]:
        camera_folder = self._root / self._camera
        if not camera_folder.is_dir():
            return []
        with self._store.read() as connection:
            last = footage.last_sealed(connection, self._camera, self._volume)
        since = ""
        if last is not None:
            # The clock may have been set back since, or be wrong now: the earlier day counts.
            day = min(from_micros(last.started_at), self._store.clock.now()) - timedelta(days=1)
            since = f"{day:%Y%m%d}"
        return sorted(entry for entry in camera_folder.iterdir() if entry.name >= since)

    def _recover_folder(self, folder: Path) -> None:
        name = f"{self._camera}/{folder.name}"
        if not folder.is_dir():
            self._incident("UNEXPLAINED_FILE", name, "a file where a day's folder belongs")
            return
        with self._store.read() as connection:
            rows = (
                footage.segments_in_folder(connection, name, self._volume)
                if is_day_folder(name)
                else {}
            )
        files = sorted(entry.name for entry in folder.iterdir())
        for file in files:
            self._beat()
            self._recover_file(folder / file, f"{name}/{file}", rows)
        for path in sorted(rows.keys() - {f"{name}/{file}" for file in files}):
            if rows[path].state == "sealed":
                self._incident("FOOTAGE_MISSING", path, f"segment {rows[path].id} has no file")

    def _recover_file(self, file: Path, path: str, rows: dict[str, SegmentRow]) -> None:
        if path in rows:
            size = file.stat().st_size
            if size != rows[path].bytes:
                self._incident(
                    "FOOTAGE_CHANGED", path, f"{size} bytes, sealed with {rows[path].bytes}"
                )
        elif path.endswith((PART_SUFFIX, SEALED_SUFFIX)) and stat.S_ISREG(file.lstat().st_mode):
            self._recover_leftover(file, path)
        elif not path.endswith(UNUSABLE_SUFFIX):
            self._incident("UNEXPLAINED_FILE", path, "no rule of the footage store makes this")

    def _recover_leftover(self, file: Path, path: str) -> None:
        """One file on a bad sector must not keep the camera from recording."""
        try:
            if path.endswith(PART_SUFFIX):
                self._recover_part(file, path)
            else:
                self._adopt(file, path)
        except OSError as exc:
            if exc.errno in _DISK_REFUSES:
                raise
            self._incident("UNREADABLE_FILE", path, str(exc.strerror))

    def _recover_part(self, file: Path, path: str) -> None:
        found = scan(file)
        if found.identity is None or found.whole_bytes == 0 or not self._ours(found, path):
            detail = f"{found.file_bytes} bytes, {found.fragments} whole fragments"
            kept = file.with_name(file.name + UNUSABLE_SUFFIX.removeprefix(PART_SUFFIX))
            # Incident first: a crash in between leaves the `.part`, and this runs again.
            self._incident("PART_UNUSABLE", path + ".unusable", detail)
            os.rename(file, kept)
            fsync_directory(file.parent)
            return
        truncated = found.file_bytes - found.whole_bytes
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, found.whole_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._seal(file, found, found.identity, truncated)
        self.found.sealed += 1
        self.found.truncated_bytes += truncated

    def _adopt(self, file: Path, path: str) -> None:
        """A crash between rename and transaction: the file is whole and durable."""
        found = scan(file)
        if (
            found.identity is None
            or found.whole_bytes != found.file_bytes
            or not self._ours(found, path)
        ):
            self._incident("UNEXPLAINED_FILE", path, "a segment without a row that is not ours")
            return
        self._seal(file, found, found.identity, 0)
        self.found.adopted += 1

    def _ours(self, found: Scan, path: str) -> bool:
        identity, node = found.identity, self._store.identity
        if identity is None or path.split(".")[0] != identity.path().split(".")[0]:
            return False
        with self._store.read() as connection:
            taken = footage.is_indexed(connection, identity.segment, identity.run, identity.ordinal)
        owner = (identity.agency, identity.pharmacy, identity.node, identity.camera)
        return not taken and owner == (node.agency, node.pharmacy, node.node, self._camera)

    def _seal(self, file: Path, found: Scan, identity: SegmentIdentity, truncated: int) -> None:
        fingerprint = fingerprint_of(file, self._beat)
        ended_at = identity.start + timedelta(microseconds=found.duration_us)
        finished = Finished(identity, file, fingerprint, ended_at, True, truncated)
        seal(self._store, self._root, finished, self._volume)

    def _incident(self, incident: str, subject: str, detail: str) -> None:
        with self._store.write() as connection:
            named = shown(on_volume(self._volume, subject))
            new = footage.add_incident(self._store, connection, incident, named, detail)
        self.found.incidents += new


def recover(
    store: NodeStore,
    root: Path,
    camera: str,
    beat: Beat = lambda: None,
    volume: str = MAIN_VOLUME,
) -> Recovered:
    """Run one recovery pass on one volume for a camera whose lock the caller holds."""
    return CameraRecovery(store, root, camera, beat, volume).run()
