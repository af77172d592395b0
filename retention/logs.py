"""Logging set-up: JSON events on standard error. Events carry ids and numbers, never names,
faces, insurance numbers or vectors."""

from __future__ import annotations

import sys

import structlog
from structlog.typing import EventDict


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
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
