"""`countersight identity verify REFERENCE PROBE... [--json]`: compare picture files.

Quality and comparison only: `"liveness": "not_assessed"`, and no receipt. Exit codes: 0 the
pictures match, 1 they do not or the models are not in place, 2 wrong usage, policy or file. With
`--json` exactly one JSON object goes to standard output; messages go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path

from models.errors import ModelsError
from retention.terms.reasons import BY_CODE

_FORMAT = "countersight-identity-verify-1"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    purpose = "比对照片，仅质量与相似度 / compare pictures: quality and similarity only"
    parser = commands.add_parser("verify", help=purpose, description=purpose)
    parser.add_argument("reference", type=Path, metavar="REFERENCE")
    parser.add_argument("probes", type=Path, nargs="+", metavar="PROBE")
    parser.add_argument(
        "--amount", type=_amount, metavar="YUAN", help="the amount; else the least strict band"
    )
    parser.add_argument("--policy", type=Path, help="an identity policy (TOML)")
    parser.add_argument("--models", type=Path, help="the models folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount") from exc
    if not amount.is_finite() or not 0 <= amount <= Decimal("99999999.99"):
        raise argparse.ArgumentTypeError("an amount is 0 to 99999999.99 yuan")
    return amount


def run(wanted: argparse.Namespace) -> int:
    """Compare and show."""
    # OpenCV, onnxruntime and insightface load only here, so that `--help` needs none of them and
    # a missing system library is one clear line.
    try:
        from identity.calibration import load_calibration
        from identity.comparison import Comparer
        from identity.errors import IdentityError, ImageRefused, PolicyRefused
        from identity.images import load_image
        from identity.policy import load_policy
        from models.runtime import load_models
    except ModelsError as exc:
        return _failed(str(exc), wanted.json, 1)
    started = time.perf_counter()
    try:
        policy = load_policy(wanted.policy)
        loaded = load_models(wanted.models)
        reading = time.perf_counter()
        pictures = [load_image(path) for path in (wanted.reference, *wanted.probes)]
        read = time.perf_counter() - reading
        comparer = Comparer(
            policy=policy,
            calibration=load_calibration(loaded.embedder.contract_id),
            detector=loaded.detector,
            embedder=loaded.embedder,
            amount=wanted.amount,
        )
        ready = time.perf_counter()
        found = comparer.compare(pictures[0], pictures[1:])
    except (PolicyRefused, ImageRefused) as exc:
        return _failed(str(exc), wanted.json, 2)
    except (IdentityError, ModelsError) as exc:
        return _failed(str(exc), wanted.json, 1)
    names = [str(path) for path in (wanted.reference, *wanted.probes)]
    report: dict[str, object] = {
        "format": _FORMAT,
        "decision": found.outcome,
        "reasons": list(found.reasons),
        "problems": [{"picture": names[p.picture], "reason": p.reason} for p in found.problems],
        "score": found.score,
        "threshold": found.threshold,
        "neg_log10_fmr": found.neg_log10_fmr,
        "false_match_rate_target": f"{found.false_match_rate:f}",
        "comparisons_allowed": policy.transaction.comparisons,
        "amount_limit": None if found.amount_limit is None else str(found.amount_limit),
        "any_amount": found.any_amount,
        "policy": policy.name,
        "policy_version": policy.version,
        "contract_id": loaded.embedder.contract_id,
        "liveness": "not_assessed",
        "receipt": None,
        "quality": [None if q is None else asdict(q) for q in found.quality],
        "timing_ms": {
            "load": round((ready - started - read) * 1000, 1),
            "read": round(read * 1000, 1),
            **found.timing_ms,
            "total": round((time.perf_counter() - started) * 1000, 1),
        },
    }
    _show(report, found.reasons, wanted.json)
    return 0 if found.outcome == "ACCEPT" else 1


def _show(report: dict[str, object], reasons: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, allow_nan=False))
        return
    print(f"{report['decision']}: " + "; ".join(_worded(code) for code in reasons))
    for key in ("score", "threshold", "neg_log10_fmr", "problems", "timing_ms"):
        print(f"  {key}: {report[key]}")
    print("  活体未检测，不产生凭据 / liveness not assessed, no receipt")


def _worded(code: str) -> str:
    known = BY_CODE.get(code)
    return code if known is None else f"{code} {known.zh} / {known.en}"


def _failed(problem: str, as_json: bool, code: int) -> int:
    print(problem, file=sys.stderr)
    if as_json:
        report = {"format": _FORMAT, "decision": None, "problem": problem}
        print(json.dumps(report | {"liveness": "not_assessed", "receipt": None}))
    return code
