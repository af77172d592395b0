"""`countersight edge pharmacist` as its user types it."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest

from edge import cli
from edge.config import load_config
from edge.duty import PURPOSE, pharmacist_ref
from edge.terminal import pharmacists
from retention.records.envelope import parse_record
from retention.records.payloads import ConsentGiven
from retention.store import duty, people
from retention.terms.problems import Refusal
from retention.withdrawal import ErasureProof, check_proof
from tests.edge.test_cli import TOML

SECRET = "correct horse"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(TOML.format(data=tmp_path / "data"))
    return path


@pytest.fixture
def store(file):
    file.parent.joinpath("data").mkdir()
    opened = load_config(file).open_store()
    yield opened
    opened.close()


@pytest.fixture
def run(file, capsys, monkeypatch):
    def go(*arguments: str, secret: str = SECRET) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))
        code = cli.main(["pharmacist", *arguments, "--config", str(file)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return go


@pytest.fixture
def person_ref(file):
    return pharmacist_ref(load_config(file).keys().secret("person"), "ph-1")


def enrol(store, person_ref: str) -> None:
    given = ConsentGiven(
        consent=store.ids.new(), person_ref=person_ref, purpose=PURPOSE,
        notice_version="2026-01", method="own_secret", operator="ph-1",
    )  # fmt: skip
    now = store.clock.now()
    reference = people.Reference(
        id=store.ids.new(), person_ref=person_ref, consent=given.consent, contract_id="0" * 64,
        source="counter_camera", key_id="k", nonce=b"n" * 12, sealed=b"sealed face",
        enrolled_at=now, expires_at=now + timedelta(days=365),
    )  # fmt: skip
    with store.write() as connection:
        people.give_consent(store, connection, given, counter="till")
        people.insert_reference(store, connection, reference, counter="till")


def said(store) -> list[str]:
    with store.read() as connection:
        rows = connection.execute("SELECT bytes FROM log ORDER BY sequence").fetchall()
    records = [parse_record(row["bytes"]) for row in rows]
    return [
        str(record.payload["action"]) if record.kind == "access.recorded" else record.kind
        for record in records
    ]


def test_a_pharmacist_is_added_listed_and_revoked(run, store):
    assert run("list")[1] == "没有 / none\n"
    assert run("add", "--id", "ph-1")[:2] == (0, "已登记 / stored: ph-1\n")
    pharmacists.check(store, "ph-1", SECRET)
    (row,) = json.loads(run("list", "--json")[1])["pharmacists"]
    assert (row["pharmacist"], row["revoked_at"]) == ("ph-1", None)

    code, out, _ = run("revoke", "--id", "ph-1", "--json")
    assert (code, json.loads(out)) == (
        0, {"pharmacist": "ph-1", "signed_out_at": None, "withdrawn": []},
    )  # fmt: skip
    with pytest.raises(Refusal, match="PHARMACIST_REFUSED"):
        pharmacists.check(store, "ph-1", SECRET)
    assert "已撤销" in run("list")[1]
    assert said(store) == ["pharmacist.added", "pharmacist.revoked"]


@pytest.mark.parametrize("name", ["ph-9", "", "nobody at all"])
def test_revoking_whom_there_is_not_is_one_clear_line_and_no_record(run, store, name):
    code, _, err = run("revoke", "--id", name)
    assert (code, err.count("\n")) == (2, 1)
    assert repr(name) in err
    assert said(store) == []


def test_revoking_twice_is_refused_the_second_time(run, store):
    run("add", "--id", "ph-1")
    assert run("revoke", "--id", "ph-1")[0] == 0
    assert run("revoke", "--id", "ph-1")[0] == 2
    assert said(store) == ["pharmacist.added", "pharmacist.revoked"]


def test_revoking_signs_out_and_erases_the_own_reference_with_a_proof(run, store, file, person_ref):
    run("add", "--id", "ph-1")
    enrol(store, person_ref)
    enrol(store, person_ref)  # and an older consent that was never withdrawn
    with store.write() as connection:
        duty.sign_in(store, connection, "ph-1", "till", "face", ("MATCH",))
    before = len(said(store))

    code, out, _ = run("revoke", "--id", "ph-1", "--json")

    found = json.loads(out)
    assert (code, found["signed_out_at"]) == (0, "till")
    assert [len(one["references_erased"]) for one in found["withdrawn"]] == [1, 1]
    public_key = load_config(file).keys().signer().public_key
    for one in found["withdrawn"]:
        proof = ErasureProof.model_validate_json(json.dumps(one["proof"]))
        check_proof(proof, public_key)
        kinds = [parse_record(record.record.encode()).kind for record in proof.records]
        assert sorted(set(kinds)) == ["consent.withdrawn", "reference.erased"]
    assert said(store)[before:] == [
        "pharmacist.revoked",
        "pharmacist.signed_out",
        "reference.erased",
        "consent.withdrawn",
        "reference.erased",
        "consent.withdrawn",
    ]
    with store.read() as connection:
        assert people.newest_reference(connection, person_ref) is None
        assert duty.on_duty(connection) == []
    assert b"sealed face" not in b"".join(
        path.read_bytes() for path in (file.parent / "data").glob("node.sqlite3*")
    )


def test_added_again_a_pharmacist_stands_again_without_a_reference(run, store, person_ref):
    run("add", "--id", "ph-1")
    enrol(store, person_ref)
    code, out, _ = run("revoke", "--id", "ph-1")
    assert (code, "references erased: 1" in out, "signed out" in out) == (0, True, False)

    assert run("add", "--id", "ph-1", secret="battery staple")[0] == 0

    pharmacists.check(store, "ph-1", "battery staple")
    with store.read() as connection:
        assert duty.is_credential(connection, "ph-1")
        assert people.newest_reference(connection, person_ref) is None
        assert people.standing_consent(connection, person_ref, PURPOSE) is None
    (row,) = json.loads(run("list", "--json")[1])["pharmacists"]
    assert row["revoked_at"] is None


def test_a_crash_while_it_is_revoked_leaves_all_or_nothing(run, store, person_ref, monkeypatch):
    run("add", "--id", "ph-1")
    enrol(store, person_ref)
    with store.write() as connection:
        duty.sign_in(store, connection, "ph-1", "till", "face", ("MATCH",))
    before = said(store)

    def dies(*_: object, **__: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr("retention.store.people.withdraw_consent", dies)
        assert run("revoke", "--id", "ph-1")[0] == 2
    with store.read() as connection:
        assert people.newest_reference(connection, person_ref) is not None
        assert duty.is_credential(connection, "ph-1")
    assert said(store) == before

    with monkeypatch.context() as patched:
        patched.setattr(pharmacists, "withdraw", dies)  # after the commit
        assert run("revoke", "--id", "ph-1")[0] == 2
    with store.read() as connection:
        assert people.newest_reference(connection, person_ref) is None
        assert not duty.is_credential(connection, "ph-1")
        assert duty.on_duty(connection) == []


@pytest.mark.parametrize(
    "arguments",
    [("--id", "ph-1"), ("add", "--id", "ph-1", "--secret", SECRET), ("add",), ("revoke",)],
)
def test_the_old_form_and_a_secret_in_the_arguments_are_refused(run, store, arguments):
    assert run(*arguments)[0] == 2
    assert said(store) == []
