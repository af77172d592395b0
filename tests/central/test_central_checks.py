"""`central check` finds what was changed by hand, and changes nothing itself."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from central.checks import check
from central.config import CentralConfig
from central.database import Database, head
from central.errors import CheckFailed, DatabaseOutdated, DatabaseUnavailable
from central.keys import admin_token_sha256, load_keys
from retention.keyfiles import KeyRefused
from retention.records.merkle import leaf_hash
from tests.central.wirekit import settle
from tests.edge.commands.test_commands_footage import Stack


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a central that holds records, checkpoints and footage."""
    folder = tmp_path_factory.mktemp("whole")
    stack = Stack(folder)
    stack.run(stack.take(stack.command()))
    stack.node.append(3)
    stack.node.log.make_checkpoint_if_grown()
    settle(stack.node, stack.central, start=5e6)
    data = folder / "data"
    (data / "keys").mkdir(parents=True, mode=0o700)
    (data / "keys" / "signing.key").touch(mode=0o600)
    (data / "keys" / "signing.key").write_bytes(bytes([2]) * 32)  # CENTRAL_SIGNER
    config = config_of(data)
    load_keys(config)
    admin_token_sha256(config)
    (data / "central.sqlite3").write_bytes(stack.central.snapshot())
    change(data, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    change(data, f"INSERT INTO alembic_version VALUES ('{head()}')")  # noqa: S608 - our own name
    shutil.copytree(stack.central.root / "received", data / "footage")
    stack.close()
    return data


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "data"))


def config_of(data: Path) -> CentralConfig:
    return CentralConfig.model_validate({"storage": {"data": str(data)}})


def change(data: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(data / "central.sqlite3")
    connection.create_function("leaf_hash", 1, leaf_hash)
    connection.create_function("reverse", 1, lambda text: text[::-1])
    with connection:
        connection.execute(statement, values)
    connection.close()


def test_whole_central_holds(data: Path) -> None:
    found = check(config_of(data))
    assert found == {"nodes": 1, "records": 4, "checkpoints": 2, "segments": 2}


TAMPERING = {
    "a body edited": "UPDATE records SET body = replace(body, 'r1', 'r9') WHERE sent_sequence = 2",
    "a body edited and its leaf with it": (
        "UPDATE records SET body = cast(replace(body, 'r1', 'r9') AS BLOB),"
        " leaf = leaf_hash(cast(replace(body, 'r1', 'r9') AS BLOB)) WHERE sent_sequence = 2"
    ),
    "a leaf edited": "UPDATE records SET leaf = zeroblob(32) WHERE sent_sequence = 1",
    "a body that is no record": (
        "UPDATE records SET body = X'7B7D', leaf = leaf_hash(X'7B7D') WHERE sent_sequence = 1"
    ),
    "a kind edited": "UPDATE records SET kind = 'x' WHERE sent_sequence = 1",
    "a moment edited": "UPDATE records SET occurred_at = 1 WHERE sent_sequence = 1",
    "a pharmacy edited": "UPDATE records SET pharmacy = 'P9' WHERE sent_sequence = 1",
    "a sequence edited": "UPDATE records SET sequence = 99 WHERE sent_sequence = 3",
    "a record in the middle deleted": "DELETE FROM records WHERE sent_sequence = 1",
    "the last record deleted": "DELETE FROM records WHERE sent_sequence = 3",
    "a checkpoint deleted": "DELETE FROM checkpoints WHERE previous_size = 0",
    "the last checkpoint deleted": "DELETE FROM checkpoints WHERE previous_size > 0",
    "a checkpoint's size edited": "UPDATE checkpoints SET tree_size = 99 WHERE previous_size > 0",
    "a checkpoint's count edited": "UPDATE checkpoints SET sent_count = 9 WHERE previous_size > 0",
    "a checkpoint's root edited": "UPDATE checkpoints SET root_hash = zeroblob(32)",
    "a checkpoint's pharmacy edited": "UPDATE checkpoints SET pharmacy = 'P9'",
    "a checkpoint's moment edited": "UPDATE checkpoints SET seen_at = seen_at + 1",
    "a checkpoint's leaves edited": "UPDATE checkpoints SET leaves = zeroblob(length(leaves))",
    "a checkpoint's leaves cut": "UPDATE checkpoints SET leaves = X'00'",
    "a checkpoint's body edited": (
        "UPDATE checkpoints SET body = replace(body, 'sent_count\":', 'sent_count\":1')"
    ),
    "a checkpoint's body gone": "UPDATE checkpoints SET body = X'7B7D'",
    "a countersignature edited": (
        "UPDATE checkpoints SET countersigned = replace(countersigned, 'seen_at\":\"2', "
        "'seen_at\":\"1')"
    ),
    "a node's tree edited": "UPDATE nodes SET tree_size = 0, frontier = X''",
    "a node's key edited": "UPDATE nodes SET signing_key = reverse(signing_key)",
    "a node's key no key": "UPDATE nodes SET signing_key = 'x'",
    "a segment's digest edited": "UPDATE footage SET file_sha256 = reverse(file_sha256)",
    "a segment's camera edited": "UPDATE footage SET camera = 'other'",
    "a segment's record edited": "UPDATE footage SET record = replace(record, 'h264', 'hevc')",
    "a segment's proof edited": "UPDATE footage SET proof = X''",
    "a segment's tree edited": "UPDATE footage SET tree_size = 1",
    "a segment's path edited": "UPDATE footage SET path = '../central.sqlite3'",
}


@pytest.mark.parametrize("statement", TAMPERING.values(), ids=TAMPERING)
def test_row_changed_by_hand_is_found(data: Path, statement: str) -> None:
    change(data, statement)
    with pytest.raises(CheckFailed, match="node node-a: "):
        check(config_of(data))


def test_last_record_taken_out_with_the_counts_is_found(data: Path) -> None:
    change(data, "DELETE FROM records WHERE sent_sequence = 3")
    change(data, "UPDATE nodes SET expected_sent = 3, last_sequence = last_sequence - 1")
    with pytest.raises(CheckFailed, match=r"counts 4 sent records"):
        check(config_of(data))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "unlink", "cut"]
)
def test_received_file_edited_or_missing_is_found(data: Path, harm: Callable[[Path], None]) -> None:
    first = sorted((data / "footage" / "node-a").iterdir())[0]
    harm(first)
    with pytest.raises(CheckFailed, match=first.stem):
        check(config_of(data))


