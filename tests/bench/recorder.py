"""CPU and memory of one recorder beside `ffmpeg -c copy`, both on the same stream at once."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import psutil

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.recorder.process import run
from retention.signals import setting

WARM_SECONDS, MEASURED_SECONDS = 5.0, 30.0


def configured(data: Path, url: str) -> EdgeConfig:
    """Return a node with one camera and segments of ten seconds, as the peer cuts them."""
    return EdgeConfig.model_validate(
        {
            "node": {"agency": "bench", "pharmacy": "bench", "node": "bench", "data": data},
            "cameras": [{"id": "camera", "scene_role": "purchase", "url": url, "simulated": True}],
            "verification": {"camera": "camera"},
            "recording": {"segment_seconds": 10},
        }
    )


def record(config: EdgeConfig) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, setting(stop))
    run(ProcessContext(config, stop, lambda: None, "camera"))


@contextmanager
def stream() -> Iterator[dict[str, object]]:
    command = [sys.executable, "-P", "-m", "tests.bench.stream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()


def measure() -> Iterator[dict[str, object]]:
    with stream() as camera, tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        config = configured(data / "node", str(camera["url"]))
        ours = multiprocessing.get_context("spawn").Process(target=record, args=(config,))
        ours.start()
        peer = subprocess.Popen(
            [
                imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-rtsp_transport", "tcp",
                "-i", str(camera["url"]), "-c", "copy", "-movflags",
                "frag_keyframe+empty_moov+default_base_moof", "-f", "segment",
                "-segment_time", "10", "-segment_format", "mp4", str(data / "peer%03d.mp4"),
            ]
        )  # fmt: skip
        try:
            figures = _measure(psutil.Process(ours.pid), psutil.Process(peer.pid))
        finally:
            for process in (ours, peer):
                process.terminate()
            peer.wait()
            ours.join()
    yield {
        "bench": "recorder",
        "peer": "ffmpeg -c copy (imageio-ffmpeg), no digest, no fsync",
        "stream": "1080p25",
        "bits_per_second": camera["bits_per_second"],
        **figures,
        "aim": "cpu_ratio <= 1.5",
    }


def _measure(ours: psutil.Process, peer: psutil.Process) -> dict[str, object]:
    time.sleep(WARM_SECONDS)
    before = [_cpu(process) for process in (ours, peer)]
    time.sleep(MEASURED_SECONDS)
    spent = [_cpu(process) - was for process, was in zip((ours, peer), before, strict=True)]
    return {
        "seconds": MEASURED_SECONDS,
        "cpu_percent": round(100 * spent[0] / MEASURED_SECONDS, 2),
        "peer_cpu_percent": round(100 * spent[1] / MEASURED_SECONDS, 2),
        "cpu_ratio": round(spent[0] / max(spent[1], 0.01), 2),
        "rss_mb": round(ours.memory_info().rss / 2**20, 1),
        "peer_rss_mb": round(peer.memory_info().rss / 2**20, 1),
    }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
