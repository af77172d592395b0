"""Where the reference key comes from, and how it gives way to a newer one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retention import keyfiles
from retention.keyfiles import KeyDirectory, KeyRefused
from retention.keysources import FileKeys, ReferenceKeys, reference_keys
from tests.dying import die_at


@pytest.fixture
def directory(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "keys")


@pytest.fixture
def files(directory: KeyDirectory) -> ReferenceKeys:
    return reference_keys("file", directory)


def names(directory: KeyDirectory) -> list[str]:
    return sorted(path.name for path in directory.path.iterdir())


def test_asking_for_all_keys_makes_none(files: ReferenceKeys, directory: KeyDirectory) -> None:
    assert files.all() == ()
    assert names(directory) == []
    first = files.newest()
    assert files.all() == (first,)
    assert files.by_id(first.key_id) == first
    assert files.by_id("0" * 16) is None


def test_the_highest_number_is_the_newest_also_beyond_ten(
    files: ReferenceKeys, directory: KeyDirectory
) -> None:
    made = [files.newest(), *(directory.add_generation("reference") for _ in range(11))]
    assert names(directory)[:2] == ["reference-10.key", "reference-11.key"]
    assert files.newest() == made[-1]
    assert files.all() == tuple(made)
    assert directory.secret("reference") == made[-1].secret


def test_other_keys_and_stray_files_are_no_generations(
    files: ReferenceKeys, directory: KeyDirectory
) -> None:
    only = files.newest()
    directory.secret("reference-like")
    (directory.path / "reference-01.key").write_bytes(bytes(32))
    (directory.path / "reference-1.key").write_bytes(bytes(32))
    assert files.all() == (only,)


def test_a_rotation_begins_once_and_goes_on(files: ReferenceKeys) -> None:
    old = files.newest()
    new = files.begin_rotation()
    assert new != old
    assert files.begin_rotation() == new
    assert files.remove(old.key_id)
    assert files.all() == (new,)


def test_the_newest_key_is_never_removed(files: ReferenceKeys) -> None:
    newest = files.newest()
    files.remove(newest.key_id)
    assert files.all() == (newest,)


def test_a_removed_key_is_overwritten_before_its_name_goes(
    files: ReferenceKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = files.newest(), files.begin_rotation()
    last: list[bytes] = []
    unlink = Path.unlink

    def seen(path: Path, missing_ok: bool = False) -> None:
        last.append(path.read_bytes())
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", seen)
    files.remove(old.key_id)
    assert last == [bytes(32)]
    assert names(directory) == ["reference-2.key"]


@pytest.mark.parametrize("step", range(1, 7))
def test_a_kill_while_removing_never_leaves_zeros_for_a_key(
    files: ReferenceKeys, directory: KeyDirectory, step: int
) -> None:
    old, new = files.newest(), files.begin_rotation()
    calls = ("rename", "fsync", "write", "close", "unlink")
    died = die_at(step, calls, lambda: directory.remove("reference", old.key_id))
    assert died or step > 5
    assert files.all() in ((old, new), (new,))
    assert files.newest() == new
    directory.finish_removals("reference")
    files.remove(old.key_id)
    assert names(directory) == ["reference-2.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(
    files: ReferenceKeys, directory: KeyDirectory, mode: int
) -> None:
    files.newest()
    (directory.path / "reference.key").chmod(mode)
    for ask in (files.newest, files.all):
        with pytest.raises(KeyRefused, match="allowed is 0600"):
            ask()


@pytest.mark.parametrize("content", [b"", b"short", bytes(33)])
def test_a_key_of_another_length_is_refused(
    files: ReferenceKeys, directory: KeyDirectory, content: bytes
) -> None:
    path = directory.path / "reference.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyRefused, match="a key has 32"):
        files.newest()


def test_a_key_does_not_show_its_secret(files: ReferenceKeys) -> None:
    assert files.newest().secret.hex() not in repr(files.newest())
    assert repr(files.newest().secret) not in repr(files.newest())


# -- systemd credentials --------------------------------------------------------------------------


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return folder


def credential_keys(directory: KeyDirectory, folder: Path) -> ReferenceKeys:
    return reference_keys(
        "credential", directory, environment={"CREDENTIALS_DIRECTORY": str(folder)}
    )


def test_a_credential_is_used_and_no_file_is_made(
    directory: KeyDirectory, credentials: Path
) -> None:
    (credentials / "countersight-reference").write_bytes(b"k" * 32)
    keys = credential_keys(directory, credentials)
    assert keys.newest().secret == b"k" * 32
    assert keys.by_id(keys.newest().key_id) == keys.newest()
    assert names(directory) == []


def test_without_credentials_nothing_is_made_in_their_place(
    directory: KeyDirectory, credentials: Path
) -> None:
    with pytest.raises(KeyRefused, match="without systemd credentials"):
        reference_keys("credential", directory, environment={})
    with pytest.raises(KeyRefused, match="no such credential"):
        credential_keys(directory, credentials).newest()
    (credentials / "countersight-reference").write_bytes(b"k" * 31)
    with pytest.raises(KeyRefused, match="a key has 32"):
        credential_keys(directory, credentials).newest()
    assert names(directory) == []


def test_a_credential_rotates_to_one_that_was_provided_and_is_taken_away_by_its_owner(
    directory: KeyDirectory, credentials: Path
) -> None:
    (credentials / "countersight-reference").write_bytes(b"k" * 32)
    keys = credential_keys(directory, credentials)
    with pytest.raises(KeyRefused, match="countersight-reference-2"):
        keys.begin_rotation()
    (credentials / "countersight-reference-2").write_bytes(b"n" * 32)
    old = keys.all()[0]
    assert keys.begin_rotation().secret == b"n" * 32
    assert not keys.remove(old.key_id)
    assert keys.by_id(old.key_id) == old


# -- a TPM ----------------------------------------------------------------------------------------


def test_where_there_is_no_tpm_it_is_refused_with_a_way_out(directory: KeyDirectory) -> None:
    with pytest.raises(KeyRefused, match="no TPM driver; use 'credential'"):
        reference_keys("tpm", directory)


class Slots:
    def __init__(self, *held: bytes) -> None:
        self.held = held

    def unseal(self) -> tuple[bytes, ...]:
        return self.held


def test_a_tpm_slot_gives_the_key(directory: KeyDirectory) -> None:
    keys = reference_keys("tpm", directory, tpm=Slots(b"a" * 32, b"b" * 32))
    assert [key.secret for key in keys.all()] == [b"a" * 32, b"b" * 32]
    assert keys.begin_rotation() == keys.newest()
    assert keys.by_id(keys.all()[0].key_id) == keys.all()[0]
    for slots in (Slots(), Slots(b"short")):
        with pytest.raises(KeyRefused, match="does not hold a key"):
            reference_keys("tpm", directory, tpm=slots).newest()


def test_two_processes_that_make_the_first_key_get_the_same(directory: KeyDirectory) -> None:
    made = FileKeys(directory).newest()
    directory._create(directory.path / "reference.key", os.urandom(32))
    assert FileKeys(directory).newest() == made


def test_a_key_that_is_removed_while_keys_are_listed_is_none(
    files: ReferenceKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation beside a running node: nobody is told that a key cannot be read."""
    old, new = files.newest(), files.begin_rotation()
    read = Path.read_bytes

    def late(path: Path) -> bytes:
        if path.name == "reference.key":
            monkeypatch.undo()
            files.remove(old.key_id)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", late)
    assert files.by_id(old.key_id) is None
    assert files.all() == (new,)


@pytest.mark.parametrize("first", [True, False])
def test_the_name_of_a_new_key_is_on_the_disk_before_anything_is_sealed_by_it(
    files: ReferenceKeys, directory: KeyDirectory, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    if not first:
        files.newest()
    synced: list[str] = []
    sync = keyfiles.fsync_directory

    def noted(path: Path) -> None:
        sync(path)
        synced[:] = names(directory)

    monkeypatch.setattr(keyfiles, "fsync_directory", noted)
    _ = files.newest() if first else files.begin_rotation()
    assert synced == names(directory) != []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_key_that_root_makes_can_be_read_by_the_node(
    files: ReferenceKeys, directory: KeyDirectory
) -> None:
    """`rotate-key` under sudo; the node runs as somebody else, who owns the folder."""
    os.chown(directory.path, 4321, 4322)
    files.newest()
    files.begin_rotation()
    found = [path.stat() for path in directory.path.iterdir()]
    assert [(one.st_uid, one.st_gid, one.st_mode & 0o777) for one in found] == [
        (4321, 4322, 0o600)
    ] * 2
