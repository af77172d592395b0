"""`countersight retention export` and `verify-export`.

An export asks for the inspector's own secret; with `--secret-file` it reads it from a file. Exit
codes: 0 done and everything holds, 1 something does not (each is named), 2 wrong usage;
`verify-export` has 3 too: what is there holds, but something is to be weighed first.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from retention.export import verify
from retention.export.archive import ExportRefused
from retention.export.build import Made, Wanted, export
from retention.export.selection import Span, span_of_session
from retention.export.verify import CODES
from retention.footage.volumes import Volumes
from retention.nodefile import NodeFile, load_node_file
from retention.pages.formats import SHANGHAI, size
from retention.records.clock import to_micros
from retention.records.errors import UsageError
from retention.store import inspectors
from retention.store.database import NodeStore

EXPORT = "导出证据 / take evidence out in one file that proves itself"
VERIFY = "核验证据导出 / check an evidence export"
SHOWN_SECONDS = 1.0
MOST_TEXT = 200


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` and `verify-export` to the commands."""
    command = commands.add_parser("export", help=EXPORT, description=EXPORT)
    command.add_argument("--config", type=Path, required=True, help="the node's TOML file")
    command.add_argument("--session", help="业务编号 / a session: its records, its owed footage")
    moment = "2026-01-02T11:00 北京时间，或带时区 / Beijing time, or with an offset"
    command.add_argument("--from", dest="since", metavar="TIME", help=moment)
    command.add_argument("--to", dest="until", metavar="TIME", help=moment)
    command.add_argument("--camera", action="append", help="摄像头，可重复 / repeatable; else all")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    command.add_argument("--author", required=True, help="检查员 / the inspector who takes it")
    command.add_argument("--reason", required=True, help="原因 / why")
    command.add_argument("--secret-file", type=Path, help="口令文件 / read the secret from a file")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_export)
    command = commands.add_parser("verify-export", help=VERIFY, description=VERIFY)
    command.add_argument(
        "export", metavar="FILE", help="压缩包或文件夹 / the archive or its folder"
    )
    command.add_argument("--node-key", metavar="HEX", help="节点公钥 / the node's public key")
    command.add_argument("--central-key", metavar="HEX", help="中心公钥 / central's public key")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_verify)


# -- export ---------------------------------------------------------------------------------------


def _export(wanted: argparse.Namespace) -> int:
    node = load_node_file(wanted.config)
    if not node.database.exists():
        raise ExportRefused(f"{node.database}: no database; this node has never run")
    for name in ("author", "reason"):
        text = getattr(wanted, name)
        if not text.strip() or len(text) > MOST_TEXT or not text.isprintable():
            raise ExportRefused(f"--{name}: 1 to {MOST_TEXT} characters that can be printed")
    _outside(wanted.out, node.volume_roots.values())
    with closing(node.open_store()) as store:
        _check_inspector(store, wanted.author, wanted.secret_file)
        made = export(
            store,
            Volumes(store, node.volume_roots),
            node.keys().signer(),
            node.central_key,
            Wanted(
                _span(wanted, node, store), wanted.author, wanted.reason, wanted.out, _rolls(node)
            ),
            _Progress(),
        )
    print(json.dumps(_json(made), ensure_ascii=False) if wanted.json else _text(made))
    return 1 if made.faults else 0


def _outside(out: Path, volumes: Iterable[Path]) -> None:
    """A file that is no footage has no place among it."""
    for folder in volumes:
        if out.resolve().is_relative_to(folder.resolve()):
            raise ExportRefused(f"--out {out}: lies in the node's footage; write it elsewhere")


def _check_inspector(store: NodeStore, name: str, file: Path | None) -> None:
    """Ask for the inspector's secret and check it. Raises InspectorRefused, OSError."""
    if file is not None:
        secret = file.read_text("utf-8").rstrip("\r\n")
    elif sys.stdin.isatty():
        secret = getpass.getpass(f"检查员 {name} 的口令 / secret: ")
    else:
        secret = sys.stdin.readline().rstrip("\r\n")
    inspectors.check(store, name, secret)


