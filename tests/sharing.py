"""One running demo for every test that needs one, mended after a test that failed.

The tests that share it run next to each other, first, and in one worker: starting a second demo
costs more than it saves, and with the last of them it ends. A failed test may leave a part of it
stopped or broken. Before the next test that shares it each part is looked at and what is missing
is started again; when that does not help, the demo and everything made from it is made anew.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from xdist.scheduler import LoadScopeScheduling

from edge.simulators.demo_config import CAMERAS, DemoTimes
from edge.simulators.demo_stack import DemoFailed, DemoStack
from edge.simulators.pharmacy import PATIENT, PharmacyClient
from hardware.errors import HardwareError, PeopleMissing
from hardware.simulated_actors import Genuine
from hardware.simulated_people import load_people

SIGN = "DemoStack"
LONG = ("test_demo.py",)
INSURED = Genuine("person-a", 2)
RECOVERY_SECONDS = 15.0  # a node brings a killed process back by itself
REBUILDS = 2  # what cannot be started at all must not cost every test its minute
_suspect = pytest.StashKey[bool]()
_rebuilds = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStack]:
    """One running demo for all end-to-end and browser tests; starting one takes seconds.

    Whoever stops a part starts it again, and enrols no second node: the crash tests compare the
    one node with all that central holds.
    """
    try:
        load_people()
    except PeopleMissing as exc:
        pytest.skip(str(exc))
    made = DemoStack(
        tmp_path_factory.mktemp("stack"), times=DemoTimes(segment=4, roll=1, checkpoint=2)
    )
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def client(stack: DemoStack) -> Iterator[PharmacyClient]:
    """A paired pharmacy system; the insured person is enrolled and stands at the counter."""
    with stack.pharmacy() as paired:
        consent = paired.consent(PATIENT)["consent"]
        paired.enrol(consent, PATIENT, load_people().path("person-a", 1).read_bytes())
        stack.cameras.control("counter").show(INSURED)
        yield paired


# -- together, and in one worker ------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the sharers first, then what takes longest; the random order stays otherwise."""
    for item in filter(_shares, items):
        if not _names_the_demo(str(item.path)):
            raise pytest.UsageError(f"{item.path} shares the demo: it must name {SIGN}")
    items.sort(key=lambda item: (not _shares(item), item.path.name not in LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneWorkerAFile(config, log)


class OneWorkerAFile(LoadScopeScheduling):
    """Hands out the files that share the demo as one, then file by file: much is made once a file.

    It sees names only, so a file shares the demo when it names its class. (The mark `xdist_group`
    would say it better, but pytest 9.2 does not let xdist 3.8 pass it on.)
    """

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.split("::")[0]
        return "demo" if _names_the_demo(str(self.config.rootpath / name)) else name


@cache
def _names_the_demo(path: str) -> bool:
    return SIGN in Path(path).read_text(encoding="utf-8")


def _definition(item: pytest.Item) -> Any:
    """Return pytest's definition of our `stack` if a test uses it; others have one of their own."""
    if not isinstance(item, pytest.Function):
        return None
    *_, used = item._fixtureinfo.name2fixturedefs.get("stack", (None,))  # the nearest is used
    return used if used is not None and used.func.__module__ == __name__ else None


def _shares(item: pytest.Item | None) -> bool:
    return item is not None and _definition(item) is not None


# -- after a failure ------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and _shares(item):
        item.session.stash[_suspect] = True
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    stash = item.session.stash
    if not _shares(item) or not stash.get(_suspect, False):
        return
    stash[_suspect] = False
    definition = _definition(item)
    started = definition.cached_result is not None and definition.cached_result[2] is None
    if started and mended(definition.cached_result[0]):
        return
    if stash.get(_rebuilds, 0) < REBUILDS:
        stash[_rebuilds] = stash.get(_rebuilds, 0) + 1
        definition.finish(item._request)  # with all that was made from it


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """Stop the demo with the last test that shares it: the others have the machine for them."""
    try:
        yield
    finally:
        if _shares(item) and not _shares(nextitem):
            _definition(item).finish(item._request)


def mended(stack: DemoStack) -> bool:
    """Start again what is missing and undo what a test may have left; tell whether all is well."""
    starts = {
        "platform": stack.start_platform,
        "central": stack.start_central,
        "edge": stack.start_edge,
    }
    try:
        for name in [name for name in starts if not stack.runs(name)]:
            stack.stop(name)  # forgets it
            starts[name]()
        if not _answers_soon(stack):
            for name in stack.missing():
                stack.stop(name)
                starts[name]()
            if not _answers_soon(stack):
                return False
    except (DemoFailed, KeyError):  # cameras that are started again have new addresses
        return False
    try:
        for camera, _ in CAMERAS:
            stack.cameras.control(camera).resume()
            stack.cameras.control(camera).plug()
        stack.cameras.control("counter").show(INSURED)
        httpx.post(
            f"{stack.platform_url}/control", json={"fault": None}, timeout=30
        ).raise_for_status()
    except (HardwareError, httpx.HTTPError):
        return False
    return True


def _answers_soon(stack: DemoStack) -> bool:
    try:
        stack.wait_for("parts", lambda: not stack.missing(), RECOVERY_SECONDS)
    except DemoFailed:
        return False
    return True
