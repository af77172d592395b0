"""Which policy is in force, what turns the face method off, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.verifier import method
from edge.verifier.face_alarm import SUBJECT, FaceAlarm
from edge.verifier.method import FaceMethodOff, PolicyWatch, load_method, require_usable
from edge.verifier.recent import RecentPictures
from hardware.camera_identity import CameraIdentity
from identity.errors import PolicyRefused, UnsupportedFalseMatchRate
from identity.policy import IdentityPolicy, load_policy
from identity.policy_files import SUFFIX, sign
from models.manifest import SFACE, YUNET
from models.runtime import LoadedModels
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock, to_text
from retention.store import alarms
from retention.store.alarms import Alarm
from retention.store.database import NodeStore, StoreUnavailable
from tests.edge.counter_kit import config_for
from tests.identity import support
from tests.identity.support import ScriptedModels, unit_vector

SHIPPED = Path(method.__file__).parents[2] / "identity/policies/counter-default.toml"
VIRTUAL = CameraIdentity("v4l2", "OBS", simulated=False, virtual=True)


class Folder:
    """A folder of signed policies."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path, self.signer = path, KeyDirectory(path.parent / "authority").signer()
        self.key = self.signer.public_key.hex()

    def put(self, version: str, begins: str, *, signed: bool = True) -> Path:
        text = SHIPPED.read_text()
        text = text.replace('version = "2"', f'version = "{version}"')
        text = text.replace('"2026-01-01T00:00:00.000000Z"', f'"{begins}"')
        path = self.path / f"policy-{version}.toml"
        path.write_text(text)
        if signed:
            content = sign(load_policy(path), self.signer)
            path.with_name(path.name + SUFFIX).write_bytes(content)
        return path

    def watch(self, clock: ManualClock, **changes: object) -> PolicyWatch:
        asked: list[str] = []
        made = PolicyWatch(
            self.path, self.key, clock=clock, require=lambda policy: asked.append(policy.version)
        )
        self.asked = asked
        return made


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "policies")


def loaded(*, passive: bool = False) -> LoadedModels:
    models = ScriptedModels(lambda _: [], lambda _: unit_vector(0))
    made = LoadedModels(models, models, YUNET, SFACE)
    return replace(made, passive=_Passive()) if passive else made


class _Passive:
    digest = "ab" * 32

    def crops(self, *_: object) -> tuple[()]:
        return ()

    def live_probability(self, _: object) -> float:
        return 1.0


def changed(**limits: object) -> IdentityPolicy:
    policy = load_policy()
    return policy.model_copy(update={"liveness": policy.liveness.model_copy(update=limits)})


# -- the policy in force --------------------------------------------------------------------------


def test_a_policy_begins_at_its_moment_without_anybody_reading_files_again(
    folder: Folder, clock: ManualClock
) -> None:
    later = to_text(clock.now() + timedelta(hours=2))
    folder.put("3", to_text(clock.now() - timedelta(days=1)))
    folder.put("4", later)
    watch = folder.watch(clock)
    assert watch.in_force().version == "3"
    clock.advance(timedelta(hours=2))
    assert watch.in_force().version == "4"
    clock.jump(-timedelta(hours=3))
    assert watch.in_force().version == "3"
    assert folder.asked == ["3", "4"], "each is asked for once"


def test_a_new_file_is_followed_and_a_wrong_one_turns_the_method_off(
    folder: Folder, clock: ManualClock
) -> None:
    begins = to_text(clock.now() - timedelta(days=1))
    folder.put("3", begins)
    watch = folder.watch(clock)
    assert watch.in_force().version == "3"
    wrong = folder.put("5", begins, signed=False)
    with pytest.raises(FaceMethodOff, match="policy-5"):
        watch.in_force()
    with pytest.raises(FaceMethodOff):
        watch.in_force()
    wrong.unlink()
    assert watch.in_force().version == "3"
    folder.put("6", begins)
    assert watch.in_force().version == "6"


