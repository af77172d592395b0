"""What central cannot start with is one clear line and exit code 2, never a traceback."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import countersight
from retention import keyfiles
from retention.durable import FileLock


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Return a function that runs `central COMMAND` and returns the line of its refusal."""
    monkeypatch.setattr("central.cli.configure", lambda process: None)
    monkeypatch.setattr("central.run.configure", lambda process: None)

    def run(command: str = "run", extra: str = "", **changes: object) -> str:
        values = {
            "data": tmp_path / "data", "collector": f"tcp://127.0.0.1:{free_port()}",
            "web": free_port(), "host": "127.0.0.1", **changes,
        }  # fmt: skip
        path = tmp_path / "central.toml"
        path.write_text(
            f'[storage]\ndata = "{values["data"]}"\n{extra}\n[collector]\nendpoint = '
            f'"{values["collector"]}"\n[web]\nhost = "{values["host"]}"\nport = {values["web"]}\n'
        )
        arguments = ["countersight", "central", command, "--config", str(path)]
        monkeypatch.setattr(sys, "argv", arguments)
        assert countersight.main() == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        return line

    return run


def test_web_port_in_use(refused: Callable[..., str], taken: int) -> None:
    assert f"web.host, web.port 127.0.0.1:{taken}: Address already in use" in refused(web=taken)


def test_collector_port_in_use(refused: Callable[..., str], taken: int) -> None:
    endpoint = f"tcp://127.0.0.1:{taken}"
    line = refused(collector=endpoint)
    assert f"collector.endpoint {endpoint}: Address already in use" in line


def test_host_and_port_that_cannot_be(refused: Callable[..., str]) -> None:
    assert "collector.endpoint tcp://127.0.0.1:99999" in refused(collector="tcp://127.0.0.1:99999")
    assert "web.host, web.port 300.0.0.1" in refused(host="300.0.0.1")


def test_unknown_key(refused: Callable[..., str]) -> None:
    assert "storage.datum: unknown key 'datum'; allowed here: " in refused(extra="datum = 1")


@pytest.mark.parametrize("command", ["run", "migrate"])
def test_data_folder_that_is_a_file(
    refused: Callable[..., str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()
    assert f"storage.data {tmp_path / 'file'}" in refused(command, data=tmp_path / "file")


def test_disk_that_takes_no_key(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, content: bytes, *, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyfiles, "write_durably", full)
    assert f"storage.data {tmp_path / 'data'}: No space left on device" in refused()


def test_key_that_is_none(refused: Callable[..., str], tmp_path: Path) -> None:
    keys = tmp_path / "data" / "keys"
    keys.mkdir(parents=True, mode=0o700)
    (keys / "curve.key").touch(mode=0o600)
    (keys / "curve.key").write_bytes(b"\xffgarbage")
    assert "curve.key: not a CURVE key" in refused()


@pytest.mark.parametrize("command", ["run", "migrate"])
def test_file_that_is_no_database(
    refused: Callable[..., str], tmp_path: Path, command: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "central.sqlite3").write_bytes(b"not a database at all" * 100)
    line = refused(command)
    assert "storage.database sqlite:///" in line
    assert "file is not a database" in line


@pytest.mark.parametrize("command", ["run", "migrate", "check"])
@pytest.mark.parametrize("driver", ["postgresql+nonsense", "sqlite+nonsense"])
def test_database_without_its_driver(
    refused: Callable[..., str], tmp_path: Path, command: str, driver: str
) -> None:
    if command == "check":  # what is looked at before the database is there
        refused("run", extra=f'database = "{driver}://u:hunter2@host/name"')
    line = refused(command, extra=f'database = "{driver}://u:hunter2@host/name"')
    assert f"storage.database {driver}://u:***@host/name" in line
    assert "hunter2" not in line


def test_second_central_on_one_data_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "data" / "central.lock")
    try:
        assert f"central.lock: held by process {os.getpid()}" in refused()
    finally:
        lock.release()
