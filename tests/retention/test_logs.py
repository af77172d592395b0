"""Where events go: to whatever standard error is, and nowhere when it takes nothing."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from retention import logs


@pytest.fixture(autouse=True)
def _defaults_again() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_event_is_one_json_object_that_names_its_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("recorder-a")
    structlog.get_logger().warning("segment_sealed", camera="一号")
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["process"], event["camera"]) == (
        "segment_sealed", "recorder-a", "一号",
    )  # fmt: skip


def test_logger_follows_a_standard_error_that_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("web")
    log = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    for place in (first, second):
        monkeypatch.setattr(sys, "stderr", place)
        log.warning("said")
        assert "said" in place.getvalue()
    assert first.getvalue().count("said") == 1


def test_log_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    closed = io.StringIO()
    closed.close()
    logs.configure("web")
    for place in (closed, Broken(), None):
        monkeypatch.setattr(sys, "stderr", place)
        structlog.get_logger().error("nobody_listens")
