"""Whoever holds an export, or even the node's own key, cannot change what it shows unseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retention.export import verify
from retention.records.canonical import canonical_bytes
from retention.records.checkpoint import Checkpoint
from retention.records.clock import to_micros
from retention.records.payloads import GapCause, SceneRole
from retention.records.signing import Context
from retention.store import footage
from retention.store.log import all_records, append
from retention.store.proofs import LogTree
from tests.retention.export.conftest import Node, signer_of
from tests.retention.export.forging import (
    Files,
    archive_of,
    codes,
    examined,
    files_of,
    joined,
    lines_of,
    signed_again,
    subjects,
)


@pytest.fixture
def files(node: Node) -> Files:
    return files_of(node.export().out)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "other.zip"


def footage_in(files: Files) -> list[str]:
    return [name for name in files if name.startswith("footage/")]


# -- with an export in hand -----------------------------------------------------------------------


def test_a_file_that_is_added_or_removed_is_named(files: Files, other: Path) -> None:
    extra = {"extra.txt": b"x", **files}
    assert subjects(examined(archive_of(other, extra))) == {"extra.txt"}
    name = footage_in(files)[1]
    fewer = {one: raw for one, raw in files.items() if one != name}
    assert (codes(found := examined(archive_of(other, fewer))), subjects(found)) == (
        {"FILE_REMOVED"}, {name},
    )  # fmt: skip
    turned = dict(reversed(files.items()))
    assert codes(examined(archive_of(other, turned))) == {"ARCHIVE_BROKEN"}


def test_footage_of_another_time_in_the_place_of_this_is_named(files: Files, other: Path) -> None:
    first, second = footage_in(files)[:2]
    swapped = {**files, first: files[second], second: files[first]}
    report = examined(archive_of(other, swapped))
    assert (codes(report), subjects(report)) == ({"FILE_CHANGED"}, {first, second})


@pytest.mark.parametrize("name", [verify.KEYS, verify.MANIFEST, verify.SIGNATURE])
def test_without_what_everything_rests_on_nothing_is_believed(
    files: Files, other: Path, name: str
) -> None:
    del files[name]
    report = examined(archive_of(other, files))
    assert (codes(report), subjects(report)) == ({"FILE_REMOVED"}, {name})


def test_a_forger_s_own_key_is_not_the_node_s(node: Node, files: Files, other: Path) -> None:
    forger = signer_of(9)
    keys = json.loads(files[verify.KEYS])
    keys["node"] = [{"key_id": forger.key_id, "public_key": forger.public_key.hex()}]
    files[verify.KEYS] = canonical_bytes(keys)
    path = signed_again(other, files, forger)
    # The manifest is the forger's own now; the checkpoints it cannot sign are not.
    assert codes(examined(path)) == {"SIGNATURE_REFUSED"}
    report = examined(path, node_key=node.signer.public_key)
    assert {"KEY_DIFFERS", "SIGNATURE_REFUSED"} <= codes(report)


def test_the_keys_of_the_export_are_shown_until_the_agency_s_are_given(
    node: Node, files: Files, other: Path
) -> None:
    path = archive_of(other, files)
    notes = [one["code"] for one in examined(path).notes]
    assert notes.count("KEYS_NOT_COMPARED") == 2
    both = examined(path, node_key=node.signer.public_key, central_key=node.central.public_key)
    assert both.ok
    assert "KEYS_NOT_COMPARED" not in [one["code"] for one in both.notes]
    wrong = examined(path, central_key=signer_of(9).public_key)
    assert codes(wrong) == {"KEY_DIFFERS"}


# -- with the node's own key: what central countersigned stands against it ------------------------


def forged(node: Node, files: Files, other: Path) -> set[str]:
    return codes(examined(signed_again(other, files, node.signer)))


def test_a_rewritten_record_is_not_in_the_log(node: Node, files: Files, other: Path) -> None:
    lines = lines_of(files[verify.RECORDS])
    lines[3]["payload"]["camera"] = "counter-2"
    assert forged(node, {**files, verify.RECORDS: joined(lines)}, other) == {"RECORD_NOT_PROVEN"}


def test_footage_made_anew_is_not_what_was_sealed(node: Node, files: Files, other: Path) -> None:
    first = footage_in(files)[0]
    made = {**files, first: files[first][:-1] + b"\0"}
    report = examined(signed_again(other, made, node.signer))
    assert (codes(report), subjects(report)) == ({"SEGMENT_CHANGED"}, {first})
    assert "SHA-256, chunk root" in report.bad[0]["detail"]


def test_a_segment_that_is_left_out_is_missed(node: Node, files: Files, other: Path) -> None:
    del files[footage_in(files)[1]]
    path = signed_again(other, files, node.signer, lambda one: one.update(segments=3))
    assert codes(examined(path)) == {"SEGMENT_NOT_NAMED"}


def test_a_segment_left_out_with_its_record_leaves_a_hole(
    node: Node, files: Files, other: Path
) -> None:
    name = footage_in(files)[1]
    lines = lines_of(files[verify.RECORDS])
    at = next(n for n, one in enumerate(lines) if one["payload"].get("segment", "?") in name)
    proofs = lines_of(files[verify.PROOFS])
    del files[name], lines[at], proofs[at]
    files |= {verify.RECORDS: joined(lines), verify.PROOFS: joined(proofs)}
    path = signed_again(
        other, files, node.signer, lambda one: one.update(segments=3, records=len(lines))
    )
    report = examined(path)
    assert report.ok
    # The gap row that follows explains only its own time.
    (hole,) = [one["detail"] for one in report.notes if one["code"] == "HOLE_UNEXPLAINED"]
    assert hole == f"{node.sealed[0].ended_at} – {node.sealed[1].ended_at}"


def test_a_segment_left_out_of_its_run_is_noticed_by_its_number(
    node: Node, tmp_path: Path, other: Path
) -> None:
    node.record(1)
    files = files_of(node.export(name="longer.zip").out)
    name = footage_in(files)[3]
    lines, proofs = lines_of(files[verify.RECORDS]), lines_of(files[verify.PROOFS])
    at = next(n for n, one in enumerate(lines) if one["payload"].get("segment", "?") in name)
    del files[name], lines[at], proofs[at]
    files |= {verify.RECORDS: joined(lines), verify.PROOFS: joined(proofs)}
    path = signed_again(
        other, files, node.signer, lambda one: one.update(segments=4, records=len(lines))
    )
    assert {"ORDINAL_MISSING", "HOLE_UNEXPLAINED"} <= {one["code"] for one in examined(path).notes}


def test_text_of_an_export_cannot_pass_for_the_answer(
    node: Node, files: Files, other: Path
) -> None:
    said = {
        "what": "footage", "subject": "x", "reason": "NOT_SEALED_YET",
        "detail": "\x1b[2J\n完好 / holds: 900 \u202e",
    }  # fmt: skip
    path = signed_again(other, files, node.signer, lambda one: one.update(absent=[said]))
    shown = verify.text_of(examined(path))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert [line for line in shown.splitlines() if "900" in line and line.startswith("完好")] == []


def without(files: Files, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Leave out the records that are wanted, with proofs and footage; returns how many stay."""
    lines, proofs = lines_of(files[verify.RECORDS]), lines_of(files[verify.PROOFS])
    kept = [at for at, one in enumerate(lines) if not wanted(one)]
    for gone in (one["payload"] for one in lines if wanted(one)):
        for name in footage_in(files):
            if Path(name).stem == gone.get("segment"):
                del files[name]
    files[verify.RECORDS] = joined([lines[at] for at in kept])
    files[verify.PROOFS] = joined([proofs[at] for at in kept])
    return len(kept)


