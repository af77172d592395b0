"""The path of a session as a page draws it: five steps, one of them open. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.terminal.views import NextStep, SessionView

Key = Literal["claim", "identity", "prescription", "basket", "settlement"]
Mark = Literal["done", "now", "later", "skipped"]
Way = Literal["consent", "upload", "face", "document", "proxy", "self", "end", "none"]
# Whose face is not looked at for these reasons is not enrolled either.
NOT_ENROLLED = frozenset({"CHILD_NO_FACE", "FACE_LOCKED"})
# A new picture, with a new consent, for a reference that is old or not there yet.
RENEW = "renew"

ORDER: tuple[Key, ...] = ("claim", "identity", "prescription", "basket", "settlement")
STEP_OF: dict[NextStep, Key] = {
    "enrol_or_attest": "identity",
    "verify": "identity",
    "attest": "identity",
    "guardian": "identity",
    "basket": "basket",
    "prescription": "prescription",
    "authorise": "settlement",
    "settle": "settlement",
    "wait": "settlement",
    "close": "settlement",
}
CHANGEABLE = frozenset({"basket", "prescription", "identity"})
# Signs of a copied face are not told to whoever shows it, nor to whoever stands beside them.
NEUTRAL = frozenset(
    {
        "STATIC_INPUT",
        "PLANAR_MOTION",
        "REPLAYED_FRAMES",
        "PASSIVE_SPOOF",
        "VIRTUAL_CAMERA",
        "LIVENESS_NOT_ASSESSED",
    }
)


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step: its place, and whether it is done, open, or still to come."""

    number: int
    key: Key
    mark: Mark


def path_of(view: SessionView, wanted: str | None = None) -> tuple[PathStep, ...]:
    """Return the steps. `wanted` opens a step again that may still be changed."""
    due = STEP_OF.get(view.next_step)
    now = due
    if due is not None and wanted in CHANGEABLE and view.next_step not in ("wait", "close"):
        now = next(key for key in ORDER if key == wanted)
    return tuple(
        PathStep(number, key, "now" if key == now else _mark(view, key, due))
        for number, key in enumerate(ORDER, start=1)
    )


def _mark(view: SessionView, key: Key, due: Key | None) -> Mark:
    done = {
        "claim": True,
        "identity": view.decision is not None
        and view.decision.outcome == "ACCEPT"
        and due != "identity",
        "prescription": view.prescription is not None and due != "prescription",
        "basket": view.basket is not None and due != "basket",
        "settlement": view.settlement.stage.value == "settled",
    }
    if done[key]:
        return "done"
    if key == "prescription" and (due == "settlement" or view.state == "closed"):
        return "skipped"
    return "later"


def way_of(view: SessionView, wanted: str | None, enrolled: bool, consented: bool) -> Way:
    """Return which panel the identity step shows: the one that was chosen, or the next one.

    `consented` is to the notice as it is now. Of a child nothing but the guardian's form is shown.
    """
    by_face: Way = "consent" if not consented else ("face" if enrolled else "upload")
    if wanted in ("self", "end"):
        return "self" if wanted == "self" else "end"
    if view.next_step == "guardian":
        return "proxy"
    face = view.no_face is None
    enrols = view.no_face is None or view.no_face.code not in NOT_ENROLLED
    match wanted:
        case "document" | "proxy":
            return wanted
        case "face":
            return by_face if face else "document"
        case "renew" if enrols:
            return "consent"
        case "upload" if enrols:
            return "upload" if consented else "consent"
    if view.next_step == "attest":
        return "document"
    return by_face if STEP_OF.get(view.next_step) == "identity" else "none"
