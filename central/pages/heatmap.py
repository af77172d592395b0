"""The calendar of coverage as values and as HTML: what each camera owes, holds, misses on each day.

Pure: rows in, cells out. A day is owed from a camera's first footage on. What no summary told of is
unknown, whatever the rest of the day was, and unknown is never good: shares are of what is owed and
of what is unknown together. A summary comes within two hours, so until then nothing is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import quote

from markupsafe import Markup, escape

from central.days import DAY_US, HOUR_US, bounds_of
from retention.pages.formats import share
from retention.terms.words import word

CellState = Literal["full", "part", "none", "unknown", "soon"]
GRACE_US = 2 * HOUR_US
SECOND_MS = 1000
MINUTE_US = 60_000_000
UNITS = (
    (DAY_US, 2 * DAY_US, "天", "d"),
    (HOUR_US, HOUR_US, "小时", "h"),
    (MINUTE_US, MINUTE_US, "分钟", "min"),
)  # unit, from which length on it is used, its words


class Told(Protocol):
    """What a row of `coverage_days` says."""

    @property
    def told_ms(self) -> int: ...
    @property
    def owed_ms(self) -> int: ...
    @property
    def covered_ms(self) -> int: ...
    @property
    def known_until(self) -> int: ...


class Held:
    """What follows from owed, covered and unknown milliseconds, of one day or of many."""

    __slots__ = ()
    owed_ms: int
    covered_ms: int
    unknown_ms: int

    @property
    def missing_ms(self) -> int:
        return self.owed_ms - self.covered_ms

    @property
    def expected_ms(self) -> int:
        return self.owed_ms + self.unknown_ms


@dataclass(frozen=True, slots=True)
class Cell(Held):
    """One camera on one day, in milliseconds. `soon`: nothing can have been told yet."""

    day: str
    state: CellState
    owed_ms: int
    covered_ms: int
    unknown_ms: int
    so_far: bool


@dataclass(frozen=True, slots=True)
class Total(Held):
    """Sums over cells, and how many camera-days are of which kind."""

    days: int
    full: int
    missing_days: int
    unknown_days: int
    owed_ms: int
    covered_ms: int
    unknown_ms: int


@dataclass(frozen=True, slots=True)
class CameraRow:
    """A camera's line in the calendar; None for a day that is not owed."""

    pharmacy: str
    node: str
    camera: str
    scene_role: str
    cells: tuple[Cell | None, ...]
    total: Total


def cell_of(
    day: str, told: Told | None, first_day: str, now: int, until: int | None = None
) -> Cell | None:
    """Judge one day of a camera that has footage since `first_day`; None when nothing is owed.

    `until`: nothing is owed from then on (the node was revoked). A future day is not owed either.
    """
    start, end = bounds_of(day)
    last = now if until is None else min(now, until)
    if day < first_day or start >= last:
        return None
    reached = min(end, last)
    owed_ms, covered_ms = (0, 0) if told is None else (told.owed_ms, told.covered_ms)
    if told is not None and day == first_day:
        unknown_ms = (reached - told.known_until) // 1000
    else:
        unknown_ms = (reached - start) // 1000 - (0 if told is None else told.told_ms)
    if unknown_ms < SECOND_MS or (now - reached < GRACE_US and unknown_ms * 1000 <= GRACE_US):
        unknown_ms = 0
    if told is not None and told.told_ms and owed_ms + unknown_ms == 0:
        return None  # closed, as declared
    return Cell(
        day=day,
        state=_state(owed_ms, covered_ms, unknown_ms),
        owed_ms=owed_ms,
        covered_ms=covered_ms,
        unknown_ms=unknown_ms,
        so_far=now < end,
    )


def _state(owed_ms: int, covered_ms: int, unknown_ms: int) -> CellState:
    missing_ms = owed_ms - covered_ms
    if owed_ms + unknown_ms == 0:
        return "soon"
    if unknown_ms > missing_ms:
        return "unknown"
    if missing_ms == 0:
        return "full"
    return "none" if covered_ms == 0 else "part"


