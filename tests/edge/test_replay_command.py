"""`identity replay`: the same verdict, what differs, or since when it cannot be made again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

import countersight
from edge import replay_command, replay_inputs
from edge.config import EdgeConfig
from edge.rotation import rotate
from edge.verifier.kept_inputs import keep
from edge.verifier.probes import ProbeKeeper
from edge.verifier.references import row_of
from identity.attempt import Decided
from identity.calibration import LoadedCalibration, parse_calibration
from identity.decision import receipt_payload
from identity.evidence import encode
from identity.policy import load_policy
from models.errors import ModelMissing
from models.manifest import SFACE, YUNET
from models.runtime import LoadedModels
from retention.erasure import erase_due
from retention.keysources import FileKeys, SecretKey
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId
from retention.records.payloads import NodeStopped
from retention.records.people import DecisionReceipt2, ProbesErased
from retention.records.receipts import sign_receipt
from retention.store import people
from retention.store.database import NodeStore
from retention.store.log import all_records, append
from retention.terms.reasons import BY_CODE
from retention.withdrawal import check_proof, withdraw
from tests.edge.verifier.kit import Bench
from tests.edge.verifier.test_probe_keeper import give_told_consent
from tests.golden.samples import RECEIPT
from tests.identity import support
from tests.identity.support import Trial, unit_vector
from tests.retention.probes_kit import PERSON, folder

Said = dict[str, object]


@pytest.fixture(autouse=True)
def _logs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets logging up for its process, and this one is the tests'."""
    monkeypatch.setattr(replay_command, "configure", lambda process: None)


@dataclass
class Recorded:
    """A node that decided once, and what it takes to look at that again."""

    config: EdgeConfig
    store: NodeStore
    receipt: DecisionReceipt2
    consent: str
    reference: str

    @property
    def data(self) -> Path:
        return self.config.node.data


@pytest.fixture(scope="module")
def counted() -> LoadedCalibration:
    """A calibration as it is read from a file."""
    values = support.calibration().values
    return parse_calibration(values.model_dump_json().encode(), "a file")


@dataclass(frozen=True)
class Attempted:
    """One attempt that was accepted: made once, for it is only looked at."""

    trial: Trial
    decided: Decided


@pytest.fixture(scope="module")
def attempted(counted: LoadedCalibration) -> Attempted:
    trial = Trial(load_policy(), ManualClock())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(support, "calibration", lambda: counted)
        return Attempted(trial, trial.decide())


@pytest.fixture
def node(
    config: EdgeConfig,
    store: NodeStore,
    attempted: Attempted,
    counted: LoadedCalibration,
    monkeypatch: pytest.MonkeyPatch,
) -> Recorded:
    """Record the attempt as the verifier does; the models stay as they are."""
    consent, keys = give_told_consent(store), config.reference_keys()
    trial, decided = attempted.trial, attempted.decided
    reference = support.reference(unit_vector(0), person_ref=PERSON, consent_id=ConsentId(consent))
    with store.write() as connection:
        row = row_of(reference, keys, store.clock.now())
        people.insert_reference(store, connection, row, counter="counter-1")
    keep(config, trial.policy, counted)
    receipt_id, session = store.ids.new(), store.ids.new()
    encoded = encode(decided.evidence)
    prepared = ProbeKeeper(config, store, keys).prepare(receipt_id, session, PERSON, encoded)
    assert prepared is not None
    assert trial.models is not None
    loaded = LoadedModels(trial.models, trial.models, YUNET, SFACE)
    receipt = receipt_payload(
        decided.decision,
        receipt_id=receipt_id,
        session=session,
        claim_digest="c" * 64,
        subject_ref=PERSON,
        subject_role="patient",
        attempt=1,
        camera="till",
        valid_for=timedelta(minutes=10),
        runtime=loaded.runtime,
        camera_identity=trial.camera.code,
        simulated=trial.camera.simulated,
        probe_digest=prepared.digest,
    )
    with store.write() as connection:
        append(store, connection, sign_receipt(receipt, config.keys().signer()))
        prepared.insert(connection)
    monkeypatch.setattr("models.runtime.load_models", lambda folder=None: loaded)
    return Recorded(config, store, receipt, consent, reference.terms.reference_id)


