"""`countersight identity evaluate PROTOCOL --images DIR`: error rates on labelled pictures.

Exit codes: 0 done, 1 models are missing or nothing could be compared, 2 wrong usage, protocol or
picture folder. With `--json` exactly one JSON object goes to standard output; progress and
messages go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelsError

if TYPE_CHECKING:
    from identity.evaluate import Compared, Json
    from models.values import Embedder

_FORMAT = "countersight-identity-evaluate-1"
_TELL_EVERY_SECONDS = 5.0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    purpose = "在标注照片上评估误识率 / error rates on labelled pictures"
    parser = commands.add_parser("evaluate", help=purpose, description=purpose)
    parser.add_argument(
        "protocol", type=Path, metavar="PROTOCOL", help="LFW's pairs.txt, or CSV left,right,mated"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--aligned", action="store_true", help="the pictures are aligned to 112x112 already"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw curves as SVG there")
    parser.add_argument(
        "--second", type=Path, metavar="MODEL", help="measure the fusion with a second model"
    )
    parser.add_argument(
        "--mirrored",
        action="store_true",
        help="measure embeddings of crop and mirror image together; the counter does not do so",
    )
    parser.add_argument("--policy", type=Path, help="an identity policy (TOML)")
    parser.add_argument("--models", type=Path, help="the models folder")
    parser.add_argument("--threads", type=int, default=1, choices=range(1, 65), metavar="N")
    parser.set_defaults(run=run)


def run(wanted: argparse.Namespace) -> int:
    """Evaluate, show and draw."""
    # The vision libraries load only here, so that `--help` needs none of them.
    from identity.errors import IdentityError, ImageRefused, PolicyRefused, ProtocolRefused

    try:
        if wanted.plots is not None:
            # Now, because a long run should not end in a folder that cannot be written.
            wanted.plots.mkdir(parents=True, exist_ok=True)
        found, compared = _evaluated(wanted)
        if wanted.plots is not None:
            found["plots"] = _drawn(wanted, found, compared)
    except (ProtocolRefused, PolicyRefused, ImageRefused) as exc:
        return _failed(str(exc), wanted.json, 2)
    except OSError as exc:
        return _failed(f"{exc.filename or wanted.plots}: {exc.strerror}", wanted.json, 2)
    except (IdentityError, ModelsError) as exc:
        return _failed(str(exc), wanted.json, 1)
    if wanted.json:
        print(json.dumps(found, allow_nan=False))
    else:
        _show(found)
    return 0


def _evaluated(wanted: argparse.Namespace) -> tuple[Json, Compared]:
    from identity.calibration import load_calibration
    from identity.errors import CalibrationUnreadable
    from identity.evaluate import compare, report
    from identity.evaluate_capture import Capturer
    from identity.evaluate_fusion import fusion_report
    from identity.evaluate_protocol import read_protocol
    from identity.policy import load_policy
    from models.runtime import load_models

    policy = load_policy(wanted.policy)
    protocol = read_protocol(wanted.protocol, wanted.images)
    started = time.perf_counter()
    loaded = load_models(wanted.models, threads=wanted.threads)
    second = None if wanted.second is None else _second(wanted.second, wanted.threads)
    loading = (time.perf_counter() - started) * 1000
    contract = loaded.embedder.contract_id
    try:
        calibration = load_calibration(contract)
    except CalibrationUnreadable as exc:
        print(f"{exc}; thresholds of the calibration are left out", file=sys.stderr)
        calibration = None
    capturer = Capturer(
        images=wanted.images,
        aligned=wanted.aligned,
        policy=policy,
        detector=loaded.detector,
        embedder=loaded.embedder,
        second=second,
        mirrored=wanted.mirrored,
    )
    captured = capturer.take_all(protocol.pictures, _progress())
    started = time.perf_counter()
    compared = compare(protocol, captured)
    comparing = (time.perf_counter() - started) * 1000
    found: Json = {
        "format": _FORMAT,
        **report(protocol, captured, compared, None if calibration is None else calibration.values),
        "aligned": wanted.aligned,
        "mirrored": wanted.mirrored,
        "contract_id": contract,
        "calibration_digest": None if calibration is None else calibration.digest,
        "policy": policy.name,
    }
    timing = found["timing_ms"]
    assert isinstance(timing, dict)  # noqa: S101 - built by report; for the type checker
    timing["load"] = round(loading, 1)
    timing["compare_all"] = round(comparing, 1)
    if compared.second is not None:
        found["fusion"] = fusion_report(compared, compared.second)
    return found, compared


def _second(path: Path, threads: int) -> Embedder:
    from models.recognition import load_embedder

    return load_embedder(path, threads=threads)


def _progress() -> Callable[[int, int], None]:
    """Return a function that tells on standard error how far a long run has come."""
    last = time.monotonic()

    def tell(done: int, count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TELL_EVERY_SECONDS:
            last = now
            print(f"照片 / pictures {done}/{count}", file=sys.stderr, flush=True)

    return tell


def _drawn(wanted: argparse.Namespace, found: Json, compared: Compared) -> list[str]:
    from identity.evaluate import discard_curves
    from identity.evaluate_fusion import fused_scores
    from identity.plots import det_plot, discard_plot, score_plot
    from identity.statistics import Scored, threshold_for

    folder: Path = wanted.plots
    scored = compared.scored
    curves = {"first model": scored}
    if compared.second is not None:
        fused = fused_scores(compared, compared.second)[0]
        others = {"second model": compared.second, "fused": fused}
        for name, scores in others.items():
            curves[name] = Scored(scores, scored.mated, scored.left, scored.right)
    threshold = threshold_for(scored.impostor, 1e-3)
    det_plot(curves, folder / "det.svg")
    score_plot(scored, threshold, folder / "scores.svg")
    title = f"threshold {threshold:.3f} (FMR 1e-3 of this set)"
    discard_plot(discard_curves(compared, threshold), title, folder / "error-versus-discard.svg")
    return [str(folder / name) for name in ("det.svg", "scores.svg", "error-versus-discard.svg")]


def _show(found: Json) -> None:
    print(
        f"{found['pictures']} 张照片 / pictures, {found['people']} 人 / people; "
        f"{found['mated']} 同人 / mated, {found['non_mated']} 异人 / non-mated"
    )
    print(f"  FTA {found['fta']:.4f} ({found['fta_reasons']}); {found['counter_answers']}")
    print(
        f"  accuracy {found['accuracy']:.4f} ± {found['accuracy_standard_error']:.4f}: "
        f"{found['accuracy_by']}; EER {found['equal_error_rate']:.4f}"
    )
    for name in ("points", "calibrated"):
        rows = found[name]
        assert isinstance(rows, list)  # noqa: S101 - built by report; for the type checker
        for row in rows:
            low, high = row["fnmr_ci"]
            few = "" if row.get("resolved", True) else " 比对次数不足 / too few comparisons"
            print(
                f"  {name}: FMR {row['fmr_target']:g} threshold {row['threshold']:.4f} "
                f"FMR {row['fmr']:.6f} FNMR {row['fnmr']:.6f} [{low:.6f}, {high:.6f}]{few}"
            )
    for name in ("fusion", "timing_ms", "plots"):
        if name in found:
            print(f"  {name}: {json.dumps(found[name])}")


def _failed(problem: str, as_json: bool, code: int) -> int:
    print(problem, file=sys.stderr)
    if as_json:
        print(json.dumps({"format": _FORMAT, "problem": problem}))
    return code
