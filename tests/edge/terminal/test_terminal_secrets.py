"""Pairing codes, tokens, pharmacists' credentials and the listener's certificate."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edge.terminal import pairing, pharmacists
from edge.terminal.people import mask_name, person_ref
from edge.terminal.tls import ensure_certificate
from retention.passphrase import FAILURES
from retention.records.clock import ManualClock
from retention.records.errors import UsageError
from retention.store import credentials
from retention.store.database import NodeStore
from retention.terms.problems import Refusal


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.problem.code


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


# -- pairing --------------------------------------------------------------------------------------


def test_a_code_pairs_one_terminal_once(store: NodeStore, clock: ManualClock) -> None:
    code = pairing.new_code(store, "counter-1", clock)
    assert len(code) == 8
    assert code.isdigit()
    paired = pairing.pair(store, code, "till")
    assert pairing.terminal_of(store, paired.token) == (paired.terminal, "counter-1")
    assert pairing.terminal_of(store, paired.token + "x") is None
    assert refused(lambda: pairing.pair(store, code, "till")) == "PAIRING_REFUSED"


def test_a_code_used_by_many_at_once_pairs_one(store: NodeStore, clock: ManualClock) -> None:
    code = pairing.new_code(store, "counter-1", clock)

    def one(_: int) -> bool:
        try:
            pairing.pair(store, code, "till")
        except Refusal:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 1


def test_a_code_expires_after_ten_minutes(store: NodeStore, clock: ManualClock) -> None:
    code = pairing.new_code(store, "counter-1", clock)
    clock.advance(timedelta(minutes=10))
    assert refused(lambda: pairing.pair(store, code, "till")) == "PAIRING_REFUSED"


def test_five_wrong_tries_lock_every_waiting_code(store: NodeStore, clock: ManualClock) -> None:
    codes = [pairing.new_code(store, f"counter-{n}", clock) for n in range(2)]
    for _ in range(4):
        refused(lambda: pairing.pair(store, wrong(codes[0]), "till"))
    assert pairing.pair(store, codes[0], "till").counter == "counter-0"
    refused(lambda: pairing.pair(store, wrong(codes[0]), "till"))
    assert refused(lambda: pairing.pair(store, codes[1], "till")) == "PAIRING_REFUSED"
    with store.read() as connection:
        before = connection.total_changes
    for _ in range(20):  # whoever goes on costs no more writes
        refused(lambda: pairing.pair(store, wrong(codes[0]), "till"))
    with store.read() as connection:
        assert connection.total_changes == before
    fresh = pairing.new_code(store, "counter-1", clock)
    assert pairing.pair(store, fresh, "till").counter == "counter-1"


def test_a_new_code_replaces_the_counters_earlier_one(store: NodeStore, clock: ManualClock) -> None:
    old, new = (pairing.new_code(store, "counter-1", clock) for _ in range(2))
    assert old == new or refused(lambda: pairing.pair(store, old, "till")) == "PAIRING_REFUSED"
    assert pairing.pair(store, new, "till").counter == "counter-1"


def test_a_counter_that_records_could_not_carry_is_refused(
    store: NodeStore, clock: ManualClock
) -> None:
    with pytest.raises(UsageError, match="counter '柜台'"):
        pairing.new_code(store, "柜台", clock)


def test_neither_code_nor_token_lies_in_the_database(
    store: NodeStore, clock: ManualClock, tmp_path: Path
) -> None:
    code = pairing.new_code(store, "counter-1", clock)
    token = pairing.pair(store, code, "till").token
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("node.sqlite3*"))
    assert pairing.digest(token).encode() in kept
    assert code.encode() not in kept
    assert token.encode() not in kept


# -- pharmacists ----------------------------------------------------------------------------------


def test_a_pharmacist_is_known_by_the_secret_alone(store: NodeStore) -> None:
    pharmacists.add(store, "ph-3", "correct horse")
    pharmacists.check(store, "ph-3", "correct horse")
    assert refused(lambda: pharmacists.check(store, "ph-3", "Correct horse")) == (
        "PHARMACIST_REFUSED"
    )
    assert refused(lambda: pharmacists.check(store, "ph-4", "correct horse")) == (
        "PHARMACIST_REFUSED"
    )


def test_five_failures_lock_the_credential_for_five_minutes(
    store: NodeStore, clock: ManualClock
) -> None:
    pharmacists.add(store, "ph-3", "correct horse")
    for _ in range(5):
        refused(lambda: pharmacists.check(store, "ph-3", "wrong"))
    assert refused(lambda: pharmacists.check(store, "ph-3", "correct horse"))
    clock.advance(timedelta(minutes=5))
    pharmacists.check(store, "ph-3", "correct horse")


def test_failures_before_a_success_are_forgotten(store: NodeStore) -> None:
    pharmacists.add(store, "ph-3", "correct horse")
    for _ in range(2):
        for _ in range(4):
            refused(lambda: pharmacists.check(store, "ph-3", "wrong"))
        pharmacists.check(store, "ph-3", "correct horse")


def test_tries_made_together_do_not_pass_the_limit_together(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pharmacists.add(store, "ph-3", "correct horse")
    checked: list[str | None] = []

    def counting(stored: str | None, secret: str) -> bool:
        checked.append(stored)
        return False

    with store.read() as connection:
        real = connection.execute("SELECT secret_hash FROM pharmacists").fetchone()[0]
    monkeypatch.setattr(credentials, "matches", counting)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: refused(lambda: pharmacists.check(store, "ph-3", f"guess-{n}")),
                range(24),
            )
        )
    assert checked.count(real) == FAILURES


def test_adding_again_replaces_the_secret_and_unlocks(store: NodeStore) -> None:
    pharmacists.add(store, "ph-3", "correct horse")
    for _ in range(5):
        refused(lambda: pharmacists.check(store, "ph-3", "wrong"))
    pharmacists.add(store, "ph-3", "battery staple")
    pharmacists.check(store, "ph-3", "battery staple")


@pytest.mark.parametrize(("pharmacist", "secret"), [("ph 3", "long enough"), ("ph-3", "short")])
def test_a_bad_credential_is_refused_with_one_line(
    store: NodeStore, pharmacist: str, secret: str
) -> None:
    with pytest.raises(UsageError) as caught:
        pharmacists.add(store, pharmacist, secret)
    assert "\n" not in str(caught.value)
    assert secret not in str(caught.value)


# -- people ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("张三", "张*"),
        ("张小三", "张*三"),
        ("欧阳娜娜", "欧**娜"),
        ("李", "李*"),
        ("John Smith", "J*** S****"),
        ("Li", "L*"),
        ("Muhammad", "M*******"),
        ("买买提·艾合买提", "买******提"),
        ("  张三  ", "张*"),
        ("张 三", "张*"),
        ("张\u3000三", "张*"),
        ("欧阳 娜娜", "欧**娜"),
        ("J D", "J* D*"),
        ("José García", "J********a"),
    ],
)
def test_a_name_is_masked(name: str, masked: str) -> None:
    assert mask_name(name) == masked


def test_a_person_ref_depends_on_key_type_and_number() -> None:
    refs = {
        person_ref(key, kind, number)
        for key in (b"a" * 32, b"b" * 32)
        for kind in ("01", "02")
        for number in ("123456", "1234567")
    }
    assert len(refs) == 8
    assert person_ref(b"a", "02", "12345x") == person_ref(b"a", "02", "12345X")
    assert person_ref(b"a", "01", "abcdef") != person_ref(b"a", "01", "ABCDEF")


# -- the certificate ------------------------------------------------------------------------------


def test_the_certificate_is_made_once_and_again_for_another_host(tmp_path: Path) -> None:
    made = ensure_certificate(tmp_path / "tls", "192.0.2.7")
    assert made.key.stat().st_mode & 0o777 == 0o600
    assert len(made.fingerprint.split(":")) == 32
    assert ensure_certificate(tmp_path / "tls", "192.0.2.7") == made
    other = ensure_certificate(tmp_path / "tls", "till.example")
    assert other.fingerprint != made.fingerprint
    found = x509.load_pem_x509_certificate(other.certificate.read_bytes())
    assert found.not_valid_before_utc.year == 2025
    assert found.not_valid_after_utc.year == 9999


@pytest.mark.parametrize("file", ["terminal.crt", "terminal.key"])
def test_a_damaged_certificate_is_one_clear_line_and_not_silently_another(
    tmp_path: Path, file: str
) -> None:
    made = ensure_certificate(tmp_path / "tls", "192.0.2.7")
    other = ensure_certificate(tmp_path / "other", "192.0.2.7")
    damaged = tmp_path / "tls" / file
    for content in (b"", b"-----BEGIN", (other.key.parent / file).read_bytes()):
        damaged.write_bytes(content)
        with pytest.raises(UsageError, match=r"tls.*remove both") as caught:
            ensure_certificate(tmp_path / "tls", "192.0.2.7")
        assert "\n" not in str(caught.value)
    damaged.unlink()
    again = ensure_certificate(tmp_path / "tls", "192.0.2.7")
    assert again.fingerprint != made.fingerprint


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(UsageError, match="tls"):
        ensure_certificate(tmp_path / "tls", "127.0.0.1")
