"""A new key: everything opens under one key or the other, whatever happens on the way."""

from __future__ import annotations

import importlib
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from edge import rotation
from edge.cli import main
from edge.config import EdgeConfig
from edge.rotation import Rotated, rotate
from edge.verifier import references
from edge.verifier.references import find_reference, row_of
from retention.durable import FileLock
from retention.keysources import ReferenceKeys
from retention.records.clock import ManualClock
from retention.records.ids import ConsentId, ReferenceId, SeededIds
from retention.store import people
from retention.store.database import NodeStore
from retention.store.log import all_records
from tests.edge.counter_kit import Said
from tests.edge.verifier.kit import COUNTER
from tests.identity import support
from tests.identity.support import unit_vector
from tests.retention.probes_kit import EVIDENCE, give_consent, keep_probe, open_probe, rows

PEOPLE = [f"{number:064x}" for number in range(1, 6)]


@pytest.fixture
def reference_keys(config: EdgeConfig) -> ReferenceKeys:
    return config.reference_keys()


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ROWS_AT_ONCE", 2)


@pytest.fixture
def filled(store: NodeStore, reference_keys: ReferenceKeys) -> NodeStore:
    """Five people with a reference each, and three probes."""
    for number, person in enumerate(PEOPLE):
        enrol(store, reference_keys, person, number)
    for person in PEOPLE[:3]:
        keep_probe(store, person)
    return store


def enrol(store: NodeStore, keys: ReferenceKeys, person: str, number: int) -> None:
    made = support.reference(
        unit_vector(number),
        reference_id=ReferenceId(store.ids.new()),
        person_ref=person,
        consent_id=ConsentId(give_consent(store, person)),
    )
    with store.write() as connection:
        row = row_of(made, keys, store.clock.now())
        people.insert_reference(store, connection, row, counter=COUNTER)


def everything_opens(store: NodeStore, keys: ReferenceKeys) -> None:
    for number, person in enumerate(PEOPLE):
        found = find_reference(store, keys, person)
        assert found is not None
        assert found.embedding.tolist() == unit_vector(number).tolist()
    for receipt in rows(store):
        assert open_probe(store, receipt) == EVIDENCE


def under(store: NodeStore) -> set[str]:
    with store.read() as connection:
        found = connection.execute(
            "SELECT key_id FROM reference_templates UNION SELECT key_id FROM probes"
        )
        return {row["key_id"] for row in found}


def said(store: NodeStore) -> list[dict[str, object]]:
    with store.read() as connection:
        found = [one.parse() for one in all_records(connection) if one.kind == "references.rekeyed"]
    return [one.payload for one in found]


def silent(_: Rotated) -> None:
    pass


def test_everything_comes_under_the_new_key_and_the_old_one_is_destroyed(
    filled: NodeStore, reference_keys: ReferenceKeys
) -> None:
    old = reference_keys.newest()
    seen: list[tuple[int, int]] = []
    done = rotate(filled, reference_keys, lambda at: seen.append((at.references, at.probes)))
    assert done.complete
    assert (done.references, done.probes, done.removed) == (5, 3, [old.key_id])
    assert seen == [(2, 0), (4, 0), (5, 0), (5, 2), (5, 3)]
    assert under(filled) == {done.key_id} == {reference_keys.newest().key_id}
    assert [key.key_id for key in reference_keys.all()] == [done.key_id]
    everything_opens(filled, reference_keys)
    assert [(one["references"], one["remaining"]) for one in said(filled)] == [
        (2, 3), (2, 1), (1, 0),
    ]  # fmt: skip


def test_a_second_rotation_makes_a_third_key(
    filled: NodeStore, reference_keys: ReferenceKeys
) -> None:
    first = rotate(filled, reference_keys, silent)
    second = rotate(filled, reference_keys, silent)
    assert second.removed == [first.key_id]
    everything_opens(filled, reference_keys)


