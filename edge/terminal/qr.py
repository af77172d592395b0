"""The link that pairs a terminal, as a QR code: SVG for pages, block characters for a console.

The SVG has no style and no script, so the strict content policy of the pages holds.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import segno
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.config import EdgeConfig

LOOPBACK = "127.0.0.1"
ADDRESS_FILE = "terminal.json"


class Addresses(BaseModel):
    """Where the terminal process listens: what DATA/run/terminal.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loopback: tuple[str, int]
    lan: tuple[str, int] | None


def pairing_link(config: EdgeConfig, code: str, *, port: int | None = None) -> str:
    """Return the address that a browser opens to pair: on the LAN when there is a listener."""
    return f"{terminal_address(config, port=port)}/?code={code}"


def terminal_address(config: EdgeConfig, *, port: int | None = None) -> str:
    """Return the address of the counter's pages as other machines reach them.

    Ports come from the running terminal process, so that port 0 works; before it ever ran, from the
    configuration. Whoever knows the loopback listener's `port` better may say it.
    """
    running, terminal = _running(config.node.data / "run" / ADDRESS_FILE), config.terminal
    if terminal.lan_host is not None:
        lan_port = running.lan[1] if running and running.lan else terminal.lan_port
        host = f"[{terminal.lan_host}]" if ":" in terminal.lan_host else terminal.lan_host
        return f"https://{host}:{lan_port}"
    return f"http://{LOOPBACK}:{port or (running.loopback[1] if running else terminal.port)}"


def pairing_svg(link: str) -> str:
    """Return an inline SVG element, dark on white with its quiet zone."""
    made = segno.make_qr(link, error="m")
    return str(made.svg_inline(scale=6, light="#fff", svgclass=None, lineclass=None))


def pairing_console(link: str) -> str:
    """Return lines of block characters for a dark or a light console."""
    lines = io.StringIO()
    segno.make_qr(link, error="m").terminal(out=lines, compact=True)
    return lines.getvalue().rstrip("\n")


def _running(path: Path) -> Addresses | None:
    try:
        return Addresses.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None  # never started, or cut short by a crash: the configuration says it
