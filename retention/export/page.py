"""The page of an export that opens without our software, from any folder, without a network.

One HTML file: style and script stand inside it and are pinned by digest in its own content policy,
so nothing that a record says can become a script. Chinese first.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from retention.export.archive import Written
from retention.export.verify import CODES
from retention.pages.formats import absolute
from retention.records.clock import from_text, to_micros
from retention.store.footage import GapRow, SegmentRow
from retention.terms.words import DOCUMENTS, GAP_CAUSES, METHODS, OUTCOMES, SCENE_ROLES, STEPS

_FOLDER = Path(__file__).parent / "page"
_STEP_FIELDS = (
    "operator", "rx_no", "relation", "total", "reasons", "transaction", "outcome", "setl_id",
    "owed_ms", "covered_ms", "reason",
)  # fmt: skip
_KEPT_FIELDS = (
    "actor", "action", "subject", "author", "authority", "incident", "alarm", "stage", "cause",
    "hold", "camera", "condition", "segments", "started_at", "ended_at", "owed_until", "reason",
    "detail",
)  # fmt: skip
_KEPT_WORDS = {
    "access.recorded": ("查看与操作", "access"),
    "evidence.exported": ("证据导出", "evidence exported"),
    "hold.placed": ("保全", "hold placed"),
    "hold.released": ("解除保全", "hold released"),
    "segment.disposed": ("录像到期处置", "footage disposed of"),
    "footage.disposed": ("录像处置汇总", "disposal of footage"),
    "records.disposed": ("记录到期处置", "records disposed of"),
    "retention.policy_adopted": ("留存政策", "retention policy"),
    "retention.breach": ("留存不足", "retention breach"),
    "incident.recorded": ("异常", "incident"),
    "alarm.raised": ("告警", "alarm"),
    "alarm.cleared": ("告警解除", "alarm cleared"),
    "camera.view_changed": ("画面状况", "view of a camera"),
    "clock.jumped": ("时钟跳变", "clock jumped"),
    "process.exited": ("程序中断", "a process ended"),
    "node.started": ("节点启动", "node started"),
    "node.stopped": ("节点停止", "node stopped"),
    "opening.adopted": ("营业时间", "opening hours"),
    "closure.declared": ("停业声明", "closure declared"),
    "closure.cancelled": ("停业取消", "closure cancelled"),
    "volume.adopted": ("启用磁盘", "disk adopted"),
    "index.rebuilt": ("重建索引", "index rebuilt"),
    "challenge.answered": ("应答中心抽查", "challenge answered"),
    "footage.scrubbed": ("录像巡检", "footage read again"),
}
_TOO_MANY = ("segment.sealed", "camera.run_started", "coverage.summarised", "gap.opened")
Payload = Mapping[str, object]


@dataclass(slots=True)
class PageFacts:
    """What the page tells; filled while records and footage go into the archive."""

    about: Mapping[str, object]
    segments: list[SegmentRow] = field(default_factory=list)
    gaps: list[GapRow] = field(default_factory=list)
    steps: list[dict[str, object]] = field(default_factory=list)
    kept: list[dict[str, object]] = field(default_factory=list)

    def take(self, record: Mapping[str, object]) -> None:
        """Note a record that people want to read; footage and gaps have their own places."""
        kind, payload = str(record["kind"]), record["payload"]
        assert isinstance(payload, Mapping)  # noqa: S101 - the envelope says so
        occurred_at = str(record["occurred_at"])
        if kind in STEPS:
            zh, en = STEPS[kind]
            self.steps.append({
                "at": to_micros(from_text(occurred_at)) // 1000, "time": absolute(occurred_at),
                "zh": zh, "en": en, "what": _step(payload), "session": payload.get("session", ""),
            })  # fmt: skip
        elif kind not in _TOO_MANY and kind != "gap.closed":
            what = "; ".join(_said(payload, _KEPT_FIELDS))
            zh, en = _KEPT_WORDS.get(kind, (kind, ""))
            said: dict[str, object] = {
                "time": absolute(occurred_at),
                "zh": zh,
                "en": en,
                "what": what,
            }
            self.kept.append(said)


def render(
    facts: PageFacts,
    files: Sequence[Written],
    absent: Sequence[Mapping[str, str]],
    span_ms: tuple[int, int],
) -> bytes:
    """Return index.html."""
    style, script = ((_FOLDER / name).read_text("utf-8") for name in ("page.css", "page.js"))
    cameras = _cameras(facts)
    # The clock of the player runs over the footage, which may be a minute of a day.
    start = min((row.started_at // 1000 for row in facts.segments), default=span_ms[0])
    end = max((row.ended_at // 1000 for row in facts.segments), default=span_ms[1])
    footage = {"start": start, "end": end, "cameras": cameras}
    text = _environment().get_template("index.html").render(
        facts=facts.about,
        rows=_rows(facts.about),
        absent=[
            {**one, "zh": CODES[one["reason"]][0], "en": CODES[one["reason"]][1]} for one in absent
        ],
        cameras=cameras,
        steps=facts.steps,
        gaps=[_gap(gap) for gap in facts.gaps],
        kept=facts.kept,
        files=files,
        # "<" never stands in the data, so no text in it can end the script element.
        footage=Markup(json.dumps(footage, ensure_ascii=False).replace("<", "\\u003c")),  # noqa: S704
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        style_digest=_digest(style),
        script_digest=_digest(script),
    )  # fmt: skip
    return text.encode()


def readme(about: Mapping[str, object]) -> bytes:
    """Return README.txt."""
    text = (_FOLDER / "README.txt").read_text("utf-8")
    return text.replace("EXPORT", str(about["export"]), 1).encode()


def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(_FOLDER, encoding="utf-8"), autoescape=True)


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _rows(about: Mapping[str, object]) -> list[tuple[str, str, object]]:
    span = f"{absolute(str(about['started_at']))} – {absolute(str(about['ended_at']))}"
    return [
        ("导出编号", "export", about["export"]),
        ("药店 / 节点", "pharmacy, node", f"{about['pharmacy']} / {about['node']}"),
        ("时段（北京时间）", "span", span),
        ("业务", "session", about["session"] or "–"),
        ("导出时间", "made", absolute(str(about["made_at"]))),
        ("导出人", "by", about["author"]),
        ("原因", "reason", about["reason"]),
        ("软件", "software", about["software"]),
    ]


def _cameras(facts: PageFacts) -> list[dict[str, object]]:
    roles = {gap.camera: gap.scene_role for gap in facts.gaps}
    roles |= {row.camera: row.scene_role for row in facts.segments}
    return [
        {
            "id": camera,
            "zh": SCENE_ROLES.get(role, (role, role))[0],
            "en": SCENE_ROLES.get(role, (role, role))[1],
            "segments": [
                {"src": f"footage/{row.path}", "start": row.started_at // 1000,
                 "end": row.ended_at // 1000, "codec": row.codec}
                for row in facts.segments
                if row.camera == camera
            ],
            "gaps": [
                {"start": gap.started_at // 1000, "end": (gap.ended_at or 2**52) // 1000,
                 "zh": _words(gap)[0], "en": _words(gap)[1]}
                for gap in facts.gaps
                if gap.camera == camera
            ],
        }
        for camera, role in sorted(roles.items())
    ]  # fmt: skip


def _gap(gap: GapRow) -> dict[str, object]:
    zh, en = _words(gap)
    end = "仍在继续 / still open" if gap.ended_at is None else absolute(gap.ended_at)
    return {"camera": gap.camera, "start": absolute(gap.started_at), "end": end, "zh": zh, "en": en}


def _words(gap: GapRow) -> tuple[str, str]:
    return GAP_CAUSES.get(gap.cause, (gap.cause, gap.cause))


def _step(payload: Payload) -> str:
    """Return what a step says, in a few words; the record itself says all of it."""
    parts: list[str] = []
    claim, lines, receipt = (payload.get(name) for name in ("claim", "lines", "receipt"))
    if isinstance(claim, Mapping):
        parts.append(str(claim.get("display_name")))
    if isinstance(lines, list):
        parts += [f"{line['name']} × {line['quantity']}" for line in lines[:20]]
    if isinstance(receipt, Mapping):
        for table, value in (
            (METHODS, receipt.get("method")),
            (OUTCOMES, receipt.get("outcome")),
            (DOCUMENTS, receipt.get("document_type")),
        ):
            if value is not None:
                parts.append(" / ".join(table.get(str(value), (str(value),))))
    return "; ".join([*parts, *_said(payload, _STEP_FIELDS)])


def _said(payload: Payload, fields: Sequence[str]) -> list[str]:
    found = []
    for name in fields:
        value = payload.get(name)
        if isinstance(value, Mapping):
            found.append(f"{name}: " + ", ".join(f"{k} {v}" for k, v in value.items() if v))
        elif isinstance(value, list):
            found.append(f"{name}: " + ", ".join(str(item) for item in value))
        elif value is not None:
            words = OUTCOMES.get(str(value)) if name == "outcome" else None
            found.append(" / ".join(words) if words else f"{name}: {value}")
    return found