def test_what_an_old_key_sealed_opens_while_it_is_there_and_is_none_afterwards(
    filled: NodeStore,
    reference_keys: ReferenceKeys,
    config: EdgeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = reference_keys.newest()
    reference_keys.begin_rotation()
    everything_opens(filled, reference_keys)
    (config.keys().path / "reference.key").unlink()
    log = Said()
    monkeypatch.setattr(references, "log", log)
    assert find_reference(filled, reference_keys, PEOPLE[0]) is None
    (line,) = log
    assert (line["event"], line["key_id"]) == ("reference_unreadable", old.key_id)
    assert PEOPLE[0] not in str(line)


def test_a_rotation_keeps_a_key_that_rows_still_need(
    filled: NodeStore, reference_keys: ReferenceKeys
) -> None:
    """A damaged row is not ours to lose for good."""
    old = reference_keys.newest()
    with filled.write() as connection:
        connection.execute(
            "UPDATE reference_templates SET sealed = ? WHERE person_ref = ?",
            (bytes(528), PEOPLE[0]),
        )
    done = rotate(filled, reference_keys, silent)
    assert not done.complete
    assert (done.damaged, done.kept, done.removed) == (1, [old.key_id], [])
    assert (done.references, done.probes) == (4, 3)
    assert reference_keys.by_id(old.key_id) == old


def test_a_row_that_never_opens_does_not_end_all_further_rotations(
    filled: NodeStore, reference_keys: ReferenceKeys
) -> None:
    first = reference_keys.newest()
    with filled.write() as connection:
        connection.execute(
            "UPDATE reference_templates SET sealed = zeroblob(528) WHERE person_ref = ?",
            (PEOPLE[0],),
        )
    second = rotate(filled, reference_keys, silent)
    third = rotate(filled, reference_keys, silent)
    assert (third.references, third.probes, third.damaged) == (4, 3, 1)
    assert (third.removed, third.kept) == ([second.key_id], [first.key_id])
    assert reference_keys.newest().key_id == third.key_id
    assert under(filled) == {first.key_id, third.key_id}


def test_rows_whose_key_is_lost_stay_and_are_told(
    filled: NodeStore, reference_keys: ReferenceKeys, config: EdgeConfig
) -> None:
    (config.keys().path / "reference.key").unlink()
    done = rotate(filled, reference_keys, silent)
    assert (done.key_missing, done.references, done.probes) == (8, 0, 0)
    assert not done.complete
    assert said(filled) == []


# -- beside a running node ------------------------------------------------------------------------


def test_what_is_made_while_it_runs_comes_under_the_new_key(
    filled: NodeStore, reference_keys: ReferenceKeys
) -> None:
    """Each step of the rotation is followed by an enrolment and a decision."""
    extra: list[str] = []

    def beside(_: Rotated) -> None:
        person = f"{100 + len(extra):064x}"
        enrol(filled, reference_keys, person, 7)
        extra.append(person)
        keep_probe(filled, person)
        everything_opens(filled, reference_keys)

    done = rotate(filled, reference_keys, beside)
    assert done.complete
    assert under(filled) == {done.key_id}
    for person in extra:
        assert find_reference(filled, reference_keys, person) is not None


class Late:
    """Keys of which a rotation takes the old one away just as they are asked for, so often."""

    def __init__(self, store: NodeStore, keys: ReferenceKeys, times: int) -> None:
        self.store, self.keys, self.left = store, keys, times

    def __getattr__(self, name: str) -> object:
        return getattr(self.keys, name)

    def by_id(self, key_id: str) -> object:
        if self.left:
            self.left -= 1
            rotate(self.store, self.keys, silent)
        return self.keys.by_id(key_id)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_key_taken_away_between_row_and_opening_is_looked_for_again(
    filled: NodeStore, reference_keys: ReferenceKeys, times: int
) -> None:
    late = Late(filled, reference_keys, times)
    assert find_reference(filled, late, PEOPLE[0]) is not None  # type: ignore[arg-type]
    assert late.left == 0


# -- killed on the way ----------------------------------------------------------------------------

POINTS = (
    ("retention.store.rekeying", "reseal"),
    ("retention.store.rekeying", "record_rekeyed"),
    ("retention.store.probes", "rewrap"),
    ("retention.store.people", "fold_wal"),
    ("retention.keyfiles", "write_durably"),
    ("retention.keyfiles", "rename_durably"),
    ("retention.keyfiles", "fsync_directory"),
    ("os", "link"),
    ("os", "unlink"),
    ("os", "fsync"),
)


PLACES = [
    *((module, name, 1, after) for module, name in POINTS for after in (False, True)),
    *((module, name, 3, False) for module, name in POINTS[:3]),
]


@pytest.mark.parametrize(("module", "name", "call", "after"), PLACES)
def test_a_kill_anywhere_loses_nothing_and_the_next_run_goes_on(
    filled: NodeStore,
    reference_keys: ReferenceKeys,
    config: EdgeConfig,
    module: str,
    name: str,
    call: int,
    after: bool,
) -> None:
    old = reference_keys.newest()
    died = _rotate_and_die(config, module, name, call, after)
    assert died or call > 1
    everything_opens(filled, reference_keys)
    done = rotate(filled, reference_keys, silent)
    assert done.complete
    assert under(filled) == {done.key_id} != {old.key_id}
    assert reference_keys.by_id(old.key_id) is None
    left = sorted(path.name for path in config.keys().path.iterdir() if "reference" in path.name)
    assert len([one for one in left if one.endswith(".key")]) == 1
    assert not [one for one in left if one.endswith(".gone")]
    everything_opens(filled, reference_keys)


def _rotate_and_die(config: EdgeConfig, module: str, name: str, call: int, after: bool) -> bool:
    """Rotate in a child that is killed at a call, before or after it was done; True: it died."""
    pid = os.fork()
    if pid != 0:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    place = importlib.import_module(module)
    original, seen = getattr(place, name), 0

    def deadly(*args: object, **named: object) -> object:
        nonlocal seen
        seen += 1
        if seen == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = original(*args, **named)
        if seen == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(place, name, deadly)
    try:
        # A connection does not survive a fork: the child opens its own.
        own = NodeStore(
            config.node.data / "node.sqlite3", config.identity, ManualClock(), SeededIds(5)
        )
        rotate(own, config.reference_keys(), silent)
    finally:
        os._exit(0)


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def file(config: EdgeConfig, tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    node = config.node
    path.write_text(
        f'[node]\nagency = "{node.agency}"\npharmacy = "{node.pharmacy}"\nnode = "{node.node}"\n'
        f'data = "{node.data}"\n[[cameras]]\nid = "till"\nscene_role = "purchase"\n'
        'url = "rtsp://127.0.0.1:1/stream"\n[verification]\ncamera = "till"\n'
    )
    return path


def command(file: Path, *more: str) -> int:
    return main(["rotate-key", "reference", "--config", str(file), *more])


def test_the_command_rotates_and_tells_as_json(
    filled: NodeStore,
    reference_keys: ReferenceKeys,
    file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = reference_keys.newest()
    assert command(file, "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (told["references"], told["probes"], told["removed"]) == (5, 3, [old.key_id])
    assert told["complete"] is True
    assert "references 5" in err
    everything_opens(filled, reference_keys)


def test_the_command_says_1_when_something_stays_behind(
    filled: NodeStore, config: EdgeConfig, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.keys().path / "reference.key").unlink()
    assert command(file) == 1
    assert "密钥已丢失" in capsys.readouterr().out


def test_only_one_rotation_runs_at_a_time(
    filled: NodeStore, config: EdgeConfig, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = FileLock(config.node.data / "run" / "rotate-key.lock")
    try:
        assert command(file) == 2
    finally:
        lock.release()
    assert "only one may run" in capsys.readouterr().err


def test_a_source_without_a_second_key_is_one_line_that_says_what_to_do(
    filled: NodeStore,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file.write_text(file.read_text() + 'reference_key = "credential"\n')
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "countersight-reference").write_bytes(b"k" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert command(file) == 2
    assert "countersight-reference-2" in capsys.readouterr().err
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert command(file) == 2
    assert "without systemd credentials" in capsys.readouterr().err


def test_a_credential_is_left_to_its_owner(
    store: NodeStore, config: EdgeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "countersight-reference").write_bytes(b"k" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    verification = config.verification.model_copy(update={"reference_key": "credential"})
    keys = config.model_copy(update={"verification": verification}).reference_keys()
    for number, person in enumerate(PEOPLE):
        enrol(store, keys, person, number)
    old = keys.newest()
    (folder / "countersight-reference-2").write_bytes(b"n" * 32)
    done = rotate(store, keys, silent)
    assert done.complete
    assert (done.removed, done.to_take_away) == ([], [old.key_id])
    everything_opens(store, keys)
    (folder / "countersight-reference").unlink()
    everything_opens(store, keys)


def test_what_opens_again_is_bit_for_bit_the_same_reference(
    filled: NodeStore, reference_keys: ReferenceKeys
) -> None:
    before = [find_reference(filled, reference_keys, person) for person in PEOPLE]
    rotate(filled, reference_keys, silent)
    for person, one in zip(PEOPLE, before, strict=True):
        found = find_reference(filled, reference_keys, person)
        assert found is not None
        assert one is not None
        assert found.terms == replace(one.terms)
        assert found.embedding.tobytes() == one.embedding.tobytes()
