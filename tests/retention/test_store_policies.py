from __future__ import annotations

import pytest

from retention.records.keeping import PolicyAdopted, RetentionPolicy, Term
from retention.store import policies
from retention.store.policies import PolicyConflict


def adopted(version: int = 1, years: int = 2, reason: str = "r") -> PolicyAdopted:
    policy = RetentionPolicy(
        policy="province-43",
        version=version,
        province="430000",
        agreement=None,
        effective_from="2026-01-02T03:04:05.000000Z",
        terms=(Term(subject="footage", years=years, days=731),),
        ceilings=(),
    )
    return PolicyAdopted(policy=policy, authority="central", author="a", reason=reason)


def test_policy_is_adopted_once_with_one_record(node):
    for wanted, reason in ((True, "r"), (False, "asked again")):
        with node.store.write() as connection:
            assert policies.adopt(node.store, connection, adopted(reason=reason)) is wanted
    assert node.kinds().count("retention.policy_adopted") == 1
    with node.store.read() as connection:
        (found,) = policies.adopted(connection)
    assert (found.policy, found.adopted_at) == (adopted().policy, node.clock.now())


def test_version_never_changes_its_words(node):
    with node.store.write() as connection:
        policies.adopt(node.store, connection, adopted())
    with pytest.raises(PolicyConflict), node.store.write() as connection:
        policies.adopt(node.store, connection, adopted(years=1))
    assert node.kinds().count("retention.policy_adopted") == 1


def test_every_version_is_kept(node):
    for version in (2, 1, 3):
        with node.store.write() as connection:
            assert policies.adopt(node.store, connection, adopted(version))
    with node.store.read() as connection:
        assert [one.policy.version for one in policies.adopted(connection)] == [2, 1, 3]