def test_files_that_could_not_be_read_are_read_again_though_they_did_not_change(
    folder: Folder, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put("3", to_text(clock.now() - timedelta(days=1)))
    watch = folder.watch(clock)

    def denied(place: Path, _: object) -> None:
        raise PolicyRefused(str(place), "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(method, "signed_policies", denied)
        with pytest.raises(FaceMethodOff, match="denied"):
            watch.in_force()
    assert watch.in_force().version == "3"


def test_one_policy_put_in_the_place_of_another_is_in_force_once_its_signature_is_there(
    folder: Folder, clock: ManualClock
) -> None:
    begins = to_text(clock.now() - timedelta(days=1))
    place = folder.put("3", begins)
    watch = folder.watch(clock)
    newer = folder.put("4", begins)
    signature = newer.with_name(newer.name + SUFFIX)
    newer.replace(place)
    with pytest.raises(FaceMethodOff, match="signature"):
        watch.in_force()
    signature.replace(place.with_name(place.name + SUFFIX))
    assert watch.in_force().version == "4"


def test_a_folder_that_is_gone_or_empty_turns_the_method_off(
    folder: Folder, clock: ManualClock
) -> None:
    watch = folder.watch(clock)
    with pytest.raises(FaceMethodOff):
        watch.in_force()
    folder.path.rmdir()
    with pytest.raises(FaceMethodOff):
        watch.in_force()


def test_what_cannot_be_kept_for_a_replay_is_not_used_and_asked_for_again(
    clock: ManualClock,
) -> None:
    faults: list[Exception] = [StoreUnavailable("full"), StoreUnavailable("full")]

    def keeps(_: IdentityPolicy) -> None:
        if faults:
            raise faults.pop()

    watch = PolicyWatch(None, None, clock=clock, require=keeps)
    for _ in range(2):
        with pytest.raises(FaceMethodOff, match="full"):
            watch.in_force()
    assert watch.in_force().name == "counter-default"


# -- what a policy needs --------------------------------------------------------------------------


def test_the_shipped_policy_can_be_fulfilled() -> None:
    require_usable(load_policy(), support.calibration(), loaded(), (support.CAMERA,))


@pytest.mark.parametrize(
    ("limits", "missing"),
    [
        ({"required": ("passive", "planarity")}, "passive"),
        ({"required": ("depth",)}, "depth"),
        ({"required": ("challenge",), "challenge": "never"}, "challenge"),
    ],
)
def test_a_signal_that_cannot_work_here_refuses_the_policy(
    limits: dict[str, object], missing: str
) -> None:
    with pytest.raises(PolicyRefused, match=missing):
        require_usable(changed(**limits), support.calibration(), loaded(), (support.CAMERA,))


def test_an_installed_passive_model_may_be_required() -> None:
    wanted = changed(required=("passive", "planarity"))
    require_usable(wanted, support.calibration(), loaded(passive=True), (support.CAMERA,))


def test_one_camera_that_is_none_stops_only_itself_but_all_of_them_the_method() -> None:
    policy = load_policy()
    require_usable(policy, support.calibration(), loaded(), (VIRTUAL, support.CAMERA))
    with pytest.raises(PolicyRefused, match="camera"):
        require_usable(policy, support.calibration(), loaded(), (VIRTUAL,))


def test_every_band_must_be_shown_by_the_calibration() -> None:
    policy = load_policy()
    last = policy.bands[-1]
    for ratio in (1000, 100_000):
        strict = last.model_copy(update={"false_match_rate": last.false_match_rate / ratio})
        unsupported = policy.model_copy(update={"bands": (*policy.bands[:-1], strict)})
        with pytest.raises(UnsupportedFalseMatchRate):
            require_usable(unsupported, support.calibration(), loaded(), (support.CAMERA,))


# -- loading --------------------------------------------------------------------------------------


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "load_models", lambda _: loaded())
    monkeypatch.setattr(method, "load_calibration", lambda _: support.calibration())


def test_what_decides_is_kept_when_it_is_asked_for(
    scripted: None, tmp_path: Path, store: NodeStore
) -> None:
    load_method(simulated(tmp_path), store).policies.in_force()
    kept = {path.name.split("-")[0] for path in (tmp_path / "identity").iterdir()}
    assert "policy" in kept


def test_references_of_another_contract_are_marked_once(
    scripted: None, tmp_path: Path, store: NodeStore
) -> None:
    with store.write() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(
            "INSERT INTO consents (id, person_ref, purpose, notice_version, given_at)"
            " VALUES ('c', 'p', 'face_verification', '1', 0)"
        )
        connection.execute(
            "INSERT INTO reference_templates (id, person_ref, consent, contract_id, source, key_id,"
            " nonce, sealed, enrolled_at, expires_at)"
            " VALUES ('r', 'p', 'c', ?, 'chip', 'k', x'00', x'00', 0, 9000000000000000)",
            ("11" * 32,),
        )
    for _ in range(2):
        load_method(simulated(tmp_path), store)
    with store.read() as connection:
        told = connection.execute("SELECT count(*) FROM log WHERE kind = 'references.outdated'")
        assert told.fetchone()[0] == 1


def test_a_virtual_camera_turns_the_method_off_outside_simulations(
    scripted: None, tmp_path: Path, store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = simulated(tmp_path)
    load_method(config, store).policies.in_force()
    monkeypatch.delenv("COUNTERSIGHT_SIMULATION")
    with pytest.raises(FaceMethodOff, match="camera"):
        load_method(config, store).policies.in_force()


def test_keys_that_were_not_handed_over_turn_the_method_off(
    scripted: None, tmp_path: Path, store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    config = simulated(tmp_path, reference_key="credential")
    with pytest.raises(FaceMethodOff, match="credential"):
        load_method(config, store)


def simulated(data: Path, **verification: object) -> EdgeConfig:
    camera = {"id": "till", "scene_role": "purchase", "url": "rtsp://127.0.0.1:1/stream"}
    return config_for(
        data,
        cameras=[camera | {"simulated": True}],
        verification={"camera": "till"} | verification,
    )


# -- the alarm ------------------------------------------------------------------------------------


def is_open(store: NodeStore) -> bool:
    with store.read() as connection:
        return alarms.is_open(connection, Alarm.FACE_METHOD_OFF, SUBJECT)


def written(store: NodeStore) -> int:
    with store.read() as connection:
        found: int = connection.execute("SELECT count(*) FROM log").fetchone()[0]
        return found


def test_the_alarm_is_raised_and_cleared_once_each(store: NodeStore) -> None:
    alarm = FaceAlarm(store)
    for reason in (None, None, "no policy", "another reason", None, None):
        alarm.set(reason)
    assert not is_open(store)
    assert written(store) == 2


def test_an_alarm_that_could_not_be_written_is_written_later(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("full")

    alarm = FaceAlarm(store)
    with monkeypatch.context() as patched:
        patched.setattr(alarms, "raise_alarm", full)
        alarm.set("no policy")
    assert not is_open(store)
    alarm.set("no policy")
    assert is_open(store)


# -- pictures of before ---------------------------------------------------------------------------


def test_recent_pictures_are_known_until_newer_ones_take_their_place() -> None:
    recent = RecentPictures(most=3)
    recent.add([b"a", b"b", b"a"])
    assert b"a" in recent
    recent.add([b"c", b"d"])
    assert (b"a" in recent, b"d" in recent, len(recent)) == (False, True, 3)
