"""What a timeline is made of, and what it is: facts of one session in, pieces of scenes out.

Moments are microseconds since the Unix epoch; `*_ms` count from the replay's `origin`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from retention.pages.kit import Language, query_path
from retention.terms.words import word

PieceState = Literal["footage", "gap", "absent", "coming", "broken"]
AskedState = Literal["waiting", "silent", "sent", "refused", "failed", "expired"]
Mark = Literal["plain", "ok", "look", "stop"]


@dataclass(frozen=True, slots=True)
class SegmentFact:
    """A segment as central holds it. `lost`: it was accepted and its file is gone since."""

    segment: str
    camera: str
    role: str
    started_at: int
    ended_at: int
    state: Literal["accepted", "receiving", "broken", "lost"]
    codec: str = "h264"


@dataclass(frozen=True, slots=True)
class GapFact:
    """A gap of a camera as its node told it; open when `ended_at` is None."""

    camera: str
    role: str
    started_at: int
    ended_at: int | None
    cause: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One command for footage, newest first in lists. `since`: last word of a silent node;
    `offered`: how many segments it said it has."""

    started_at: int
    ended_at: int
    cameras: tuple[str, ...]
    state: AskedState
    detail: str = ""
    since: str = ""
    offered: int | None = None
    command: str = ""
    at: int = 0
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a scene shows from `from_ms` until just before `to_ms`."""

    from_ms: int
    to_ms: int
    state: PieceState
    segment: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One camera's time. `codec` is that of its first footage, None without any."""

    ordinal: int
    camera: str
    role: str
    codec: str | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class StepMark:
    """A step of the session at its moment; `n` is its number in the list of all steps."""

    n: int
    at_ms: int
    kind: str
    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class StepFact:
    """A step in words, at a moment in microseconds."""

    n: int
    at: int
    kind: str
    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a timeline is made of. `owed` is the session's owed span, `cameras` those
    (camera: role) that should have filmed it, also without any footage."""

    node: str
    session: str
    owed: tuple[int, int]
    cameras: Mapping[str, str]
    segments: Sequence[SegmentFact] = ()
    gaps: Sequence[GapFact] = ()
    asked: Sequence[Asked] = ()
    steps: Sequence[StepFact] = ()


@dataclass(frozen=True, slots=True)
class Replay:
    """What the player plays."""

    node: str
    session: str
    origin: int
    length_ms: int
    clear: bool
    scenes: tuple[Scene, ...]
    steps: tuple[StepMark, ...]

    def to_json(self, lang: Language) -> dict[str, Any]:
        """Return replay.json: the pieces, with words and addresses for the script."""
        return {
            "node": self.node,
            "session": self.session,
            "origin": self.origin,
            "length_ms": self.length_ms,
            "clear": self.clear,
            "scenes": [self._scene_json(scene, lang) for scene in self.scenes],
            "steps": [asdict(step) for step in self.steps],
        }

    def _scene_json(self, scene: Scene, lang: Language) -> dict[str, Any]:
        path = f"/sessions/{self.session}/scenes/{scene.ordinal}.m3u8"
        return {
            "ordinal": scene.ordinal,
            "camera": scene.camera,
            "role": scene.role,
            "role_text": word(lang, "role", scene.role),
            "playlist": None if scene.codec is None else query_path(path, node=self.node),
            "codec": scene.codec,
            "pieces": [asdict(piece) for piece in scene.pieces],
        }
