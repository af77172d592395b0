"""The two commands: who may take evidence, what is printed, which code says what."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from retention import cli
from retention.store import inspectors
from retention.store.log import all_records
from tests.retention.export.conftest import Node
from tests.retention.export.forging import files_of

SECRET = "a-long-enough-secret"


@pytest.fixture
def config(node: Node) -> Path:
    """A configuration whose data folder is the node's, with its key, and an inspector."""
    inspectors.add(node.store, "inspector-1", SECRET)
    keys = node.folder / "keys"
    keys.mkdir(mode=0o700)
    (keys / "signing.key").write_bytes(bytes([1]) * 32)
    os.chmod(keys / "signing.key", 0o600)
    (node.folder / "secret").write_text(SECRET + "\n")
    path, identity = node.folder / "node.toml", node.store.identity
    path.write_text(
        f'[node]\nagency = "{identity.agency}"\npharmacy = "{identity.pharmacy}"\n'
        f'node = "{identity.node}"\ndata = "{node.folder}"\n'
        f'[central]\nsigning_key = "{node.central.public_key.hex()}"\n'
        f'[[cameras]]\nid = "{node.camera.name}"\nscene_role = "purchase"\n'
        '[verification]\ncamera = "counter-1"\n'
        "[session]\npre_roll_seconds = 2\npost_roll_seconds = 2\n"
    )
    return path


def run(config: Path, out: Path, *more: str, file: str = "secret") -> int:
    base = ["export", "--config", str(config), "--out", str(out), "--author", "inspector-1",
            "--reason", "案件 12", "--secret-file", str(config.with_name(file))]  # fmt: skip
    return cli.main([*base, *more])


def test_a_session_is_exported_and_checked_by_command(
    node: Node, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evidence.zip"
    assert run(config, out, "--session", node.session, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["file"] == str(out)
    assert made["node_key"] == node.signer.public_key.hex()
    keys = ["--node-key", made["node_key"], "--central-key", node.central.public_key.hex()]
    assert cli.main(["verify-export", str(out), *keys, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["session"], report["bad"]) == (True, node.session, [])
    assert cli.main(["verify-export", str(out), "--node-key", "ab" * 32]) == 1
    assert "KEY_DIFFERS" in capsys.readouterr().out


def test_a_span_is_meant_in_beijing_time(
    node: Node, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--from", "2026-01-02T11:04:00", "--to", "2026-01-02T11:04:10"]
    assert run(config, tmp_path / "a.zip", *span) == 0
    shown = capsys.readouterr().out
    assert "2 段录像 / segments" in shown  # the node's clock began at 03:04:05 UTC
    assert "含人脸信息" in shown
    same = ["--from", "2026-01-02T03:04:00+00:00", "--to", "2026-01-02T03:04:10+00:00"]
    assert run(config, tmp_path / "b.zip", *same) == 0
    segments = [
        {name for name in files_of(tmp_path / one) if name.startswith("footage/")}
        for one in ("a.zip", "b.zip")
    ]
    assert segments[0] == segments[1]


def test_a_wrong_secret_takes_nothing_and_locks(
    node: Node, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong").write_text("not-this-one")
    out = tmp_path / "out.zip"
    for _ in range(5):
        assert run(config, out, "--session", node.session, file="wrong") == 2
    assert run(config, out, "--session", node.session) == 2
    assert "inspector-1" in capsys.readouterr().err
    assert not out.exists()
    with node.store.read() as connection:
        actions = [
            one.parse().payload["action"]
            for one in all_records(connection)
            if one.kind == "access.recorded"
        ]
    assert "evidence.export" not in actions


def test_the_secret_may_come_on_standard_input(
    node: Node, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))
    base = ["export", "--config", str(config), "--out", str(tmp_path / "o.zip"), "--author",
            "inspector-1", "--reason", "r", "--session", node.session]  # fmt: skip
    assert cli.main(base) == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "either --session"),
        (["--from", "2026-01-02T11:00"], "either --session"),
        (["--from", "yesterday", "--to", "today"], "not a time"),
        (["--from", "2026-01-02T11:00", "--to", "2026-01-02T10:00"], "ends before it begins"),
        (["--from", "2999-01-02T11:00", "--to", "2999-01-02T12:00"], "has not begun"),
        (["--session", "00000000-0000-7000-8000-000000000000"], "none of that id"),
        (["--session", "x", "--camera", "nowhere"], "none of counter-1"),
        (["--session", "x", "--reason", " "], "--reason"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_2(
    node: Node,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    says: str,
) -> None:
    assert run(config, tmp_path / "out.zip", *more) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("out.zip*"))


@pytest.mark.parametrize("where", ["footage/out.zip", "x/../footage/counter-1/out.zip"])
def test_no_export_is_left_among_the_footage(
    node: Node, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    assert run(config, tmp_path / where, "--session", node.session) == 2
    assert "write it elsewhere" in capsys.readouterr().err
    assert not list(tmp_path.rglob("out.zip*"))


def test_footage_that_is_gone_is_told_with_1(
    node: Node, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in node.root.glob("*/*/*.mp4"):
        path.unlink()
    assert run(config, tmp_path / "out.zip", "--session", node.session) == 1
    shown = capsys.readouterr().out
    assert "不符 / BAD SEGMENT_MISSING" in shown
    assert "节点已没有这段录像" in shown
    assert cli.main(["verify-export", str(tmp_path / "out.zip")]) == 1
    assert "BAD SEGMENT_MISSING" in capsys.readouterr().out


def test_a_node_that_never_ran_has_nothing_to_export(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = config.read_text().replace(str(tmp_path), str(tmp_path / "empty"))
    config.write_text(text)
    assert run(config, tmp_path / "out.zip", "--session", "x") == 2
    assert "never run" in capsys.readouterr().err
    assert not (tmp_path / "empty").exists()


def test_a_file_that_is_not_there_or_a_key_that_is_none_is_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify-export", str(tmp_path / "no.zip")]) == 2
    (tmp_path / "a.zip").write_bytes(b"x")
    assert cli.main(["verify-export", str(tmp_path / "a.zip"), "--node-key", "12"]) == 2
    assert "--node-key" in capsys.readouterr().err
    assert cli.main(["verify-export", str(tmp_path / "a.zip")]) == 1
