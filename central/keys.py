"""Central's keys and the admin token.

`signing` countersigns checkpoints and signs commands; `curve` is the collector's CURVE key. Of the
admin token only the SHA-256 is kept; the token itself is written once, to a file of mode 0600 that
the administrator reads and may then delete.
"""

from __future__ import annotations

import hashlib
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

import zmq

from central.config import CentralConfig
from retention.durable import write_durably
from retention.keyfiles import KeyDirectory, KeyRefused
from retention.records.signing import Ed25519Signer

TOKEN_FILE = "admin.token"  # noqa: S105 - the name of a file


@dataclass(frozen=True, slots=True)
class CentralKeys:
    """`curve_public` and `curve_secret` are Z85 (40 characters)."""

    signer: Ed25519Signer
    curve_public: str
    curve_secret: str


def load_keys(config: CentralConfig) -> CentralKeys:
    """Read central's keys, made on first use. Raises KeyRefused."""
    directory = KeyDirectory(config.storage.data / "keys")
    try:
        secret = directory.text("curve", zmq.curve_keypair()[1].decode("ascii"))
        public = zmq.curve_public(secret.encode("ascii")).decode("ascii")
    except ValueError as exc:
        path = directory.path / "curve.key"
        raise KeyRefused(f"{path}: not a CURVE key, which is 40 characters of Z85") from exc
    return CentralKeys(directory.signer("signing"), public, secret)


def require_private(config: CentralConfig) -> None:
    """See that the keys are there and nobody else reads them; makes none. Raises KeyRefused."""
    folder = config.storage.data / "keys"
    names = ["signing", "curve"]
    if config.web.admin_token_sha256 is None:
        names.append("admin-sha256")
    wanted = [folder, *(folder / f"{name}.key" for name in names)]
    token = admin_token_file(config)
    for path in [*wanted, token] if token.exists() else wanted:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as exc:
            raise KeyRefused(f"{path}: {exc.strerror}") from exc
        if mode & 0o077:
            raise KeyRefused(f"{path}: mode {mode:04o} lets others read it")


def admin_token_sha256(config: CentralConfig) -> str:
    """Return the digest that an admin token must have; makes the token at first start."""
    if config.web.admin_token_sha256 is not None:
        return config.web.admin_token_sha256
    directory = KeyDirectory(config.storage.data / "keys")
    if not (directory.path / "admin-sha256.key").exists():
        token = secrets.token_urlsafe(32)
        write_durably(config.storage.data / TOKEN_FILE, (token + "\n").encode(), mode=0o600)
        return directory.text("admin-sha256", hashlib.sha256(token.encode()).hexdigest())
    return directory.text("admin-sha256", "")


def admin_token_file(config: CentralConfig) -> Path:
    return config.storage.data / TOKEN_FILE
