"""Badges: every segment is checked again, and the first broken one is named."""

from __future__ import annotations

import os
import re
import time

import httpx
import pytest

from central.pages.verification import Evidence, Verdict, Verifications, evidence_of
from central.tables import Footage, table_of
from tests.central.pages.conftest import Pages, csrf
from tests.central.pages.review_kit import ROLES, SESSION, Review
from tests.central.wirekit import CENTRAL_SIGNER, TestCentral, TestNode

HERE = f"/sessions/{SESSION}?node=node-a"
BADGES = f"/sessions/{SESSION}/badges?node=node-a"


@pytest.fixture
def review(central: TestCentral, node: TestNode) -> Review:
    made = Review(central, node)
    made.session()
    return made


@pytest.fixture
def inspector(pages: Pages, review: Review) -> httpx.Client:
    browser = pages.signed_in()
    browser.headers["X-CSRF"] = csrf(browser)
    browser.post(HERE, data={"choice": "sample"})
    return browser


@pytest.fixture
def segments(review: Review, inspector: httpx.Client) -> list[str]:
    """Three segments that came and were accepted."""
    sealed = [review.seal(camera, (60, 0)) for camera in ROLES]
    inspector.post(f"/sessions/{SESSION}/footage?node=node-a")
    review.send(sealed)
    review.conclude("sent", len(sealed))
    return sealed


def finished(browser: httpx.Client) -> httpx.Response:
    """Return the badges once every file was read."""
    until = time.monotonic() + 20
    answer = browser.get(BADGES)
    while 'data-done="yes"' not in answer.text:
        assert time.monotonic() < until
        answer = browser.get(BADGES + "&polled=1")
    return answer


def badge(answer: httpx.Response) -> str:
    found = re.search(r'data-test="badge">([^<]+)<', answer.text)
    return "" if found is None else found.group(1).strip()


def states(browser: httpx.Client) -> list[str]:
    told = browser.get(f"/sessions/{SESSION}/replay.json?node=node-a").json()
    return [scene["pieces"][0]["state"] for scene in told["scenes"]]


def edit(review: Review, segment: str) -> None:
    """Change the last byte of a file that was accepted, and hide it: same length, same time."""
    path = review.file(segment)
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_every_segment_that_holds_has_its_badge(
    pages: Pages, inspector: httpx.Client, segments: list[str]
) -> None:
    answer = finished(inspector)
    assert badge(answer) == "3/3 段"
    assert "校验通过" in answer.text
    assert 'data-test="broken"' not in answer.text
    for segment in segments:
        assert f'data-segment="{segment}"' in answer.text
    assert pages.rows("footage.verify") == [("li", f"session {SESSION}")]


def test_session_without_footage_has_no_badge(inspector: httpx.Client) -> None:
    answer = finished(inspector)
    assert badge(answer) == ""
    assert 'data-test="broken"' not in answer.text


def test_edited_file_is_named_and_never_played_again(
    review: Review, inspector: httpx.Client, segments: list[str]
) -> None:
    assert badge(finished(inspector)) == "3/3 段"
    edit(review, segments[1])
    answer = finished(inspector)
    assert badge(answer) == "2/3 段"
    banner = answer.text.split('data-test="broken"')[1]
    assert "处方" in banner
    assert "文件内容与记录不符" in banner
    assert str(review.central.root) not in answer.text
    assert states(inspector) == ["footage", "broken", "footage"]


def test_player_is_told_of_a_broken_segment_once(
    review: Review, inspector: httpx.Client, segments: list[str]
) -> None:
    edit(review, segments[0])
    finished(inspector)
    assert inspector.get(BADGES).headers["hx-trigger"] == "footage-complete"
    assert "hx-trigger" not in inspector.get(BADGES + "&polled=footage").headers


def test_missing_file_is_named(
    review: Review, inspector: httpx.Client, segments: list[str]
) -> None:
    review.file(segments[2]).unlink()
    answer = finished(inspector)
    assert badge(answer) == "2/3 段"
    assert "文件已不在复核中心" in answer.text


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE footage SET chunk_root = '" + "0" * 64 + "'", "文件内容与记录不符"),
        ("UPDATE footage SET started_at = started_at - 1", "记录不在存证树中，或与数据库不符"),
        ("UPDATE footage SET proof = x'00'", "记录不在存证树中，或与数据库不符"),
        ("UPDATE checkpoints SET seen_at = seen_at + 1", "存证签名不成立"),
        ("UPDATE checkpoints SET countersigned = x'7b7d'", "存证签名不成立"),
        ("DELETE FROM checkpoints", "没有相应的存证"),
    ],
)
def test_whatever_was_changed_in_the_database_is_named(
    review: Review, inspector: httpx.Client, segments: list[str], statement: str, words: str
) -> None:
    with review.central.database.write() as connection:
        connection.exec_driver_sql(statement)
    answer = finished(inspector)
    assert badge(answer) == "0/3 段"
    assert words in answer.text


def test_check_again_reads_the_files_once_more(
    review: Review,
    inspector: httpx.Client,
    segments: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished(inspector)
    looked: list[str] = []

    def broken(self: Verifications, one: Evidence) -> Verdict:
        looked.append(one.row.segment)
        return Verdict("FILE_CHANGED")

    monkeypatch.setattr(Verifications, "_verdict", broken)
    finished(inspector)
    assert looked == []
    assert inspector.post(BADGES).headers["location"] == HERE
    assert badge(finished(inspector)) == "0/3 段"
    assert set(looked) == set(segments)


def test_without_an_opening_nothing_is_checked(pages: Pages, review: Review) -> None:
    assert pages.signed_in().get(BADGES).status_code == 403


def test_what_is_kept_of_findings_is_bounded(
    review: Review, segments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("central.pages.verification.MAX_KEPT", 2)
    found = Verifications(review.central.root / "footage", CENTRAL_SIGNER.public_key)
    with review.central.database.read() as connection:
        rows = connection.execute(table_of(Footage).select()).all()
        evidence = evidence_of(connection, "node-a", rows)
    found.begin(("node-a", SESSION), evidence, 20.0)
    assert [found.verdict(row) for row in rows].count(Verdict()) == 2


def test_large_footage_is_looked_at_in_the_background(
    review: Review,
    inspector: httpx.Client,
    segments: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("central.pages.footage_pages.FIRST_LOOK_SECONDS", 0.0)
    known = Verifications._look_at_one
    held = iter([True])

    def slow(self: Verifications, one: Evidence) -> None:
        if next(held, False):
            while "polled" not in seen:
                time.sleep(0.005)
        known(self, one)

    seen: list[str] = []
    monkeypatch.setattr(Verifications, "_look_at_one", slow)
    first = inspector.get(BADGES)
    assert badge(first) == "0/3 段"
    assert 'hx-trigger="every 1s"' in first.text
    assert "正在校验" in first.text
    seen.append("polled")
    assert badge(finished(inspector)) == "3/3 段"
