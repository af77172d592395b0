"""What the records of a node say of themselves is held against what was promised and seen."""

from __future__ import annotations

from retention.check import Bad, Depth, Options, check
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
