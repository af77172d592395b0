"""The shipped policy, and a trial that ends in ACCEPT until a test breaks something."""

from __future__ import annotations

import pytest

from identity.policy import IdentityPolicy, load_policy
from models.runtime import LoadedModels, load_models
from retention.records.clock import ManualClock
from tests.identity.support import Trial


@pytest.fixture(scope="session")
def policy() -> IdentityPolicy:
    return load_policy()


@pytest.fixture(scope="session")
def loaded() -> LoadedModels:
    return load_models(threads=1)


@pytest.fixture
def trial(policy: IdentityPolicy, clock: ManualClock) -> Trial:
    return Trial(policy, clock)
