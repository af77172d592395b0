"""`countersight identity policy show|sign|check`: an identity policy file, before a node has it.

Exit codes: 0 done, 1 the calibration cannot support a rate or the models are not in place, 2 wrong
usage, policy, signature or key. With `--json` exactly one JSON object goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelsError

if TYPE_CHECKING:
    from identity.policy import IdentityPolicy
    from retention.records.signing import Ed25519Signer

_FORMAT = "countersight-identity-policy-1"
_KEY_BYTES = 32


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    purpose = "核验策略：查看、签名、检查 / an identity policy: show, sign, check"
    parser = commands.add_parser("policy", help=purpose, description=purpose)
    steps = parser.add_subparsers(dest="step", required=True)
    show = steps.add_parser("show", help="the values, the digest, the thresholds that follow")
    show.add_argument("policy", type=Path, nargs="?", metavar="POLICY", help="else the shipped one")
    sign = steps.add_parser("sign", help="write POLICY.sig beside the policy")
    sign.add_argument("policy", type=Path, metavar="POLICY")
    sign.add_argument(
        "--key", type=Path, required=True, help="32 private bytes (Ed25519), for the owner only"
    )
    check = steps.add_parser("check", help="does the signature hold, is every rate supported")
    check.add_argument("policy", type=Path, metavar="POLICY", help="a file, or a folder of them")
    check.add_argument("--key", required=True, metavar="HEX", help="the public key, 64 digits")
    for step in (show, check):
        step.add_argument("--models", type=Path, help="the models folder")
    for step in (show, sign, check):
        step.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(wanted: argparse.Namespace) -> int:
    """Run one step."""
    from identity.errors import IdentityError, PolicyRefused

    steps = {"show": _show, "sign": _sign, "check": _check}
    try:
        reports = steps[wanted.step](wanted)
    except PolicyRefused as exc:
        return _failed(str(exc), wanted.json, 2)
    except (IdentityError, ModelsError) as exc:
        return _failed(str(exc), wanted.json, 1)
    document = {"format": _FORMAT, "policies": reports}
    if wanted.json:
        print(json.dumps(document))
        return 0
    for report in reports:
        for key, value in report.items():
            print(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")
    return 0


def _show(wanted: argparse.Namespace) -> list[dict[str, object]]:
    from identity.policy import load_policy

    policy = load_policy(wanted.policy)
    return [_named(policy) | {"thresholds": _thresholds(policy, wanted.models)} | _values(policy)]


def _sign(wanted: argparse.Namespace) -> list[dict[str, object]]:
    from identity.policy import load_policy
    from identity.policy_files import SUFFIX, sign

    policy, signer = load_policy(wanted.policy), _signer(wanted.key)
    beside = wanted.policy.with_name(wanted.policy.name + SUFFIX)
    try:
        _write(beside, sign(policy, signer))
    except OSError as exc:
        raise _refused(beside, exc.strerror or "it cannot be written") from exc
    return [_named(policy) | {"signature": str(beside), "public_key": signer.public_key.hex()}]


def _check(wanted: argparse.Namespace) -> list[dict[str, object]]:
    from identity.policy_files import signed_policies

    if len(wanted.key) != 2 * _KEY_BYTES or set(wanted.key) - set("0123456789abcdef"):
        raise _refused(Path("--key"), "a public key is 64 hexadecimal digits in lower case")
    policies = signed_policies(wanted.policy, wanted.key)
    return [_named(each) | {"thresholds": _thresholds(each, wanted.models)} for each in policies]


def _named(policy: IdentityPolicy) -> dict[str, object]:
    return {
        "name": policy.name,
        "version": policy.version,
        "effective_from": policy.effective_from,
        "digest": policy.digest,
    }


def _values(policy: IdentityPolicy) -> dict[str, object]:
    return {"values": policy.model_dump(mode="json")}


def _thresholds(policy: IdentityPolicy, models: Path | None) -> list[dict[str, object]]:
    """Return the threshold of each band. Raises IdentityError when one is not supported."""
    from identity.bands import band_thresholds
    from identity.calibration import load_calibration
    from models.runtime import load_models

    calibration = load_calibration(load_models(models).embedder.contract_id)
    band_thresholds(policy, calibration, "stale")
    return [
        {
            "up_to": None if band.up_to is None else str(band.up_to),
            "false_match_rate": str(band.false_match_rate),
            "threshold": band.threshold,
        }
        for band in band_thresholds(policy, calibration, "current")
    ]


def _signer(path: Path) -> Ed25519Signer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from retention.records.signing import Ed25519Signer

    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            raw = stream.read(_KEY_BYTES + 1)
    except OSError as exc:
        raise _refused(path, exc.strerror or "it cannot be read") from exc
    if mode & 0o077:
        raise _refused(path, f"mode {mode:04o}; a private key is for its owner only (0600)")
    if len(raw) != _KEY_BYTES:
        raise _refused(path, f"a private key has {_KEY_BYTES} bytes")
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(raw))


def _refused(place: Path, reason: str) -> Exception:
    from identity.errors import PolicyRefused

    return PolicyRefused(str(place), reason)


def _write(place: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = place.with_name(place.name + ".part")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, place)


def _failed(problem: str, as_json: bool, code: int) -> int:
    print(problem, file=sys.stderr)
    if as_json:
        print(json.dumps({"format": _FORMAT, "problem": problem}))
    return code
