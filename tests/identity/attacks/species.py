"""The species of attacks and of living people that are shown to the simulated camera.

One line each: what is in view, and whether it answers when a turn is asked for. Seeds for choosing
limits are below FIRST_TABLE_SEED, those of the table at and above it; neither may use the other's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hardware.camera_identity import CameraIdentity
from hardware.simulated_drawing import Turns
from hardware.simulated_people import Portraits
from hardware.simulated_scene import (
    Actor,
    BentPhoto,
    CutPhoto,
    Genuine,
    HeldPhoto,
    HeldScreen,
    HeldVideo,
    Static,
)
from identity.policy import IdentityPolicy
from models.values import Embedding, Image
from tests.identity.attacks.filming import RATE, Filmed
from tests.identity.attacks.looking import REAL_CAMERA, Looker, Seen, played

FIRST_TABLE_SEED = 30_000
VIRTUAL_CAMERA = CameraIdentity("v4l2", "OBS Virtual Camera", simulated=False, virtual=True)


@dataclass(frozen=True, slots=True)
class Victim:
    """Whose account it is: the picture on file, and the picture that the attacker has (another
    one, unless the species says otherwise)."""

    people: Portraits
    person: str
    reference: int
    shown: int
    stranger: str
    embedding: Embedding


Kind = Literal["living", "attack", "company"]
Cast = Callable[[Victim, np.random.Generator], tuple[Actor, ...]]


@dataclass(frozen=True, slots=True)
class Species:
    """`turns_by` is by how many degrees the nearest actor turns when asked: (least, most), to the
    asked side; None when it hears nothing. With `always_turns` the policy asks everybody for that
    many turns. Of `company` the comparison must keep off whoever is in view beside the insured."""

    name: str
    what: str
    kind: Kind
    cast: Cast
    turns_by: tuple[float, float] | None = None
    camera: CameraIdentity = REAL_CAMERA
    loop: str | None = None
    always_turns: int = 0


def _tilt(random: np.random.Generator, least: float, most: float) -> float:
    return float(random.uniform(least, most))


SPECIES: tuple[Species, ...] = (
    Species("living_moving", "a person who turns by 6 to 14 degrees by himself", "living",
            lambda v, r: (Genuine(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14)),), (20, 35)),
    Species("living_still", "a person who keeps still (1 to 2 degrees), asked to turn", "living",
            lambda v, r: (Genuine(v.person, v.shown, yaw_degrees=_tilt(r, 1, 2),
                                  pitch_degrees=0.7),), (20, 35)),
    Species("living_silent", "a person who keeps still and does not turn when asked", "living",
            lambda v, r: (Genuine(v.person, v.shown, yaw_degrees=_tilt(r, 1, 2),
                                  pitch_degrees=0.7),)),
    Species("living_asked_twice", "a person who moves, when everybody is asked to turn twice",
            "living", lambda v, r: (Genuine(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14)),),
            (20, 35), always_turns=2),
    Species("print", "a flat print in a hand, tilting by 6 to 30 degrees", "attack",
            lambda v, r: (HeldPhoto(v.person, v.shown, tilt_degrees=_tilt(r, 6, 30)),)),
    Species("print_turned", "a flat print that is turned by 25 to 40 degrees when asked", "attack",
            lambda v, r: (HeldPhoto(v.person, v.shown, tilt_degrees=_tilt(r, 4, 12)),), (25, 40)),
    Species("bent_print", "a print bent around an axis, tilting by 12 to 30 degrees", "attack",
            lambda v, r: (BentPhoto(v.person, v.shown, tilt_degrees=_tilt(r, 12, 30),
                                    bend=_tilt(r, 0.15, 0.6), upright=bool(r.integers(2))),)),
    Species("bent_print_turned", "a bent print, turned by 25 to 40 degrees when asked", "attack",
            lambda v, r: (BentPhoto(v.person, v.shown, tilt_degrees=_tilt(r, 4, 12),
                                    bend=_tilt(r, 0.15, 0.6)),), (25, 40)),
    Species("cut_print", "a face cut out of its print, eyes open, before a living person", "attack",
            lambda v, r: (CutPhoto(v.person, v.shown, behind=v.stranger,
                                   tilt_degrees=_tilt(r, 6, 20)),)),
    Species("cut_print_worn", "the same, bent around the head and turned when asked", "attack",
            lambda v, r: (CutPhoto(v.person, v.shown, behind=v.stranger, yaw_degrees=4,
                                   tilt_degrees=_tilt(r, 6, 12), bend=_tilt(r, 0.2, 0.5)),),
            (20, 30)),
    Species("phone_screen", "a photograph on a telephone, tilting by 6 to 30 degrees", "attack",
            lambda v, r: (HeldScreen(v.person, v.shown, tilt_degrees=_tilt(r, 6, 30)),)),
    Species("film_held", "a film of the turning head on a screen in a hand", "attack",
            lambda v, r: (HeldVideo(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14),
                                    tilt_degrees=_tilt(r, 2, 8)),)),
    Species("film_on_stand", "the same on a screen that does not move", "attack",
            lambda v, r: (HeldVideo(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14),
                                    tilt_degrees=0.0),)),
    Species("film_asked", "the same when the policy asks everybody to turn once", "attack",
            lambda v, r: (HeldVideo(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14),
                                    tilt_degrees=0.0),), always_turns=1),
    Species("film_asked_twice", "the same when the policy asks everybody to turn twice", "attack",
            lambda v, r: (HeldVideo(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14),
                                    tilt_degrees=0.0),), always_turns=2),
    Species("film_chosen", "a film of a still head; when asked, one that turns that way", "attack",
            lambda v, r: (HeldVideo(v.person, v.shown, yaw_degrees=1.5, tilt_degrees=0.0),),
            (20, 35)),
    Species("still_picture", "a picture fed in that does not move at all", "attack",
            lambda v, r: (Static(v.person, v.shown),)),
    Species("virtual_camera", "a living person through a virtual camera", "attack",
            lambda v, r: (Genuine(v.person, v.shown),), camera=VIRTUAL_CAMERA),
    Species("two_faces", "the insured and a stranger side by side", "company",
            lambda v, r: (Genuine(v.person, v.shown, x=0.28), Genuine(v.stranger, x=0.72))),
    Species("face_behind", "a stranger before a print of the insured on the wall", "company",
            lambda v, r: (HeldPhoto(v.person, v.shown, x=0.85, y=0.25, eye_distance=0.05),
                          Genuine(v.stranger, x=0.45)), (20, 35)),
    Species("reference_print", "a print of the very reference picture", "attack",
            lambda v, r: (HeldPhoto(v.person, v.reference, tilt_degrees=_tilt(r, 6, 30)),)),
    Species("injected_loop", "the pictures of a living person's attempt fed in again and again",
            "attack", lambda v, r: (Genuine(v.person, v.shown),), loop="same"),
    Species("injected_again", "the pictures of an earlier attempt fed in once more", "attack",
            lambda v, r: (Genuine(v.person, v.shown),), loop="earlier"),
    Species("injected_anew", "the same, encoded anew, so that no pixel is the same", "attack",
            lambda v, r: (Genuine(v.person, v.shown),), loop="encoded"),
    Species("living_asked", "a person who moves, when everybody is asked to turn once", "living",
            lambda v, r: (Genuine(v.person, v.shown, yaw_degrees=_tilt(r, 6, 14)),), (20, 35),
            always_turns=1),
)  # fmt: skip


def attempt(species: Species, victim: Victim, looker: Looker, seed: int) -> Seen:
    """Show one attempt of a species to the camera and return what was seen."""
    random = np.random.default_rng((seed, 7))
    cast = species.cast(victim, random)
    camera = Filmed(victim.people, cast, seed)
    asking = replace(looker, camera=species.camera, policy=_policy(species, looker.policy))
    turns: list[tuple[float, float]] = []
    challenge_seed = random.bytes(16)
    if species.loop is not None:
        return _injected(species.loop, victim, camera, asking, challenge_seed)

    def answer(instruction: str, seconds: float) -> None:
        if species.turns_by is None:
            return
        by = float(random.uniform(*species.turns_by)) * (1 if instruction == "TURN_LEFT" else -1)
        begins = seconds + float(random.uniform(0.5, 1.2))
        turns.append((begins, by))
        camera.show(_turning(cast, tuple(turns)))

    return asking.look(camera.next, seed=challenge_seed, reference=victim.embedding, answer=answer)


def _policy(species: Species, policy: IdentityPolicy) -> IdentityPolicy:
    if not species.always_turns:
        return policy
    changes = {"challenge": "always", "challenge_turns": species.always_turns}
    return policy.model_copy(update={"liveness": policy.liveness.model_copy(update=changes)})


def _turning(cast: Sequence[Actor], turns: Turns) -> tuple[Actor, ...]:
    """Return the cast with turns for whoever can turn and is nearest (drawn last)."""
    *others, nearest = cast
    if isinstance(nearest, Genuine):
        nearest = replace(nearest, calm_from=turns[0][0] - 0.5)
    if isinstance(nearest, Genuine | HeldPhoto | BentPhoto | HeldVideo | CutPhoto):
        nearest = replace(nearest, turns=turns)
    return (*others, nearest)


def _injected(how: str, victim: Victim, camera: Filmed, looker: Looker, seed: bytes) -> Seen:
    first: list[Image] = [
        camera.next() for _ in range(round(1.2 * RATE if how == "same" else 4 * RATE))
    ]
    if how == "same":
        return looker.look(played(first), seed=seed, reference=victim.embedding)
    earlier = looker.look(played(first), seed=seed, reference=victim.embedding)
    if how == "earlier":
        return looker.look(
            played(first),
            seed=seed,
            reference=victim.embedding,
            seen_before=earlier.digests.__contains__,
        )
    from tests.identity.attacks.filming import Coder

    coder = Coder()
    again = [coder.passed(image) for image in first]
    return looker.look(
        played(again),
        seed=seed,
        reference=victim.embedding,
        seen_before=earlier.digests.__contains__,
    )
