"""`countersight retention verify-erasure FILE`: is this proof of an erasure what it says?

Needs nothing of the node but the file that the person was given; with the node's public key (from
its enrolment at central) it also shows that this very node signed. Exit codes: 0 it holds, 1 it
does not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pydantic import ValidationError

from retention.records.envelope import first_error, parse_record
from retention.records.errors import ProofRejected, UsageError
from retention.withdrawal import ErasureProof, check_proof

PURPOSE = "核对删除证明 / check the proof that face material was erased"
ERASURES = {"consent.withdrawn", "probes.erased", "reference.erased"}
KEY_BYTES = 32
MOST_BYTES = 64 * 1024 * 1024


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `verify-erasure` to the commands."""
    command = commands.add_parser("verify-erasure", help=PURPOSE, description=PURPOSE)
    command.add_argument("file", type=Path, metavar="FILE", help="证明文件 / the proof")
    command.add_argument(
        "--node-key", metavar="HEX", help="节点公钥 / the node's public signing key"
    )
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_run)


def _run(wanted: argparse.Namespace) -> int:
    proof, key = _read(wanted.file), _key(wanted.node_key)
    problem = None
    try:
        check_proof(proof, key)
        if not {_told(one.record)["kind"] for one in proof.records} & ERASURES:
            problem = "it proves no erasure: no record in it tells of one"
    except ProofRejected as exc:
        problem = str(exc)
    told: dict[str, object] = {
        "ok": problem is None,
        "problem": problem,
        "signature_checked": problem is None and key is not None,
        "tree_size": proof.tree_size,
        "records": [] if problem else [_told(one.record) for one in proof.records],
    }
    print(json.dumps(told, ensure_ascii=False) if wanted.json else _text(told))
    return 0 if problem is None else 1


def _read(path: Path) -> ErasureProof:
    if path.stat().st_size > MOST_BYTES:
        raise UsageError(f"{path}: larger than any proof")
    try:
        return ErasureProof.model_validate_json(path.read_bytes())
    except ValidationError as exc:
        raise UsageError(f"{path}: no proof of an erasure: {first_error(exc)}") from exc


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"--node-key: {2 * KEY_BYTES} hexadecimal digits are wanted")
    return key


def _told(raw: str) -> dict[str, object]:
    record = parse_record(raw.encode())
    return {
        "sequence": record.sequence,
        "kind": record.kind,
        "occurred_at": record.occurred_at,
        "node": record.node,
        "payload": record.payload,
    }


def _text(told: dict[str, object]) -> str:
    if not told["ok"]:
        return f"不成立 / does not hold: {told['problem']}"
    records = told["records"]
    assert isinstance(records, list)  # noqa: S101 - built above; for the type checker
    lines = [f"{one['occurred_at']} #{one['sequence']} {one['kind']}" for one in records]
    signed = "节点签名已核对 / signed by this node"
    unsigned = "未核对签名（缺节点公钥）/ signature not checked: no --node-key"
    return "\n".join(["成立 / holds", *lines, signed if told["signature_checked"] else unsigned])