def _rolls(node: NodeFile) -> tuple[int, int]:
    """Return pre-roll and post-roll in microseconds."""
    session = node.session
    return round(session.pre_roll_seconds * 1e6), round(session.post_roll_seconds * 1e6)


def _span(wanted: argparse.Namespace, node: NodeFile, store: NodeStore) -> Span:
    cameras = tuple(dict.fromkeys(wanted.camera or [camera.id for camera in node.cameras]))
    known = {camera.id for camera in node.cameras}
    strange = [name for name in cameras if name not in known]
    if strange:
        raise ExportRefused(f"camera {strange[0]!r}: none of {', '.join(sorted(known))}")
    now = to_micros(store.clock.now())
    if (wanted.session is None) == (wanted.since is None or wanted.until is None):
        raise ExportRefused("either --session, or --from and --to")
    if wanted.session is not None:
        with store.read() as connection:
            start, end = span_of_session(connection, wanted.session, *_rolls(node), now)
    else:
        start, end = _moment(wanted.since, "--from"), _moment(wanted.until, "--to")
    if start >= end or start > now:
        raise ExportRefused("the span ends before it begins, or has not begun")
    return Span(wanted.session, start, end, cameras)


def _moment(text: str, option: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ExportRefused(f"{option} {text!r}: not a time such as 2026-01-02T11:00") from exc
    return to_micros(found if found.tzinfo else found.replace(tzinfo=SHANGHAI))


def _json(made: Made) -> dict[str, object]:
    return {
        "export": made.export,
        "file": str(made.out),
        "bytes": made.bytes,
        "segments": made.segments,
        "records": made.records,
        "manifest_sha256": made.manifest_sha256,
        "node_key": made.node_key,
        "absent": [one.model_dump() for one in made.absent],
        "faults": list(made.faults),
    }


def _text(made: Made) -> str:
    lines = [f"不符 / BAD {fault}" for fault in made.faults]
    for one in made.absent:
        zh, en = CODES[one.reason]
        lines.append(f"未包含 / absent {one.subject}: {zh} / {en} ({one.detail})")
    return "\n".join(
        [
            *lines,
            f"已导出 / exported: {made.out} ({size(made.bytes)}), "
            f"{made.segments} 段录像 / segments, {made.records} 条记录 / records",
            f"导出编号 / export: {made.export}",
            f"清单摘要 / manifest SHA-256: {made.manifest_sha256}",
            f"节点公钥 / node key: {made.node_key}",
            "含人脸信息，请依法保管。 / Shows people's faces: keep it as the law demands.",
        ]
    )


class _Progress:
    """Says how far an export is on standard error, once a second, when somebody looks."""

    def __init__(self) -> None:
        self._shown_at, self._watched = time.monotonic(), sys.stderr.isatty()

    def __call__(self, what: str, done: int, whole: int) -> None:
        if self._watched and (time.monotonic() - self._shown_at >= SHOWN_SECONDS):
            self._shown_at = time.monotonic()
            said = f"{size(done)} / {size(whole)}" if what == "footage" else f"{done} / {whole}"
            print(f"\r{what}: {said}   ", end="", file=sys.stderr, flush=True)


# -- verify-export --------------------------------------------------------------------------------


def _verify(wanted: argparse.Namespace) -> int:
    keys = [_key(wanted.node_key, "--node-key"), _key(wanted.central_key, "--central-key")]
    report = verify.Export(wanted.export, *keys).examine()
    print(
        json.dumps(report.to_json(), ensure_ascii=False) if wanted.json else verify.text_of(report)
    )
    return report.exit_code


def _key(text: str | None, option: str) -> bytes | None:
    try:
        return None if text is None else verify.key_of(text)
    except ValueError as exc:
        raise UsageError(f"{option}: {exc}") from exc
