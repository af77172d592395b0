"""What tests of a counter may ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI

from edge.config import EdgeConfig
from edge.session import settling
from edge.simulators.pharmacy import PharmacyClient
from edge.terminal import pairing, pharmacists, problems, process, security
from edge.terminal.app import create_app
from retention.keyfiles import KeyDirectory
from retention.records.signing import Ed25519Signer
from retention.store.database import NodeStore
from tests.edge.counter_kit import FakeVerifier, Said, config_for
from tests.serving import served


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory(tmp_path / "keys")


@pytest.fixture
def signer(keys: KeyDirectory) -> Ed25519Signer:
    return keys.signer()


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    return config_for(tmp_path)


@pytest.fixture
def verifier(store: NodeStore, signer: Ed25519Signer) -> FakeVerifier:
    return FakeVerifier(store, signer)


@pytest.fixture
def app(
    store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory, config: EdgeConfig
) -> FastAPI:
    return create_app(store=store, verifier=verifier, keys=keys, config=config)


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture
def served_with(
    store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory
) -> Iterator[Callable[[EdgeConfig], str]]:
    """Serve a counter of another configuration; return its address."""
    with ExitStack() as stack:

        def serve(config: EdgeConfig) -> str:
            app = create_app(store=store, verifier=verifier, keys=keys, config=config)
            return stack.enter_context(served(app))

        yield serve


@pytest.fixture
def terminal(store: NodeStore) -> Iterator[Callable[..., PharmacyClient]]:
    """Return a paired terminal of a counter at an address."""
    with ExitStack() as stack:

        def paired(url: str, counter: str = "counter-1") -> PharmacyClient:
            client = stack.enter_context(PharmacyClient(url, timeout_seconds=20))
            client.pair(pairing.new_code(store, counter, store.clock))
            return client

        yield paired


@pytest.fixture
def counter(url: str, terminal: Callable[..., PharmacyClient]) -> PharmacyClient:
    return terminal(url)


@pytest.fixture
def pharmacist(store: NodeStore) -> tuple[str, str]:
    pharmacists.add(store, "ph-3", "correct horse")
    return "ph-3", "correct horse"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """Everything that the counter logs from here on."""
    log = Said()
    for module in (settling, problems, process, security):
        monkeypatch.setattr(module, "log", log)
    return log
