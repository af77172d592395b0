"""What no test may leave behind for the next one.

A command's `main` may be run inside the test process. It sets up logging and takes signals, as a
process of its own is entitled to, so both are put back after every test. A changed environment or
working directory is the test's mistake (`monkeypatch` undoes them) and fails it.

An open ZeroMQ context is worse than a leak. Once nothing refers to it the garbage collector
destroys it, in the middle of whatever runs then, and waits for ever for messages that nobody takes.
So the contexts of a test are held until it has ended; what is open then is destroyed without
waiting, and the test fails.
"""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import structlog
import zmq

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# The first is pytest's own note of where it is; hardware.frames sets the next once a process, and
# insightface the last two when it is imported.
MAY_CHANGE = (
    "PYTEST_", "OPENCV_FFMPEG_LOGLEVEL", "ORT_DISABLE_TELEMETRY", "NO_ALBUMENTATIONS_UPDATE"
)  # fmt: skip
_opened: list[tuple[zmq.Context[Any], str]] = []


@pytest.fixture
def zmq_context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A context whose sockets and whose end never wait for a message to be taken."""
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made.linger = 0
    yield made
    made.destroy(linger=0)


@pytest.fixture(autouse=True)
def _logging_and_signals_are_put_back() -> Iterator[None]:
    configure = structlog.configure
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    taken = {number: signal.getsignal(number) for number in SIGNALS}
    # A cached logger would keep what one test configured, whatever is reset afterwards.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            structlog,
            "configure",
            lambda **options: configure(**options | {"cache_logger_on_first_use": False}),
        )
        yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = handlers, level
    for number, handler in taken.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    environment, folder = _environment(), os.getcwd()
    yield
    after, moved_to = _environment(), os.getcwd()
    os.environ.update(environment)
    for name in after.keys() - environment.keys():
        del os.environ[name]
    os.chdir(folder)
    changed = sorted(
        name
        for name in after.keys() | environment.keys()
        if after.get(name) != environment.get(name)
    )
    assert not changed, f"left changed in the environment: {', '.join(changed)}"
    assert moved_to == folder, f"left the working directory at {moved_to}"


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(MAY_CHANGE)}


def pytest_configure() -> None:
    """Note every context that is made in this process, and where."""
    begun = zmq.Context.__init__

    def noted(self: zmq.Context[Any], *arguments: Any, **options: Any) -> None:
        begun(self, *arguments, **options)
        place = traceback.extract_stack(limit=2)[0]
        _opened.append((self, f"{place.filename}:{place.lineno}"))

    zmq.Context.__init__ = noted  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    try:
        yield
    finally:
        left = [(context, place) for context, place in _opened if not context.closed]
        for context, _ in left:
            context.destroy(linger=0)
        _opened.clear()
    if left:
        pytest.fail(f"left open: a ZeroMQ context made at {', '.join(p for _, p in left)}", False)
