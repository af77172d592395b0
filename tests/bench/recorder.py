"""CPU and memory of recorders beside `ffmpeg -c copy`, on the same streams at the same time.

One process a camera on either side, as each is used; all read one simulated camera. Our side hashes
every byte twice (file, chunks), makes every GOP durable and seals into the node's database; the
peer does none of it. Both read by TCP and write segments of a minute to one disk; ours are
fragmented, the peer's are plain MP4, which costs it less and is lost whole in a crash.
`--streams 1,4,8` says how many cameras, one line each.
"""

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
from contextlib import ExitStack, contextmanager
from pathlib import Path

import imageio_ffmpeg
import psutil

from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.recorder.process import run
from retention.logs import configure
from retention.signals import setting
from retention.store.database import open_read_only
from tests.bench.sizes import SIZES

WARM_SECONDS, MEASURED_SECONDS, SEGMENT_SECONDS = 5.0, 60.0, 60  # segments as long as they are


def configured(data: Path, url: str, cameras: int) -> EdgeConfig:
    """Return a node whose segments are as long as the peer's."""
    return EdgeConfig.model_validate(
        {
            "node": {"agency": "bench", "pharmacy": "bench", "node": "bench", "data": data},
            "cameras": [
                {"id": f"camera-{n}", "scene_role": "purchase", "url": url, "simulated": True}
                for n in range(cameras)
            ],
            "verification": {"camera": "camera-0"},
            "recording": {"segment_seconds": SEGMENT_SECONDS},
        }
    )


def record(config: EdgeConfig, camera: str) -> None:
    configure("recorder")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, setting(stop))
    run(ProcessContext(config, stop, lambda: None, camera))


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
    for streams in SIZES.streams:
        yield _beside_the_peer(streams)


def _beside_the_peer(streams: int) -> dict[str, object]:
    with ExitStack() as stack:
        camera = stack.enter_context(stream())
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = configured(data / "node", str(camera["url"]), streams)
        config.open_store().close()
        ours = [stack.enter_context(_recorder(config, one.id)) for one in config.cameras]
        peers = [
            stack.enter_context(_peer(str(camera["url"]), data / f"peer{n}"))
            for n in range(streams)
        ]
        figures = _measure(ours, peers)
        connection = open_read_only(data / "node" / "node.sqlite3")
        (seconds,) = connection.execute(
            "SELECT sum(ended_at - started_at) / 1e6 FROM segments"
        ).fetchone()
        connection.close()
    return {
        "bench": "recorder",
        "peer": "ffmpeg -c copy (imageio-ffmpeg), no digest, no fsync, no fragments",
        "stream": "1080p25",
        "streams": streams,
        "bits_per_second": camera["bits_per_second"],
        **figures,
        "camera_seconds_sealed": round(seconds),
        "aim": "cpu_ratio <= 1.3 at 4 streams",
    }


@contextmanager
def _recorder(config: EdgeConfig, camera: str) -> Iterator[psutil.Process]:
    process = multiprocessing.get_context("spawn").Process(target=record, args=(config, camera))
    process.start()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join()


@contextmanager
def _peer(url: str, folder: Path) -> Iterator[psutil.Process]:
    folder.mkdir()
    with subprocess.Popen(
        [
            imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-rtsp_transport", "tcp",
            "-i", url, "-c", "copy", "-f", "segment", "-segment_time", str(SEGMENT_SECONDS),
            "-segment_format", "mp4", str(folder / "%03d.mp4"),
        ]
    ) as process:  # fmt: skip
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _measure(ours: list[psutil.Process], peers: list[psutil.Process]) -> dict[str, object]:
    time.sleep(WARM_SECONDS + len(ours))  # Python starts slower than ffmpeg, the more the slower
    before = [_cpu(side) for side in (ours, peers)]
    time.sleep(MEASURED_SECONDS)
    spent = [_cpu(side) - was for side, was in zip((ours, peers), before, strict=True)]
    return {
        "seconds": MEASURED_SECONDS,
        "cpu_percent": round(100 * spent[0] / MEASURED_SECONDS, 2),
        "peer_cpu_percent": round(100 * spent[1] / MEASURED_SECONDS, 2),
        "cpu_ratio": round(spent[0] / max(spent[1], 0.01), 2),
        "rss_mb_each": round(_rss(ours), 1),
        "peer_rss_mb_each": round(_rss(peers), 1),
    }


def _cpu(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)


def _rss(processes: list[psutil.Process]) -> float:
    return sum(process.memory_info().rss for process in processes) / len(processes) / 2**20
