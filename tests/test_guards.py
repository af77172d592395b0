"""What the guards of the test run catch, each shown on a run of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_BEHIND = """
    import os, signal, structlog, zmq
    from retention.logs import configure

    def test_a_leaves_a_context():
        held.append(zmq.Context())
        held[0].socket(zmq.PUSH).connect("inproc://nobody")

    def test_b_takes_it_along(zmq_context):
        zmq_context.socket(zmq.PUSH).bind("inproc://somebody")

    def test_c_changes_the_environment():
        os.environ["LEFT_BEHIND"] = "1"
        os.chdir("/")

    def test_d_finds_both_as_they_were():
        assert "LEFT_BEHIND" not in os.environ
        assert os.getcwd() != "/"

    def test_e_runs_a_main():
        configure("a command")
        log.info("cached")
        signal.signal(signal.SIGTERM, lambda *_: None)

    def test_f_has_logging_and_signals_of_its_own(capsys):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert structlog.is_configured() is False
        log.info("plain")
        said = "".join(capsys.readouterr())
        assert "plain" in said
        assert "{" not in said

    held, log = [], structlog.get_logger()
"""
SHARED_DEMO = """
    import pytest
    from hardware.errors import PeopleMissing
    from tests import sharing

    made, mends = [], []

    class Stack:
        def __init__(self, *_, **__):
            made.append(self)
            self.closed = False

        def start(self):
            if len(made) == 2:
                raise RuntimeError("does not start")

        def close(self):
            self.closed = True

    def mended(stack):
        mends.append(stack)
        return len(mends) == 1

    sharing.DemoStack, sharing.mended, sharing.load_people = Stack, mended, list

    @pytest.fixture(scope="module")
    def derived(stack):
        return [stack]

    def test_z_runs_last_although_written_first():
        assert [one.closed for one in made] == [True] * 3

    def test_a_is_broken(stack):
        assert not stack

    def test_b_finds_it_mended(stack, derived):
        assert (made, mends) == ([stack], [stack])
        raise RuntimeError("broken again")

    def test_c_cannot_be_mended_and_the_next_does_not_start(stack):
        pass

    def test_d_is_made_anew_with_what_was_made_from_it(stack, derived):
        assert len(mends) == 2
        assert derived == [stack] == made[2:]
        assert made[0].closed
        assert made[1].closed
"""


def run(folder: Path, tests: str, plugin: str) -> tuple[dict[str, str], str]:
    """Run tests in a pytest of their own; return what became of each, and all that was said."""
    lines = tests.splitlines()
    (folder / "test_inner.py").write_text("\n".join(line.removeprefix("    ") for line in lines))
    ran = subprocess.run(
        [
            sys.executable, "-P", "-m", "pytest", "-rA", "-p", plugin, "-p", "no:randomly",
            "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(folder), "test_inner.py",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    found = re.findall(r"^(PASSED|FAILED|ERROR) test_inner\.py::test_(\w)_", ran.stdout, re.M)
    ends: dict[str, str] = {}
    for what, name in found:
        ends[name] = f"{ends[name]} {what}" if name in ends else what
    return ends, ran.stdout + ran.stderr


def test_what_a_test_leaves_behind_fails_it_and_never_the_next(tmp_path: Path) -> None:
    ends, said = run(tmp_path, LEFT_BEHIND, "tests.guards")
    assert ends == {
        "a": "PASSED ERROR", "b": "PASSED", "c": "PASSED ERROR", "d": "PASSED", "e": "PASSED",
        "f": "PASSED",
    }, said  # fmt: skip
    assert re.search(r"left open: a ZeroMQ context made at \S+test_inner.py:6\b", said)
    assert "left changed in the environment: LEFT_BEHIND" in said


def test_a_failed_test_does_not_take_the_shared_demo_from_the_next(tmp_path: Path) -> None:
    ends, said = run(tmp_path, SHARED_DEMO, "tests.sharing")
    assert ends == {"a": "FAILED", "b": "FAILED", "c": "ERROR", "d": "PASSED", "z": "PASSED"}, said
