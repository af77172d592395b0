from __future__ import annotations

import hashlib
import io
import json
import re
import ssl
from pathlib import Path

import pytest

from edge import cli
from edge.config import load_config
from edge.terminal import pairing
from retention.records.payloads import NodeStopped
from retention.store.log import append

TOML = """
[node]
agency = "430100"
pharmacy = "P1"
node = "node-a"
data = "{data}"
[[cameras]]
id = "cam"
scene_role = "purchase"
url = "rtsp://someone:secret@127.0.0.1:1/stream"
timeout_seconds = 0.5
[verification]
camera = "cam"
"""


@pytest.fixture(autouse=True)
def _logging_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers keep the stream that they were made with; a captured one must not stay behind."""
    monkeypatch.setattr(cli, "configure", lambda process: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(TOML.format(data=tmp_path / "data"))
    return path


def run(file: Path, *arguments: str) -> int:
    return cli.main([arguments[0], "--config", str(file), *arguments[1:]])


def test_enrolment_is_one_json_object_that_stays_the_same(file, capsys):
    assert run(file, "enrol") == 0
    first = json.loads(capsys.readouterr().out)
    assert run(file, "enrol", "--json") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (first["agency"], first["pharmacy"], first["node"]) == ("430100", "P1", "node-a")
    assert len(first["curve_public_key"]) == 40
    assert len(bytes.fromhex(first["signing_public_key"])) == 32
    secret = (file.parent / "data" / "keys" / "curve.key").read_text()
    assert secret not in json.dumps(first)


def test_data_folder_is_made_for_its_user_and_group_only(file, capsys, tmp_path):
    data = tmp_path / "new" / "data"
    file.write_text(re.sub(r"data = .*", f'data = "{data}"', file.read_text()))
    assert run(file, "enrol") == 0
    assert data.stat().st_mode & 0o007 == 0


def test_status_reads_without_writing(file, capsys):
    assert run(file, "status") == 2  # no database yet, and none is made
    assert not (file.parent / "data" / "node.sqlite3").exists()
    capsys.readouterr()
    store = load_config(file).open_store()
    with store.write() as connection:
        append(store, connection, NodeStopped(reason="asked"))
    store.close()
    assert run(file, "status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["running"], found["records"], found["backlog"]) == (False, 1, 1)
    assert found["cameras"][0]["gap"] is None
    assert run(file, "status") == 0
    assert "未运行" in capsys.readouterr().out


def test_check_names_the_camera_that_does_not_answer_and_never_its_password(file, capsys):
    assert run(file, "check", "--json") == 1
    said = capsys.readouterr()
    found = {item["what"]: item for item in json.loads(said.out)["checks"]}
    assert found["camera cam"]["ok"] is False
    assert found["keys"]["ok"] is found["disk"]["ok"] is True
    assert "secret" not in said.out + said.err


def test_pairing_code_and_pharmacist_are_stored(file, capsys, monkeypatch):
    assert run(file, "pair", "--counter", "c1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counter"] == "c1"
    assert found["code"]
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough secret\n"))
    added = ["pharmacist", "add", "--config", str(file), "--id", "ph-1", "--json"]
    assert cli.main(added) == 0
    said = capsys.readouterr().out
    assert json.loads(said) == {"pharmacist": "ph-1"}
    store = load_config(file).open_store()
    with store.read() as connection:
        (stored,) = connection.execute("SELECT secret_hash FROM pharmacists").fetchone()
    store.close()
    assert "long enough" not in stored


def test_pairing_prints_the_fingerprint_that_a_terminal_pins(file, capsys):
    file.write_text(file.read_text() + '[terminal]\nlan_host = "192.0.2.7"\n')
    assert run(file, "pair", "--counter", "c1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    pem = (file.parent / "data" / "tls" / "terminal.crt").read_text()
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert found["certificate_sha256"].replace(":", "").lower() == digest
    assert run(file, "pair", "--counter", "c1") == 0
    assert found["certificate_sha256"] in capsys.readouterr().out


def test_unpaired_terminal_has_no_access_and_an_unknown_one_is_refused(file, capsys):
    store = load_config(file).open_store()
    paired = pairing.pair(store, pairing.new_code(store, "c1", store.clock), "till")
    assert run(file, "unpair", "--terminal", paired.terminal, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"terminal": paired.terminal}
    assert pairing.terminal_of(store, paired.token) is None
    store.close()
    assert run(file, "unpair", "--terminal", paired.terminal) == 2
    assert run(file, "unpair", "--terminal", "nobody") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "'nobody'" in said


def test_damaged_database_is_one_clear_line(file, capsys):
    load_config(file).open_store().close()
    database = file.parent / "data" / "node.sqlite3"
    database.write_bytes(database.read_bytes()[:4096] + b"\xff" * 200_000)
    for command in ("status", "run"):
        assert run(file, command) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ('node = "node-a"', 'node = "node-a"\nnoed = 1', "noed"),
        ("timeout_seconds = 0.5", "timeout_seconds = 99", "timeout_seconds"),
        ('camera = "cam"', 'camera = "other"', "other"),
        ("[node]", "[node", "TOML"),
    ],
)
def test_bad_configuration_is_one_line_and_two(file, capsys, found, wanted, said):
    file.write_text(file.read_text().replace(found, wanted))
    assert run(file, "run") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert str(file) in error


@pytest.mark.parametrize("arguments", [[], ["run"], ["fly", "--config", "x"]])
def test_wrong_usage_is_two(arguments, capsys):
    assert cli.main(arguments) == 2


@pytest.mark.parametrize("command", ["run", "check", "enrol"])
def test_data_folder_that_cannot_be_made_names_file_and_key(file, capsys, tmp_path, command):
    (tmp_path / "data").write_text("a file, not a folder")
    assert run(file, command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{file}: node.data {tmp_path / 'data'}: " in line
