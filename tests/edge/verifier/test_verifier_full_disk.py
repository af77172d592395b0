"""On a disk that is really full nothing half-written counts, and nobody is accepted unrecorded."""

from __future__ import annotations

from pathlib import Path

from edge.verifier.protocol import Decided, Enrol, Enrolled, EnrolmentRefused
from retention import probe_files
from retention.records.clock import ManualClock
from retention.records.fields import Frozen
from retention.records.ids import SeededIds
from retention.records.payloads import NodeStopped
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.log import append
from tests.edge.counter_kit import config_for
from tests.edge.verifier.kit import CONSENT, COUNTER, PERSON, Bench, picture, request
from tests.small_disk import fill_up, run_on_a_disk

ROOM_FOR_RECORDS = 96 * 1024


def test_a_full_disk_accepts_and_enrols_nobody_and_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    function = "tests.edge.verifier.test_verifier_full_disk:decide_on_a_disk"
    assert "as it should be" in run_on_a_disk(tmp_path, 8 * 2**20, function)


def decide_on_a_disk(disk: Path) -> None:
    """Verify and enrol with room, with room for records only, with none, and with room again."""
    config, clock = config_for(disk), ManualClock()
    store = NodeStore(disk / "node.sqlite3", config.identity, clock, SeededIds())
    bench = Bench(config, store, clock)
    bench.enrolled()
    assert outcome(bench) == ("ACCEPT", "MATCH")
    fill_up(disk, leaving=ROOM_FOR_RECORDS)
    known = kept(bench)
    assert outcome(bench) == ("REFER", "STORAGE_UNAVAILABLE")
    assert kept(bench) == known
    assert len(bench.records("identity.decided")) == 2

    fill_up(disk)
    fill_the_log(store)
    for answer in (verify(bench), enrol(bench)):
        assert isinstance(answer, EnrolmentRefused), answer
        assert answer.code == "STORAGE_UNAVAILABLE"
    assert kept(bench) == known
    assert len(bench.records("identity.decided")) == 2

    (disk / "filler").unlink()
    assert outcome(bench) == ("ACCEPT", "MATCH")
    assert isinstance(enrol(bench), Enrolled)
    names, receipts, references = kept(bench)
    assert (names, references) == (receipts, 2)
    assert len(names) == len(known[0]) + 1
    with store.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    print("as it should be")


def verify(bench: Bench) -> Frozen:
    return bench.ask(request(session=bench.store.ids.new()).model_dump_json().encode())


def outcome(bench: Bench) -> tuple[str, str]:
    answer = verify(bench)
    assert isinstance(answer, Decided), answer
    receipt = answer.decided.receipt
    return receipt.outcome, receipt.reasons[0]


def enrol(bench: Bench) -> Frozen:
    asked = Enrol(person_ref=PERSON, consent=CONSENT, counter=COUNTER, source="card")
    return bench.ask(asked.model_dump_json().encode(), picture())


def kept(bench: Bench) -> tuple[list[str], list[str], int]:
    """Return the sealed files, half-written ones too, the rows of probes, and how many references
    there are."""
    names = sorted(probe_files.names_in(probe_files.folder_of_store(bench.store)))
    with bench.store.read() as connection:
        receipts = [row[0] for row in connection.execute("SELECT receipt FROM probes ORDER BY 1")]
        (references,) = connection.execute("SELECT count(*) FROM reference_templates").fetchone()
    return names, receipts, references


def fill_the_log(store: NodeStore) -> None:
    """The write-ahead log has room of its own from before: use it up."""
    while True:
        try:
            with store.write() as connection:
                for _ in range(20):
                    append(store, connection, NodeStopped(reason="x" * 60))
        except StoreUnavailable:
            return