def test_a_gap_whose_end_was_left_out_hides_nothing_unseen(
    node: Node, files: Files, other: Path
) -> None:
    later = {one.segment for one in node.sealed[2:]}
    records = without(
        files,
        lambda one: one["kind"] == "gap.closed" or one["payload"].get("segment") in later,
    )
    path = signed_again(
        other, files, node.signer, lambda one: one.update(segments=2, records=records)
    )
    report = examined(path, node_key=node.signer.public_key, central_key=node.central.public_key)
    assert [one["code"] for one in report.notes] == ["GAP_NOT_CLOSED"]
    assert report.exit_code == 3


def test_a_view_that_shows_nothing_explains_no_missing_footage(node: Node, other: Path) -> None:
    with node.store.write() as connection:
        footage.open_gap(
            node.store, connection, node.camera.name, SceneRole.PURCHASE,
            to_micros(node.clock.now()), GapCause.VIEW_BLACK,
        )  # fmt: skip
    node.record(2)
    files = files_of(node.export(name="black.zip").out)
    last = node.sealed[-2:]
    records = without(files, lambda one: one["payload"].get("segment") == last[1].segment)
    path = signed_again(
        other, files, node.signer, lambda one: one.update(segments=5, records=records)
    )
    holes = [one["detail"] for one in examined(path).notes if one["code"] == "HOLE_UNEXPLAINED"]
    assert holes == [f"{last[0].ended_at} – {last[1].ended_at}"]


