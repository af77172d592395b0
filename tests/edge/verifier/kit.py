"""A verifier without camera or models: a rendered head, scripted answers, a clock of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from edge.config import EdgeConfig
from edge.verifier.answering import answer_to, read
from edge.verifier.duty import DutyWatch
from edge.verifier.looking import Camera
from edge.verifier.method import FaceMethod, PolicyWatch, require_usable
from edge.verifier.protocol import Decided, EnrolmentRefused, Ping, VerifyFace
from edge.verifier.references import row_of
from edge.verifier.service import CameraService
from edge.verifier.workers import Job
from hardware.frames import CapturedFrame
from identity.policy import IdentityPolicy
from identity.references import Reference
from models.manifest import SFACE, YUNET
from models.opencv import cv2
from models.runtime import LoadedModels
from models.values import Image, Landmarks
from retention.records.clock import Clock, ManualClock
from retention.records.fields import Frozen
from retention.records.ids import SeededIds
from retention.records.payloads import ConsentGiven, DecisionReceipt
from retention.records.people import AttackSuspected, ConsentGiven2
from retention.store import face_locks, people
from retention.store.database import NodeStore
from tests.identity import support
from tests.identity.support import ScriptedModels, face_at, unit_vector

PERSON, SOMEBODY = "ef" * 32, "aa" * 32
COUNTER = "counter-1"
CONSENT = "0197a000-0000-7000-8000-000000000002"


@dataclass
class RenderedFrames:
    """A head that turns, 15 frames a second of the test's clock; `on_frame` may do anything."""

    clock: ManualClock
    on_frame: Callable[[int], None] = lambda _: None
    dead: bool = False
    seen: list[Landmarks] = field(default_factory=list)
    watching: bool = False
    asked: int = 0
    scene: Callable[[float], tuple[Image, Landmarks]] = support.turning_head
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    @property
    def healthy(self) -> bool:
        return not self.dead

    def latest(self, after_ordinal: int, timeout_seconds: float) -> CapturedFrame | None:
        assert self.watching
        self.asked += 1
        self.on_frame(self.asked)
        self.clock.advance(timedelta(seconds=timeout_seconds if self.dead else 1 / 15))
        if self.dead:
            return None
        pixels, landmarks = self.draw(after_ordinal)
        self.seen.append(landmarks)
        return CapturedFrame(pixels, after_ordinal + 1, self.clock.monotonic_ns())

    def draw(self, ordinal: int) -> tuple[Image, Landmarks]:
        """Return the next picture; no sensor gives the same one twice."""
        pixels, landmarks = self.scene(ordinal / 15)
        grain = self.noise.integers(0, 2, pixels.shape, dtype=np.uint8)
        return np.asarray(pixels + grain, dtype=np.uint8), landmarks

    def pause(self) -> None:
        self.watching = False

    def resume(self) -> None:
        self.watching = True

    def close(self) -> None:
        pass


def method_of(models: ScriptedModels, clock: Clock) -> FaceMethod:
    """Return the face method with scripted models and the policy that ships."""
    loaded, counted = LoadedModels(models, models, YUNET, SFACE), support.calibration()

    def require(policy: IdentityPolicy) -> None:
        require_usable(policy, counted, loaded, (support.CAMERA,))

    return FaceMethod(loaded, counted, PolicyWatch(None, None, clock=clock, require=require))


class Bench:
    """One verifier, its parts, and short words for what a terminal asks."""

    def __init__(self, config: EdgeConfig, store: NodeStore, clock: ManualClock) -> None:
        self.config, self.store, self.clock = config, store, clock
        self.frames, self.stop, self.beats = RenderedFrames(clock), threading.Event(), list[int]()
        self.models = ScriptedModels(
            lambda _: [face_at(self.frames.seen[-1])], lambda _: unit_vector(0, 0.3)
        )
        self.method = method_of(self.models, clock)
        self.awaited = False
        self.camera = Camera(
            id=config.verification.camera,
            identity=support.CAMERA,
            frames=self.frames,
            stop=self.stop,
            beat=lambda: self.beats.append(1),
        )
        self.service = CameraService(
            config=config,
            store=store,
            signer=config.keys().signer(),
            method=self.method,
            camera=self.camera,
            is_awaited=lambda: self.awaited,
        )
        self.duty = DutyWatch(self.service)

    def ask(self, *parts: bytes) -> Frozen:
        """Send one message as it comes from the socket."""
        asked = read(parts)
        if isinstance(asked, EnrolmentRefused):
            return asked
        assert not isinstance(asked, Ping), "a ping is the server's"
        return answer_to(self.service, self.duty, Job(b"", asked, tuple(parts[1:])))

    def verify(self, **changes: object) -> DecisionReceipt:
        """Run one attempt and return its receipt."""
        answer = self.ask(request(**changes).model_dump_json().encode())
        assert isinstance(answer, Decided), answer
        return answer.decided.receipt

    def consent(self, person_ref: str = PERSON, *, shown: bool = True) -> str:
        """Give consent; when the notice was `shown` in words, it covers keeping evidence."""
        given = ConsentGiven(
            consent=CONSENT,
            person_ref=person_ref,
            purpose="face_verification",
            notice_version="1",
            method="signed",
            operator="op",
        )
        if shown:
            told = {"notice_sha256": "5a" * 32, "guardian_ref": None}
            given = ConsentGiven2.model_validate(given.model_dump() | told)
        with self.store.write() as connection:
            people.give_consent(self.store, connection, given, counter=COUNTER)
        return given.consent

    def withdraw(self) -> None:
        with self.store.write() as connection:
            consent = people.read_consent(connection, CONSENT)
            assert consent is not None
            people.withdraw_consent(self.store, connection, consent, counter=COUNTER)

    def keep(self, reference: Reference, row_person: str = PERSON) -> None:
        """Store a sealed reference, by default under its own person."""
        with self.store.write() as connection:
            made = row_of(reference, self.config.reference_keys(), self.clock.now())
            row = replace(made, person_ref=row_person)
            people.insert_reference(self.store, connection, row, counter=COUNTER)

    def suspect(self, times: int) -> None:
        """Let so many attacks have been suspected just now."""
        limits = self.method.policies.in_force().transaction
        with self.store.write() as connection:
            for _ in range(times):
                suspicion = AttackSuspected(
                    session=None,
                    receipt=self.store.ids.new(),
                    subject_ref=PERSON,
                    camera=self.camera.id,
                    signals=("planarity",),
                )
                face_locks.suspect(self.store, connection, suspicion, limits)

    def enrolled(self) -> None:
        """Give consent and keep a reference of the rendered head."""
        self.consent()
        self.keep(support.reference(unit_vector(0)))

    def records(self, kind: str) -> list[bytes]:
        with self.store.read() as connection:
            rows = connection.execute("SELECT bytes FROM log WHERE kind = ?", (kind,))
            return [row["bytes"] for row in rows]


def request(**changes: object) -> VerifyFace:
    values: dict[str, object] = {
        "session": SeededIds().new(),
        "counter": COUNTER,
        "claim_digest": "c" * 64,
        "subject_ref": PERSON,
        "subject_role": "patient",
        "attempt": 1,
        "amount": None,
        "comparisons": 0,
        "age_band": "unknown",
        "sex": "unknown",
    }
    return VerifyFace.model_validate(values | changes)


def picture(pixels: np.ndarray | None = None) -> bytes:
    """Return a PNG file, by default of the rendered head."""
    shown = support.turning_head(0)[0] if pixels is None else pixels
    done, content = cv2.imencode(".png", shown)
    assert done
    return content.tobytes()
