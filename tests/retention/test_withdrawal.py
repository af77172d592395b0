"""Withdrawn consent: gone at once whatever holds stand, and provably so."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention import cli
from retention.erasure import erase_due
from retention.records.clock import SystemClock
from retention.records.errors import ProofRejected
from retention.records.ids import SystemIds
from retention.records.merkle import leaf_hash
from retention.records.payloads import NodeStopped
from retention.records.signing import Ed25519Signer
from retention.store import people
from retention.store.database import NodeIdentity, NodeStore, StoreUnavailable
from retention.store.log import append
from retention.store.reserve import RESERVE_BYTES, reserve_of
from retention.withdrawal import (
    ErasureProof,
    ProvenRecord,
    check_proof,
    prove,
    withdraw,
)
from tests.retention.keeping_kit import Node
from tests.retention.probes_kit import OTHER, PERSON, files, give_consent, keep_probe, release, rows
from tests.retention.test_store_people import enrol
from tests.small_disk import run_on_a_disk

SIGNER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"n" * 32))


def references(node: Node) -> list[str]:
    with node.store.read() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM reference_templates")]


def sure(proof: ErasureProof) -> list[str]:
    """Check a proof as somebody else does, who only has its text; returns the kinds in it."""
    read = ErasureProof.model_validate_json(proof.model_dump_json())
    check_proof(read, SIGNER.public_key)
    return [json.loads(one.record)["kind"] for one in read.records]


def test_references_and_probes_of_the_person_go_at_once_with_proof(node: Node) -> None:
    consent, other = give_consent(node.store), give_consent(node.store, OTHER)
    mine = enrol(node.store, node.ids, consent)
    theirs = enrol(node.store, node.ids, other, person=OTHER)
    receipts = sorted(keep_probe(node.store) for _ in range(2))
    kept = keep_probe(node.store, OTHER)
    gone = withdraw(node.store, consent, SIGNER, counter="c1")
    assert (gone.references, gone.probes, gone.probes_held) == ((mine,), tuple(receipts), 0)
    assert (gone.person_ref, gone.withdrawn_at) == (PERSON, node.clock.now())
    assert references(node) == [theirs]
    assert rows(node.store) == files(node.store) == [kept]
    assert sure(gone.proof) == ["reference.erased", "consent.withdrawn", "probes.erased"]
    assert gone.proof.checkpoint is not None


def test_a_hold_keeps_the_probes_until_it_is_released_and_never_the_references(
    node: Node,
) -> None:
    consent, session = give_consent(node.store), node.ids.new()
    enrol(node.store, node.ids, consent)
    held, free = keep_probe(node.store, session=session), keep_probe(node.store)
    hold = node.hold("session", session=session)
    gone = withdraw(node.store, consent, SIGNER, counter="c1")
    assert (gone.probes, gone.probes_held) == ((free,), 1)
    assert references(node) == []
    assert rows(node.store) == [held]
    node.advance(timedelta(days=400))
    assert erase_due(node.store) == {}
    release(node.store, hold)
    assert erase_due(node.store) == {"probe_crop": 1}
    assert rows(node.store) == files(node.store) == []
    assert [said["cause"] for said in node.payloads("probes.erased")] == ["consent_withdrawn"] * 2


def test_a_second_withdrawal_erases_nothing_and_proves_the_first(node: Node) -> None:
    consent = give_consent(node.store)
    enrol(node.store, node.ids, consent)
    first = withdraw(node.store, consent, SIGNER, counter="c1")
    node.advance(timedelta(days=1))
    again = withdraw(node.store, consent, SIGNER, counter="c1")
    assert (again.references, again.probes) == ((), ())
    assert again.withdrawn_at == first.withdrawn_at
    assert [one.record for one in again.proof.records] == [
        one.record for one in first.proof.records
    ]
    assert sure(again.proof) == ["reference.erased", "consent.withdrawn"]


def test_an_unknown_consent_is_refused_and_nothing_is_recorded(node: Node) -> None:
    before = node.kinds()
    with pytest.raises(people.ConsentMissing):
        withdraw(node.store, node.ids.new(), SIGNER, counter="c1")
    assert node.kinds() == before


def test_a_file_that_cannot_be_removed_is_no_obstacle(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = give_consent(node.store)
    receipt = keep_probe(node.store)

    def broken(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("retention.probe_files.erase", broken)
    gone = withdraw(node.store, consent, SIGNER, counter="c1")
    assert gone.probes == (receipt,)
    assert rows(node.store) == []  # its key is gone; the sweep removes the file


def test_a_full_disk_is_no_obstacle(tmp_path: Path) -> None:
    function = "tests.retention.test_withdrawal:withdraw_on_a_full_disk"
    said = run_on_a_disk(tmp_path, RESERVE_BYTES + 8 * 2**20, function)
    assert "withdrawn" in said


def withdraw_on_a_full_disk(disk: Path) -> None:
    """Fill a small disk to the last byte, then withdraw once."""
    store = NodeStore(disk / "node.sqlite3", NodeIdentity("1", "P1", "n1"), SystemClock(),
                      SystemIds())  # fmt: skip
    assert reserve_of(store.path).keep()
    consent, receipt = give_consent(store), keep_probe(store)
    with (disk / "filler").open("wb", buffering=0) as filler:
        size = 2**20
        while size:
            try:
                filler.write(bytes(size))
            except OSError:
                size //= 2
    gone = withdraw(store, consent, SIGNER, counter="c1")
    assert gone.probes == (receipt,)
    assert reserve_of(store.path).given_up
    assert rows(store) == files(store) == []
    print("withdrawn")


def test_files_go_also_when_the_log_cannot_be_folded_now(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = give_consent(node.store)
    keep_probe(node.store)

    def full(_: object) -> bool:
        raise StoreUnavailable("full")

    monkeypatch.setattr(people, "fold_wal", full)
    with pytest.raises(StoreUnavailable):
        withdraw(node.store, consent, SIGNER, counter="c1")
    assert rows(node.store) == files(node.store) == []
    monkeypatch.undo()
    assert sure(withdraw(node.store, consent, SIGNER, counter="c1").proof) == ["consent.withdrawn"]


def test_the_proof_of_one_reference_stands_in_any_log(node: Node) -> None:
    """Also when records came after it and no checkpoint covers it yet."""
    consent = give_consent(node.store)
    erased = [enrol(node.store, node.ids, consent) for _ in range(3)]
    with node.store.write() as connection:
        found = people.read_consent(connection, consent)
        assert found is not None
        people.withdraw_consent(node.store, connection, found, counter="c1")
    for _ in range(5):
        give_consent(node.store)
    with node.store.read() as connection:
        query = (
            "SELECT sequence FROM log WHERE kind = 'reference.erased'"
            " AND json_extract(CAST(bytes AS TEXT), '$.payload.reference') = ?"
        )
        (place,) = connection.execute(query, (erased[1],)).fetchone()
        proof = prove(connection, [place])
    (record,) = proof.records
    assert json.loads(record.record)["payload"]["reference"] == erased[1]
    check_proof(proof)
    with pytest.raises(ProofRejected, match="no signed checkpoint"):
        check_proof(proof, SIGNER.public_key)


@pytest.mark.parametrize(
    "forge",
    ["record", "sequence", "path", "root", "size", "checkpoint", "key"],
)
def test_a_proof_that_was_changed_anywhere_does_not_hold(node: Node, forge: str) -> None:
    consent = give_consent(node.store)
    enrol(node.store, node.ids, consent)
    proof = withdraw(node.store, consent, SIGNER, counter="c1").proof
    key = SIGNER.public_key
    first, *others = proof.records
    assert proof.checkpoint is not None
    if forge == "record":
        changed = first.record.replace("consent_withdrawn", "expired")
        first = first.model_copy(update={"record": changed})
    elif forge == "sequence":
        first = first.model_copy(update={"sequence": first.sequence + 1})
    elif forge == "path":
        first = first.model_copy(update={"path": ("0" * 64, *first.path[1:])})
    elif forge == "checkpoint":
        said = proof.checkpoint.checkpoint.model_copy(update={"sent_count": 0})
        signed = proof.checkpoint.model_copy(update={"checkpoint": said})
        proof = proof.model_copy(update={"checkpoint": signed})
    elif forge == "key":
        key = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"x" * 32)).public_key
    elif forge == "root":
        proof = proof.model_copy(update={"root_hash": "0" * 64})
    else:
        proof = proof.model_copy(update={"tree_size": proof.tree_size + 1})
    proof = proof.model_copy(update={"records": (first, *others)})
    with pytest.raises(ProofRejected):
        check_proof(proof, key)


def test_a_record_that_says_it_stands_elsewhere_proves_nothing(node: Node) -> None:
    """Whoever signs the root could put it anywhere, but not make it say so."""
    consent = give_consent(node.store)
    enrol(node.store, node.ids, consent)
    raw = withdraw(node.store, consent, SIGNER, counter="c1").proof.records[0].record
    alone = ErasureProof(
        tree_size=1,
        root_hash=leaf_hash(raw.encode()).hex(),
        checkpoint=None,
        records=(ProvenRecord(sequence=0, record=raw, path=()),),
    )
    with pytest.raises(ProofRejected, match="record 0 says it is"):
        check_proof(alone)


def test_the_proof_is_small_in_a_long_log(node: Node) -> None:
    """A path of a log of n records has about log2 n steps."""
    consent = give_consent(node.store)
    enrol(node.store, node.ids, consent)
    with node.store.write() as connection:
        for _ in range(1000):
            append(node.store, connection, NodeStopped(reason="test"))
    proof = withdraw(node.store, consent, SIGNER, counter="c1").proof
    assert sure(proof) == ["reference.erased", "consent.withdrawn"]
    assert all(len(one.path) <= 10 for one in proof.records)


# -- for whoever was given the file ---------------------------------------------------------------


@pytest.fixture
def file(node: Node, tmp_path: Path) -> Path:
    consent = give_consent(node.store)
    enrol(node.store, node.ids, consent)
    proof = withdraw(node.store, consent, SIGNER, counter="c1").proof
    path = tmp_path / "proof.json"
    path.write_text(proof.model_dump_json())
    return path


def test_the_file_is_checked_without_the_node(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["verify-erasure", str(file), "--json"]
    assert cli.main([*asked, "--node-key", SIGNER.public_key.hex()]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["signature_checked"]) == (True, True)
    kinds = [one["kind"] for one in told["records"]]
    assert kinds == ["reference.erased", "consent.withdrawn"]
    assert cli.main(["verify-erasure", str(file)]) == 0
    assert "未核对签名" in capsys.readouterr().out


def told_of_else(node: Node) -> ErasureProof:
    """Return true records of this node under its signature, of which none tells of an erasure."""
    with node.store.read() as connection:
        proof = prove(connection, [0])
    assert json.loads(proof.records[0].record)["kind"] == "volume.adopted"
    return proof


@pytest.mark.parametrize("damage", ["changed", "other key", "nothing in it", "else"])
def test_a_file_that_does_not_hold_is_exit_1(
    node: Node, file: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    key = SIGNER.public_key.hex()
    proof = ErasureProof.model_validate_json(file.read_text())
    if damage == "changed":
        file.write_text(file.read_text().replace("consent_withdrawn", "expired"))
    elif damage == "nothing in it":
        file.write_text(proof.model_copy(update={"records": ()}).model_dump_json())
    elif damage == "else":
        file.write_text(told_of_else(node).model_dump_json())
    else:
        key = "0" * 64
    assert cli.main(["verify-erasure", str(file), "--node-key", key]) == 1
    assert "不成立" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00"])
def test_what_is_no_proof_is_wrong_usage(
    file: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file.write_text(content)
    assert cli.main(["verify-erasure", str(file)]) == 2
    assert "no proof of an erasure" in capsys.readouterr().err


def test_a_key_that_is_none_is_wrong_usage(file: Path) -> None:
    assert cli.main(["verify-erasure", str(file), "--node-key", "12"]) == 2