def test_records_out_of_order_or_without_proof_are_refused(
    node: Node, files: Files, other: Path
) -> None:
    lines, proofs = lines_of(files[verify.RECORDS]), lines_of(files[verify.PROOFS])
    turned = {verify.RECORDS: joined(lines[::-1]), verify.PROOFS: joined(proofs[::-1])}
    assert forged(node, {**files, **turned}, other) == {"RECORD_REFUSED"}
    assert forged(node, {**files, verify.PROOFS: joined(proofs[:-1])}, other) == {
        "RECORD_NOT_PROVEN"
    }
    more = {verify.PROOFS: joined([*proofs, proofs[-1]])}
    assert forged(node, {**files, **more}, other) == {"RECORD_REFUSED"}
    fewer = {verify.RECORDS: joined(lines[:-1]), verify.PROOFS: joined(proofs[:-1])}
    assert forged(node, {**files, **fewer}, other) == {"RECORD_REFUSED"}


def test_a_log_written_anew_does_not_extend_what_central_countersigned(
    node: Node, files: Files, other: Path
) -> None:
    """The node signs another history; central's countersignature of the old one remains."""
    lines = lines_of(files[verify.CHECKPOINTS])
    assert lines[0]["countersigned"] is not None
    head = lines[-1]["signed"]["checkpoint"]
    head["root_hash"] = "ab" * 32
    signature = node.signer.sign(Context.CHECKPOINT, Checkpoint.model_validate(head))
    lines[-1]["signed"]["signature"] = signature.model_dump(mode="json")
    files[verify.CHECKPOINTS] = joined(lines)
    path = signed_again(
        other, files, node.signer, lambda one: one.update(root_hash=head["root_hash"])
    )
    assert codes(examined(path)) == {"CHECKPOINT_REFUSED"}


def test_a_countersignature_by_anybody_else_is_refused(
    node: Node, files: Files, other: Path
) -> None:
    lines = lines_of(files[verify.CHECKPOINTS])
    lines[0]["countersigned"]["countersignature"]["seen_at"] = "2020-01-01T00:00:00.000000Z"
    assert forged(node, {**files, verify.CHECKPOINTS: joined(lines)}, other) == {
        "SIGNATURE_REFUSED"
    }
    lines = lines_of(files[verify.CHECKPOINTS])
    lines[0]["countersigned"] = lines[1]["countersigned"]
    assert forged(node, {**files, verify.CHECKPOINTS: joined(lines)}, other) == {
        "CHECKPOINT_REFUSED"
    }