def row_of(
    key: tuple[str, str, str, str],
    told: Mapping[str, Told],
    first_day: str,
    days: Sequence[str],
    now: int,
    until: int | None = None,
) -> CameraRow:
    """Return a camera's line; `key` is pharmacy, node, camera, scene role."""
    cells = tuple(cell_of(day, told.get(day), first_day, now, until) for day in days)
    return CameraRow(*key, cells, total_of(cells))


def total_of(cells: Iterable[Cell | None]) -> Total:
    """Add cells up; days that are not owed or of which nothing can be told yet are left out."""
    days = full = missing_days = unknown_days = owed_ms = covered_ms = unknown_ms = 0
    for cell in cells:
        if cell is None or cell.state == "soon":
            continue
        days += 1
        full += cell.state == "full"
        missing_days += cell.covered_ms < cell.owed_ms
        unknown_days += cell.unknown_ms > 0
        owed_ms += cell.owed_ms
        covered_ms += cell.covered_ms
        unknown_ms += cell.unknown_ms
    return Total(days, full, missing_days, unknown_days, owed_ms, covered_ms, unknown_ms)


def length(milliseconds: int, lang: str) -> str:
    """Return a length in one unit, never 0 for something; from two days on in days."""
    for unit, least, zh, en in UNITS:
        if milliseconds * 1000 >= least:
            count = milliseconds * 1000 / unit
            text = f"{count:.1f}" if count < 10 and unit != MINUTE_US else f"{count:.0f}"
            return f"{text.removesuffix('.0')} {zh if lang == 'zh' else en}"
    seconds = -(-milliseconds // 1000)
    return f"{seconds} 秒" if lang == "zh" else f"{seconds} s"


def title(cell: Cell, scene_role: str, lang: str) -> str:
    """Return what a cell says: 2026-01-02 购药 98.2 % 缺 26 分钟."""
    zh = lang == "zh"
    words = [cell.day, scene_role, share(cell.covered_ms, cell.expected_ms)]
    if cell.state == "soon":
        words[-1] = "还没有数据" if zh else "nothing yet"
    if cell.missing_ms:
        words.append(("缺 " if zh else "missing ") + length(cell.missing_ms, lang))
    if cell.unknown_ms:
        words.append(("未知 " if zh else "unknown ") + length(cell.unknown_ms, lang))
    if cell.so_far:
        words.append("到目前为止" if zh else "so far")
    return " ".join(words)


def css_class(cell: Cell) -> str:
    """Return the class of a cell: f full, p0 to p9 tenths covered, n none, u unknown, s soon."""
    if cell.state == "part":
        mark = f"p{min(9, 10 * cell.covered_ms // cell.expected_ms)}"
    else:
        mark = cell.state[0]
    return f"{mark} t" if cell.so_far else mark


def table_body(rows: Iterable[CameraRow], lang: str) -> Markup:
    """Return the rows of the calendar, a link for each cell.

    Written here and not in a template: twelve thousand cells are common, and each costs.
    Text of a node comes in through `escape` and `quote`; everything else is a number or ours.
    """
    lines: list[str] = []
    for row in rows:
        at = f"node={quote(row.node, safe='')}&amp;camera={quote(row.camera, safe='')}"
        role = word(lang, "role", row.scene_role)
        said = str(escape(role))
        lines.append(
            f'<tr><th scope="row"><a href="/nodes/one?node={quote(row.node, safe="")}">'
            f"{escape(row.node)}</a> · {said} "
            f'<span class="quiet small">{escape(row.camera)}</span></th>'
        )
        for cell in row.cells:
            if cell is None:
                lines.append("<td></td>")
                continue
            lines.append(
                f'<td><a data-test=day class="{css_class(cell)}" '
                f'href="/coverage/day?{at}&amp;day={cell.day}" '
                f'title="{title(cell, said, lang)}"></a></td>'
            )
        lines.append("</tr>\n")
    return Markup("".join(lines))  # noqa: S704 - escaped above