@pytest.mark.parametrize(
    ("name", "mode"),
    [("keys/signing.key", 0o640), ("keys/curve.key", 0o604), ("keys/admin-sha256.key", 0o644),
     ("keys", 0o755), ("admin.token", 0o644)],
)  # fmt: skip
def test_key_that_others_may_read_is_named(data: Path, name: str, mode: int) -> None:
    (data / name).chmod(mode)
    with pytest.raises(KeyRefused, match=f"{name}: mode {mode:04o}"):
        check(config_of(data))


def test_schema_that_is_not_at_head_is_named(data: Path) -> None:
    change(data, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(DatabaseOutdated, match="0000"):
        check(config_of(data))


def test_checking_a_folder_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    config = config_of(tmp_path / "elsewhere")
    with pytest.raises(KeyRefused, match="keys: No such file"):
        check(config)
    assert not (tmp_path / "elsewhere").exists()


def test_missing_database_is_named_and_not_made(data: Path) -> None:
    (data / "central.sqlite3").unlink()
    with pytest.raises(DatabaseUnavailable, match="no such database"):
        check(config_of(data))
    assert not (data / "central.sqlite3").exists()


def test_file_that_is_no_database_is_unavailable(data: Path) -> None:
    (data / "central.sqlite3").write_bytes(b"not a database at all" * 100)
    with pytest.raises(DatabaseUnavailable, match="not a database"):
        check(config_of(data))


def test_password_of_a_database_is_never_shown() -> None:
    with pytest.raises(Exception, match=r"storage\.database") as caught:
        Database("postgresql+nonsense://user:hunter2@host/name")
    assert "hunter2" not in str(caught.value)
