"""The path of a session as a page draws it: five steps, one of them open. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.terminal.views import NextStep, SessionView

Key = Literal["claim", "identity", "prescription", "basket", "settlement"]
Mark = Literal["done", "now", "later", "skipped"]
Way = Literal["consent", "upload", "face", "document", "proxy", "self", "end", "none"]

ORDER: tuple[Key, ...] = ("claim", "identity", "prescription", "basket", "settlement")
STEP_OF: dict[NextStep, Key] = {
    "enrol_or_attest": "identity",
    "verify": "identity",
    "attest": "identity",
    "basket": "basket",
    "prescription": "prescription",
    "authorise": "settlement",
    "settle": "settlement",
    "wait": "settlement",
    "close": "settlement",
}
CHANGEABLE = frozenset({"basket", "prescription", "identity"})
# Signs of a copied face are not told to whoever shows it.
NEUTRAL = frozenset({"STATIC_INPUT", "PLANAR_MOTION"})


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
    """Return which panel the identity step shows: the one that was chosen, or the next one."""
    by_face: Way = "face" if enrolled else ("upload" if consented else "consent")
    match wanted:
        case "document" | "proxy" | "self" | "end":
            return wanted
        case "face":
            return by_face if view.attempts_left > 0 else "document"
    if view.next_step == "attest":
        return "document"
    return by_face if STEP_OF.get(view.next_step) == "identity" else "none"