def test_a_disposal_that_no_record_shows_is_refused(node: Node, files: Files, other: Path) -> None:
    name = footage_in(files)[0]
    segment = Path(name).stem
    del files[name]
    said = {"what": "segment", "subject": segment, "reason": "SEGMENT_DISPOSED", "detail": ""}
    path = signed_again(
        other, files, node.signer, lambda one: one.update(segments=3, absent=[said])
    )
    assert (codes(found := examined(path)), subjects(found)) == (
        {"DISPOSAL_NOT_PROVEN"}, {segment},
    )  # fmt: skip
    said = {"what": "record", "subject": "3", "reason": "RECORD_DISPOSED", "detail": ""}
    path = signed_again(
        other, files, node.signer, lambda one: one.update(segments=3, absent=[said])
    )
    assert ("DISPOSAL_NOT_PROVEN", "3") in {
        (one["code"], one["subject"]) for one in examined(path).bad
    }


def test_a_segment_that_was_sealed_twice_is_refused(node: Node, other: Path) -> None:
    """A second record of the same segment would let other footage take its place."""
    with node.store.write() as connection:
        append(
            node.store,
            connection,
            node.sealed[0].model_copy(update={"file_sha256": "ab" * 32}),
        )
    files = files_of(node.export().out)
    with node.store.read() as connection:
        log = list(all_records(connection))
        tree = LogTree(connection, len(log) - 1)
        again = next(one for one in log[::-1] if one.kind == "segment.sealed")
        path = [step.hex() for step in tree.inclusion(again.sequence)]
    at = again.sequence - len(log)  # the export's own two records stand behind it
    lines, proofs = lines_of(files[verify.RECORDS]), lines_of(files[verify.PROOFS])
    lines.insert(at + 2, json.loads(again.raw))
    proofs.insert(at + 2, {"leaf_index": again.sequence, "path": path})
    files |= {verify.RECORDS: joined(lines), verify.PROOFS: joined(proofs)}
    made = signed_again(other, files, node.signer, lambda one: one.update(records=len(lines)))
    (bad,) = examined(made).bad
    assert (bad["code"], "sealed before" in bad["detail"]) == ("RECORD_REFUSED", True)


def test_records_of_another_node_are_refused(node: Node, files: Files, other: Path) -> None:
    path = signed_again(other, files, node.signer, lambda one: one.update(node="node-b"))
    assert codes(examined(path)) == {"CHECKPOINT_REFUSED"}


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        (verify.KEYS, b"{}", "KEYS_REFUSED"),
        (verify.KEYS, b"\xff", "KEYS_REFUSED"),
        (verify.CHECKPOINTS, b"", "CHECKPOINT_REFUSED"),
        (verify.CHECKPOINTS, b"[]\n", "CHECKPOINT_REFUSED"),
        (verify.RECORDS, b"null\n", "RECORD_REFUSED"),
        (verify.RECORDS, b'{"payload":1}\n', "RECORD_REFUSED"),
        (verify.RECORDS, b'{"a":1}', "RECORD_REFUSED"),
        (verify.RECORDS, b"[" * 300_000 + b"\n", "RECORD_REFUSED"),
        (verify.PROOFS, b'{"leaf_index":0,"path":["x"]}\n', "RECORD_NOT_PROVEN"),
    ],
)
def test_nonsense_in_a_signed_export_is_an_answer_not_a_failure(
    node: Node, files: Files, other: Path, name: str, content: bytes, code: str
) -> None:
    assert code in forged(node, {**files, name: content}, other)


def test_a_manifest_of_another_form_is_refused(node: Node, files: Files, other: Path) -> None:
    raw = canonical_bytes({"format": "countersight-evidence/1"})
    signature = node.signer._private_key.sign(verify.MANIFEST_CONTEXT.encode() + b"\n" + raw)
    said = {
        "algorithm": "ed25519", "key_id": node.signer.key_id,
        "value": verify.base64.b64encode(signature).decode(),
    }  # fmt: skip
    files |= {verify.MANIFEST: raw, verify.SIGNATURE: canonical_bytes(said)}
    assert codes(examined(archive_of(other, files))) == {"MANIFEST_REFUSED"}
    path = signed_again(
        other, files_of(node.export(name="b.zip").out), node.signer,
        lambda one: one.update(format="countersight-evidence/2"),
    )  # fmt: skip
    assert codes(examined(path)) == {"MANIFEST_REFUSED"}
