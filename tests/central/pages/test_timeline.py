"""The pieces of a scene tile its time, and a picture is claimed only where there is one."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.pages.timeline import MARGIN_US, length_text, replay_of
from central.pages.timeline_values import (
    Asked,
    AskedState,
    Facts,
    GapFact,
    Piece,
    Replay,
    SegmentFact,
    StepFact,
)

T0 = 1_767_323_045_000_000
SECOND = 1_000_000
SegmentState = Literal["accepted", "receiving", "broken", "lost"]


def segment(
    start: float, end: float, state: SegmentState = "accepted", camera: str = "cam-0"
) -> SegmentFact:
    name = f"{camera}-{start}-{end}"
    started_at, ended_at = T0 + round(start * SECOND), T0 + round(end * SECOND)
    return SegmentFact(name, camera, "purchase", started_at, ended_at, state)


def gap(start: float, end: float | None, camera: str = "cam-0") -> GapFact:
    ended_at = None if end is None else T0 + round(end * SECOND)
    started_at = T0 + round(start * SECOND)
    return GapFact(camera, "purchase", started_at, ended_at, "camera_unreachable")


def asked(state: AskedState, start: float = 0, end: float = 60, detail: str = "") -> Asked:
    return Asked(
        T0 + round(start * SECOND),
        T0 + round(end * SECOND),
        (),
        state,
        detail,
        "2026-01-02 11:04:05",
    )


def facts(**changes: object) -> Facts:
    values: dict[str, object] = {
        "node": "node-a", "session": "s", "owed": (T0, T0 + 60 * SECOND),
        "cameras": {"cam-0": "purchase"}, **changes,
    }  # fmt: skip
    return Facts(**values)  # type: ignore[arg-type]


def pieces(**changes: object) -> list[tuple[int, int, str]]:
    (scene,) = replay_of(facts(**changes), "zh").scenes
    return [(one.from_ms, one.to_ms, one.state) for one in scene.pieces]


def only_text(lang: Literal["zh", "en"] = "zh", **changes: object) -> str:
    (scene,) = replay_of(facts(**changes), lang).scenes
    (piece,) = scene.pieces
    return piece.text


def test_missing_part_between_two_segments_is_the_gap_that_explains_it() -> None:
    found = facts(segments=[segment(0, 20), segment(32, 60)], gaps=[gap(20, 32)])
    (scene,) = replay_of(found, "zh").scenes
    assert [one.state for one in scene.pieces] == ["footage", "gap", "footage"]
    assert scene.pieces[1] == Piece(20_000, 32_000, "gap", None, "缺失 12 秒：摄像头连接不上")


def test_gap_still_open_reaches_to_the_end() -> None:
    assert pieces(gaps=[gap(45, None)]) == [(0, 45_000, "absent"), (45_000, 60_000, "gap")]


def test_footage_wins_over_a_gap_row_that_overlaps_it() -> None:
    found = pieces(segments=[segment(0, 60)], gaps=[gap(10, 20)])
    assert found == [(0, 60_000, "footage")]


def test_overlapping_segments_are_cut_so_that_the_earlier_one_plays_to_its_end() -> None:
    found = pieces(segments=[segment(0, 40), segment(30, 60)])
    assert found == [(0, 40_000, "footage"), (40_000, 60_000, "footage")]


def test_hole_of_a_rounding_is_no_hole_and_a_longer_one_is() -> None:
    rounding = pieces(segments=[segment(0, 30), segment(30.001, 60)])
    assert [state for *_, state in rounding] == ["footage", "footage"]
    longer = pieces(segments=[segment(0, 30), segment(30.002, 60)])
    assert [state for *_, state in longer] == ["footage", "absent", "footage"]


def test_segment_that_begins_before_the_owed_span_moves_the_origin() -> None:
    found = replay_of(facts(segments=[segment(-5, 62)]), "zh")
    assert (found.origin, found.length_ms) == (T0 - 5 * SECOND, 67_000)


def test_time_outside_the_owed_span_is_told_apart_from_what_was_never_asked_for() -> None:
    other = segment(-5, 60, camera="cam-1")
    scene, _ = replay_of(facts(segments=[other]), "en").scenes
    assert [(one.to_ms, one.text) for one in scene.pieces] == [
        (5_000, "Outside the time owed to this session"),
        (65_000, "This part has not been asked for"),
    ]


@pytest.mark.parametrize(
    ("state", "detail", "piece", "text"),
    [
        ("waiting", "", "coming", "已调取，等待药店节点上传"),
        ("silent", "", "absent", "已调取，但药店节点自 2026-01-02 11:04:05 起没有联系"),
        ("sent", "", "absent", "药店节点没有这一段录像，也没有说明原因"),
        ("refused", "NOT_SIMULATED", "absent", "药店节点不予上传：真实摄像头的录像暂不上传"),
        ("failed", "FILE_UNREADABLE 0190", "absent", "上传失败：节点上的录像文件无法读取"),
        ("failed", "<b>?", "absent", "上传失败：<b>?"),
        ("expired", "", "absent", "调取已过期，请重新调取"),
    ],
)
def test_why_nothing_is_there_is_said_by_the_newest_command(
    state: AskedState, detail: str, piece: str, text: str
) -> None:
    commands = [asked(state, detail=detail), asked("sent")]
    assert pieces(asked=commands) == [(0, 60_000, piece)]
    assert only_text(asked=commands) == text


def test_time_that_an_early_command_did_not_ask_for_was_never_asked_for() -> None:
    assert pieces(asked=[asked("waiting", 0, 40)]) == [
        (0, 40_000, "coming"),
        (40_000, 60_000, "absent"),
    ]


@pytest.mark.parametrize(
    ("state", "piece"), [("receiving", "coming"), ("broken", "broken"), ("lost", "absent")]
)
def test_segment_that_cannot_be_played_is_named_and_never_footage(
    state: SegmentState, piece: str
) -> None:
    (scene,) = replay_of(facts(segments=[segment(0, 60, state)]), "zh").scenes
    assert [(one.state, one.segment) for one in scene.pieces] == [(piece, "cam-0-0-60")]
    assert scene.codec is None


def test_of_segments_at_one_moment_the_one_that_tells_most_is_shown() -> None:
    order: list[SegmentState] = ["receiving", "lost", "broken", "accepted"]
    here = [segment(0, 60 + n, state) for n, state in enumerate(order)]
    shown = [pieces(segments=here[: n + 1])[0][2] for n in range(4)]
    assert shown == ["coming", "absent", "broken", "footage"]


def test_cameras_without_any_footage_are_scenes_too_in_the_order_of_their_roles() -> None:
    cameras = {"c": "dispensing", "b": "purchase", "a": "prescription", "z": "corridor"}
    found = replay_of(facts(cameras=cameras), "zh")
    assert [scene.camera for scene in found.scenes] == ["b", "a", "c", "z"]
    assert [scene.ordinal for scene in found.scenes] == [0, 1, 2, 3]


def test_segment_that_claims_a_year_is_cut_to_the_margin() -> None:
    year = 366 * 86400
    found = replay_of(facts(segments=[segment(-year, year)]), "zh")
    assert found.origin == T0 - MARGIN_US
    assert found.length_ms == 60_000 + 2 * MARGIN_US // 1000


def test_steps_keep_their_number_and_those_outside_are_left_out() -> None:
    steps = [
        StepFact(1, T0 + 3 * SECOND, "session.opened", "开始业务", "plain"),
        StepFact(2, T0 + 3600 * SECOND, "footage.sent", "录像已上传", "ok"),
    ]
    found = replay_of(facts(steps=steps), "zh")
    assert [(one.n, one.at_ms) for one in found.steps] == [(1, 3_000)]


def test_json_names_a_playlist_only_where_there_is_footage() -> None:
    cameras = {"cam-0": "purchase", "cam-1": "dispensing"}
    found = replay_of(facts(node="shop/a", cameras=cameras, segments=[segment(0, 60)]), "en")
    told = found.to_json("en")
    assert [scene["playlist"] for scene in told["scenes"]] == [
        "/sessions/s/scenes/0.m3u8?node=shop%2Fa",
        None,
    ]
    assert [scene["role_text"] for scene in told["scenes"]] == ["Purchase", "Dispensing"]
    assert told["clear"] is False


@pytest.mark.parametrize(
    ("length_ms", "zh", "en"),
    [(400, "0.4 秒", "0.4 s"), (12_000, "12 秒", "12 s"), (65_000, "1 分 5 秒", "1 min 5 s")],
)
def test_lengths_are_told_in_words(length_ms: int, zh: str, en: str) -> None:
    assert (length_text(length_ms, "zh"), length_text(length_ms, "en")) == (zh, en)


MOMENTS = st.integers(-100_000, 160_000).map(lambda ms: ms / 1000)
STATES = st.sampled_from(["accepted", "receiving", "broken", "lost"])
SEGMENTS = st.builds(
    lambda a, b, state, camera: segment(min(a, b), max(a, b), state, camera),
    MOMENTS, MOMENTS, STATES, st.sampled_from(["cam-0", "cam-1"]),
)  # fmt: skip
GAPS = st.builds(
    lambda a, b, is_open: gap(min(a, b), None if is_open else max(a, b)),
    MOMENTS, MOMENTS, st.booleans(),
)  # fmt: skip
ASKED = st.builds(
    lambda a, b, state: asked(state, min(a, b), max(a, b)),
    MOMENTS, MOMENTS, st.sampled_from(["waiting", "silent", "sent", "refused", "expired"]),
)  # fmt: skip


@given(
    segments=st.lists(SEGMENTS, max_size=6),
    gaps=st.lists(GAPS, max_size=3),
    commands=st.lists(ASKED, max_size=3),
)
def test_pieces_tile_the_span_and_footage_is_never_claimed_without_a_segment(
    segments: list[SegmentFact], gaps: list[GapFact], commands: list[Asked]
) -> None:
    found = replay_of(facts(segments=segments, gaps=gaps, asked=commands), "zh")
    accepted = {one.segment: one for one in segments if one.state == "accepted"}
    for scene in found.scenes:
        assert (scene.pieces[0].from_ms, scene.pieces[-1].to_ms) == (0, found.length_ms)
        assert all(one.from_ms < one.to_ms for one in scene.pieces)
        assert all(left.to_ms == right.from_ms for left, right in pairwise(scene.pieces))
        assert all(piece.text for piece in scene.pieces)
        for piece in scene.pieces:
            if piece.state == "footage":
                assert_held(found, piece, accepted[piece.segment or ""], scene.camera)


def assert_held(found: Replay, piece: Piece, one: SegmentFact, camera: str) -> None:
    assert one.camera == camera
    assert found.origin + piece.from_ms * 1000 >= one.started_at
    assert found.origin + piece.to_ms * 1000 <= one.ended_at + 1000  # a rounding, see _joined


@given(segments=st.lists(SEGMENTS, max_size=6))
def test_every_moment_of_an_accepted_segment_is_footage(segments: list[SegmentFact]) -> None:
    found = replay_of(facts(segments=segments), "zh")
    for one in segments:
        if one.state != "accepted" or one.started_at == one.ended_at:
            continue
        (scene,) = (scene for scene in found.scenes if scene.camera == one.camera)
        for moment in range(one.started_at, one.ended_at, 7 * SECOND):
            at = (moment - found.origin) // 1000
            (here,) = (piece for piece in scene.pieces if piece.from_ms <= at < piece.to_ms)
            assert here.state == "footage"


def test_view_that_shows_nothing_is_told_over_the_footage_and_takes_none_away() -> None:
    black = GapFact("cam-0", "purchase", T0 + 20 * SECOND, T0 + 30 * SECOND, "view_black")
    found = facts(segments=[segment(0, 60)], gaps=[black])
    (scene,) = replay_of(found, "zh").scenes
    told = [(one.from_ms, one.to_ms, one.state, "画面全黑" in one.text) for one in scene.pieces]
    assert told == [
        (0, 20_000, "footage", False),
        (20_000, 30_000, "footage", True),
        (30_000, 60_000, "footage", False),
    ]
    assert {one.segment for one in scene.pieces} == {found.segments[0].segment}


def test_view_and_footage_gap_of_one_camera_lie_over_each_other() -> None:
    covered = GapFact("cam-0", "purchase", T0 + 10 * SECOND, None, "view_covered")
    found = facts(segments=[segment(0, 40)], gaps=[covered, gap(40, None)])
    (scene,) = replay_of(found, "en").scenes
    states = [(one.from_ms, one.state, one.text.endswith("is covered")) for one in scene.pieces]
    assert states == [(0, "footage", False), (10_000, "footage", True), (40_000, "gap", True)]
