"""Which identity policy is in force, and that whoever may set it signed it.

The policy that ships needs no signature: it is part of the software. Any other is a TOML file with
a signature beside it (`NAME.toml.sig`, JSON) over its name, version, beginning and digest. Of a
folder, the newest policy that has begun is in force; of two that begin together, the higher
version; two that differ, but begin together with the same version, are refused. A file that cannot
be read or whose signature does not hold refuses the whole folder: a node never falls back to what
somebody may have wanted to replace.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from identity.errors import PolicyRefused
from identity.policy import IdentityPolicy, load_policy
from retention.records.clock import from_text
from retention.records.errors import ProofRejected
from retention.records.fields import Digest, Frozen, Moment, ShortText
from retention.records.payloads import SignatureBlock
from retention.records.signing import Context, Signer, verify_signature

SUFFIX = ".sig"


class PolicyTerms(Frozen):
    """What is signed of a policy: the digest commits to every value."""

    name: ShortText
    version: ShortText
    effective_from: Moment
    digest: Digest


def terms_of(policy: IdentityPolicy) -> PolicyTerms:
    """Return what is signed of a policy."""
    return PolicyTerms(
        name=policy.name,
        version=policy.version,
        effective_from=policy.effective_from,
        digest=policy.digest,
    )


def sign(policy: IdentityPolicy, signer: Signer) -> bytes:
    """Return the content of the signature file of a policy."""
    block = signer.sign(Context.POLICY, terms_of(policy))
    return block.model_dump_json().encode() + b"\n"


def policy_in_force(place: Path | None, key: str | None, now: datetime) -> IdentityPolicy:
    """Return the policy in force: the built-in one, a signed file, or the newest of a folder.

    `key` is the raw Ed25519 public key in hexadecimal. Raises PolicyRefused naming the file and
    what is wrong with it.
    """
    if place is None:
        return load_policy()
    return newest_begun(signed_policies(place, key), now, place)


def signed_policies(place: Path, key: str | None) -> tuple[IdentityPolicy, ...]:
    """Return every policy of a place: that of a signed file, or all of a folder.

    Raises PolicyRefused when one of them cannot be read or its signature does not hold.
    """
    files = sorted(place.glob("*.toml")) if place.is_dir() else [place]
    if not files:
        raise PolicyRefused(str(place), "the folder holds no policy (*.toml)")
    return tuple(_signed(path, key) for path in files)


def newest_begun(known: tuple[IdentityPolicy, ...], now: datetime, place: Path) -> IdentityPolicy:
    """Return the policy that began last. Raises PolicyRefused when none has begun."""
    begun = [policy for policy in known if from_text(policy.effective_from) <= now]
    if not begun:
        first = min(policy.effective_from for policy in known)
        raise PolicyRefused(str(place), f"no policy is in force before {first}")
    newest = max(begun, key=_rank)
    if any(_rank(one) == _rank(newest) and one.digest != newest.digest for one in begun):
        raise PolicyRefused(
            str(place),
            f"two policies of version {newest.version} begin at {newest.effective_from}",
        )
    return newest


def _rank(policy: IdentityPolicy) -> tuple[str, int]:
    return policy.effective_from, int(policy.version)


def _signed(path: Path, key: str | None) -> IdentityPolicy:
    policy = load_policy(path)
    if key is None:
        raise PolicyRefused(str(path), "no key to check its signature: set verification.policy_key")
    beside = path.with_name(path.name + SUFFIX)
    try:
        block = SignatureBlock.model_validate_json(beside.read_bytes())
    except OSError as exc:
        raise PolicyRefused(str(beside), f"the signature cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        raise PolicyRefused(str(beside), "it is no signature") from exc
    try:
        raw_key = bytes.fromhex(key)
    except ValueError as exc:
        raise PolicyRefused(str(path), "verification.policy_key is not hexadecimal") from exc
    try:
        verify_signature(raw_key, Context.POLICY, terms_of(policy), block)
    except ProofRejected as exc:
        raise PolicyRefused(str(path), str(exc)) from exc
    return policy
