"""`countersight identity replay RECEIPT --data DIR`: make a recorded decision again.

Reads the data folder and writes one thing to it: who replayed what, and why (invariant 10). It
stands in `edge` because `identity` reaches no database. Exit codes: 0 the same verdict and values;
1 it differs (each input and value that does is named) or can be replayed no longer; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.config import EdgeConfig, load_config
from edge.said import said
from retention.checking.subject import owner_of
from retention.keyfiles import KeyDirectory
from retention.keysources import FileKeys, ReferenceKeys
from retention.logs import configure
from retention.records.clock import SystemClock
from retention.records.errors import UsageError
from retention.records.ids import SystemIds
from retention.records.payloads import AccessRecorded
from retention.store.database import NodeIdentity, NodeStore, StoreError, open_read_only
from retention.store.log import append
from retention.terms.reasons import BY_CODE

if TYPE_CHECKING:
    from identity.replay import Difference
    from retention.records.people import DecisionReceipt2

FORMAT = "countersight-identity-replay-1"
ACTION = "identity.replay"


@dataclass(slots=True)
class Told:
    """What the command says of one receipt."""

    receipt: str
    verdict: str
    reason: str | None = None
    since: str | None = None
    differences: list[Difference] = field(default_factory=list)
    recorded: DecisionReceipt2 | None = None
    found: DecisionReceipt2 | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "receipt": self.receipt,
            "verdict": self.verdict,
            "reason": self.reason,
            "since": self.since,
            "differences": [asdict(one) for one in self.differences],
            "recorded": _outcome(self.recorded),
            "found": _outcome(self.found),
        }


def main(argv: list[str]) -> int:
    """Run the command and return its exit code."""
    try:
        wanted = _parser().parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    configure("replay")
    try:
        told = _replay(wanted)
    except (UsageError, StoreError, OSError, sqlite3.Error) as exc:
        print(f"countersight identity replay: {exc}", file=sys.stderr)
        return 2
    print(json.dumps(told.to_json(), ensure_ascii=False) if wanted.json else _text(told))
    return 0 if told.verdict == "same" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersight identity replay",
        description="用留存的证据重做一次核验 / make a recorded decision again",
    )
    parser.add_argument("receipt", type=said, metavar="RECEIPT", help="凭据编号 / the receipt's id")
    parser.add_argument("--data", type=Path, required=True, help="数据目录 / the data folder")
    parser.add_argument("--config", type=Path, help="节点配置 / the node's TOML file")
    parser.add_argument("--models", type=Path, help="模型目录 / the models folder")
    parser.add_argument(
        "--actor", type=said, default=getpass.getuser(), help="操作人 / who asks, for the record"
    )
    parser.add_argument(
        "--reason", type=said, default="identity replay", help="原因 / why, for the record"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _replay(wanted: argparse.Namespace) -> Told:
    """Raises UsageError, StoreError, OSError, sqlite3.Error."""
    data: Path = wanted.data
    config = None if wanted.config is None else load_config(wanted.config)
    if config is not None and config.node.data.resolve() != data.resolve():
        raise UsageError(f"--config is of {config.node.data}, --data is {data}")
    with closing(open_read_only(data / "node.sqlite3")) as connection:
        owner, _ = owner_of(connection, data)
        # (1) whoever looks leaves their name before anything is opened
        _record_access(data, NodeIdentity(*owner), wanted)
        return _told(connection, data, config, wanted)


def _record_access(data: Path, identity: NodeIdentity, wanted: argparse.Namespace) -> None:
    store = NodeStore(data / "node.sqlite3", identity, SystemClock(), SystemIds())
    accessed = AccessRecorded(
        actor=wanted.actor, action=ACTION, subject=wanted.receipt[:200], reason=wanted.reason
    )
    with closing(store), store.write() as connection:
        append(store, connection, accessed)


def _told(
    connection: sqlite3.Connection,
    data: Path,
    config: EdgeConfig | None,
    wanted: argparse.Namespace,
) -> Told:
    # OpenCV and onnxruntime load only here, so that `--help` needs none of them.
    from edge.replay_inputs import (
        NotReplayable,
        Tampered,
        find_decision,
        open_kept,
        receipt_of,
        signer_of,
    )
    from edge.verifier.kept_inputs import kept_calibration, kept_policy
    from identity.replay import Difference, Inputs, replay
    from models.errors import ModelsError
    from models.runtime import load_models

    recorded: DecisionReceipt2 | None = None
    signer = signer_of(data)
    try:
        record = find_decision(connection, wanted.receipt)
        if record is None:
            raise UsageError(f"{wanted.receipt[:80]!r}: the log of this node has no such receipt")
        recorded = receipt_of(record, signer)
        kept = open_kept(connection, data, recorded, _keys(data, config), record.sequence)
    except NotReplayable as exc:
        return Told(wanted.receipt, "not_replayable", exc.reason, exc.since, recorded=recorded)
    except Tampered as exc:
        return Told(wanted.receipt, "differs", differences=[exc.difference], recorded=recorded)
    folder = config.verification.models if config is not None else None
    try:
        loaded = load_models(wanted.models or folder)
    except ModelsError as exc:
        raise UsageError(str(exc)) from exc
    inputs = Inputs(
        reference=kept.reference,
        policy=kept_policy(data, recorded.policy_digest),
        calibration=kept_calibration(data, recorded.calibration_digest or ""),
        embedder=loaded.embedder,
        passive=loaded.passive,
        runtime=loaded.runtime,
    )
    found = replay(recorded, kept.encoded, inputs)
    unchecked = []
    if signer is None:
        key_id = record.payload["signature"]["key_id"]
        unchecked = [Difference("signature", key_id, "not checked: the node's key is not here")]
    return Told(
        wanted.receipt,
        found.verdict,
        differences=[*unchecked, *found.differences],
        recorded=recorded,
        found=found.receipt,
    )


def _keys(data: Path, config: EdgeConfig | None) -> ReferenceKeys:
    """Raises UsageError where there are none: what is sealed opens on its own node only."""
    if config is not None:
        return config.reference_keys()
    if not (data / "keys").is_dir():
        raise UsageError(f"{data / 'keys'}: no keys are here; what is sealed does not open")
    return FileKeys(KeyDirectory(data / "keys"))


def _outcome(receipt: DecisionReceipt2 | None) -> dict[str, object] | None:
    if receipt is None:
        return None
    return {
        "outcome": receipt.outcome,
        "reasons": list(receipt.reasons),
        "comparison_score": receipt.comparison_score,
        "threshold": receipt.threshold,
        "neg_log10_fmr": receipt.neg_log10_fmr,
        "decided_at": receipt.decided_at,
    }


_VERDICTS = {
    "same": "一致：结论与数值相同 / the same verdict and values",
    "differs": "不一致 / differs",
    "not_replayable": "已不能重做 / no longer replayable",
}


def _text(told: Told) -> str:
    lines = [f"{told.receipt}: {_VERDICTS[told.verdict]}"]
    if told.reason is not None:
        known = BY_CODE.get(told.reason)
        worded = told.reason if known is None else f"{told.reason} {known.zh} / {known.en}"
        lines.append(worded if told.since is None else f"{worded} ({told.since})")
    for one in told.differences:
        recorded, found = one.recorded or "无 / none", one.found or "无 / none"
        lines.append(f"  {one.what}: 记录 / recorded {recorded}, 现为 / found {found}")
    for name, receipt in (("记录 / recorded", told.recorded), ("重做 / found", told.found)):
        if receipt is not None:
            reasons = ", ".join(receipt.reasons)
            lines.append(f"  {name}: {receipt.outcome} {reasons}, {receipt.comparison_score}")
    return "\n".join(lines)
