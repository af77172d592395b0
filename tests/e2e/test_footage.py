"""The footage of one session comes to central on command, and every byte of it is checked there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av

from edge.simulators.demo_config import CAMERAS, PHARMACIST
from edge.simulators.demo_stack import DemoFailed, DemoStack
from edge.simulators.pharmacy import PharmacyClient


def test_footage_of_a_session_is_fetched_and_proven(
    stack: DemoStack, client: PharmacyClient
) -> None:
    session = str(client.open()["session"])
    client.basket(session)
    client.attest(session, PHARMACIST, stack.pharmacist_secret)
    client.authorise(session)
    client.settle(session)
    client.close(session, "settled")

    def covered() -> bool:
        try:
            return bool(stack.central_get(f"/v1/sessions/{session}")["coverage"])
        except DemoFailed:  # not at central yet
            return False

    stack.wait_for("coverage at central", covered, 40)
    stack.central_post(f"/v1/sessions/{session}/footage", {"reason": "随机复审"})
    found: dict[str, Any] = {}

    def concluded() -> bool:
        found.update(stack.central_get(f"/v1/sessions/{session}/footage")["commands"][0])
        return found["outcome"] is not None

    stack.wait_for("footage at central", concluded, 60)
    assert found["outcome"] == "sent", found
    assert {one["camera"] for one in found["segments"]} == {camera for camera, _ in CAMERAS}
    assert all(one["verified"] for one in found["segments"]), found
    for one in found["segments"]:
        path = stack.data / "central" / "footage" / Path(one["path"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == one["file_sha256"]
        with av.open(str(path)) as video:
            assert sum(1 for _ in video.decode(video=0)) > 0
    actions = [one["action"] for one in stack.central_get("/v1/access")["access"]]
    assert any("footage" in action for action in actions), actions
