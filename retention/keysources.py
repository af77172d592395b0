"""Where the key comes from that seals references and wraps the keys of probes.

Three places, named by `verification.reference_key` and never guessed, because a key that is
silently made anew leaves every reference unreadable:

    file         DATA/keys/reference.key, mode 0600, made at first use; rotation adds
                 reference-2.key
    credential   $CREDENTIALS_DIRECTORY/countersight-reference (systemd LoadCredentialEncrypted=);
                 rotation needs a further one, countersight-reference-2, from the administrator
    tpm          a slot of a TPM behind `TpmSlot`; refused where nothing implements it

The highest number is the newest; it seals what is made from now on. Sources are read at each use,
so a running node takes up a new key at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from retention.keyfiles import SECRET_BYTES, KeyDirectory, KeyRefused, SecretKey, secret_key

__all__ = [
    "REFERENCE",
    "CredentialKeys",
    "FileKeys",
    "KeySource",
    "ReferenceKeys",
    "SecretKey",
    "TpmSlot",
    "reference_keys",
]

KeySource = Literal["file", "credential", "tpm"]
REFERENCE = "reference"
CREDENTIAL = "countersight-reference"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"


class ReferenceKeys(Protocol):
    """The keys that are there now."""

    def newest(self) -> SecretKey:
        """Return the key that seals from now on. Raises KeyRefused."""
        ...

    def all(self) -> tuple[SecretKey, ...]:
        """Return every key that is still there, oldest first. Raises KeyRefused."""
        ...

    def by_id(self, key_id: str) -> SecretKey | None:
        """Return a key by its id; None when it is not there any more. Raises KeyRefused."""
        ...

    def begin_rotation(self, *, anew: bool = False) -> SecretKey:
        """Return the key to seal everything under: a new one, or, unless `anew`, the newest of a
        rotation that was broken off. Raises KeyRefused when it must be provided first."""
        ...

    def remove(self, key_id: str) -> bool:
        """Destroy a key that nothing needs any more; False when only its owner can take it away.
        Call it under the database's write lock. Raises KeyRefused, OSError."""
        ...


@dataclass(frozen=True, slots=True)
class FileKeys:
    """Keys in files of the node's key directory."""

    directory: KeyDirectory

    def newest(self) -> SecretKey:
        return secret_key(self.directory.secret(REFERENCE))

    def all(self) -> tuple[SecretKey, ...]:
        return tuple(self.directory.secrets_by_id(REFERENCE).values())

    def by_id(self, key_id: str) -> SecretKey | None:
        return self.directory.secrets_by_id(REFERENCE).get(key_id)

    def begin_rotation(self, *, anew: bool = False) -> SecretKey:
        self.directory.finish_removals(REFERENCE)
        if anew or len(self.all()) == 1:
            return self.directory.add_generation(REFERENCE)
        return self.newest()

    def remove(self, key_id: str) -> bool:
        self.directory.remove(REFERENCE, key_id)
        return True


@dataclass(frozen=True, slots=True)
class CredentialKeys:
    """Keys that systemd hands to the service; `folder` is its $CREDENTIALS_DIRECTORY."""

    folder: Path

    def newest(self) -> SecretKey:
        return self.all()[-1]

    def all(self) -> tuple[SecretKey, ...]:
        found = {}
        for path in self.folder.glob(f"{CREDENTIAL}*"):
            number = re.fullmatch(rf"{CREDENTIAL}(?:-([2-9]|[1-9]\d+))?", path.name)
            if number is not None:
                found[int(number[1] or 1)] = self._read(path)
        if not found:
            raise KeyRefused(f"{self.folder / CREDENTIAL}: systemd handed over no such credential")
        return tuple(found[number] for number in sorted(found))

    def by_id(self, key_id: str) -> SecretKey | None:
        return next((key for key in self.all() if key.key_id == key_id), None)

    def begin_rotation(self, *, anew: bool = False) -> SecretKey:
        return _provided(self.all())

    def remove(self, key_id: str) -> bool:
        return False

    @staticmethod
    def _read(path: Path) -> SecretKey:
        try:
            raw = path.read_bytes()
        except OSError as exc:
            raise KeyRefused(f"{path}: {exc.strerror}") from exc
        if len(raw) != SECRET_BYTES:
            raise KeyRefused(f"{path}: {len(raw)} bytes, a key has {SECRET_BYTES}")
        return secret_key(raw)


class TpmSlot(Protocol):
    """A device that gives up a key only on this machine, in the state it was sealed in."""

    def unseal(self) -> tuple[bytes, ...]:
        """Return the raw keys in its slots, oldest first. Raises KeyRefused."""
        ...


@dataclass(frozen=True, slots=True)
class TpmKeys:
    """Keys in the slots of a TPM."""

    slot: TpmSlot

    def newest(self) -> SecretKey:
        return self.all()[-1]

    def all(self) -> tuple[SecretKey, ...]:
        raw = self.slot.unseal()
        if not raw or any(len(one) != SECRET_BYTES for one in raw):
            raise KeyRefused(f"TPM: a slot does not hold a key of {SECRET_BYTES} bytes")
        return tuple(secret_key(one) for one in raw)

    def by_id(self, key_id: str) -> SecretKey | None:
        return next((key for key in self.all() if key.key_id == key_id), None)

    def begin_rotation(self, *, anew: bool = False) -> SecretKey:
        return _provided(self.all())

    def remove(self, key_id: str) -> bool:
        return False


def _provided(keys: tuple[SecretKey, ...]) -> SecretKey:
    if len(keys) < 2:  # the old one and the new one
        raise KeyRefused(
            f"there is only one key, {keys[0].key_id}: provide the new one beside it first"
            f" ({CREDENTIAL}-2, or a further slot)"
        )
    return keys[-1]


def reference_keys(
    source: KeySource,
    directory: KeyDirectory,
    *,
    environment: Mapping[str, str] | None = None,
    tpm: TpmSlot | None = None,
) -> ReferenceKeys:
    """Return the reference keys of a source. Raises KeyRefused when the source is not there."""
    if source == "file":
        return FileKeys(directory)
    if source == "credential":
        folder = (os.environ if environment is None else environment).get(CREDENTIALS_VARIABLE)
        if folder is None:
            raise KeyRefused(
                "verification.reference_key = 'credential': started without systemd credentials"
                f" (${CREDENTIALS_VARIABLE} is not set)"
            )
        return CredentialKeys(Path(folder))
    if tpm is None:
        raise KeyRefused(
            "verification.reference_key = 'tpm': this node has no TPM driver; use 'credential' with"
            " LoadCredentialEncrypted=, which systemd can bind to the TPM, or 'file'"
        )
    return TpmKeys(tpm)
