"""Memory of a process that verifies, and the time from its start to its first decision.

A fresh interpreter imports the verifier process of the node, loads and verifies the models, reads
policy and calibration (ready), and decides one attempt on frames that lie ready. All work on all
frames of that attempt is in the time to the first decision; waiting for a camera is not.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.bench.faces import rendered_frames

STARTS = 5

_CHILD = """
import json, pickle, sys, time
from pathlib import Path
import edge.verifier.process
from identity.calibration import load_calibration
from identity.policy import load_policy
from models.runtime import load_models
from tests.bench.faces import attempt, reference_of

def kilobytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])

picture, frames = pickle.loads(Path(sys.argv[1]).read_bytes())
held = sum(frame.nbytes for frame in frames) // 1024
started = time.perf_counter()
models, policy = load_models(), load_policy()
calibration = load_calibration(models.embedder.contract_id)
loaded, ready_at = time.perf_counter(), time.time()
after_load = kilobytes("VmRSS")
reference = reference_of(picture, models, policy)
one = attempt(frames, 0, models, policy, calibration, reference)
print(json.dumps({
    "accepted": one.accepted, "load_seconds": loaded - started, "ready_at": ready_at,
    "rss_loaded_kb": after_load - held, "rss_decided_kb": kilobytes("VmRSS") - held,
}), flush=True)
"""


def measure() -> Iterator[dict[str, object]]:
    picture, frames = rendered_frames(5)
    seconds: list[float] = []
    answers: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "frames"
        path.write_bytes(pickle.dumps((picture, frames)))
        for _ in range(STARTS):
            started, began_at = time.perf_counter(), time.time()
            command = [sys.executable, "-c", _CHILD, str(path)]
            result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            seconds.append(time.perf_counter() - started)
            answer = json.loads(result.stdout)
            answers.append(answer | {"ready_seconds": answer["ready_at"] - began_at})

    def median(key: str, scale: float) -> float:
        return round(scale * float(np.median([answer[key] for answer in answers])), 1)

    yield {
        "bench": "verifier_start",
        "starts": STARTS,
        "accepted": sum(bool(answer["accepted"]) for answer in answers),
        "start_to_ready_ms": median("ready_seconds", 1000),
        "start_to_first_decision_ms": round(1000 * float(np.median(seconds)), 1),
        "load_models_ms": median("load_seconds", 1000),
        "rss_loaded_mb": median("rss_loaded_kb", 1 / 1024),
        "rss_after_a_decision_mb": median("rss_decided_kb", 1 / 1024),
    }
