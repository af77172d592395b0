"""Proof of holding: what is there is proven, what is not is named, and nothing forged passes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from central.challenges import draw, start, under_way
from central.loss_bound import loss_bound
from central.tables import (
    HoldRow,
    Node,
    NodeHold,
    NodePolicy,
    PolicyRow,
    StoredRecord,
    table_of,
)
from edge.commands.challenge import ChallengeJob
from edge.commands.samples import Held, Missing, look_up
from retention.records.clock import from_text, to_micros, to_text
from retention.records.keeping import (
    Hold,
    RecordsDisposed,
    RetentionPolicy,
    RetentionSubject,
    Term,
)
from retention.records.merkle import CHUNK_BYTES, Frontier, leaf_hash
from retention.store.log import append, by_sequence, leaves, prove_inclusion
from retention.terms import wire
from retention.terms.commands import ChallengeCommand, Sample
from retention.terms.problems import Refusal
from tests.central.auditkit import SAMPLES, AuditRig, Bend
from tests.central.wirekit import CENTRAL_SIGNER, IDENTITY, OTHER_KEY, rewritten

YEAR = timedelta(days=367)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[AuditRig]:
    made = AuditRig(tmp_path)
    yield made
    made.close()


def ended(rig: AuditRig, number: int) -> datetime:
    return from_text(rig.sealed[number][0].ended_at)


def only_proofs(change: Bend) -> Bend:
    return lambda frames: change(frames) if frames[1] == b"proof" else frames


# -- what is true ---------------------------------------------------------------------------------


def test_everything_held_is_proven_with_its_bound(rig: AuditRig) -> None:
    found = rig.audit()
    assert (found.state, found.held, found.missing, found.audit.owed) == ("done", 6, 0, 6)
    assert found.lost_at_most == pytest.approx(1 - 0.05 ** (1 / 6))
    (answered,) = rig.node.store._connection.execute(
        "SELECT count(*) FROM log WHERE kind = 'challenge.answered'"
    ).fetchone()
    assert answered == 1
    assert rig.central.incidents() == []


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (lambda rig: rig.path(2).unlink(), "FILE_MISSING"),
        (lambda rig: rig.path(2).write_bytes(b"other"), "FILE_CHANGED"),
        (lambda rig: (rig.path(2).unlink(), rig.path(2).mkdir()), "FILE_UNREADABLE"),
        (lambda rig: rig.unreachable.add("main"), "VOLUME_MISSING"),
    ],
)
def test_what_is_lost_is_missing_with_its_cause_camera_and_time(
    rig: AuditRig, harm: object, cause: str
) -> None:
    assert callable(harm)
    harm(rig)
    found = rig.audit()
    assert found.state == "done"
    assert found.missing == (6 if cause == "VOLUME_MISSING" else 1)
    assert set(rig.causes()) == {cause}
    with rig.central.database.read() as connection:
        row = connection.execute(select(SAMPLES).where(SAMPLES.c.leaf == rig.sealed[2][1])).one()
    assert (row.camera, row.ended_at) == ("cam-0", to_micros(ended(rig, 2)))
    assert rig.central.incidents() == []  # an honest word is no incident


def test_one_flipped_bit_anywhere_in_a_file_is_told(rig: AuditRig) -> None:
    content = bytearray(rig.path(0).read_bytes())
    content[-1] ^= 1
    rig.path(0).write_bytes(content)
    assert rig.audit().missing == 1
    assert rig.causes() == ["FILE_CHANGED"]


def test_row_without_its_segment_is_missing(rig: AuditRig) -> None:
    rig.node.store._connection.execute(
        "DELETE FROM segments WHERE id = ?", (rig.sealed[1][0].segment,)
    )
    assert rig.audit().missing == 1
    assert rig.causes() == ["ROW_MISSING"]


def test_node_that_lost_its_log_says_so(rig: AuditRig) -> None:
    _, command = rig.ask()
    last = max(sample.leaf for sample in command.samples)
    connection = rig.node.store._connection
    connection.execute("DELETE FROM segments WHERE sequence = ?", (last,))
    connection.execute("UPDATE log SET bytes = x'' WHERE sequence = ?", (last,))
    rig.answer(command, settling=False)
    assert rig.causes() == ["RECORD_MISSING"]


def test_leaf_that_the_node_never_had_is_told_apart_from_a_lost_one(rig: AuditRig) -> None:
    with rig.node.store.read() as connection:
        (size,) = connection.execute("SELECT size FROM frontier").fetchone()
    for leaf in (size, size + 10**6, 2**53 - 1):
        assert look_up(rig.tools, Sample(leaf=leaf, chunk=0)) == Missing(b"", "NO_SUCH_LEAF")
    assert isinstance(look_up(rig.tools, Sample(leaf=size - 1, chunk=0)), Held)


def test_lawful_disposal_proves_as_much(rig: AuditRig) -> None:
    rig.pass_time(YEAR)
    rig.dispose(0, ended(rig, 0) + timedelta(days=366))
    rig.seal(1000)
    rig.settle()
    found = rig.audit()
    # The disposal's own record is a committed leaf too.
    assert (found.state, found.held, found.disposed, found.records) == ("done", 6, 1, 1)
    assert found.trials == 6


def test_disposal_after_the_question_is_proven_by_a_later_tree(rig: AuditRig) -> None:
    rig.pass_time(YEAR)
    audit, command = rig.ask()
    rig.dispose(3, ended(rig, 3) + timedelta(days=366))
    rig.answer(command)
    assert rig.result(audit).disposed == 1


def test_file_that_is_being_disposed_of_is_waited_for(rig: AuditRig) -> None:
    rig.pass_time(YEAR)
    audit, command = rig.ask()
    rig.node.store._connection.execute(
        "UPDATE segments SET state = 'tombstoned' WHERE id = ?", (rig.sealed[3][0].segment,)
    )
    done = 0

    def bend(frames: list[bytes]) -> list[bytes]:
        nonlocal done
        done += frames[1] == b"proof"
        if done == 5:
            rig.dispose(3, ended(rig, 3) + timedelta(days=366))
        return frames

    rig.answer(command, bend)
    assert (rig.result(audit).held, rig.result(audit).disposed) == (5, 1)


def test_disposed_record_is_answered_by_the_record_that_names_it(rig: AuditRig) -> None:
    rig.pass_time(timedelta(days=800))
    sequence = rig.sealed[0][1]
    store = rig.node.store
    gone = RecordsDisposed(
        retention="footage_index",
        sequences=(sequence,),
        owed_until=to_text(ended(rig, 0) + timedelta(days=732)),
    )
    with store.write() as connection:
        record = append(store, connection, gone)
        connection.execute(
            "UPDATE log SET bytes = x'', disposed_by = ? WHERE sequence = ?",
            (record.sequence, sequence),
        )
    rig.settle()
    found = rig.audit()
    assert (found.held, found.disposed, found.missing) == (5, 1, 0)


def test_restarted_node_and_lost_answers_change_nothing(rig: AuditRig) -> None:
    audit, command = rig.ask()
    dropped = random.Random(3)
    for frames in rig_steps(rig, command)[:2]:  # the acknowledgements are lost with the process
        rig.central.handle(frames)
    rig.answer(
        command, lambda frames: [] if dropped.random() < 0.3 and frames[1] == b"proof" else frames
    )
    assert (rig.result(audit).state, rig.result(audit).held) == ("done", 6)


def rig_steps(rig: AuditRig, command: ChallengeCommand) -> list[list[bytes]]:
    job = ChallengeJob(rig.tools, command)
    out: list[list[bytes]] = []
    for now in range(4):
        out.extend(job.step(float(now)))
    return out


# -- what is forged -------------------------------------------------------------------------------


def bent(rig: AuditRig, change: Bend) -> list[str | None]:
    found = rig.audit(only_proofs(change))
    assert found.missing == found.audit.samples
    assert found.held == 0
    return rig.causes()


def test_another_chunk_is_rejected(rig: AuditRig) -> None:
    flip = lambda frames: [*frames[:5], bytes([frames[5][0] ^ 1]) + frames[5][1:], frames[6]]  # noqa: E731
    assert set(bent(rig, flip)) == {"CHUNK_REJECTED"}
    assert {code for code, _ in rig.central.incidents()} == {"CHUNK_REJECTED"}


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES + 1])
def test_chunk_of_another_length_is_rejected(rig: AuditRig, length: int) -> None:
    assert set(bent(rig, lambda frames: [*frames[:5], bytes(length), frames[6]])) == {
        "CHUNK_REJECTED"
    }


def test_chunk_from_another_place_of_the_same_file_is_rejected(rig: AuditRig) -> None:
    """Only the chunk that was asked for counts, though the path of another holds too."""
    audit, command = rig.ask()
    asked = command.samples
    shifted = command.model_copy(
        update={
            "samples": tuple(
                sample.model_copy(update={"chunk": (sample.chunk + 2**31) % 2**32})
                for sample in asked
            )
        }
    )
    rig.answer(shifted)
    assert rig.result(audit).held == 0
    assert set(rig.causes()) == {"CHUNK_REJECTED"}


def test_record_and_proof_of_another_leaf_are_rejected(rig: AuditRig) -> None:
    other = rig.sealed[0][1]
    with rig.node.store.read() as connection:
        size = rig.tree_size(connection) if hasattr(rig, "tree_size") else None
        raw = by_sequence(connection, other).raw
        size = (
            size
            or connection.execute(
                "SELECT max(tree_size) FROM checkpoints WHERE countersigned IS NOT NULL"
            ).fetchone()[0]
        )
        proof = b"".join(prove_inclusion(connection, other, size))
    audit, command = rig.ask()

    def swap(frames: list[bytes]) -> list[bytes]:
        return [*frames[:3], raw, proof, *frames[5:]]

    rig.answer(command, only_proofs(swap))
    assert rig.causes(audit) == ["RECORD_CHANGED"] * 5
    assert rig.result(audit).held == 1  # that leaf itself


def test_changed_record_is_rejected(rig: AuditRig) -> None:
    spoil = lambda frames: [*frames[:3], frames[3].replace(b"cam-0", b"cam-1"), *frames[4:]]  # noqa: E731
    assert set(bent(rig, spoil)) == {"RECORD_CHANGED"}


@pytest.mark.parametrize("changes", [{"sequence": 3}, {"node": "node-b"}, {"payload": {}}])
def test_record_that_says_it_stands_elsewhere_is_rejected_though_it_was_committed(
    rig: AuditRig, changes: dict[str, object]
) -> None:
    _, sequence = rig.seal(1000)
    connection = rig.node.store._connection
    raw = rewritten(by_sequence(connection, sequence).raw, **changes)
    connection.execute(
        "UPDATE log SET bytes = ?, leaf = ? WHERE sequence = ?", (raw, leaf_hash(raw), sequence)
    )
    frontier = Frontier().extend(leaves(connection, 0, sequence + 1))
    connection.execute("UPDATE frontier SET hashes = ?", (frontier.to_bytes(),))
    rig.settle()
    found = rig.audit()
    assert (found.held, found.missing) == (6, 1)
    (cause,) = rig.causes()
    expected = {"sequence": "RECORD_MISPLACED", "node": "RECORD_MISPLACED"}
    assert cause == expected.get(*changes, "RECORD_UNREADABLE")


def test_proof_that_does_not_hold_is_rejected(rig: AuditRig) -> None:
    assert set(bent(rig, lambda frames: [*frames[:4], bytes(len(frames[4])), *frames[5:]])) == {
        "PROOF_REJECTED"
    }
    assert rig.central.incidents()


def test_disposal_before_the_floor_is_a_loss(rig: AuditRig) -> None:
    rig.pass_time(timedelta(days=30))
    rig.dispose(0, ended(rig, 0) + timedelta(days=20))  # it says that it owed no more
    rig.settle()
    found = rig.audit()
    assert (found.disposed, found.missing) == (0, 1)
    assert rig.causes() == ["DISPOSED_EARLY"]


def test_early_disposal_stays_a_loss_for_ever(rig: AuditRig) -> None:
    """When central first saw the disposal counts, not when it asks."""
    rig.pass_time(timedelta(days=30))
    rig.dispose(0, ended(rig, 0) + timedelta(days=20))
    rig.settle()
    rig.pass_time(YEAR)
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


def test_back_dated_segment_that_goes_at_once_is_a_loss(rig: AuditRig) -> None:
    """A tree that central saw did not have it yet, however old it says it is."""
    long_ago = rig.node.clock.now() - timedelta(days=800)
    rig.seal(1000, long_ago)
    rig.dispose(6, long_ago + timedelta(days=366))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


def test_node_clock_set_back_gains_a_back_dated_segment_nothing(rig: AuditRig) -> None:
    """The node signs its own checkpoints, with whatever time it likes."""
    long_ago = rig.node.clock.now() - timedelta(days=800)
    rig.node.clock.jump(timedelta(days=-800))
    rig.node.append(1)
    rig.settle()  # a checkpoint that says it is 800 days old
    rig.seal(1000, long_ago)
    rig.dispose(6, long_ago + timedelta(days=366))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


def gone(rig: AuditRig, number: int, retention: RetentionSubject, owed_until: datetime) -> None:
    """Let a segment's record go, and say so."""
    store, sequence = rig.node.store, rig.sealed[number][1]
    said = RecordsDisposed(
        retention=retention, sequences=(sequence,), owed_until=to_text(owed_until)
    )
    with store.write() as connection:
        record = append(store, connection, said)
        connection.execute(
            "UPDATE log SET bytes = x'', disposed_by = ? WHERE sequence = ?",
            (record.sequence, sequence),
        )


