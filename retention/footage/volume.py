"""The identity of the footage volume: ROOT/volume.json.

It ties a volume to one node and one database. A wrong disk, or an empty mount point where a disk
should be, is refused: never written to, never cleaned (others have deleted a year of footage
because a fresh database knew none of the files).
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from retention.durable import fsync_directory, make_directory_durably, write_durably
from retention.footage.layout import VOLUME_FILE, FootageError
from retention.records.envelope import first_error
from retention.records.errors import UsageError
from retention.records.fields import Code, Frozen, Id
from retention.store import footage
from retention.store.database import NodeStore

PROBE_BYTES = 4 * 1024 * 1024
"""A few GOPs of a usual camera."""


class VolumeRefused(FootageError, UsageError):
    """The footage folder belongs to another node or database, or its disk is not mounted."""


class VolumeIdentity(Frozen):
    format: Literal[1] = 1
    node: Code
    database_id: Id
    volume: Id


def open_volume(root: Path, store: NodeStore) -> VolumeIdentity:
    """Check the volume, or name a fresh one. Raises VolumeRefused, OSError."""
    path = root / VOLUME_FILE
    if not path.exists():
        _name(root, path, store)
    return verify_volume(root, store)


def verify_volume(root: Path, store: NodeStore) -> VolumeIdentity:
    """Check that the volume is this database's. Raises VolumeRefused, OSError if it has no name."""
    path = root / VOLUME_FILE
    found, database_id = read_volume(path), _database_id(store)
    if (found.node, found.database_id) != (store.identity.node, database_id):
        raise VolumeRefused(
            f"{path}: belongs to node {found.node}, database {found.database_id}; "
            f"this is node {store.identity.node}, database {database_id}"
        )
    return found


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
        return VolumeIdentity.model_validate(json.loads(path.read_bytes()))
    except ValidationError as exc:
        raise VolumeRefused(f"{path}: {first_error(exc)}") from exc
    except ValueError as exc:
        raise VolumeRefused(f"{path}: not JSON: {exc}") from exc


def _database_id(store: NodeStore) -> str:
    with store.read() as connection:
        (found,) = connection.execute("SELECT database_id FROM node").fetchone()
    return str(found)


def _name(root: Path, path: Path, store: NodeStore) -> None:
    make_directory_durably(root)
    with store.read() as connection:
        used_before = footage.has_segments(connection)
    if used_before:
        raise VolumeRefused(f"{path}: missing, but the database knows footage; is a disk missing?")
    stray = [entry.name for entry in root.iterdir() if not entry.name.startswith(VOLUME_FILE)]
    if stray and not path.exists():
        raise VolumeRefused(f"{root}: holds {stray[0]} but no {VOLUME_FILE}; not ours to write to")
    identity = VolumeIdentity(
        node=store.identity.node, database_id=_database_id(store), volume=store.ids.new()
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
