"""How the uplink process ends when it cannot begin."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import zmq

from edge.process import ProcessContext
from edge.uplink.process import run
from tests.edge.counter_kit import config_for


@pytest.mark.timeout(30)
def test_a_key_that_is_none_ends_it_at_once(tmp_path: Path) -> None:
    """It used to wait for ever for the socket that was never set up."""
    central = {"endpoint": "tcp://127.0.0.1:1", "server_key": " " * 40, "signing_key": "ab" * 32}
    config = config_for(tmp_path, central=central)
    with pytest.raises(zmq.ZMQError):
        run(ProcessContext(config, threading.Event(), lambda: None))
