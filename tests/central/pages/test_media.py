"""Bytes and playlists: only of an opened session, only what was accepted, and exactly the range."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from central.collector.receiving import file_of
from central.pages.media import AT_ONCE_BYTES, range_of
from central.pages.verification import Verifications
from central.tables import Footage, Node, Opening, SignIn, table_of
from tests.browser.rows import CAMERAS, Plan, fill
from tests.central.pages.conftest import Pages
from tests.central.wirekit import CENTRAL_SIGNER, NODE_SIGNER
from tests.filming import SECOND, Film, clip

OPENINGS, FOOTAGE = table_of(Opening), table_of(Footage)


@dataclass
class Cinema:
    """An inspector with a session open, of which one segment of each camera is at central."""

    pages: Pages
    film: Film
    client: httpx.Client
    raw: bytes
    segments: dict[str, str]

    def open(self) -> None:
        state, row = self.pages.state, self.film.row
        with state.database.write() as connection:
            for sign_in in connection.execute(select(table_of(SignIn).c.token_sha256)).scalars():
                connection.execute(
                    insert(OPENINGS).values(
                        agency=row.agency, pharmacy=row.pharmacy, id=str(uuid.uuid4()),
                        sign_in=sign_in, account="li", node=row.node, session=row.session,
                        reason="投诉举报", opened_at=state.now(),
                        expires_at=state.now() + 3600 * SECOND, clear_at=None,
                    )
                )  # fmt: skip

    @property
    def path(self) -> str:
        return f"/sessions/{self.film.session}"

    def get(self, what: str, **headers: str) -> httpx.Response:
        return self.client.get(f"{self.path}/{what}?node={self.film.node}", headers=headers)

    def media(self, segment: str, **headers: str) -> httpx.Response:
        return self.get(f"segments/{segment}.mp4", **headers)

    def file(self, segment: str):
        return file_of(self.pages.state.config.footage_root, self.film.node, segment)

    def set(self, segment: str, **values: object) -> None:
        with self.film.database.write() as connection:
            connection.execute(update(FOOTAGE).where(FOOTAGE.c.segment == segment).values(**values))


@pytest.fixture(scope="module")
def raw() -> bytes:
    return clip(8, size=(160, 96), gop=25)


@pytest.fixture
def cinema(pages: Pages, raw: bytes) -> Cinema:
    with pages.central.database.write() as connection:
        connection.execute(delete(table_of(Node)))
    plan = Plan(nodes=2, sessions=4, days=1, access=0)
    (node, session), *_ = fill(pages.central.database, pages.clock.now(), plan)
    film = Film(pages.central.database, pages.state.config.footage_root, node, session)
    start, end = film.row.span_started_at, film.row.span_ended_at
    command = film.asked(start, end)
    segments = {
        camera: film.keep(command, camera, role, start + number * SECOND, raw, 8)
        for number, (camera, role) in enumerate(CAMERAS)
    }
    film.prove(NODE_SIGNER, CENTRAL_SIGNER)
    made = Cinema(pages, film, pages.signed_in(), raw, segments)
    made.open()
    return made


def test_segment_is_answered_whole_and_no_browser_keeps_it(cinema: Cinema) -> None:
    segment = cinema.segments["counter"]
    found = cinema.media(segment)
    assert found.status_code == 200
    assert found.content == cinema.file(segment).read_bytes()
    assert found.headers["content-type"] == "video/mp4"
    assert found.headers["accept-ranges"] == "bytes"
    assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("header", "status", "low", "high"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-299", 206, 100, 300),
        ("bytes=100-", 206, 100, None),
        ("bytes=-50", 206, -50, None),
        ("bytes=100-99999999999", 206, 100, None),
        ("bytes=300-100", 200, 0, None),
        ("bytes=0-1,5-9", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("lines=1-2", 200, 0, None),
    ],
)
def test_range_is_answered_exactly(
    cinema: Cinema, header: str, status: int, low: int, high: int | None
) -> None:
    segment = cinema.segments["desk"]
    whole = cinema.file(segment).read_bytes()
    found = cinema.media(segment, Range=header)
    assert (found.status_code, found.content) == (status, whole[low:high])
    if status == 206:
        first = low % len(whole)
        last = first + len(found.content) - 1
        assert found.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


def test_range_beyond_the_end_is_refused_with_the_length(cinema: Cinema) -> None:
    segment = cinema.segments["desk"]
    size = cinema.file(segment).stat().st_size
    found = cinema.media(segment, Range=f"bytes={size}-")
    assert (found.status_code, found.headers["content-range"]) == (416, f"bytes */{size}")


def test_range_of_another_content_is_answered_whole(cinema: Cinema) -> None:
    segment = cinema.segments["desk"]
    etag = cinema.media(segment).headers["etag"]
    assert cinema.media(segment, Range="bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert cinema.media(segment, Range="bytes=0-9", **{"If-Range": '"old"'}).status_code == 200


def test_head_tells_the_length_and_sends_nothing(cinema: Cinema) -> None:
    segment = cinema.segments["desk"]
    found = cinema.client.head(f"{cinema.path}/segments/{segment}.mp4?node={cinema.film.node}")
    assert (found.status_code, found.content) == (200, b"")
    assert int(found.headers["content-length"]) == cinema.file(segment).stat().st_size


def test_large_part_is_sent_in_pieces(cinema: Cinema, raw: bytes) -> None:
    large = raw + bytes(AT_ONCE_BYTES * 2)
    start = cinema.film.row.span_started_at
    command = cinema.film.asked(start, start + SECOND)
    segment = cinema.film.keep(command, "shelf", "dispensing", start, large, 8)
    assert cinema.media(segment).content == cinema.file(segment).read_bytes()


def test_playlist_points_at_bytes_that_play(cinema: Cinema) -> None:
    replay = cinema.get("replay.json").json()
    assert [scene["camera"] for scene in replay["scenes"]] == ["counter", "desk", "shelf"]
    found = cinema.client.get(replay["scenes"][1]["playlist"])
    assert found.headers["content-type"] == "application/vnd.apple.mpegurl"
    lines = found.text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[-1] == "#EXT-X-ENDLIST"
    assert lines[lines.index("#EXT-X-GAP") + 1] == "#EXTINF:1.000000,"
    url = next(line for line in lines if line.startswith("/sessions/"))
    assert cinema.client.get(url, headers={"Range": "bytes=0-9"}).status_code == 206


def test_playlist_is_an_access_row_and_ranges_are_none(cinema: Cinema) -> None:
    cinema.get("scenes/0.m3u8")
    for _ in range(3):
        cinema.media(cinema.segments["counter"], Range="bytes=0-9")
    assert cinema.pages.rows("footage.play") == [("li", f"session {cinema.film.session}")]


@pytest.mark.parametrize("what", ["scenes/0.m3u8", "segments/SEGMENT.mp4", "replay.json"])
def test_nothing_is_played_without_an_opening(cinema: Cinema, what: str) -> None:
    what = what.replace("SEGMENT", cinema.segments["counter"])
    with cinema.film.database.write() as connection:
        connection.execute(update(OPENINGS).values(expires_at=cinema.pages.state.now()))
    refused = cinema.get(what, Accept="*/*")
    assert (refused.status_code, refused.json()["code"]) == (403, "NOT_OPENED")
    assert cinema.pages.rows("footage.play") == []


@pytest.mark.parametrize("what", ["scenes/0.m3u8", "segments/SEGMENT.mp4"])
def test_nothing_is_played_to_nobody(cinema: Cinema, what: str) -> None:
    cinema.client.cookies.clear()
    what = what.replace("SEGMENT", cinema.segments["counter"])
    assert cinema.get(what, Accept="*/*").status_code == 401


def test_opening_of_one_session_opens_no_other(cinema: Cinema) -> None:
    with cinema.film.database.read() as connection:
        rows = connection.execute(select(table_of(Node).c.node)).scalars().all()
    other = next(node for node in rows if node != cinema.film.node)
    segment = cinema.segments["counter"]
    found = cinema.client.get(f"{cinema.path}/segments/{segment}.mp4?node={other}")
    assert found.status_code == 403


def test_segment_of_another_session_is_not_found(cinema: Cinema, raw: bytes) -> None:
    with cinema.film.database.read() as connection:
        sessions = table_of(Opening).metadata.tables["sessions"]
        other = connection.execute(
            select(sessions.c.session).where(
                sessions.c.node == cinema.film.node, sessions.c.session != cinema.film.session
            )
        ).scalar()
    film = Film(cinema.film.database, cinema.film.root, cinema.film.node, other)
    start = film.row.span_started_at
    segment = film.keep(film.asked(start, start + SECOND), "desk", "prescription", start, raw, 8)
    assert cinema.media(segment).status_code == 404


def test_rejected_segment_is_never_sent(cinema: Cinema) -> None:
    segment = cinema.segments["counter"]
    cinema.set(segment, state="rejected", reason="SHA256_MISMATCH")
    found = cinema.media(segment, Accept="*/*")
    assert (found.status_code, found.json()["code"]) == (410, "FOOTAGE_BROKEN")


def test_segment_found_broken_is_never_sent(
    cinema: Cinema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Verifications, "is_known_broken", lambda self, row: True)
    found = cinema.media(cinema.segments["counter"], Accept="*/*")
    assert (found.status_code, found.json()["code"]) == (410, "FOOTAGE_BROKEN")


def test_file_that_changes_under_the_player_is_soon_refused(cinema: Cinema) -> None:
    segment = cinema.segments["counter"]
    assert cinema.media(segment).status_code == 200
    path = cinema.file(segment)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    until = time.monotonic() + 20
    while cinema.media(segment, Range="bytes=0-9").status_code != 410:
        assert time.monotonic() < until
    assert cinema.media(cinema.segments["desk"]).status_code == 200


def test_segment_on_its_way_is_not_sent(cinema: Cinema) -> None:
    segment = cinema.segments["counter"]
    cinema.set(segment, state="receiving")
    assert cinema.media(segment).status_code == 404


def test_file_of_another_length_is_never_sent(cinema: Cinema) -> None:
    segment = cinema.segments["counter"]
    with cinema.file(segment).open("ab") as file:
        file.write(b"x")
    assert cinema.media(segment).status_code == 410


def test_file_that_is_gone_is_told_in_words_and_the_rest_plays_on(cinema: Cinema) -> None:
    cinema.file(cinema.segments["counter"]).unlink()
    found = cinema.media(cinema.segments["counter"])
    assert found.status_code == 404
    assert "已不在复核中心" in found.text
    assert cinema.get("scenes/0.m3u8", Accept="*/*").json()["code"] == "FOOTAGE_GONE"
    assert cinema.get("scenes/1.m3u8").status_code == 200


@pytest.mark.parametrize("what", ["scenes/9.m3u8", "scenes/-1.m3u8", "segments/nothing.mp4"])
def test_unknown_scene_or_segment_is_not_found(cinema: Cinema, what: str) -> None:
    assert cinema.get(what).status_code in (404, 422)


@given(header=st.text(max_size=30) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True))
def test_any_range_header_is_a_range_inside_all_or_refused(header: str) -> None:
    try:
        found = range_of(header, 1000)
    except ValueError:
        return
    assert found is None or 0 <= found.first <= found.last < 1000
