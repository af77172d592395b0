"""The page of the face method, and the same over the API."""

from __future__ import annotations

import html
import re

import httpx

from retention.records import people as f
from tests.central.pages.conftest import TOKEN, Pages
from tests.central.test_faces import ATTESTED, REFUSED, add, decided
from tests.central.wirekit import TestNode


def text_of(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_the_page_says_what_is_not_known_yet(pages: Pages) -> None:
    shown = pages.signed_in("zhang", "admin").get("/faces")
    assert shown.status_code == 200
    assert "还没有节点报告人脸人数。" in text_of(shown)
    assert "这段时间没有核验" in text_of(shown)
    assert pages.rows("faces.read") == [("zhang", "faces of 90 days")]


def test_the_page_shows_one_number_and_the_list_behind_it(pages: Pages, node: TestNode) -> None:
    add(
        node, pages.central,
        decided(1, age_band="80_up", **REFUSED), decided(1, age_band="80_up", **ATTESTED),
        *(decided(number, age_band="18_39") for number in range(2, 8)),
        f.SubjectsCounted(controller="chain-9", subjects=81_000, references=81_002),
        f.AttackSuspected(
            session=decided(1).session, receipt=decided(1).receipt.receipt, subject_ref="d" * 64,
            camera="c", signals=("planarity",),
        ),
    )  # fmt: skip
    browser = pages.signed_in("zhang", "admin")
    shown = browser.get("/faces?days=30")
    said = text_of(shown)
    assert "最多的处理者存有 81000 人的人脸特征，已过 80000 人" in said
    assert "80 岁及以上" in said
    assert "14.3 %" in said  # one of seven
    assert shown.text.count("<svg") == 2
    assert 'style="' not in shown.text  # the policy of the pages allows none
    assert "活体检测未通过，可能冒用" in said
    browser.get("/language/en")
    assert "Whom the face method fails" in text_of(browser.get("/faces"))


def test_what_is_not_known_of_a_group_is_named(pages: Pages, node: TestNode) -> None:
    add(node, pages.central, decided(1, age_band="unknown", sex="unknown", **ATTESTED))
    said = text_of(pages.signed_in("zhang", "admin").get("/faces?days=30"))
    assert "年龄不详" in said
    assert "性别不详" in said


def test_only_an_admin_sees_it(pages: Pages) -> None:
    refused = pages.signed_in("li", "inspector").get("/faces")
    assert refused.status_code == 403
    assert pages.rows("faces.read") == []


def test_the_api_tells_the_same(pages: Pages, node: TestNode) -> None:
    counted = f.SubjectsCounted(controller="chain-9", subjects=100_000, references=9)
    add(node, pages.central, decided(1, **ATTESTED), counted)
    auth = {"Authorization": f"Bearer {TOKEN}"}
    found = httpx.get(
        f"{pages.url}/v1/faces?days=7", headers=auth, trust_env=False, timeout=30
    ).json()
    assert found["controllers"][0]["level"] == "file"
    other_way = found["everybody"]["other_way"]
    assert (other_way["count"], other_way["total"], other_way["value"]) == (1, 1, 1.0)
    assert 0 < other_way["interval"][0] < other_way["interval"][1] == 1
    assert {group["group"] for group in found["groups"]} == {"80_up", "female"}
    assert httpx.get(f"{pages.url}/v1/faces", trust_env=False, timeout=30).status_code == 401
