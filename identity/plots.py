"""Curves as SVG. The same numbers give the same bytes; no picture of anyone is in a plot.

matplotlib loads only here, and only when a plot is asked for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from identity.statistics import Floats, Scored, det

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 6.4, 4.8
_MOST_POINTS = 400
_FLOOR = 1e-4
# Told apart without colour as well: each line has its own dash.
_DASHES = ("-", "--", "-.", ":")
_COLOURS = ("#0b57d0", "#b3261e", "#146c2e", "#8a4600", "#6f43c0", "#006a6a", "#8e004b", "#444444")


def det_plot(curves: Mapping[str, Scored], path: Path) -> None:
    """Draw false match against false non-match rate. Raises OSError."""
    with _settings():
        figure = _figure()
        axes = figure.add_subplot(xlabel="false match rate", ylabel="false non-match rate")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for index, (name, scored) in enumerate(curves.items()):
            fmr, fnmr = _corners(scored)
            axes.step(
                fmr, fnmr, where="post", label=name, color=_colour(index), linestyle=_dash(index)
            )
        axes.set_xlim(_FLOOR, 1)
        axes.set_ylim(_FLOOR, 1)
        axes.set_title(_counts(curves))
        axes.legend()
        _save(figure, path)


def _counts(curves: Mapping[str, Scored]) -> str:
    scored = next(iter(curves.values()))
    mated = int(scored.mated.sum())
    return f"{mated} mated and {len(scored.scores) - mated} non-mated comparisons"


def _corners(scored: Scored) -> tuple[Floats, Floats]:
    """Return the curve with rising false match rate, thinned where it has more corners than ink."""
    _, fmr, fnmr = det(scored)
    fmr, fnmr = np.maximum(fmr[::-1], _FLOOR), np.maximum(fnmr[::-1], _FLOOR)
    changes = np.concatenate([[True], (np.diff(fmr) != 0) | (np.diff(fnmr) != 0)])
    fmr, fnmr = fmr[changes], fnmr[changes]
    if len(fmr) > _MOST_POINTS:
        wanted = np.unique(
            np.concatenate(
                [
                    np.linspace(0, len(fmr) - 1, _MOST_POINTS // 2).astype(np.int64),
                    np.geomspace(1, len(fmr), _MOST_POINTS // 2).astype(np.int64) - 1,
                ]
            )
        )
        fmr, fnmr = fmr[wanted], fnmr[wanted]
    return fmr, fnmr


def discard_plot(curves: Mapping[str, Sequence[Sequence[float]]], title: str, path: Path) -> None:
    """Draw false non-match rate against the share discarded, per measure. Raises OSError."""
    with _settings():
        figure = _figure(1.25 * _WIDTH)
        axes = figure.add_subplot(
            xlabel="share of mated comparisons discarded, lowest quality first",
            ylabel="false non-match rate of the rest",
        )
        most = 0.0
        for index, (name, points) in enumerate(curves.items()):
            shares, rates = [p[0] for p in points], [p[1] for p in points]
            most = max(most, *rates)
            axes.plot(shares, rates, label=name, color=_colour(index), linestyle=_dash(index))
        axes.set_ylim(0, max(most * 1.05, 1e-4))
        axes.set_title(title)
        figure.legend(loc="outside right upper", fontsize=8)
        _save(figure, path)


def score_plot(scored: Scored, threshold: float, path: Path) -> None:
    """Draw how the scores of both kinds of comparison are spread. Raises OSError."""
    with _settings():
        figure = _figure()
        axes = figure.add_subplot(xlabel="comparison score", ylabel="share of comparisons")
        low, high = float(scored.scores.min()), float(scored.scores.max())
        edges = np.linspace(low, max(high, low + 1e-6), 61)
        kinds = (("non-mated", scored.impostor), ("mated", scored.genuine))
        for index, (name, scores) in enumerate(kinds):
            shares = np.histogram(scores, edges)[0] / max(1, len(scores))
            axes.stairs(shares, edges, label=name, color=_colour(index), linestyle=_dash(index))
        axes.axvline(threshold, color="#444444", linewidth=1, label=f"threshold {threshold:.3f}")
        axes.set_title(_counts({"": scored}))
        axes.legend()
        _save(figure, path)


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _dash(index: int) -> str:
    # The second round of colours begins one dash later.
    return _DASHES[(index // len(_COLOURS) + index) % len(_DASHES)]


@contextmanager
def _settings() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context():
        # Whatever a matplotlibrc of the user or of the working directory says.
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "countersight"
        mpl.rcParams["svg.fonttype"] = "none"
        mpl.rcParams["axes.grid"] = True
        mpl.rcParams["grid.alpha"] = 0.3
        mpl.rcParams["axes.axisbelow"] = True
        yield


def _figure(width: float = _WIDTH) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, _HEIGHT), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    drawn = io.BytesIO()
    # Without a date and with fixed ids, the same numbers give the same bytes.
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(drawn.getvalue())
    os.replace(beside, path)
