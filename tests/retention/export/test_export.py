"""An export holds what it says, and nothing that is missing goes unsaid."""

from __future__ import annotations

from retention.export import verify
from tests.retention.export.conftest import Node


def test_an_export_verifies_with_the_keys_as_the_agency_knows_them(node: Node) -> None:
    made = node.export()
    report = verify.Export(str(made.out), node.signer.public_key, node.central.public_key).examine()
    assert report.bad == []
    assert report.facts["segments"] == 4
