"""The plan as a picture: footage held and room over the next 400 days, SVG of our own.

Footage held rises with recording and falls with what may go; the line above it is what the disks
hold in all. Where the first would cross the second, recording stops: that part is drawn as missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from xml.sax.saxutils import escape

from retention.plan import Plan

SHOWN_DAYS = 400
WIDTH, HEIGHT = 960, 480
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 76, 64
TICKS = 5
HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
    f' height="{HEIGHT}" role="img" font-family="Noto Sans CJK SC, Noto Sans SC, Microsoft YaHei,'
    ' PingFang SC, sans-serif" font-size="13">'
)
BLUE, RED, GREY, GREEN, INK = "#2563a8", "#c0392b", "#9aa5b1", "#2e7d32", "#1f2933"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Days and bytes to points on the paper."""

    days: int
    most: float

    def x(self, day: float) -> float:
        return LEFT + day / self.days * (WIDTH - LEFT - RIGHT)

    def y(self, size: float) -> float:
        return HEIGHT - BOTTOM - size / self.most * (HEIGHT - TOP - BOTTOM)


def picture(plan: Plan) -> str:
    """Return the plan as one SVG document."""
    ahead = plan.outlook.forecast
    held = [ahead.held_bytes, *(day.held_bytes for day in ahead.days[:SHOWN_DAYS])]
    capacity = ahead.held_bytes + ahead.free_bytes
    need = plan.need_bytes(plan.outlook.rates.total)
    scale = _Scale(len(held) - 1, max(*held, capacity, need, 10**9) * 1.08)
    parts = [
        HEAD,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_axes(scale, ahead.today),
        *_areas(scale, held, capacity),
        # Below the line there is no room for its name when the disks hold next to nothing.
        _level(
            scale,
            capacity,
            GREEN,
            "磁盘容量 / what the disks hold",
            above=capacity >= need or scale.y(0) - scale.y(capacity) < 24,
        ),
        _level(
            scale, need, INK, "期限所需 / what the floor needs", above=need > capacity, dash="7 5"
        ),
        *_first_missed(scale, ahead.today, ahead.full_on, capacity),
        *_title(plan),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _title(plan: Plan) -> list[str]:
    ahead = plan.outlook.forecast
    if ahead.full_on is None:
        said, color = "可满足存储期限 / every floor will be met", GREEN
    else:
        said = f"{ahead.full_on} 起缺录 / footage is missed from {ahead.full_on} on"
        color = RED
    rate = f"{ahead.rate.bytes_per_day / 1e9:.1f} GB"
    facts = f"每天 {rate} · 须存 {plan.owed_days} 天 / {rate} a day, owed for {plan.owed_days} days"
    return [_text(LEFT, 30, said, color, size=18, bold=True), _text(LEFT, 52, facts, INK)]


def _areas(scale: _Scale, held: Sequence[int], capacity: int) -> list[str]:
    """Draw what fits, and what does not."""
    fits = [min(size, capacity) for size in held]
    base = scale.y(0)
    area = (
        f"M{scale.x(0):.1f},{base:.1f} "
        + _line(scale, fits)
        + f" L{scale.x(len(held) - 1):.1f},{base:.1f} Z"
    )
    outline = f"M{_line(scale, fits)[1:]}"
    parts = [
        f'<path d="{area}" fill="{BLUE}" fill-opacity="0.25"/>',
        f'<path d="{outline}" fill="none" stroke="{BLUE}" stroke-width="2"/>',
    ]
    over = [number for number, size in enumerate(held) if size > capacity]
    if over:
        first, last = max(0, over[0] - 1), over[-1]
        top = " ".join(
            f"L{scale.x(day):.1f},{scale.y(max(held[day], capacity)):.1f}"
            for day in range(first, last + 1)
        )
        level = f"{scale.y(capacity):.1f}"
        lid = f"M{scale.x(first):.1f},{level} {top} L{scale.x(last):.1f},{level} Z"
        parts.append(f'<path d="{lid}" fill="{RED}" fill-opacity="0.35"/>')
        middle = (first + last) / 2
        where = scale.y((capacity + held[(first + last) // 2]) / 2) + 4
        parts.append(_text(scale.x(middle), where, "存不下 / does not fit", RED, anchor="middle"))
    return parts


def _line(scale: _Scale, sizes: Sequence[int]) -> str:
    return " ".join(f"L{scale.x(day):.1f},{scale.y(size):.1f}" for day, size in enumerate(sizes))


def _level(
    scale: _Scale, size: int, color: str, name: str, *, above: bool, dash: str = "none"
) -> str:
    y = scale.y(size)
    line = (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{color}"'
        f' stroke-width="1.5" stroke-dasharray="{dash}"/>'
    )
    said = f"{name} {_size(size)}"
    return line + _text(WIDTH - RIGHT - 8, y + (-6 if above else 16), said, color, anchor="end")


def _first_missed(scale: _Scale, today: date, day: date | None, capacity: int) -> list[str]:
    if day is None or (day - today).days > scale.days:
        return []
    x = scale.x((day - today).days)
    return [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{scale.y(capacity):.1f}" y2="{scale.y(0):.1f}"'
        f' stroke="{RED}" stroke-width="1.5"/>',
        _text(x + 6, scale.y(0) - 8, f"{day}", RED, bold=True),
    ]


def _axes(scale: _Scale, today: date) -> list[str]:
    parts = []
    step = _round_step(scale.most / TICKS)
    for number in range(int(scale.most / step) + 1):
        size = step * number
        y = scale.y(size)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
                     f' stroke="{GREY}" stroke-opacity="0.35"/>')  # fmt: skip
        parts.append(_text(LEFT - 8, y + 4, _size(size), INK, anchor="end"))
    for number in range(0, scale.days + 1, 50):
        parts.append(
            _text(scale.x(number), HEIGHT - BOTTOM + 20, f"+{number}", INK, anchor="middle")
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    label = f"自 {today} 起的天数 / days from {today}"
    parts.append(_text(middle, HEIGHT - 16, label, INK, anchor="middle"))
    return parts


def _round_step(least: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(least))
    return float(next(one * power for one in (1, 2, 5, 10) if one * power >= least))


def _text(
    x: float, y: float, said: str, color: str, *,
    anchor: str = "start", size: int = 13, bold: bool = False,
) -> str:  # fmt: skip
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}"'
        f' font-size="{size}"{weight} paint-order="stroke" stroke="#fff" stroke-width="3">'
        f"{escape(said)}</text>"
    )


def _size(size: float) -> str:
    return f"{size / 1e12:.2f} TB" if size >= 1e12 else f"{size / 1e9:.0f} GB"
