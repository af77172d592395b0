"""Show every species to the simulated camera and write down what was seen.

    COUNTERSIGHT_SIMULATION=1 python -P -m tests.identity.attacks.measure --attempts 20 --into FILE
    python -P -m tests.identity.attacks.measure --write DOCUMENT --table FILE...

The people of the table are not those on whom limits were chosen; nor are the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hardware.simulated_people import Portraits, load_people
from identity.policy import load_policy
from identity.quality import instruction, measure
from models.manifest import PASSIVE
from models.passive import PassiveModel, PassiveModels
from models.runtime import LoadedModels, load_models
from models.sessions import Network
from tests.identity.attacks.filming import FolderPortraits
from tests.identity.attacks.looking import Looker
from tests.identity.attacks.species import FIRST_TABLE_SEED, SPECIES, Species, Victim, attempt
from tests.identity.attacks.table import Row, appended, markdown, row, rows_of

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
LFW10 = SHARED / "faces" / "lfw10"
_FOR_CHOOSING = 5
_BEGIN, _END = "<!-- tables: begin -->", "<!-- tables: end -->"


@lru_cache(maxsize=1)
def models() -> LoadedModels:
    """Return the models, with the passive ones when ../shared has them."""
    loaded = load_models(threads=1)
    if loaded.passive is not None or not all(
        (SHARED / "models" / item.file_name).is_file() for item in PASSIVE
    ):
        return loaded
    networks = [
        PassiveModel(
            item.name,
            float(item.input.crop_scale or "1"),
            item.prepared_sha256,
            Network(item.name, SHARED / "models" / item.file_name, 1),
        )
        for item in PASSIVE
    ]
    return replace(loaded, passive=PassiveModels(networks))


def victim(people: Portraits, person: str, reference: int, shown: int, stranger: str) -> Victim:
    """Return a victim whose reference picture is embedded."""
    loaded, pixels = models(), people.pixels(person, reference)
    face = loaded.detector.detect(pixels)[0]
    return Victim(people, person, reference, shown, stranger, loaded.embedder.embed(pixels, face))


def victims(*, for_table: bool) -> list[Victim]:
    """Return the people of the table, or those for choosing limits."""
    if not LFW10.is_dir():
        return [victim(load_people(), "person-a", 1, 3, "person-b")]
    folder = FolderPortraits(LFW10, models().detector)
    half = folder.people[_FOR_CHOOSING:] if for_table else folder.people[:_FOR_CHOOSING]
    made = [
        victim(folder, person, *_fit(folder, person), half[(number + 1) % len(half)])
        for number, person in enumerate(half)
    ]
    if for_table:
        made.append(victim(load_people(), "person-a", 1, 3, "person-b"))
    return made


def _fit(people: Portraits, person: str) -> tuple[int, int]:
    """Return the first and the last photograph of a person that the counter would take."""
    limits, fit = load_policy().quality, []
    for number in range(1, 11):
        pixels = people.pixels(person, number)
        face = models().detector.detect(pixels)[0]
        aligned, size = models().embedder.align(pixels, face), (pixels.shape[1], pixels.shape[0])
        if instruction(measure(aligned, face, size), limits) is None:
            fit.append(number)
    if len(fit) < 2:
        raise LookupError(f"fewer than two good photographs of {person}")
    return fit[0], fit[-1]


def looker() -> Looker:
    """Return who looks: the shipped policy, the models, a real camera."""
    return Looker(models(), load_policy())


def shown(species: Species, who: Victim, seed: int, eyes: Looker) -> Row:
    """Show one attempt and return its row."""
    return row(species, who.person, seed, attempt(species, who, eyes, seed))


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=20)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--for-choosing", action="store_true")
    parser.add_argument("--only", nargs="*", default=[each.name for each in SPECIES])
    parser.add_argument("--into", type=Path)
    parser.add_argument("--table", type=Path, nargs="*", help="results to make tables of")
    parser.add_argument("--write", type=Path, help="the document whose tables are replaced")
    given = parser.parse_args(argv)
    if given.table:
        made = markdown([each for path in given.table for each in rows_of(path)])
        if given.write is None:
            print(made)
        else:
            document = given.write.read_text(encoding="utf-8")
            head, rest = document.split(_BEGIN)
            tail = rest.split(_END)[1]
            given.write.write_text(f"{head}{_BEGIN}\n{made}\n{_END}{tail}", encoding="utf-8")
        return 0
    people, eyes = victims(for_table=not given.for_choosing), looker()
    start = 0 if given.for_choosing else FIRST_TABLE_SEED
    for number in range(given.first, given.first + given.attempts):
        for place, species in enumerate(SPECIES):
            if species.name in given.only:
                seed = start + 100 * number + place
                appended(given.into, shown(species, people[number % len(people)], seed, eyes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
