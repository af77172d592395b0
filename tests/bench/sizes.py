"""How large a bench is; the flags of `python -P -m tests.bench` set it before a bench runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Sizes:
    """`segments`: a tenth of a year of three cameras, fourteen hours a day, a minute each; the
    whole year is `--segments 920000` and takes ten times as long."""

    streams: tuple[int, ...] = (1, 4, 8)
    segments: int = 92_000


SIZES = Sizes()