@pytest.fixture
def run(node: Recorded, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Said]]:
    """Run the command and return its exit code and what it told."""

    def again(*more: str) -> tuple[int, Said]:
        asked = [node.receipt.receipt, "--data", str(node.data), "--json", *more]
        code = replay_command.main(asked)
        return code, json.loads(capsys.readouterr().out)

    return again


def differences(told: Said) -> dict[str, tuple[object, object]]:
    found = told["differences"]
    assert isinstance(found, list)
    return {one["what"]: (one["recorded"], one["found"]) for one in found}


def test_the_same_verdict_and_values_are_exit_0(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    code, told = run()
    assert (code, told["verdict"], told["differences"]) == (0, "same", [])
    assert told["recorded"] == told["found"]
    assert told["receipt"] == node.receipt.receipt
    outcome = told["recorded"]
    assert isinstance(outcome, dict)
    assert (outcome["outcome"], outcome["reasons"]) == ("ACCEPT", ["MATCH"])


def test_whoever_replays_leaves_who_and_why(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    assert run("--actor", "inspector-7", "--reason", "case 12")[0] == 0
    with node.store.read() as connection:
        (record,) = [r.parse() for r in all_records(connection) if r.kind == "access.recorded"]
    assert record.payload == {
        "actor": "inspector-7",
        "action": "identity.replay",
        "subject": node.receipt.receipt,
        "reason": "case 12",
    }


def test_nothing_else_is_written(node: Recorded, run: Callable[..., tuple[int, Said]]) -> None:
    def files() -> dict[str, bytes]:
        found = (path for path in node.data.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in found if "sqlite3" not in path.name}

    before = files()
    run()
    assert files() == before
    with node.store.read() as connection:
        kinds = [one.kind for one in all_records(connection)]
    assert kinds[-1] == "access.recorded"
    assert kinds.count("identity.decided") == 1


def test_an_unknown_receipt_is_wrong_usage(
    node: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["0197a000-0000-7000-8000-0000000000ff", "--data", str(node.data)]
    assert replay_command.main(asked) == 2
    assert "no such receipt" in capsys.readouterr().err


def test_no_data_folder_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command.main(["r", "--data", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


# -- what is no longer replayable -----------------------------------------------------------------


def test_evidence_that_came_to_its_end_is_told_with_the_date(
    node: Recorded, clock: ManualClock, run: Callable[..., tuple[int, Said]]
) -> None:
    clock.advance(timedelta(days=31))
    erase_due(node.store)
    code, told = run()
    assert (code, told["verdict"], told["reason"]) == (1, "not_replayable", "EVIDENCE_EXPIRED")
    assert str(told["since"]).startswith("2026-02-0")
    assert told["differences"] == []


def test_withdrawn_consent_is_told_with_the_date(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    withdraw(node.store, node.consent, node.config.keys().signer(), counter="counter-1")
    code, told = run()
    assert (code, told["verdict"], told["reason"]) == (1, "not_replayable", "EVIDENCE_WITHDRAWN")
    assert told["since"] is not None


def test_a_proof_that_is_asked_for_again_tells_of_the_evidence_too(node: Recorded) -> None:
    """The counter's page withdraws first, and gives the file when it is asked for it."""
    signer = node.config.keys().signer()
    first = withdraw(node.store, node.consent, signer, counter="counter-1")
    again = withdraw(node.store, node.consent, signer, counter="counter-1")
    assert (first.probes, again.probes) == ((node.receipt.receipt,), ())
    check_proof(again.proof, signer.public_key)
    assert [one.record for one in again.proof.records] == [
        one.record for one in first.proof.records
    ]
    assert node.receipt.receipt in again.proof.records[-1].record


def test_an_erased_reference_is_told_with_the_date_while_the_evidence_is_held(
    node: Recorded, clock: ManualClock, run: Callable[..., tuple[int, Said]]
) -> None:
    with node.store.write() as connection:
        consent = people.read_consent(connection, node.consent)
        assert consent is not None
        people.withdraw_consent(node.store, connection, consent, counter="counter-1")
    code, told = run()
    assert (code, told["verdict"], told["reason"]) == (1, "not_replayable", "REFERENCE_ERASED")
    assert told["since"] is not None


@pytest.mark.parametrize("kind", ["probes.erased", "reference.erased"])
def test_an_end_whose_own_record_came_to_its_end_accuses_nobody(
    node: Recorded, run: Callable[..., tuple[int, Said]], kind: str
) -> None:
    """A hold keeps a decision for years, the record of an erasure only as long as others."""
    if kind == "probes.erased":
        assert withdraw(node.store, node.consent, node.config.keys().signer(), counter="c").probes
    else:
        with node.store.write() as connection:
            consent = people.read_consent(connection, node.consent)
            assert consent is not None
            people.withdraw_consent(node.store, connection, consent, counter="c")
    with node.store.write() as connection:
        connection.execute("UPDATE log SET disposed_by = 1, bytes = x'' WHERE kind = ?", (kind,))
    code, told = run()
    assert (code, told["verdict"], told["since"]) == (1, "not_replayable", None)
    assert told["reason"] in ("EVIDENCE_EXPIRED", "REFERENCE_ERASED")


def test_a_key_that_is_not_there_is_told(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    (node.data / "keys" / "reference.key").unlink()
    code, told = run()
    assert (code, told["verdict"], told["reason"]) == (1, "not_replayable", "KEY_MISSING")
    assert not (node.data / "keys" / "reference.key").exists()


@pytest.mark.parametrize("asked", [1, 2])
def test_a_rotation_that_takes_the_key_away_just_then_is_no_lost_key(
    node: Recorded,
    run: Callable[..., tuple[int, Said]],
    monkeypatch: pytest.MonkeyPatch,
    asked: int,
) -> None:
    """Once for the evidence, once for the reference; nobody is said to have tampered with it."""
    by_id, seen = FileKeys.by_id, 0

    def late(keys: FileKeys, key_id: str) -> SecretKey | None:
        nonlocal seen
        seen += 1
        if seen == asked:
            rotate(node.store, keys, lambda done: None)
        return by_id(keys, key_id)

    monkeypatch.setattr(FileKeys, "by_id", late)
    code, told = run()
    assert (code, told["verdict"]) == (0, "same"), told


def test_evidence_and_reference_of_a_lost_key_stay_until_their_end(
    node: Recorded, clock: ManualClock
) -> None:
    """The key may come back from its backup: nothing is erased because it is not there."""
    (node.data / "keys" / "reference.key").unlink()
    assert erase_due(node.store) == {}
    clock.advance(timedelta(days=31))
    assert erase_due(node.store) == {"probe_crop": 1}
    clock.advance(timedelta(days=3650))
    assert erase_due(node.store) == {"face_reference": 1}


def test_every_cause_of_an_erasure_has_words_for_whoever_replays() -> None:
    causes = get_args(ProbesErased.model_fields["cause"].annotation)
    assert set(causes) == set(replay_inputs.ERASED)
    assert all(code in BY_CODE for code in replay_inputs.ERASED.values())


def test_a_copy_without_keys_is_wrong_usage_and_gets_none(
    node: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    (node.data / "keys").rename(node.data / "keys-elsewhere")
    assert replay_command.main([node.receipt.receipt, "--data", str(node.data)]) == 2
    assert "no keys are here" in capsys.readouterr().err
    assert not (node.data / "keys").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": "document_attested"}, "NOT_BY_FACE"),
        ({"probe_digest": None}, "NO_EVIDENCE_KEPT"),
        ({"reference": None}, "NO_EVIDENCE_KEPT"),
    ],
)
def test_what_never_could_be_replayed_says_so(
    node: Recorded, capsys: pytest.CaptureFixture[str], changes: dict[str, object], reason: str
) -> None:
    other = node.receipt.model_copy(update={"receipt": node.store.ids.new(), **changes})
    with node.store.write() as connection:
        append(node.store, connection, sign_receipt(other, node.config.keys().signer()))
    assert replay_command.main([other.receipt, "--data", str(node.data), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["reason"]) == ("not_replayable", reason)


def test_a_receipt_of_the_first_version_says_so(
    node: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    with node.store.write() as connection:
        append(node.store, connection, sign_receipt(RECEIPT, node.config.keys().signer()))
    assert replay_command.main([RECEIPT.receipt, "--data", str(node.data)]) == 1
    assert "RECEIPT_TOO_OLD" in capsys.readouterr().out


# -- what differs ---------------------------------------------------------------------------------


def test_evidence_that_was_changed_is_a_difference(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    path = folder(node.store) / node.receipt.receipt
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, told = run()
    assert (code, told["verdict"]) == (1, "differs")
    assert differences(told) == {
        "probe_digest": (node.receipt.probe_digest, "its seal does not hold")
    }


@pytest.mark.parametrize("what", ["file", "row"])
def test_evidence_that_is_gone_without_a_record_is_a_difference(
    node: Recorded, run: Callable[..., tuple[int, Said]], what: str
) -> None:
    if what == "file":
        (folder(node.store) / node.receipt.receipt).unlink()
    else:
        with node.store.write() as connection:
            connection.execute("DELETE FROM probes")
    code, told = run()
    assert (code, told["verdict"]) == (1, "differs")
    assert differences(told) == {"evidence": (node.receipt.probe_digest, None)}


def test_a_reference_that_is_gone_without_a_record_is_a_difference(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    with node.store.write() as connection:
        connection.execute("DELETE FROM reference_templates")
    code, told = run()
    assert (code, differences(told)) == (1, {"reference": (node.reference, None)})


def test_a_reference_of_another_row_is_a_difference(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    with node.store.write() as connection:
        connection.execute("UPDATE reference_templates SET source = 'elsewhere'")
    code, told = run()
    assert (code, differences(told)) == (
        1,
        {"reference": (node.reference, "its seal does not hold")},
    )


@pytest.mark.parametrize("name", ["policy", "calibration"])
def test_a_lost_policy_or_calibration_is_a_difference(
    node: Recorded, run: Callable[..., tuple[int, Said]], name: str
) -> None:
    (path,) = (node.data / "identity").glob(f"{name}-*.json")
    path.unlink()
    code, told = run()
    assert (code, told["verdict"]) == (1, "differs")
    assert differences(told) == {f"{name}_digest": (getattr(node.receipt, f"{name}_digest"), None)}


def test_an_upgrade_leaves_old_receipts_replayable(
    node: Recorded,
    attempted: Attempted,
    counted: LoadedCalibration,
    run: Callable[..., tuple[int, Said]],
) -> None:
    keep(node.config, attempted.trial.policy.model_copy(update={"version": "99"}), counted)
    assert run()[0] == 0


def test_a_rotated_key_leaves_old_receipts_replayable(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    assert rotate(node.store, node.config.reference_keys(), lambda _: None).complete
    assert run()[0] == 0


def test_a_receipt_that_was_rewritten_in_the_database_does_not_carry_our_signature(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    with node.store.write() as connection:
        (raw,) = connection.execute(
            "SELECT bytes FROM log WHERE kind = 'identity.decided'"
        ).fetchone()
        changed = raw.replace(b'"frames_used":4', b'"frames_used":5')
        assert changed != raw
        connection.execute("UPDATE log SET bytes = ? WHERE kind = 'identity.decided'", (changed,))
    code, told = run()
    assert (code, told["verdict"]) == (1, "differs")
    assert set(differences(told)) == {"signature"}


@pytest.mark.parametrize("garbled", [b'"outcome":ACCEPT', b'"outcome":"MAYBE"'])
def test_a_record_that_is_none_any_more_is_a_difference_and_no_obstacle_to_others(
    node: Recorded, run: Callable[..., tuple[int, Said]], garbled: bytes
) -> None:
    other = node.receipt.model_copy(update={"receipt": node.store.ids.new()})
    with node.store.write() as connection:
        append(node.store, connection, sign_receipt(other, node.config.keys().signer()))
    assert run()[0] == 0
    _garble(node, other.receipt, garbled)
    assert run()[0] == 0
    _garble(node, node.receipt.receipt, garbled)
    code, told = run()
    assert (code, told["verdict"]) == (1, "differs")
    assert set(differences(told)) == {"record"}


def _garble(node: Recorded, receipt: str, garbled: bytes) -> None:
    with node.store.write() as connection:
        changed = connection.execute(
            'UPDATE log SET bytes = CAST(replace(CAST(bytes AS TEXT), \'"outcome":"ACCEPT"\', ?)'
            " AS BLOB) WHERE kind = 'identity.decided' AND instr(bytes, CAST(? AS BLOB)) > 0",
            (garbled.decode(), receipt),
        )
        assert changed.rowcount == 1


def test_a_signature_that_cannot_be_checked_is_said(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    (node.data / "keys" / "signing.key").unlink()
    code, told = run()
    assert (code, told["verdict"]) == (0, "same")
    found = differences(told)["signature"][1]
    assert isinstance(found, str)
    assert found.startswith("not checked")


def test_a_blank_receipt_is_wrong_usage(node: Recorded) -> None:
    assert replay_command.main([" ", "--data", str(node.data)]) == 2


# -- as the verifier records it -------------------------------------------------------------------


@pytest.mark.parametrize("case", ["accepted", "somebody else", "a large amount"])
def test_what_the_verifier_decides_is_decided_again(
    config: EdgeConfig,
    store: NodeStore,
    clock: ManualClock,
    counted: LoadedCalibration,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    monkeypatch.setattr(support, "calibration", lambda: counted)
    bench = Bench(config, store, clock)
    bench.enrolled()
    if case == "somebody else":
        bench.models.embedding = lambda _: unit_vector(0, 6.0)
    amount = "5000.00" if case == "a large amount" else "12.00"
    receipt = bench.verify(amount=amount)
    keep(config, bench.method.policies.in_force(), counted)
    loaded = bench.method.models
    monkeypatch.setattr("models.runtime.load_models", lambda folder=None: loaded)
    capsys.readouterr()
    code = replay_command.main([receipt.receipt, "--data", str(config.node.data), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["verdict"], told["differences"]) == (0, "same", [])
    assert told["found"]["outcome"] == ("REFER" if case == "somebody else" else "ACCEPT")


# -- around it ------------------------------------------------------------------------------------


def test_people_read_the_verdict_in_chinese_and_english(
    node: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [node.receipt.receipt, "--data", str(node.data)]
    assert replay_command.main(asked) == 0
    assert "一致" in capsys.readouterr().out
    (folder(node.store) / node.receipt.receipt).unlink()
    assert replay_command.main(asked) == 1
    assert "不一致" in capsys.readouterr().out


def test_missing_models_are_wrong_usage_and_not_a_difference(
    node: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(folder: Path | None = None) -> LoadedModels:
        raise ModelMissing("sface", Path("sface.onnx"))

    monkeypatch.setattr("models.runtime.load_models", missing)
    assert replay_command.main([node.receipt.receipt, "--data", str(node.data)]) == 2
    assert "sface" in capsys.readouterr().err


def test_it_runs_while_the_node_writes(
    node: Recorded, run: Callable[..., tuple[int, Said]]
) -> None:
    with node.store.write() as connection:
        append(node.store, connection, NodeStopped(reason="test"))
    assert run()[0] == 0


def test_a_configuration_of_another_folder_is_refused(
    node: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        '[node]\nagency = "430100"\npharmacy = "P43010000001"\nnode = "node-a"\n'
        f'data = "{tmp_path / "elsewhere"}"\n[[cameras]]\nid = "till"\nscene_role = "purchase"\n'
        'url = "rtsp://127.0.0.1:1/stream"\n[verification]\ncamera = "till"\n'
    )
    asked = [node.receipt.receipt, "--data", str(node.data), "--config", str(file)]
    assert replay_command.main(asked) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_the_front_door_leads_there() -> None:
    assert ("identity", "replay") in countersight.ELSEWHERE
    helped = subprocess.run(
        [sys.executable, "-P", "-m", "countersight", "identity", "replay", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert helped.returncode == 0
    assert "RECEIPT" in helped.stdout
