"""The configuration files that the demo writes: short rolls and segments, all on loopback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hardware.simulated_scene import Role

AGENCY, PHARMACY, NODE, COUNTER = "430100", "P43010000001", "demo-node", "counter-1"
PHARMACIST = "HY430100000001"
CAMERAS: tuple[tuple[str, Role], ...] = (
    ("counter", "purchase"),
    ("desk", "prescription"),
    ("shelf", "dispensing"),
)


@dataclass(frozen=True, slots=True)
class DemoTimes:
    """Seconds; shorter than the defaults so that a demo shows in minutes what a day shows."""

    segment: float = 10.0
    roll: float = 3.0
    receipt: float = 45.0
    checkpoint: float = 5.0


def central_toml(data: Path, collector_port: int, web_port: int) -> str:
    """Return central's configuration."""
    return (
        f"[storage]\ndata = {_text(data)}\n"
        f"[collector]\nendpoint = {_text(f'tcp://127.0.0.1:{collector_port}')}\n"
        f"[web]\nhost = {_text('127.0.0.1')}\nport = {web_port}\n"
    )


def edge_toml(
    data: Path,
    *,
    endpoint: str,
    server_key: str,
    signing_key: str,
    urls: Mapping[str, str],
    terminal_port: int,
    platform_url: str,
    times: DemoTimes,
) -> str:
    """Return the node's configuration."""
    cameras = "".join(
        f"[[cameras]]\nid = {_text(camera)}\nscene_role = {_text(role)}\n"
        f"url = {_text(urls[camera])}\nsimulated = true\n"
        for camera, role in CAMERAS
    )
    return (
        f"[node]\nagency = {_text(AGENCY)}\npharmacy = {_text(PHARMACY)}\n"
        f"node = {_text(NODE)}\ndata = {_text(data)}\n"
        f"[central]\nendpoint = {_text(endpoint)}\nserver_key = {_text(server_key)}\n"
        f"signing_key = {_text(signing_key)}\ncheckpoint_seconds = {times.checkpoint}\n"
        f"{cameras}"
        f"[recording]\nsegment_seconds = {times.segment}\n"
        f"[verification]\ncamera = {_text(CAMERAS[0][0])}\nreceipt_seconds = {times.receipt}\n"
        f"[presence]\nrequired = true\n"
        f"[session]\npre_roll_seconds = {times.roll}\npost_roll_seconds = {times.roll}\n"
        f"[terminal]\nport = {terminal_port}\n"
        f"[settlement]\nmode = {_text('node')}\nplatform_url = {_text(platform_url)}\n"
        f"timeout_seconds = 2.0\n"
    )


def _text(value: object) -> str:
    """Write a TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(str(value), ensure_ascii=False)
