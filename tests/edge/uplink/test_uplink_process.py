"""How the processes that talk to central end when they cannot begin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from edge.commands.process import run as run_commands
from edge.config import CentralConfig
from edge.process import ProcessContext
from edge.uplink.process import run as run_uplink
from tests.edge.counter_kit import config_for


@pytest.mark.timeout(30)
@pytest.mark.parametrize("run", [run_uplink, run_commands])
def test_a_key_that_is_none_ends_it_at_once(
    tmp_path: Path, run: Callable[[ProcessContext], None]
) -> None:
    """It used to wait for ever for the socket that was never set up."""
    central = CentralConfig(
        endpoint="tcp://127.0.0.1:1", server_key="k" * 40, signing_key="ab" * 32
    ).model_copy(update={"server_key": " " * 40})  # which a configuration file may not say
    config = config_for(tmp_path).model_copy(update={"central": central})
    with pytest.raises(zmq.ZMQError):
        run(ProcessContext(config, threading.Event(), lambda: None))
