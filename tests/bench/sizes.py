"""How large a bench is; the flags of `python -P -m tests.bench` set it before a bench runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Sizes:
    """`segments` is three cameras, fourteen hours a day, one minute each, for a year."""

    streams: tuple[int, ...] = (1, 4, 8)
    segments: int = 920_000


SIZES = Sizes()
