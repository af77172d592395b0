"""The identity of a footage volume: ROOT/volume.json, and what a folder turns out to be.

The file ties a disk to one node and one database; the table `volumes` ties its id to its name in
the configuration. A wrong disk, two disks that changed places, or an empty mount point where a
disk should be is refused: never written to, never cleaned (others have deleted a year of footage
because a fresh database knew none of the files).
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from retention.durable import fsync_directory, make_directory_durably, write_durably
from retention.footage.layout import VOLUME_FILE, FootageError
from retention.footage.mounts import is_network, kind_of_file_system
from retention.records.envelope import first_error
from retention.records.errors import UsageError
from retention.records.fields import Code, Frozen, Id
from retention.store import volumes as rows
from retention.store.database import NodeStore
from retention.store.footage import MAIN_VOLUME

MOST_IDENTITY_BYTES = 64 * 1024
PROBE_BYTES = 4 * 1024 * 1024
"""A few GOPs of a usual camera."""
LOST_AND_FOUND = "lost+found"
"""What ext4 makes at the top of every disk; the file system's own, not footage."""


class VolumeRefused(FootageError, UsageError):
    """The footage folder belongs to another node or database, or its disk is not mounted."""


class VolumeIdentity(Frozen):
    """`previous_databases` names those it was bound to before a lost index was rebuilt."""

    format: Literal[1] = 1
    node: Code
    database_id: Id
    volume: Id
    previous_databases: Annotated[tuple[Id, ...], Field(max_length=100)] = ()


class Condition(StrEnum):
    """What a volume's folder turned out to be. Footage is read in the first two and written in
    the first; FRESH becomes MOUNTED when a node takes it."""

    MOUNTED = "mounted"
    READ_ONLY = "read_only"
    FRESH = "fresh"
    MISSING = "missing"
    SWAPPED = "swapped"
    FOREIGN = "foreign"
    NETWORK = "network"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose volumes these are, what its database knows of them: ids by name, names with footage."""

    node: str
    database_id: str
    known: Mapping[str, str]
    with_footage: frozenset[str]


@dataclass(frozen=True, slots=True)
class Volume:
    """A named folder, what it is, and why (`detail` is for people)."""

    name: str
    root: Path
    condition: Condition
    detail: str
    volume: str | None = None

    @property
    def reachable(self) -> bool:
        return self.condition in (Condition.MOUNTED, Condition.READ_ONLY)

    @property
    def writable(self) -> bool:
        return self.condition is Condition.MOUNTED

    def free_bytes(self) -> int:
        """Return what may still be written here. Raises OSError."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def device(self) -> int:
        """Return the file system that it lies on. Raises OSError."""
        return os.stat(self.root).st_dev


def look_at(name: str, root: Path, owner: Owner, *, must_exist: bool = False) -> Volume:
    """Say what a folder is; `must_exist` when it is somebody's mounted disk and not made by us.
    Reads only; never raises OSError."""
    try:
        found = _look_at(name, root, owner)
        if must_exist and found.condition is Condition.FRESH and not root.is_dir():
            return Volume(name, root, Condition.MISSING, f"{root}: no such folder")
        return found
    except OSError as exc:
        return Volume(name, root, Condition.UNREADABLE, f"{root}: {exc.strerror}")


def not_configured(name: str) -> Volume:
    """Return a volume that holds footage and left the configuration."""
    detail = f"{name}: is not in the configuration any more"
    return Volume(name, Path(), Condition.MISSING, detail)


def _look_at(name: str, root: Path, owner: Owner) -> Volume:
    def is_(condition: Condition, detail: str, volume: str | None = None) -> Volume:
        return Volume(name, root, condition, detail, volume)

    path, known = root / VOLUME_FILE, owner.known.get(name)
    # (1) fsync says something only on a disk of this machine
    if root.is_dir() and is_network(root):
        detail = f"{root}: on {kind_of_file_system(root)}, where fsync promises nothing"
        return is_(Condition.NETWORK, detail)
    # (2) a disk that was here is here
    if not path.exists():
        return _without_a_name(name, root, owner)
    try:
        found = read_volume(path)
    except VolumeRefused as exc:
        return is_(Condition.UNREADABLE, str(exc))
    # (3) it is this node's and this database's
    if (found.node, found.database_id) != (owner.node, owner.database_id):
        detail = (
            f"{path}: belongs to node {found.node}, database {found.database_id}; "
            f"this is node {owner.node}, database {owner.database_id}"
        )
        return is_(Condition.FOREIGN, detail)
    # (4) it is the one that had this name before
    elsewhere = next((other for other, id_ in owner.known.items() if id_ == found.volume), name)
    if elsewhere != name:
        return is_(Condition.SWAPPED, f"{path}: is volume {elsewhere}, not {name}")
    if known not in (None, found.volume):
        return is_(Condition.SWAPPED, f"{path}: is another disk than the one called {name} before")
    # (5) it can be written
    if os.statvfs(root).f_flag & os.ST_RDONLY or not os.access(root, os.W_OK):
        return is_(Condition.READ_ONLY, f"{root}: can be read, not written", found.volume)
    return is_(Condition.MOUNTED, f"volume {found.volume}", found.volume)


