"""What a decision leaves behind: sealed evidence, suspicions, locks; and what it must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.verifier import recording
from edge.verifier.probes import ProbeKeeper
from identity.evidence import decode, encode, probe_digest
from retention import probe_files
from retention.records.clock import ManualClock
from retention.records.people import AttackSuspected, DecisionReceipt2
from retention.store import face_locks, probes
from retention.store.database import NodeStore, StoreUnavailable
from tests.edge.verifier.kit import PERSON, Bench
from tests.identity import support


@pytest.fixture
def bench(config: EdgeConfig, store: NodeStore, clock: ManualClock) -> Bench:
    return Bench(config, store, clock)


def receipt(bench: Bench, **changes: object) -> DecisionReceipt2:
    found = bench.verify(**changes)
    assert isinstance(found, DecisionReceipt2)
    return found


def files(bench: Bench) -> list[Path]:
    folder = probe_files.folder_of(bench.config.node.data)
    return sorted(folder.iterdir()) if folder.exists() else []


def rows(bench: Bench) -> list[str]:
    with bench.store.read() as connection:
        return [row["receipt"] for row in connection.execute("SELECT receipt FROM probes")]


def is_locked(bench: Bench) -> bool:
    with bench.store.read() as connection:
        return face_locks.is_locked(connection, PERSON)


def suspicions(bench: Bench) -> list[AttackSuspected]:
    kept = bench.records("identity.attack_suspected")
    return [AttackSuspected.model_validate(json.loads(one)["payload"]) for one in kept]


# -- sealed evidence ------------------------------------------------------------------------------


def test_what_a_decision_rests_on_is_sealed_and_named_by_its_receipt(bench: Bench) -> None:
    bench.enrolled()
    found = receipt(bench, amount="88.00", age_band="70_79", sex="female")
    assert found.outcome == "ACCEPT"
    assert (found.age_band, found.sex, found.comparisons) == ("70_79", "female", 1)
    assert found.camera_identity == support.CAMERA.code
    assert not found.simulated
    assert found.probe_digest is not None
    assert rows(bench) == [found.receipt]
    (file,) = files(bench)
    with bench.store.read() as connection:
        row = probes.read(connection, found.receipt)
    assert row is not None
    key = bench.config.reference_keys().by_id(row.key_id)
    assert key is not None
    data_key = probe_files.unwrap(row.nonce, row.wrapped, row.receipt, row.session, key)
    bound = probe_files.Bound(found.receipt, found.session, PERSON, found.probe_digest)
    encoded = probe_files.open_sealed(file.read_bytes(), data_key, bound)
    assert probe_digest(encoded) == found.probe_digest
    assert encode(decode(encoded)) == encoded


def test_under_an_old_notice_nothing_is_kept_and_the_decision_stands(bench: Bench) -> None:
    bench.consent(shown=False)
    bench.keep(support.reference(support.unit_vector(0)))
    found = receipt(bench)
    assert (found.outcome, found.probe_digest) == ("ACCEPT", None)
    assert (rows(bench), files(bench)) == ([], [])


@pytest.mark.parametrize("fault", [StoreUnavailable("full"), ValueError("too large")])
def test_without_its_evidence_kept_there_is_no_accept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fails(*_: object) -> None:
        raise fault

    if isinstance(fault, StoreUnavailable):
        monkeypatch.setattr(ProbeKeeper, "prepare", fails)
    else:
        monkeypatch.setattr(recording, "encode", fails)
    bench.enrolled()
    found = receipt(bench)
    assert (found.outcome, found.reasons) == ("REFER", ("STORAGE_UNAVAILABLE",))
    # It was compared, and counts as one of the comparisons that the person has.
    assert found.comparison_score is not None
    assert (found.probe_digest, rows(bench), files(bench)) == (None, [], [])


def test_a_consent_withdrawn_while_we_look_leaves_no_evidence(bench: Bench) -> None:
    bench.enrolled()
    bench.frames.on_frame = lambda asked: bench.withdraw() if asked == 20 else None
    found = receipt(bench)
    assert (found.outcome, found.probe_digest) == ("REFER", None)
    assert (rows(bench), files(bench)) == ([], [])


def test_a_transaction_that_fails_leaves_no_evidence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StoreUnavailable("node.sqlite3: database or disk is full")

    bench.enrolled()
    with monkeypatch.context() as patched:
        patched.setattr(recording, "append", fails)
        with pytest.raises(AssertionError, match="STORAGE_UNAVAILABLE"):
            bench.verify()
    assert (rows(bench), files(bench), bench.records("identity.decided")) == ([], [], [])


def test_who_is_not_looked_at_leaves_no_evidence(bench: Bench) -> None:
    found = receipt(bench)
    assert (found.reasons, found.probe_digest) == (("REFERENCE_MISSING",), None)
    assert bench.frames.asked == 0
    assert files(bench) == []


# -- what was asked -------------------------------------------------------------------------------


def test_no_face_of_a_child_is_looked_at(bench: Bench) -> None:
    bench.enrolled()
    found = receipt(bench, age_band="under_14")
    assert (found.outcome, found.reasons) == ("REFER", ("CHILD_NO_FACE",))
    assert (bench.frames.asked, bench.models.detected) == (0, 0)


def test_more_comparisons_than_the_policy_permits_are_refused_unseen(bench: Bench) -> None:
    bench.enrolled()
    permitted = bench.method.policies.in_force().transaction.comparisons
    assert receipt(bench, comparisons=permitted - 1).outcome == "ACCEPT"
    refused = receipt(bench, comparisons=permitted)
    assert refused.reasons == ("ATTEMPTS_EXHAUSTED",)
    assert refused.comparison_score is None


def test_a_larger_amount_needs_a_stronger_match(bench: Bench) -> None:
    bench.enrolled()
    # 0.45 reaches 1e-4 in two comparisons (0.43), not 2e-5 in two (0.50).
    side = (1 / 0.45**2 - 1) ** 0.5
    bench.models.embedding = lambda _: support.unit_vector(0, side)
    small = receipt(bench, amount="1000.00")
    assert (small.outcome, small.amount_limit) == ("ACCEPT", "1000.00")
    large = receipt(bench, amount="1000.01")
    assert large.outcome == "REFER"
    unknown = receipt(bench)
    assert (unknown.outcome, unknown.amount_limit) == ("ACCEPT", "1000.00")


# -- suspected attacks ----------------------------------------------------------------------------


def attacked(bench: Bench) -> Bench:
    """Hold a flat print into the camera."""
    bench.enrolled()
    bench.frames.scene = support.held_print
    return bench


def test_a_print_is_suspected_and_the_third_in_ten_minutes_locks_the_credential(
    bench: Bench,
) -> None:
    attacked(bench)
    bench.suspect(2)
    attack = receipt(bench)
    assert attack.outcome == "REFER"
    said = suspicions(bench)[-1]
    assert (said.receipt, said.session) == (attack.receipt, attack.session)
    assert "planarity" in said.signals
    assert is_locked(bench)
    assert len(bench.records("identity.face_locked")) == 1
    asked = bench.frames.asked
    bench.frames.scene = support.turning_head
    refused = receipt(bench)
    assert (refused.reasons, refused.comparison_score) == (("FACE_LOCKED",), None)
    assert bench.frames.asked == asked
    with bench.store.write() as connection:
        face_locks.unlock(bench.store, connection, PERSON, "ph-3", attack.receipt)
    assert receipt(bench).outcome == "ACCEPT"


def test_a_living_face_is_no_suspicion(bench: Bench) -> None:
    bench.enrolled()
    bench.verify()
    bench.models.embedding = lambda _: support.unit_vector(7)
    bench.models.known.clear()
    assert bench.verify().reasons == ("MISMATCH",)
    assert suspicions(bench) == []


def test_who_keeps_still_is_not_accepted_and_never_accused(bench: Bench) -> None:
    bench.enrolled()
    bench.frames.scene = support.still
    bench.suspect(2)
    found = receipt(bench)
    assert found.outcome == "REFER"
    assert {one.signal for one in found.liveness if one.verdict == "fail"} == {"motion"}
    assert len(suspicions(bench)) == 2
    assert not is_locked(bench)


def test_a_camera_that_froze_accepts_and_accuses_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enrolled()
    bench.suspect(2)
    frozen = bench.frames.draw(0)
    monkeypatch.setattr(bench.frames, "draw", lambda _: frozen)
    assert {bench.verify().outcome for _ in range(2)} == {"REFER"}
    assert len(suspicions(bench)) == 2
    assert not is_locked(bench)


def test_the_same_pictures_played_again_are_known(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enrolled()
    film = [bench.frames.draw(ordinal) for ordinal in range(90)]
    monkeypatch.setattr(bench.frames, "draw", film.__getitem__)
    assert bench.verify().outcome == "ACCEPT"
    replayed = bench.verify()
    assert (replayed.outcome, replayed.reasons) == ("REFER", ("REPLAYED_FRAMES",))
    assert suspicions(bench)[-1].signals == ("replay",)


# -- looking without a session --------------------------------------------------------------------


def test_a_look_without_a_session_leaves_no_receipt(bench: Bench) -> None:
    bench.enrolled()
    decision = bench.service.look(PERSON, "counter-1")
    assert decision is not None
    assert decision.outcome == "ACCEPT"
    assert (bench.records("identity.decided"), files(bench)) == ([], [])


def test_a_suspected_attack_of_a_look_is_recorded_and_counted(bench: Bench) -> None:
    attacked(bench)
    bench.suspect(2)
    bench.service.look(PERSON, "counter-1")
    assert len(suspicions(bench)) == 3
    assert is_locked(bench)
    locked = bench.service.look(PERSON, "counter-1")
    assert locked is not None
    assert locked.reasons == ("FACE_LOCKED",)


def test_a_look_gives_way_to_whoever_waits_at_the_counter(bench: Bench) -> None:
    bench.enrolled()

    def comes(asked: int) -> None:
        bench.awaited = asked >= 3

    bench.frames.on_frame = comes
    assert bench.service.look(PERSON, "counter-1", gives_way=True) is None
    assert bench.frames.asked == 3
    assert not bench.frames.watching
    assert bench.service.look(PERSON, "counter-1") is not None
