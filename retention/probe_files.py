"""Sealed probes on the disk: what a decision rests on, in DATA/probes/<receipt>.

Each file is AES-256-GCM under a key of its own, bound to receipt, session, person and the digest
that the receipt names; the key rests wrapped under the node's reference key in the database. So a
file that was moved, changed or taken away opens nowhere, and deleting the row ends it. A file is
durable before its row is written; one without a row is what a crash left, and is swept.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from retention.durable import fsync_directory, make_directory_durably, write_durably
from retention.keysources import SecretKey
from retention.records.canonical import canonical_bytes
from retention.store import probes
from retention.store.database import NodeStore

log = structlog.get_logger()
FOLDER = "probes"
HEAD = b"countersight-probe-1\n"
NONCE_BYTES, KEY_BYTES = 12, 32


class ProbeUnreadable(Exception):
    """Sealed evidence that does not open: another key, another receipt, or changed bytes."""

    def __init__(self, receipt: str, reason: str) -> None:
        super().__init__(f"the evidence of receipt {receipt} does not open: {reason}")
        self.receipt, self.reason = receipt, reason


@dataclass(frozen=True, slots=True)
class Bound:
    """What a sealed file belongs to: the associated data of its seal. `digest` is the SHA-256 (hex)
    of what is inside, as the receipt names it."""

    receipt: str
    session: str
    person_ref: str
    digest: str


def folder_of(data: Path) -> Path:
    """Return where the sealed probes of a data folder lie."""
    return data / FOLDER


def folder_of_store(store: NodeStore) -> Path:
    """Return where the sealed probes of a node lie: beside its database."""
    return folder_of(store.path.parent)


# -- sealing --------------------------------------------------------------------------------------


def fresh_key() -> bytes:
    """Return a new data key, for one file."""
    return secrets.token_bytes(KEY_BYTES)


def seal(encoded: bytes, key: bytes, bound: Bound) -> bytes:
    """Return the content of a sealed file."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return HEAD + nonce + AESGCM(key).encrypt(nonce, encoded, _associated("probe", asdict(bound)))


def open_sealed(content: bytes, key: bytes, bound: Bound) -> bytes:
    """Return what was sealed. Raises ProbeUnreadable."""
    body = len(HEAD) + NONCE_BYTES
    if not content.startswith(HEAD) or len(content) <= body:
        raise ProbeUnreadable(bound.receipt, "it is no sealed probe")
    try:
        return AESGCM(key).decrypt(
            content[len(HEAD) : body], content[body:], _associated("probe", asdict(bound))
        )
    except InvalidTag as exc:
        raise ProbeUnreadable(bound.receipt, "its seal does not hold") from exc


def wrap(data_key: bytes, receipt: str, session: str, under: SecretKey) -> tuple[bytes, bytes]:
    """Return nonce and wrapped form of a data key under a reference key."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    bound = _wrapping(receipt, session, under.key_id)
    return nonce, AESGCM(under.secret).encrypt(nonce, data_key, bound)


def unwrap(nonce: bytes, wrapped: bytes, receipt: str, session: str, under: SecretKey) -> bytes:
    """Return a data key. Raises ProbeUnreadable."""
    try:
        key = AESGCM(under.secret).decrypt(
            nonce, wrapped, _wrapping(receipt, session, under.key_id)
        )
    # ValueError: a nonce of a length that the cipher does not know is a damaged row too.
    except (InvalidTag, ValueError) as exc:
        raise ProbeUnreadable(receipt, f"its key does not open under {under.key_id}") from exc
    return key


def _wrapping(receipt: str, session: str, key_id: str) -> bytes:
    return _associated("probe-key", {"receipt": receipt, "session": session, "key_id": key_id})


def _associated(use: str, bound: dict[str, str]) -> bytes:
    return canonical_bytes({"use": use} | bound)


# -- files ----------------------------------------------------------------------------------------


def write(folder: Path, receipt: str, content: bytes) -> Path:
    """Write a sealed file so that it is on the disk when this returns. Raises OSError, and leaves
    nothing then: a disk that is full would get fuller with each attempt."""
    make_directory_durably(folder)
    folder.chmod(0o700)
    path = folder / receipt
    try:
        write_durably(path, content, mode=0o600)
    except OSError:
        for left in (path, path.with_name(f"{path.name}.tmp")):
            left.unlink(missing_ok=True)
        raise
    return path


def erase(path: Path) -> bool:
    """Overwrite a file and remove it; False when it was not there. Raises OSError.

    A copy-on-write or flash device may keep older blocks: what ends the evidence is that the key
    is gone.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= os.write(descriptor, bytes(min(left, 1 << 20)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    fsync_directory(path.parent)
    return True


def erase_all(store: NodeStore, receipts: Sequence[str]) -> int:
    """Erase the files of rows that are gone; returns how many went. What cannot be erased now is
    left to the sweep and logged: without its key it opens nowhere."""
    folder, gone = folder_of_store(store), 0
    for receipt in receipts:
        try:
            gone += erase(folder / receipt)
        except OSError as exc:
            log.error("probe_file_stays", receipt=receipt, reason=exc.strerror)
    return gone


class ProbeSweep:
    """Removes files without a row: a crash came between file and row, or between row and removal.

    A file is removed only when it was seen without a row twice, `LEAVE_SECONDS` of the monotonic
    clock apart: no decision takes that long, and a wall clock that jumps changes nothing.
    """

    LEAVE_SECONDS = 600.0

    def __init__(self, store: NodeStore) -> None:
        self._store = store
        self._seen_ns: dict[str, int] = {}

    def step(self) -> int:
        """Look once; returns how many files were removed. Raises StoreUnavailable, OSError."""
        names = names_in(folder_of_store(self._store))
        with self._store.read() as connection:
            strays = names - probes.receipts(connection)
        now_ns = self._store.clock.monotonic_ns()
        self._seen_ns = {name: self._seen_ns.get(name, now_ns) for name in strays}
        left_ns = int(self.LEAVE_SECONDS * 1e9)
        due = sorted(name for name, seen in self._seen_ns.items() if now_ns - seen >= left_ns)
        return erase_all(self._store, due)


def names_in(folder: Path) -> frozenset[str]:
    """Return the names of the files in a folder of probes; none when there is no folder."""
    try:
        with os.scandir(folder) as found:
            return frozenset(one.name for one in found if one.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return frozenset()
