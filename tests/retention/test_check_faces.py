"""`retention check` and face material: rows, records, files, and nothing past its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from retention import probe_files
from retention.check import Depth, Options, check
from retention.erasure import erase_due
from retention.keyfiles import KeyDirectory
from retention.records.payloads import SignatureBlock
from retention.records.people import IdentityDecided2
from retention.store.log import append
from tests.golden.samples import RECEIPT2
from tests.retention.keeping_kit import Node
from tests.retention.probes_kit import PERSON, folder, give_consent, keep_probe, withdraw
from tests.retention.test_store_people import enrol

DAY = timedelta(days=1)
SIGNED = SignatureBlock(algorithm="ed25519", key_id="k", value="A" * 86 + "==")


@pytest.fixture
def kept(node: Node, tmp_path: Path) -> str:
    """A node with one reference and one probe with its decision; returns the receipt."""
    KeyDirectory(tmp_path / "keys").signer()
    consent = give_consent(node.store)
    enrol(node.store, node.ids, consent, days=365)
    session = node.store.ids.new()
    receipt = keep_probe(node.store, session=session)
    said = RECEIPT2.model_copy(
        update={"receipt": receipt, "session": session, "subject_ref": PERSON}
    )
    with node.store.write() as connection:
        decided = IdentityDecided2(session=session, receipt=said, signature=SIGNED)
        append(node.store, connection, decided)
    return receipt


def found(node: Node, depth: Depth = Depth.SIZES, at: datetime | None = None) -> list[str]:
    now = at or node.clock.now()
    roots = {"main": node.root}
    report = check(node.store.path.parent, depth, Options(roots=roots, now=now))
    return [f"{bad.check} {bad.subject}: {bad.detail}" for bad in report.bad]


def test_what_is_as_it_must_be_holds(node: Node, kept: str) -> None:
    assert found(node) == []


def test_after_the_end_of_evidence_it_holds_as_well(node: Node, kept: str) -> None:
    node.advance(31 * DAY)
    erase_due(node.store)
    assert found(node) == []


@pytest.mark.parametrize(
    ("statement", "subject", "detail"),
    [
        ("DELETE FROM probes", "probes", "its row is gone"),
        ("UPDATE probes SET person_ref = 'x'", "probes", "the records say"),
        ("DELETE FROM reference_templates", "references", "its row is gone"),
        ("UPDATE reference_templates SET expires_at = expires_at + 1", "references", "say"),
    ],
)
def test_a_row_that_is_not_what_the_records_made_is_named(
    node: Node, kept: str, statement: str, subject: str, detail: str
) -> None:
    node.forge(statement)
    (bad,) = found(node, Depth.ROWS)
    assert bad.startswith(subject)
    assert detail in bad


def test_a_row_without_a_record_is_named(node: Node, kept: str) -> None:
    stray = keep_probe(node.store)
    (bad,) = found(node, Depth.ROWS)
    assert bad == f"probes {stray}: a row that no record made"


def test_a_file_that_is_gone_or_cut_is_named(node: Node, kept: str) -> None:
    path = folder(node.store) / kept
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    (bad,) = found(node)
    assert bad.endswith(f"its file has {len(content) - 1} bytes, {len(content)} were sealed")
    path.unlink()
    assert found(node) == [f"probes {kept}: its file is gone"]
    assert found(node, Depth.ROWS) == []


def test_what_a_crash_left_is_counted_and_not_called_bad(node: Node, kept: str) -> None:
    probe_files.write(folder(node.store), "stray", b"sealed")
    report = check(
        node.store.path.parent,
        Depth.SIZES,
        Options(roots={"main": node.root}, now=node.clock.now()),
    )
    assert report.bad == []
    assert (report.counts["probes"], report.counts["probe_files_left"]) == (1, 1)


def test_face_material_past_its_end_is_named_after_a_day(node: Node, kept: str) -> None:
    made = node.clock.now()
    assert found(node, at=made + 30.9 * DAY) == []
    assert found(node, at=made + 31.1 * DAY) == [f"probes {kept}: is kept past its end"]
    late = found(node, at=made + 367 * DAY)
    assert [bad.split()[0] for bad in late] == ["references", "probes"]


def test_evidence_under_a_hold_is_not_late(node: Node, kept: str) -> None:
    node.hold("pharmacy")
    assert found(node, at=node.clock.now() + 300 * DAY) == []


def test_evidence_of_who_withdrew_is_named_after_a_day(node: Node, kept: str) -> None:
    with node.store.read() as connection:
        (consent,) = connection.execute("SELECT id FROM consents").fetchone()
    withdraw(node.store, consent)
    now = node.clock.now()
    assert found(node, at=now + 0.9 * DAY) == []
    assert found(node, at=now + 1.1 * DAY) == [
        f"probes {kept}: is kept though consent was withdrawn"
    ]
