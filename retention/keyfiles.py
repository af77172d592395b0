"""Private keys in files: one directory with mode 0700, one file a key with mode 0600.

A key is made at first use. A key file that others may read is refused. Each key has a `key_id`.
Rotation adds a file: `NAME.key`, then `NAME-2.key` and so on; the highest number is the newest. A
key is overwritten only when it is removed because nothing needs it any more.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.durable import fsync_directory, rename_durably, write_durably
from retention.records.errors import UsageError
from retention.records.signing import Ed25519Signer, key_id_of

SECRET_BYTES = 32
_GONE = ".gone"


class KeyRefused(UsageError):
    """A key file that is missing, readable by others, or of the wrong length."""


class _KeyGone(KeyRefused):
    """A key file that was there a moment ago: a rotation beside us removed it."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A symmetric key and the name under which ciphertexts mention it."""

    key_id: str
    secret: bytes = field(repr=False)


def secret_key(raw: bytes) -> SecretKey:
    """Return a key with its id."""
    return SecretKey(key_id_of(b"countersight/secret\n" + raw), raw)


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
        """Return the 32 random bytes of the newest key `name`, made on first use."""
        path = self.path / f"{name}.key"
        generations = self._generations(name)
        if not generations:
            self._create(path, secrets.token_bytes(SECRET_BYTES))
            generations = {1: path}
        return _read_secret(generations[max(generations)])

    def secrets_by_id(self, name: str) -> dict[str, SecretKey]:
        """Return every key `name` that is still there by its id, oldest first; makes none."""
        found = {}
        for _, path in sorted(self._generations(name).items()):
            with suppress(_KeyGone):
                key = secret_key(_read_secret(path))
                found[key.key_id] = key
        return found

    def add_generation(self, name: str) -> SecretKey:
        """Make a further key `name`, durably; it is the newest from now on."""
        number = max(self._generations(name), default=0) + 1
        path = self.path / (f"{name}.key" if number == 1 else f"{name}-{number}.key")
        self._create(path, secrets.token_bytes(SECRET_BYTES))
        return secret_key(_read_secret(path))

    def remove(self, name: str, key_id: str) -> None:
        """Overwrite and remove a key that nothing needs any more; never the newest.

        It is renamed first, so that a crash never leaves zeros where a key is looked for.
        """
        generations = self._generations(name)
        newest = max(generations, default=0)
        for number, path in generations.items():
            if number != newest and secret_key(_read_secret(path)).key_id == key_id:
                gone = path.with_suffix(_GONE)
                rename_durably(path, gone)
        self.finish_removals(name)

    def finish_removals(self, name: str) -> None:
        """Overwrite and remove what a crash left of keys that were being removed."""
        for path in sorted(self.path.glob(f"{name}*{_GONE}")):
            try:
                descriptor = os.open(path, os.O_WRONLY)
            except FileNotFoundError:  # another process finished it just now
                continue
            try:
                os.write(descriptor, bytes(os.fstat(descriptor).st_size))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            path.unlink(missing_ok=True)
            fsync_directory(self.path)

    def _generations(self, name: str) -> dict[int, Path]:
        found = {}
        for path in self.path.glob(f"{name}*.key"):
            number = re.fullmatch(rf"{re.escape(name)}(?:-([2-9]|[1-9]\d+))?\.key", path.name)
            if number is not None:
                found[int(number[1] or 1)] = path
        return found

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
        if os.geteuid() == 0:  # a key that root makes is the service's all the same
            owner = self.path.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        # Whoever gets the key may seal by it at once, so its name is on the disk first.
        fsync_directory(self.path)


def _read_secret(path: Path) -> bytes:
    raw = _read_private(path)
    if len(raw) != SECRET_BYTES:
        raise KeyRefused(f"{path}: {len(raw)} bytes, a key has {SECRET_BYTES}")
    return raw


def _read_private(path: Path) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyRefused(f"{path}: mode {mode:04o} lets others read it; allowed is 0600")
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise _KeyGone(f"{path}: {exc.strerror}") from exc
    except OSError as exc:
        raise KeyRefused(f"{path}: {exc.strerror}") from exc
