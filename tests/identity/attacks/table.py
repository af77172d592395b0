"""Counts over attempts, with exact intervals, as the table of docs/design/identity-attacks.md."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from identity.policy import load_policy
from identity.statistics import clopper_pearson
from tests.identity.attacks.looking import Seen
from tests.identity.attacks.species import SPECIES, Species

_SHOWN = ("replay", "likeness", "challenge", "motion", "planarity")


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt, as it is kept in the results file."""

    species: str
    person: str
    seed: int
    live: bool
    accepted: bool
    asked: bool
    reasons: tuple[str, ...]
    challenge: str | None
    score: float | None
    seconds: float
    passive: float | None
    signals: dict[str, tuple[str, float | None]]


def row(species: Species, person: str, seed: int, seen: Seen) -> Row:
    """Return the row of an attempt."""
    return Row(
        species=species.name,
        person=person,
        seed=seed,
        live=seen.live,
        accepted=seen.accepted,
        asked=seen.asked,
        reasons=seen.refusals,
        challenge=seen.challenge,
        score=seen.score,
        seconds=seen.seconds,
        passive=seen.passive,
        signals={each.name: (each.verdict.value, each.value) for each in seen.signals},
    )


def appended(path: Path, made: Row) -> None:
    """Write one row at the end of a results file."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(made)) + "\n")


def rows_of(path: Path) -> list[Row]:
    """Read a results file."""
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables: attacks, living people, and company in view."""
    attacks = [_line(each, rows) for each in SPECIES if each.kind == "attack"]
    living = [_line(each, rows) for each in SPECIES if each.kind == "living"]
    company = [_line(each, rows) for each in SPECIES if each.kind == "company"]
    return "\n".join(
        [
            "| attack | what is shown | attempts | liveness passed | accepted | APCER (95 %) "
            "| signals that failed | asked to turn | passive models doubt / refuse |",
            "|---|---|---|---|---|---|---|---|---|",
            *[line for line in attacks if line],
            "",
            "| living person | what is shown | attempts | refused | BPCER (95 %) "
            "| why | asked to turn | passive models doubt / refuse |",
            "|---|---|---|---|---|---|---|---|",
            *[line for line in living if line],
            "",
            "| in view | what is shown | attempts | accepted | rate (95 %) | why not |",
            "|---|---|---|---|---|---|",
            *[line for line in company if line],
        ]
    )


def _line(species: Species, rows: Sequence[Row]) -> str:
    mine = [each for each in rows if each.species == species.name]
    if not mine:
        return ""
    count = len(mine)
    asked = f"{sum(each.asked for each in mine)}"
    why = Counter(reason for each in mine for reason in each.reasons)
    told = ", ".join(f"{reason} {number}" for reason, number in why.most_common()) or "-"
    if species.kind == "company":
        accepted = sum(each.accepted for each in mine)
        other = sum(each.live and not each.accepted for each in mine)
        told = f"{told}, another face {other}" if other else told
        line = [species.name, species.what, count, accepted, _rate(accepted, count), told]
        return "| " + " | ".join(str(cell) for cell in line) + " |"
    if species.kind == "attack":
        passed = sum(each.live for each in mine)
        accepted = sum(each.accepted for each in mine)
        rate = _rate(passed, count)
        cells: list[object] = [
            species.name,
            species.what,
            count,
            passed,
            accepted,
            rate,
            _failed(mine),
        ]
    else:
        refused = sum(not each.live for each in mine)
        rate = _rate(refused, count)
        cells = [species.name, species.what, count, refused, rate, told]
    cells += [asked, _passive(mine)]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _passive(rows: Sequence[Row]) -> str:
    """Return how often the passive models, were they installed, would doubt and would refuse."""
    values = [each.passive for each in rows if each.passive is not None]
    if not values:
        return "not asked"
    limits = load_policy().liveness
    doubt = sum(value < float(limits.min_live_probability) for value in values)
    refuse = sum(value < float(limits.passive_veto_below) for value in values)
    return f"{doubt} / {refuse} of {len(values)}"


def _rate(hits: int, of: int) -> str:
    low, high = clopper_pearson(hits, of)
    return f"{hits / of:.1%} ({low:.1%} to {high:.1%})"


def _failed(rows: Sequence[Row]) -> str:
    counted = Counter(
        name for each in rows for name, (verdict, _) in each.signals.items() if verdict == "fail"
    )
    told = [f"{name} {counted[name]}" for name in ("camera", *_SHOWN) if counted[name]]
    return ", ".join(told) or "none"
