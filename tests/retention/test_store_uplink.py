"""The uplink's rows: the pointer, the checkpoints, the commands."""

from __future__ import annotations

import pytest

from retention.records.checkpoint import SignedCheckpoint
from retention.records.merkle import Frontier, tree_root
from retention.records.payloads import FootageSent, NodeStopped
from retention.records.signing import Context, Ed25519Signer, verify_signature
from retention.store import uplink
from retention.store.database import NodeStore
from retention.store.log import append, leaves
from retention.terms.commands import FootageCommand, SignedCommand
from tests.central.wirekit import CENTRAL_SIGNER, NODE_SIGNER, SEALED
from tests.golden.samples import T0, T1, A, B


@pytest.fixture(autouse=True)
def few_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "LEAVES_AT_ONCE", 4)


def fill(store: NodeStore, count: int) -> None:
    with store.write() as connection:
        for number in range(count):
            append(store, connection, SEALED if number % 3 == 2 else NodeStopped(reason="asked"))


def checkpoint(store: NodeStore, signer: Ed25519Signer = NODE_SIGNER) -> SignedCheckpoint:
    with store.write() as connection:
        return uplink.make_checkpoint(store, connection, signer)


def test_acknowledged_pointer_only_grows(store: NodeStore) -> None:
    with store.write() as connection:
        uplink.note_acked(connection, 5)
        uplink.note_acked(connection, 3)
        assert uplink.acked_sent(connection) == 5


def test_checkpoint_signs_the_root_and_the_count_of_sent_records(store: NodeStore) -> None:
    fill(store, 10)
    signed = checkpoint(store)
    assert (signed.checkpoint.tree_size, signed.checkpoint.sent_count) == (10, 7)
    with store.read() as connection:
        assert signed.checkpoint.root_hash == tree_root(leaves(connection, 0, 10)).hex()
    verify_signature(
        NODE_SIGNER.public_key, Context.CHECKPOINT, signed.checkpoint, signed.signature
    )
    assert checkpoint(store) == signed


def test_checkpoint_of_an_earlier_size_is_the_one_that_was_signed_then(store: NodeStore) -> None:
    fill(store, 10)
    early = checkpoint(store)
    fill(store, 10)
    with store.write() as connection:
        ten = uplink.frontier_at(connection, Frontier(), 10)
        assert uplink.make_checkpoint_at(store, connection, NODE_SIGNER, ten) == early
        fifteen = uplink.frontier_at(connection, ten, 15)
        between = uplink.make_checkpoint_at(store, connection, NODE_SIGNER, fifteen)
        assert between.checkpoint.root_hash == tree_root(leaves(connection, 0, 15)).hex()
        assert between.checkpoint.sent_count == 11


def test_incident_is_noted_once(store: NodeStore) -> None:
    with store.write() as connection:
        assert uplink.note_incident(store, connection, "FORK", "leaf 5", "detail")
        assert not uplink.note_incident(store, connection, "FORK", "leaf 5", "detail")
        assert uplink.log_size(connection) == uplink.LogSize(1, 1)


def test_command_is_taken_once_and_remembers_how_it_ended(store: NodeStore) -> None:
    command = FootageCommand(
        command=A, node="node-a", session=B, started_at=T0, ended_at=T1, actor="admin",
        reason="case 12", issued_at=T0, expires_at=T1,
    )  # fmt: skip
    signed = SignedCommand(command=command, signature=CENTRAL_SIGNER.sign(Context.COMMAND, command))
    sent = FootageSent(command=A, session=B, segments=(B,), outcome="failed", reason="a: b")
    with store.write() as connection:
        assert uplink.take_command(store, connection, signed) is None
        assert uplink.take_command(store, connection, signed) is None
        uplink.conclude_command(store, connection, sent)
        known = uplink.take_command(store, connection, signed)
    assert known == uplink.Conclusion("failed", 1, "a: b")
