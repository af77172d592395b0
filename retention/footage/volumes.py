"""The volumes of a node: where footage is read from, and where the next segment goes.

A volume that is missing, swapped, another node's, on a network or unreadable is left alone: never
written, never cleaned. Its rows are out of reach, not missing. What a folder is, is looked at again
whenever its volume.json is another file than before, so a disk that is pulled out while the node
runs is noticed before the next segment, and nothing is written under its empty mount point.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from retention.footage.layout import VOLUME_FILE, FootageError
from retention.footage.volume import (
    Condition,
    Owner,
    Volume,
    VolumeRefused,
    look_at,
    not_configured,
    open_volume,
    owner_of,
)
from retention.store.database import NodeStore
from retention.store.reserve import reserve_of

STICKY_BYTES = 1 << 30
"""A recorder stays on its disk until another has this much more room, so that one lost disk does
not take every second minute."""

Seen = tuple[int, int, int, int]


class VolumeMissing(FootageError):
    """The disk that a segment lies on cannot be reached; nothing is said about its files."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"volume {name}: {detail}")
        self.name, self.detail = name, detail


class Placed(Protocol):
    """Whatever says on which volume a file lies, and where there."""

    @property
    def volume(self) -> str: ...

    @property
    def path(self) -> str: ...


class Volumes:
    """Every volume of the configuration, by name."""

    def __init__(
        self, store: NodeStore, roots: Mapping[str, Path], made_by_us: Iterable[str] = ()
    ) -> None:
        """`made_by_us` names volumes whose folder is made when it is not there (DATA/footage);
        the folder of any other is somebody's mounted disk and must exist."""
        self._store, self._roots = store, dict(roots)
        self._made_by_us = frozenset(made_by_us)
        self._looked: dict[str, tuple[Seen, Volume]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._roots)

    def open(self) -> list[Volume]:
        """Take what is fresh, and say what every volume is. A disk that cannot be taken keeps
        footage from no other: raises its OSError only when none can be reached; StoreUnavailable.
        """
        owner, refused = owner_of(self._store), None
        found: list[Volume] = []
        for name, root in self._roots.items():
            try:
                found.append(self._open(name, owner))
            except OSError as exc:
                detail, refused = f"{root}: {exc.strerror}", exc
                found.append(Volume(name, root, Condition.UNREADABLE, detail))
        if refused is not None and not any(volume.reachable for volume in found):
            raise refused
        return found

    def look(self) -> list[Volume]:
        """Say what every volume is, those too that hold footage and nobody configured."""
        owner = owner_of(self._store)
        gone = sorted(owner.with_footage - self._roots.keys())
        return [self._look(name, owner) for name in self._roots] + [
            not_configured(name) for name in gone
        ]

    def mounted(self) -> list[Volume]:
        """Return the volumes whose footage can be read."""
        return [volume for volume in self.look() if volume.reachable]

    def writable(self) -> list[Volume]:
        """Return the volumes that may take footage, the one with most room first.

        Raises OSError, StoreUnavailable.
        """
        usable = [
            volume
            for volume in self.look()
            if volume.writable and not self.is_left_to_the_database(volume)
        ]
        return sorted(usable, key=lambda volume: -volume.free_bytes())

    def is_left_to_the_database(self, volume: Volume) -> bool:
        """Tell whether the database lives on its reserve on this volume's disk. Raises OSError."""
        database = self._store.path
        return reserve_of(database).given_up and os.stat(database).st_dev == volume.device()

    def for_writing(
        self, preferred: str | None = None, among: Collection[str] | None = None
    ) -> Volume:
        """Return where the next segment goes: the volume with most room, or `preferred` while no
        other has STICKY_BYTES more; of those named in `among`, if any are.

        Raises VolumeRefused, OSError (ENOSPC: the reserve of the database is in use).
        """
        usable = [one for one in self.writable() if among is None or one.name in among]
        if not usable:
            raise self.nowhere()
        stay = next((volume for volume in usable if volume.name == preferred), usable[0])
        far_better = usable[0].free_bytes() - stay.free_bytes() > STICKY_BYTES
        return usable[0] if far_better else stay

    def nowhere(self) -> Exception:
        """Return why no volume can be written, to be raised."""
        found = self.look()
        if any(volume.writable for volume in found):
            return OSError(errno.ENOSPC, "no room left beside the database")
        return VolumeRefused("; ".join(volume.detail for volume in found))

    def root(self, name: str) -> Path:
        """Return the folder of a volume that can be read now. Raises VolumeMissing."""
        if name not in self._roots:
            raise VolumeMissing(name, "is no volume of the configuration")
        found = self._look(name, None)
        if not found.reachable:
            raise VolumeMissing(name, found.detail)
        return found.root

    def path_of(self, row: Placed) -> Path:
        """Return where a segment's file lies. Raises VolumeMissing."""
        return self.root(row.volume) / row.path

    def room(self) -> FreeSpace:
        """Return the room of this node. Raises StoreUnavailable."""
        return room_on(self.look())

    def _open(self, name: str, owner: Owner) -> Volume:
        found = self._look(name, owner)
        if found.condition is Condition.FRESH or (found.writable and name not in owner.known):
            with contextlib.suppress(VolumeRefused):  # The look that follows says why.
                open_volume(found.root, self._store, name)
            found = self._look(name, None)
        return found

    def _look(self, name: str, owner: Owner | None) -> Volume:
        root = self._roots[name]
        seen = _seen(root / VOLUME_FILE)
        kept = self._looked.get(name)
        if seen is not None and kept is not None and kept[0] == seen:
            return kept[1]
        owner = owner or owner_of(self._store)
        found = look_at(name, root, owner, must_exist=name not in self._made_by_us)
        if seen is not None and found.reachable and name in owner.known:
            self._looked[name] = (seen, found)
        return found


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Bytes that may still be written, each file system once, and the volumes on which nothing
    can be: what goes there makes no room."""

    free_bytes: int
    closed: frozenset[str] = frozenset()


def room_on(volumes: Iterable[Volume]) -> FreeSpace:
    """Return what these volumes will take."""
    found = list(volumes)
    closed = {one.name for one in found if not _takes_footage(one)}
    return FreeSpace(sum(room_by_device(found).values()), frozenset(closed))


def _takes_footage(volume: Volume) -> bool:
    return volume.writable or volume.condition is Condition.FRESH


def room_by_device(volumes: Iterable[Volume]) -> dict[int, int]:
    """Return the free bytes of every file system that takes footage, or will."""
    rooms: dict[int, int] = {}
    for volume in volumes:
        if _takes_footage(volume):
            place = next(one for one in (volume.root, *volume.root.parents) if one.exists())
            with contextlib.suppress(OSError):  # Pulled out since it was looked at: no room.
                facts = os.statvfs(place)
                rooms[os.stat(place).st_dev] = facts.f_bavail * facts.f_frsize
    return rooms


def _seen(path: Path) -> Seen | None:
    """Return what changes when another disk, or this one read-only, is mounted there."""
    try:
        facts, mount = os.stat(path), os.statvfs(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, mount.f_flag
