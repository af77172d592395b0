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
from pathlib import Path

from models.errors import ModelsError
from retention.terms.reasons import BY_CODE

_FORMAT = "countersight-identity-verify-1"


def main(argv: list[str]) -> int:
    """Run one `countersight identity` command and return its exit code."""
    try:
        wanted = _parser().parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 2
    return _verify(wanted)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="countersight identity", description="人脸比对 / comparing faces"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    purpose = "比对照片，仅质量与相似度 / compare pictures: quality and similarity only"
    verify = commands.add_parser("verify", help=purpose, description=purpose)
    verify.add_argument("reference", type=Path, metavar="REFERENCE")
    verify.add_argument("probes", type=Path, nargs="+", metavar="PROBE")
    verify.add_argument("--policy", type=Path, help="an identity policy (TOML)")
    verify.add_argument("--models", type=Path, help="the models folder")
    verify.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _verify(wanted: argparse.Namespace) -> int:
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
        comparer = Comparer(
            policy=policy,
            calibration=load_calibration(loaded.embedder.contract_id),
            detector=loaded.detector,
            embedder=loaded.embedder,
        )
        ready = time.perf_counter()
        pictures = [load_image(path) for path in (wanted.reference, *wanted.probes)]
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
        "false_match_rate_target": str(policy.bands[0].false_match_rate),
        "policy": policy.name,
        "contract_id": loaded.embedder.contract_id,
        "liveness": "not_assessed",
        "receipt": None,
        "quality": [None if q is None else asdict(q) for q in found.quality],
        "timing_ms": {
            "load": round((ready - started) * 1000, 1),
            **found.timing_ms,
            "total": round((time.perf_counter() - started) * 1000, 1),
        },
    }
    _show(report, wanted.json)
    return 0 if found.outcome == "ACCEPT" else 1


def _show(report: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report))
        return
    reasons = report["reasons"]
    assert isinstance(reasons, list)  # noqa: S101 - built above; for the type checker
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
