"""Logging set-up: JSON events on standard error. Events carry ids and numbers, never names,
faces, insurance numbers or vectors. An event that cannot be written is lost: a broken pipe to the
journal must never stop a recorder or a check.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict


class StandardError:
    """Whatever `sys.stderr` is at the time; a line that it does not take is dropped."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()


def configure(process: str) -> None:
    """Send this process's events to standard error, one JSON object a line."""

    # Not a context variable: a thread that a library starts would not have it.
    def named(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            named,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, StandardError())),
        cache_logger_on_first_use=True,
    )
