"""What one unbroken track of one face has given: looked-at frames, and the embeddings of some.

A track is one face in one place. Whether it is also one *person* is asked of the embeddings, for
every frame that anything rests on: the compared frames, and the frames that liveness is measured
on. Without the latter a living face could lend its motion to a photograph held up after it.

Nothing is decided here. The costly steps are done ahead, one at a look, so that little is left
after the last frame; `identity.judge` makes the verdict from the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from identity.evidence_format import MOST_FRAMES
from identity.faces import same_track
from identity.fusion import Candidate, best
from identity.liveness.challenge import ChallengeRun
from identity.liveness.panel import Panel, telling
from identity.looked import LookedFrame
from identity.policy import IdentityPolicy
from identity.vectors import cosine, require_unit
from models.values import Embedder, Embedding, FaceDetection, Image

_NS = 1e9
_NS_PER_MS = 1_000_000
# A face may be lost for this long (a blink of the detector) and still be the same face; a little
# longer when nobody looked meanwhile, because the camera or the machine was slow.
_LOST_SECONDS = 0.6
_UNWATCHED_SECONDS = 1.0
# Cheap steps of liveness that are done at one look, beside at most one embedding.
_STEPS_BESIDE_AN_EMBEDDING = 1
_STEPS_ALONE = 3
_MANY = 3


class RememberingEmbedder:
    """Embeds each aligned face once; the verdict asks for what was made ahead."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[bytes, Embedding] = {}

    @property
    def contract_id(self) -> str:
        """Return the id of the contract under which embeddings can be compared."""
        return self._embedder.contract_id

    def knows(self, crop: Image) -> bool:
        """Return whether a crop was embedded."""
        return crop.tobytes() in self._known

    def embed_aligned(self, crop: Image) -> Embedding:
        """Return the embedding of an aligned face. Raises InferenceFailed, and ValueError unless
        it is of unit length."""
        key = crop.tobytes()
        if key not in self._known:
            embedding = self._embedder.embed_aligned(crop)
            require_unit(embedding)
            self._known[key] = embedding
        return self._known[key]


class FaceTrack:
    """The frames of one track. `person_threshold` is the score two of them must reach."""

    def __init__(
        self,
        policy: IdentityPolicy,
        embedder: RememberingEmbedder,
        panel: Panel,
        person_threshold: float,
    ) -> None:
        self._policy, self._embedder, self._panel = policy, embedder, panel
        self._person_threshold = person_threshold
        self.frames: list[LookedFrame] = []
        self._candidates: list[Candidate] = []
        self._first: Embedding | None = None
        self._face: FaceDetection | None = None
        self._face_ns = 0
        self._is_lost = False

    @property
    def has_compared(self) -> bool:
        """Return whether a face of this track was embedded."""
        return self._first is not None

    @property
    def anchor(self) -> FaceDetection | None:
        """Return the face of the first frame, or None before it."""
        return self.frames[0].face if self.frames else None

    @property
    def is_full(self) -> bool:
        """Return whether no more frames can be kept."""
        return len(self.frames) >= MOST_FRAMES

    def can_continue_with(self, face: FaceDetection, now_ns: int) -> bool:
        """Return whether this face can be the one of the last look."""
        if self._face is None:
            return True
        seconds = (now_ns - self._face_ns) / _NS
        longest = _LOST_SECONDS if self._is_lost else _UNWATCHED_SECONDS
        return seconds <= longest and same_track(self._face, face, seconds)

    def follow(self, face: FaceDetection, now_ns: int) -> None:
        """Remember where the face was last seen."""
        self._face, self._face_ns, self._is_lost = face, now_ns, False

    def lose(self) -> None:
        """Remember that the last look did not find the face, or not as the one dominant face."""
        self._is_lost = True

    def add(self, frame: LookedFrame, score: float | None) -> None:
        """Keep a frame; with a score it passed the quality gate and may be compared."""
        if score is not None:
            self._candidates.append(Candidate(len(self.frames), frame.offset_ns, score))
        self.frames.append(frame)

    def used(self) -> tuple[int, ...]:
        """Return the frames that are compared as things stand."""
        apart = self._policy.attempt.embed_every_ms * _NS_PER_MS
        return best(self._candidates, self._policy.matching.frames, apart)

    def embedded(self) -> int:
        """Return how many of the frames that are compared have their embedding."""
        return sum(self._is_embedded(index) for index in self.used())

    def work(self, challenge: ChallengeRun | None) -> bool:
        """Do one step ahead; return whether everything that counts is now measured.

        Raises OtherPerson when a face is not that of the frames before, and what the models raise.
        """
        used, wanted = self.used(), self._wanted(challenge)
        missing = [index for index in wanted if not self._is_embedded(index)]
        # A second one while many are missing, so that the last look has one at most.
        for index in missing[: 1 + (len(missing) >= _MANY)]:
            self._embed(index)
        if not self._is_nearly_enough(used):
            return False
        for _ in range(_STEPS_BESIDE_AN_EMBEDDING if missing else _STEPS_ALONE):
            if not self._panel.work(self.frames, used, challenge):
                return all(self._is_embedded(index) for index in wanted)
        return False

    def _wanted(self, challenge: ChallengeRun | None) -> Sequence[int]:
        """Return the frames that count: the compared ones first, then those liveness tells by,
        which may change with every look and so wait until there is nearly enough to compare."""
        used = self.used()
        told_by = telling(self.frames, challenge) if self._is_nearly_enough(used) else ()
        return list(dict.fromkeys((*used, *told_by)))

    def _is_nearly_enough(self, used: Sequence[int]) -> bool:
        return len(used) + 1 >= self._policy.matching.frames

    def _is_embedded(self, index: int) -> bool:
        aligned = self.frames[index].aligned
        return aligned is not None and self._embedder.knows(aligned)

    def _embed(self, index: int) -> None:
        aligned = self.frames[index].aligned
        if aligned is None:
            raise ValueError("a frame that counts has no aligned face")
        embedding = self._embedder.embed_aligned(aligned)
        self._first = embedding if self._first is None else self._first
        if cosine(self._first, embedding) < self._person_threshold:
            raise OtherPerson


class OtherPerson(Exception):
    """Two frames of one track show different persons."""
