"""Private keys in files: one directory with mode 0700, one file a key with mode 0600.

A key is made at first use and never overwritten. A key file that others may read is refused. Each
key has a `key_id`; rotation adds a file, old public halves stay readable in the records.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.durable import write_durably
from retention.records.errors import UsageError
from retention.records.signing import Ed25519Signer, key_id_of

SECRET_BYTES = 32


class KeyRefused(UsageError):
    """A key file that is missing, readable by others, or of the wrong length."""


class KeyDirectory:
    """The keys of one service."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise KeyRefused(f"{path}: {exc.strerror}") from exc

    def signer(self, name: str = "signing") -> Ed25519Signer:
        """Return the Ed25519 signer `name`, made on first use."""
        raw = self.secret(name)
        return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(raw))

    def secret(self, name: str) -> bytes:
        """Return the 32 random bytes of key `name`, made on first use."""
        path = self.path / f"{name}.key"
        if not path.exists():
            self._create(path, secrets.token_bytes(SECRET_BYTES))
        raw = _read_private(path)
        if len(raw) != SECRET_BYTES:
            raise KeyRefused(f"{path}: {len(raw)} bytes, a key has {SECRET_BYTES}")
        return raw

    def secret_id(self, name: str) -> str:
        """Return the name under which ciphertexts mention a symmetric key."""
        return key_id_of(b"countersight/secret\n" + self.secret(name))

    def text(self, name: str, fresh: str) -> str:
        """Return the text key `name`; `fresh` is stored when there is none yet."""
        path = self.path / f"{name}.key"
        if not path.exists():
            self._create(path, fresh.encode("ascii"))
        return _read_private(path).decode("ascii")

    def _create(self, path: Path, content: bytes) -> None:
        """Two processes may make the same key at once: the link decides, the loser reads."""
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.new")
        write_durably(temporary, content, mode=0o600)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()


def _read_private(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyRefused(f"{path}: mode {mode:04o} lets others read it; allowed is 0600")
        return path.read_bytes()
    except OSError as exc:
        raise KeyRefused(f"{path}: {exc.strerror}") from exc
