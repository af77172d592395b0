from __future__ import annotations

from datetime import timedelta

import pytest

from retention.records.errors import UsageError
from retention.store import inspectors
from retention.store.inspectors import InspectorRefused


def refused(node, name: str = "insp-7", secret: str | None = None) -> str:
    with pytest.raises(InspectorRefused) as caught:
        inspectors.check(node.store, name, secret or "correct horse")
    return str(caught.value)


def test_right_secret_is_taken_and_every_refusal_sounds_the_same(node):
    inspectors.add(node.store, "insp-7", "correct horse")
    inspectors.check(node.store, "insp-7", "correct horse")
    wrong = refused(node, secret="wrong horse")
    unknown = refused(node, name="insp-8").replace("insp-8", "insp-7")
    inspectors.revoke(node.store, "insp-7")
    assert wrong == unknown == refused(node)


def test_five_failures_lock_for_five_minutes(node, machine):
    inspectors.add(node.store, "insp-7", "correct horse")
    for _ in range(5):
        refused(node, secret="wrong horse")
    refused(node)
    machine.advance(timedelta(minutes=5))
    inspectors.check(node.store, "insp-7", "correct horse")


def test_addition_and_revocation_are_records(node):
    inspectors.add(node.store, "insp-7", "correct horse")
    assert inspectors.revoke(node.store, "insp-7")
    assert not inspectors.revoke(node.store, "insp-7")
    said = [one["action"] for one in node.payloads("access.recorded")]
    assert said == ["inspector.added", "inspector.revoked"]


@pytest.mark.parametrize(
    ("name", "secret"), [("insp 7", "long enough"), ("insp-7", "short"), ("", "long enough")]
)
def test_bad_credential_is_refused(node, name, secret):
    with pytest.raises(UsageError):
        inspectors.add(node.store, name, secret)
