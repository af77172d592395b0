"""The rates of groups as a picture: a point with its 95 % interval on one common scale. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from central.faces import Rate

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 640, 130, 24, 30, 12, 34
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # where the scale may end
TICKS = 5


def chart(label: str, rows: Sequence[tuple[str, Rate, bool]], whole: Rate) -> Markup:
    """Return an SVG of `(name, rate, stands out)` rows, with the rate of everybody as a line."""
    shown = [(name, rate, out) for name, rate, out in rows if rate.total]
    most = max((rate.interval[1] for _, rate, _ in shown), default=1.0)
    end = next(step for step in STEPS if step >= min(most, 1.0))
    height = TOP + ROW * max(1, len(shown)) + BOTTOM

    def x(share: float) -> float:
        return round(LEFT + min(share, end) / end * (WIDTH - LEFT - RIGHT), 1)

    parts = [
        f'<svg class="rates" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(label)}">'
    ]
    for tick in range(TICKS + 1):
        share = end * tick / TICKS
        at = x(share)
        parts.append(
            f'<line class="tick" x1="{at}" x2="{at}" y1="{TOP}" y2="{height - BOTTOM}"/>'
            f'<text class="scale" x="{at}" y="{height - 14}" text-anchor="middle">'
            f"{share * 100:g} %</text>"
        )
    if whole.value is not None:
        at = x(whole.value)
        parts.append(f'<line class="whole" x1="{at}" x2="{at}" y1="{TOP}" y2="{height - BOTTOM}"/>')
    for place, (name, rate, out) in enumerate(shown):
        middle = TOP + ROW * place + ROW / 2
        low, high = rate.interval
        kind = "out" if out else "in"
        parts.append(
            f'<text class="name" x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">'
            f"{escape(name)}</text>"
            f'<line class="range {kind}" x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle class="rate {kind}" cx="{x(rate.value or 0.0)}" cy="{middle}" r="5">'
            f"<title>{rate.count} / {rate.total}</title></circle>"
        )
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704 - every text in it is escaped