def _without_a_name(name: str, root: Path, owner: Owner) -> Volume:
    path = root / VOLUME_FILE
    if name in owner.known or name in owner.with_footage:
        detail = f"{path}: missing, but the database knows footage; is a disk missing?"
        return Volume(name, root, Condition.MISSING, detail)
    stray = _strays(root) if root.is_dir() else []
    if stray and not path.exists():
        detail = f"{root}: holds {stray[0]} but no {VOLUME_FILE}; not ours to write to"
        return Volume(name, root, Condition.FOREIGN, detail)
    return Volume(name, root, Condition.FRESH, f"{root}: not named yet")


def _strays(root: Path) -> list[str]:
    return sorted(
        entry.name
        for entry in root.iterdir()
        if not entry.name.startswith(VOLUME_FILE) and entry.name != LOST_AND_FOUND
    )


def owner_of(store: NodeStore) -> Owner:
    """Return what this node's database says of its volumes. Raises StoreUnavailable."""
    with store.read() as connection:
        return Owner(
            store.identity.node,
            rows.database_id(connection),
            rows.known(connection),
            rows.with_footage(connection),
        )


def open_volume(root: Path, store: NodeStore, name: str = MAIN_VOLUME) -> VolumeIdentity:
    """Check the volume, or name a fresh one; the node then knows it.

    The file comes before the row: a crash between the two leaves a volume of ours without a name
    in the table, which the next start takes. Raises VolumeRefused, OSError, StoreUnavailable.
    """
    found = look_at(name, root, owner_of(store))
    if found.condition is Condition.FRESH:
        _name(root, root / VOLUME_FILE, store)
        found = look_at(name, root, owner_of(store))
    if not found.reachable:
        raise VolumeRefused(found.detail)
    identity = read_volume(root / VOLUME_FILE)
    with store.write() as connection:
        rows.adopt(store, connection, name, identity.volume)
    return identity


def rebind_volume(root: Path, previous: VolumeIdentity, store: NodeStore) -> VolumeIdentity:
    """Tie a volume of this node to its rebuilt database; it keeps its id and its past.

    Raises VolumeRefused when the file no longer says `previous`, or names another node; OSError.
    """
    path = root / VOLUME_FILE
    if read_volume(path) != previous or previous.node != store.identity.node:
        raise VolumeRefused(f"{path}: is not the volume that the index was rebuilt from")
    with store.read() as connection:
        database_id = rows.database_id(connection)
    if database_id == previous.database_id:
        return previous
    bound = previous.model_copy(
        update={
            "database_id": database_id,
            "previous_databases": (*previous.previous_databases, previous.database_id),
        }
    )
    write_durably(path, bound.model_dump_json().encode() + b"\n")
    return bound


def prove_writable(folder: Path) -> None:
    """Write PROBE_BYTES durably to a file without a name. Raises OSError.

    A recorder asks this before it begins again: otherwise a full disk would show as one run and
    one gap with every try, not as one gap.
    """
    make_directory_durably(folder)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        rest = memoryview(bytes(PROBE_BYTES))
        while rest:
            rest = rest[os.write(file.fileno(), rest) :]
        os.fsync(file.fileno())


def read_volume(path: Path) -> VolumeIdentity:
    """Read an identity file. Raises VolumeRefused, OSError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_IDENTITY_BYTES)
        return VolumeIdentity.model_validate_json(raw)
    except ValidationError as exc:
        raise VolumeRefused(f"{path}: {first_error(exc)}") from exc


def _name(root: Path, path: Path, store: NodeStore) -> None:
    make_directory_durably(root)
    with store.read() as connection:
        database_id = rows.database_id(connection)
    identity = VolumeIdentity(
        node=store.identity.node, database_id=database_id, volume=store.ids.new()
    )
    temporary = path.with_name(f"{VOLUME_FILE}.{secrets.token_hex(4)}")
    write_durably(temporary, identity.model_dump_json().encode() + b"\n")
    try:
        os.link(temporary, path)  # Recorders start together: one link wins, the others read it.
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    fsync_directory(root)
