"""The demo that the tests share is whole again after a test that left it in pieces."""

from __future__ import annotations

from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PharmacyClient
from tests.sharing import mended


def test_what_a_test_left_stopped_or_unplugged_is_there_again(
    stack: DemoStack, client: PharmacyClient
) -> None:
    stack.kill("platform")
    stack.stop("central")
    stack.cameras.control("desk").unplug()
    assert stack.missing() == ["platform", "central"]
    assert mended(stack)
    assert stack.missing() == []
    assert stack.cameras.control("desk").status()["plugged"]
    assert client.ready()
