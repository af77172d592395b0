"""The page of the face method in a real browser, with eight age bands and long names in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import insert

from central.faces import FLAGS, SESSIONS, SUBJECTS
from retention.records.clock import to_micros
from tests.browser.chrome import DESK, Tabs, fits, no_serious_findings, picture_of
from tests.browser.office import Office, office, sign_in
from tests.browser.rows import Plan

PHONE = (390, 844)
OF: dict[str, Any] = {"agency": "430100", "pharmacy": "P43010000001", "node": "node-001"}
AGES = ("under_14", "14_17", "18_39", "40_59", "60_69", "70_79", "80_up", "unknown")
CONTROLLERS = (
    ("a-controller-whose-name-goes-on-and-on-and-never-seems-to-end", 100_001),
    ("连锁", 7),
)


def fill(opened: Office) -> None:
    """Of everybody one in fifty is refused, of the oldest one in four."""
    now = to_micros(opened.clock.now())
    sessions = [
        OF | {
            "session": f"{number:036d}", "opened_at": now - number * 1_000_000, "age_band": age,
            "sex": ("female", "male")[number // 64 % 2], "face_tries": 1, "face_compared": 1,
            "accepted_by": "fingerprint" if other else "face",
        }
        for number in range(1600)
        for age in (AGES[number % 8],)
        for other in (number // 8 % (4 if age == "80_up" else 50) == 0,)
    ]  # fmt: skip
    raised = {"sequence": 1, "raised_at": now}
    with opened.database.write() as connection:
        connection.execute(insert(SESSIONS), sessions)
        for place, (name, people) in enumerate(CONTROLLERS):
            counted = {"subjects": people, "refs": people, "sequence": 1, "counted_at": now}
            known = OF | {"node": f"node-{place}", "controller": name}
            connection.execute(insert(SUBJECTS), known | counted)
        for code, subject in (
            ("ATTACK_SUSPECTED", "receipt 01900000-0000-7000-8000-000000000001"),
            ("FACE_LOCKED", f"credential {'d' * 16}"),
        ):
            connection.execute(insert(FLAGS), OF | raised | {"code": code, "subject": subject})


@pytest.mark.parametrize(("lang", "size"), [("zh", DESK), ("en", PHONE)])
def test_whom_the_face_method_fails_is_seen_on_any_screen(
    tabs: Tabs, tmp_path: Path, lang: str, size: tuple[int, int]
) -> None:
    with office(tmp_path / "office", Plan(nodes=2, sessions=2, days=1, access=1)) as opened:
        opened.account("wang", "admin")
        fill(opened)
        page = tabs.open(opened.url, lang=lang, size=size)
        sign_in(page, opened.url, "wang")
        page.goto(f"{opened.url}/faces")
        expect(page.locator("[data-test=controller]")).to_have_count(2)
        expect(page.locator("[data-test=attack]")).to_have_count(2)
        out = page.locator("[data-test=group]:has(.badge)")
        expect(out).to_have_count(1)
        expect(out).to_contain_text("80")
        expect(page.locator("svg.rates .rate.out")).to_have_count(1)
        chosen = page.locator(".button[aria-current]")
        other = page.locator("a.button").first
        assert colour(chosen) != colour(other)
        fits(page)
        no_serious_findings(page)
        picture_of(page, f"faces-{lang}-{size[0]}")


def colour(of: Any) -> str:
    return str(of.evaluate("one => getComputedStyle(one).backgroundColor"))
