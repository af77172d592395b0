"""What the records of a node say of themselves is held against what was promised and seen."""

from __future__ import annotations

import json

import pytest

from retention.check import Bad, Depth, Options, check
from retention.records.canonical import canonical_bytes
from retention.records.merkle import leaf_hash
from tests.retention.export.conftest import DAY, Node, clip, node
from tests.retention.export.test_export import dispose

__all__ = ["clip", "node"]


def findings(node: Node, name: str) -> list[Bad]:
    report = check(node.folder, Depth.ROWS, Options(now=node.clock.now()))
    return [one for one in report.bad if one.check == name]


def test_a_disposal_that_names_an_earlier_promise_than_was_made_is_named(node: Node) -> None:
    node.clock.advance(400 * DAY)
    dispose(node, node.sealed[0])  # late enough, but it says that nothing was owed any more at once
    (bad,) = findings(node, "promises")
    assert bad.subject == node.sealed[0].segment
    assert f"says owed until {node.sealed[0].ended_at}" in bad.detail


def test_a_countersignature_earlier_than_that_of_a_smaller_checkpoint_is_named(node: Node) -> None:
    assert findings(node, "checkpoints") == []
    node.record(1)
    node.countersign(node.clock.now() - DAY)
    (bad,) = findings(node, "checkpoints")
    assert bad.detail == "countersigned before a smaller one"


@pytest.mark.parametrize(
    ("number", "said"),
    [(None, "session.basket: kept from central"), (900, "sent_sequence 900, expected")],
)
def test_a_step_that_is_kept_from_central_is_named(
    node: Node, number: int | None, said: str
) -> None:
    """Written with its leaf as if it had always been so: a committed record never travels."""
    with node.store.write() as connection:
        sequence, raw = connection.execute(
            "SELECT sequence, bytes FROM log WHERE kind = 'session.basket'"
        ).fetchone()
        forged = canonical_bytes({**json.loads(raw), "sent_sequence": number})
        connection.execute(
            "UPDATE log SET bytes = ?, leaf = ?, sent_sequence = ? WHERE sequence = ?",
            (forged, leaf_hash(forged), number, sequence),
        )
    found = [one for one in findings(node, "log") if said in one.detail]
    assert [one.subject for one in found] == [f"record {sequence}"]
