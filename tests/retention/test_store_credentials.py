"""What pharmacists' and inspectors' credentials share."""

from __future__ import annotations

from datetime import timedelta

import pytest

from retention.passphrase import FAILURES
from retention.records.errors import UsageError
from retention.store import credentials

SECRET = "correct horse"


@pytest.fixture(params=["pharmacists", "inspectors"])
def role(request) -> credentials.Role:
    return request.param


def revoke(node, role, name: str = "one") -> bool:
    with node.store.write() as connection:
        return credentials.revoke(node.store, connection, role, name)


def stands(node, checked) -> bool:
    with node.store.read() as connection:
        return credentials.stands(connection, checked)


def listed(node, role):
    with node.store.read() as connection:
        return credentials.listed(connection, role)


def test_added_and_revoked_are_records_of_the_nodes_operator(node, role):
    credentials.add(node.store, role, "one", SECRET)
    assert revoke(node, role)
    assert not revoke(node, role)
    assert not revoke(node, role, "nobody")
    said = [
        (one["actor"], one["action"], one["subject"], one["reason"])
        for one in node.payloads("access.recorded")
    ]
    word = role[:-1]
    assert said == [
        ("node operator", f"{word}.{done}", "one", f"edge {word}") for done in ("added", "revoked")
    ]


def test_a_bad_secret_leaves_neither_a_credential_nor_a_record(node, role):
    with pytest.raises(UsageError):
        credentials.add(node.store, role, "one", "short")
    assert listed(node, role) == []
    assert node.payloads("access.recorded") == []


def test_the_list_says_since_when_each_stands_and_when_it_was_revoked(node, role, machine):
    first = machine.now()
    credentials.add(node.store, role, "one", SECRET)
    machine.advance(timedelta(days=1))
    credentials.add(node.store, role, "one", "another secret")
    (row,) = listed(node, role)
    assert (row.added_at, row.revoked_at) == (first, None)  # another secret, the same credential
    revoke(node, role)
    (row,) = listed(node, role)
    assert (row.added_at, row.revoked_at) == (first, machine.now())
    machine.advance(timedelta(days=1))
    credentials.add(node.store, role, "one", SECRET)
    (row,) = listed(node, role)
    assert (row.added_at, row.revoked_at) == (machine.now(), None)


def test_a_checked_secret_counts_until_the_credential_is_revoked_or_replaced(node, role):
    credentials.add(node.store, role, "one", SECRET)
    checked = credentials.check(node.store, role, "one", SECRET)
    assert checked is not None
    assert stands(node, checked)
    assert checked.secret_hash not in repr(checked)

    credentials.add(node.store, role, "one", SECRET)
    assert not stands(node, checked)  # the same words, but another credential
    again = credentials.check(node.store, role, "one", SECRET)
    assert again is not None
    revoke(node, role)
    assert not stands(node, again)
    assert credentials.check(node.store, role, "one", SECRET) is None
    credentials.add(node.store, role, "one", SECRET)
    assert not stands(node, again)


@pytest.mark.parametrize("change", ["revoked", "replaced", "revoked and added"])
def test_a_secret_whose_credential_changes_while_it_is_checked_is_refused(
    node, role, change, monkeypatch
):
    credentials.add(node.store, role, "one", SECRET)
    matches = credentials.matches

    def slowly(stored: str | None, secret: str) -> bool:
        found = matches(stored, secret)
        if "revoked" in change:
            assert revoke(node, role)
        if change != "revoked":
            credentials.add(node.store, role, "one", "another secret")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(credentials, "matches", slowly)
        assert credentials.check(node.store, role, "one", SECRET) is None
    stays = credentials.check(node.store, role, "one", "another secret")
    assert (stays is None) is (change == "revoked")


def test_an_old_secret_does_not_reset_the_tries_of_the_new_one(node, role, monkeypatch):
    credentials.add(node.store, role, "one", SECRET)
    matches = credentials.matches

    def slowly(stored: str | None, secret: str) -> bool:
        credentials.add(node.store, role, "one", "another secret")
        with node.store.write() as connection:
            connection.execute(f"UPDATE {role} SET failed_tries = {FAILURES - 1}")  # noqa: S608
        return matches(stored, secret)

    with monkeypatch.context() as patched:
        patched.setattr(credentials, "matches", slowly)
        assert credentials.check(node.store, role, "one", SECRET) is None
    assert credentials.check(node.store, role, "one", "wrong horse") is None
    assert credentials.check(node.store, role, "one", "another secret") is None  # locked