def test_record_of_the_first_tree_does_not_go_at_once_either(tmp_path: Path) -> None:
    """Central saw no tree before it, but it knows when it enrolled the node."""
    rig = AuditRig(tmp_path, segments=0)
    rig.seal(1000)
    gone(rig, 0, "footage_index", ended(rig, 0) - timedelta(days=1))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]
    rig.close()


@pytest.mark.parametrize("retention", ["footage", "operations", "archive"])
def test_record_does_not_go_as_of_a_class_that_no_committed_record_has(
    rig: AuditRig, retention: RetentionSubject
) -> None:
    rig.pass_time(timedelta(days=800))
    gone(rig, 0, retention, ended(rig, 0) + timedelta(days=400))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSAL_MISPLACED"]


def test_record_of_footage_that_is_still_owed_does_not_go(rig: AuditRig) -> None:
    decided(rig, 1, 4)
    rig.pass_time(timedelta(days=800))
    gone(rig, 0, "footage_index", ended(rig, 0) + timedelta(days=732))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


def test_disposal_before_what_it_says_itself_was_owed_is_a_loss(rig: AuditRig) -> None:
    rig.pass_time(YEAR)
    rig.dispose(0, ended(rig, 0) + timedelta(days=400))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


def decided(rig: AuditRig, version: int, years: int, *, by_central: bool = True) -> None:
    """Let the node have adopted a version of a policy; central decided it, or it is forged."""
    policy = RetentionPolicy(
        policy="longer", version=version, province=None, agreement=None,
        effective_from=to_text(rig.node.clock.now() - timedelta(days=1)),
        terms=(Term(subject="footage", years=years, days=365 * years + 1),), ceilings=(),
    )  # fmt: skip
    whose = {"agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy}
    named = {"policy": "longer", "version": version, "reason": "r"}
    with rig.central.database.write() as connection:
        connection.execute(
            insert(table_of(NodePolicy)).values(
                **whose, **named, node=IDENTITY.node, authority="central", author="a",
                body=policy.model_dump_json(), sequence=version - 1, adopted_at=rig.now,
            )
        )  # fmt: skip
        if by_central:
            connection.execute(
                insert(table_of(PolicyRow)).values(
                    **whose, **named, effective_from=rig.now, decided_at=rig.now, actor="a",
                    body=policy.model_dump_json().encode(),
                )
            )  # fmt: skip


def test_disposal_within_an_adopted_policy_is_a_loss(rig: AuditRig) -> None:
    decided(rig, 1, 2)
    rig.pass_time(YEAR)
    rig.dispose(0, ended(rig, 0) + timedelta(days=366))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


def test_policy_that_only_the_node_says_central_made_shortens_nothing(rig: AuditRig) -> None:
    decided(rig, 1, 2)
    decided(rig, 2, 1, by_central=False)
    rig.pass_time(timedelta(days=1))
    rig.seal(1000)
    rig.settle()
    rig.pass_time(YEAR)
    rig.dispose(6, ended(rig, 6) + timedelta(days=366))
    rig.settle()
    assert rig.audit().missing == 1
    assert rig.causes() == ["DISPOSED_EARLY"]


@pytest.mark.parametrize(("by_central", "missing"), [(False, 1), (True, 0)])
def test_only_central_releases_what_central_holds(
    rig: AuditRig, by_central: bool, missing: int
) -> None:
    """The node's key can sign that central released a hold; central knows better."""
    hold = Hold(
        hold=rig.node.ids.new(), scope="pharmacy", session=None, person_ref=None,
        started_at=None, ended_at=None, cameras=(),
    )  # fmt: skip
    whose = {"agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy, "hold": hold.hold}
    with rig.central.database.write() as connection:
        connection.execute(
            insert(table_of(HoldRow)).values(
                **whose, scope="pharmacy", body=hold.model_dump_json().encode(), actor="a",
                reason="r", placed_at=rig.now, released_at=rig.now if by_central else None,
            )
        )  # fmt: skip
        connection.execute(
            insert(table_of(NodeHold)).values(
                **whose, node=IDENTITY.node, authority="central", body=hold.model_dump_json(),
                author="a", reason="r", sequence=1, placed_at=rig.now, released_at=rig.now,
                released_sequence=3,
            )
        )  # fmt: skip
    rig.pass_time(YEAR)
    rig.dispose(0, ended(rig, 0) + timedelta(days=366))
    rig.settle()
    assert rig.audit().missing == missing
    assert rig.causes() == ["DISPOSED_UNDER_HOLD"] * missing


@pytest.mark.parametrize(("released", "missing"), [(None, 1), (10_000, 1), (3, 0)])
def test_disposal_under_a_hold_is_a_loss(rig: AuditRig, released: int | None, missing: int) -> None:
    hold = Hold(
        hold=rig.node.ids.new(), scope="span", session=None, person_ref=None,
        started_at=rig.sealed[0][0].started_at, ended_at=rig.sealed[0][0].ended_at, cameras=(),
    )  # fmt: skip
    with rig.central.database.write() as connection:
        connection.execute(
            insert(table_of(NodeHold)).values(
                agency=IDENTITY.agency, pharmacy=IDENTITY.pharmacy, node=IDENTITY.node,
                hold=hold.hold, authority="inspector", body=hold.model_dump_json(), author="a",
                reason="r", sequence=1, placed_at=rig.now,
                released_at=None if released is None else rig.now, released_sequence=released,
            )
        )  # fmt: skip
    rig.pass_time(YEAR)
    rig.dispose(0, ended(rig, 0) + timedelta(days=366))
    rig.settle()
    assert rig.audit().missing == missing
    assert rig.causes() == ["DISPOSED_UNDER_HOLD"] * missing


def test_disposal_of_another_segment_is_rejected(rig: AuditRig) -> None:
    rig.pass_time(YEAR)
    due = ended(rig, 0) + timedelta(days=366)
    rig.dispose(0, due, segment=rig.sealed[1][0].segment)
    rig.dispose(1, due, sequence=rig.sealed[0][1])
    rig.dispose(2, due, file_sha256="0" * 64)
    rig.settle()
    assert rig.audit().missing == 3
    assert set(rig.causes()) == {"DISPOSAL_MISPLACED"}


def test_disposal_that_was_never_committed_is_rejected(rig: AuditRig) -> None:
    rig.pass_time(YEAR)
    sequence = rig.dispose(0, ended(rig, 0) + timedelta(days=366))
    rig.settle()
    with rig.node.store.read() as connection:
        raw = by_sequence(connection, sequence).raw
    forged = raw.replace(b'"bytes":150000', b'"bytes":150001')
    assert forged != raw
    found = rig.audit(
        only_proofs(
            lambda frames: (
                [*frames[:5], forged, frames[6]] if b'"outcome":"disposed"' in frames[2] else frames
            )
        )
    )
    assert found.missing == 1
    assert rig.causes() == ["DISPOSAL_UNPROVEN"]


def test_disposal_by_a_record_of_another_kind_is_rejected(rig: AuditRig) -> None:
    """A record that is gone is explained by `records.disposed` alone."""
    rig.pass_time(YEAR)
    rig.dispose(0, ended(rig, 0) + timedelta(days=366))
    rig.settle()
    found = rig.audit(
        only_proofs(
            lambda frames: (
                [*frames[:3], b"", *frames[4:]] if b'"outcome":"disposed"' in frames[2] else frames
            )
        )
    )
    assert found.missing == 1
    assert rig.causes() == ["DISPOSAL_MISPLACED"]


def test_first_judgement_stands(rig: AuditRig) -> None:
    audit, command = rig.ask()
    flip = only_proofs(
        lambda frames: [*frames[:5], bytes([frames[5][0] ^ 1]) + frames[5][1:], frames[6]]
    )
    for frames in rig_steps(rig, command):
        rig.central.handle(flip(frames))
    rig.answer(command)  # now honest
    assert rig.result(audit).missing == 4
    assert rig.result(audit).held == 2


def test_answers_of_another_node_and_to_no_challenge_are_refused(rig: AuditRig) -> None:
    audit, command = rig.ask()
    (frames, *_) = rig_steps(rig, command)
    rig.central.enrol(type(IDENTITY)(IDENTITY.agency, IDENTITY.pharmacy, "node-b"), OTHER_KEY)
    (refused,) = rig.central.handle(frames, OTHER_KEY)
    assert b"COMMAND_UNKNOWN" in refused[2]
    header = wire.decode(frames, wire.TO_CENTRAL).header
    assert isinstance(header, wire.Proof)
    for ordinal in (6, 2**53 - 1):
        beyond = wire.encode(header.model_copy(update={"ordinal": ordinal}), frames[3:])
        (refused,) = rig.central.handle(beyond)
        assert b"MALFORMED" in refused[2]
    assert rig.result(audit).answered == 0


def test_oversize_answers_are_refused(rig: AuditRig) -> None:
    _, command = rig.ask()
    (frames, *_) = rig_steps(rig, command)
    for bent in (
        [*frames[:4], bytes(65 * 32), *frames[5:]],
        [*frames[:5], bytes(300_000), frames[6]],
        [*frames, b""],
        frames[:5],
    ):
        (refused,) = rig.central.handle(bent)
        assert b"MALFORMED" in refused[2]


# -- the deadline ---------------------------------------------------------------------------------


def test_deadline_makes_unknown_and_a_late_answer_changes_nothing(rig: AuditRig) -> None:
    audit, command = rig.ask(seconds=60)
    steps = rig_steps(rig, command)
    rig.central.handle(steps[0])
    assert rig.result(audit).state == "running"
    rig.central.clock.advance(timedelta(seconds=60))
    found = rig.result(audit)
    assert (found.state, found.answered, found.lost_at_most) == ("unknown", 1, None)
    (refused,) = rig.central.handle(steps[1])
    assert b"COMMAND_CLOSED" in refused[2]
    assert rig.result(audit).answered == 1


def test_node_that_ends_without_answering_is_unknown(rig: AuditRig) -> None:
    audit, command = rig.ask()
    done = wire.CommandDone(command=command.command, outcome="done", segments=0, reason=None)
    assert rig.central.handle(wire.encode(done)) == []
    assert rig.result(audit).state == "unknown"


def test_expired_challenge_is_concluded_by_the_node(rig: AuditRig) -> None:
    audit, command = rig.ask(seconds=60)
    rig.pass_time(timedelta(seconds=61))
    job = rig.answer(command)
    assert job.conclusion is not None
    assert (job.conclusion.outcome, job.conclusion.reason) == ("failed", "EXPIRED")
    assert rig.result(audit).state == "unknown"


def test_one_audit_of_a_node_at_a_time(rig: AuditRig) -> None:
    audit, command = rig.ask()
    with pytest.raises(Refusal, match="AUDIT_UNDER_WAY"):
        rig.ask()
    rig.answer(command)
    with rig.central.database.read() as connection:
        assert under_way(connection, IDENTITY.node, rig.now) is None
    assert rig.ask()[0] != audit


def test_nothing_to_prove_is_said(tmp_path: Path) -> None:
    rig = AuditRig(tmp_path, segments=0)
    rig.node.append(3)
    rig.settle()
    with pytest.raises(Refusal, match="NOTHING_TO_PROVE"):
        rig.ask()
    with pytest.raises(Refusal, match="NODE_UNKNOWN"), rig.central.database.write() as connection:
        start(
            connection, "nobody", CENTRAL_SIGNER, rig.node.ids, lambda top: 0, count=1,
            lasts=timedelta(hours=1), actor="a", reason="r", now=rig.now,
        )  # fmt: skip
    rig.close()


# -- drawing and the bound ------------------------------------------------------------------------


def test_only_committed_leaves_are_drawn_and_each_as_often(tmp_path: Path) -> None:
    rig = AuditRig(tmp_path, segments=0)
    for _ in range(12):
        rig.node.append(rig.chooser.randrange(3))
        rig.node.append(rig.chooser.randrange(1, 3), committed=True)
    rig.settle()
    with rig.central.database.read() as connection:
        node = connection.execute(select(table_of(Node))).one()
        records = table_of(StoredRecord)
        sent = set(connection.execute(select(records.c.sequence)).scalars())
        committed = set(range(node.tree_size)) - sent
        seen = dict.fromkeys(committed, 0)
        chooser = random.Random(11)
        for _ in range(400):
            drawn = [sample.leaf for sample in draw(connection, node, 4, chooser.randrange)]
            assert len(set(drawn)) == 4
            for leaf in drawn:
                seen[leaf] += 1
        everything = {sample.leaf for sample in draw(connection, node, 999, chooser.randrange)}
    assert everything == committed
    mean = 400 * 4 / len(committed)
    assert all(0.6 * mean < count < 1.4 * mean for count in seen.values())
    rig.close()


@pytest.mark.parametrize(
    ("missing", "trials", "bound"),
    [  # the 0.95 quantile of Beta(missing + 1, trials - missing), by another library
        (0, 300, 0.009936081944),
        (0, 10, 0.258865550893),
        (1, 10, 0.394163302437),
        (2, 20, 0.282618524886),
        (1, 300, 0.015714554892),
        (10, 100, 0.163717623276),
        (5, 5, 1.0),
    ],
)
def test_bound_is_the_quantile_of_the_beta_distribution(
    missing: int, trials: int, bound: float
) -> None:
    assert loss_bound(missing, trials) == pytest.approx(bound, abs=1e-10)


@given(st.integers(1, 60), st.data())
def test_at_the_bound_so_few_losses_are_one_in_twenty(trials: int, data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, trials - 1))
    share = Fraction(loss_bound(missing, trials))
    tail = sum(
        comb(trials, count) * share**count * (1 - share) ** (trials - count)
        for count in range(missing + 1)
    )
    assert float(tail) == pytest.approx(0.05, abs=1e-9)


def test_bound_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="2 missing of 1"):
        loss_bound(2, 1)
