"""The time of one session: for every camera and every moment, whether there is a picture, and if
not, why not. Pure: rows come in as values, pieces in words go out.

Rules: the pieces of a scene tile 0..length_ms in order without overlap. `footage` stands only where
an accepted segment is, whose file is there and was not found broken. What else is known is told in
this order: a segment that failed its check, one on its way, a gap that the node explained, and then
why central has nothing. A gap of the view (black, frozen, covered, …) takes no footage away: the
piece that it lies over says it too. Moments are microseconds; `*_ms` count from `origin`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import itemgetter

from central.pages.timeline_values import (
    Asked,
    AskedState,
    Facts,
    GapFact,
    Piece,
    PieceState,
    Replay,
    Scene,
    SegmentFact,
    StepMark,
)
from retention.footage.coverage import TOLERANCE_US
from retention.pages.kit import Language, translated
from retention.records.payloads import VIEW_CAUSES, SceneRole
from retention.terms.words import word

ROLES = [role.value for role in SceneRole]
MARGIN_US = 3600 * 1_000_000
"""No segment reaches further than this around the owed span, whatever its record says."""


def replay_of(facts: Facts, lang: Language, *, clear: bool = False) -> Replay:
    """Return the time of a session as pieces in the words of a language."""
    low, high = facts.owed[0] - MARGIN_US, facts.owed[1] + MARGIN_US
    segments = [_within(one, low, high) for one in facts.segments]
    segments = [one for one in segments if one.started_at < one.ended_at]
    playable = [one for one in segments if one.state == "accepted"]
    origin = min([facts.owed[0], *(one.started_at for one in playable)])
    end = max([facts.owed[1], *(one.ended_at for one in playable)])
    cut = replace(facts, segments=segments)
    scenes = tuple(
        _scene(cut, ordinal, camera, role, (origin, end), lang)
        for ordinal, (camera, role) in enumerate(_cameras(cut))
    )
    length_ms = (end - origin) // 1000
    steps = tuple(
        StepMark(step.n, (step.at - origin) // 1000, step.kind, step.text, step.mark)
        for step in facts.steps
        if origin <= step.at <= end
    )
    return Replay(facts.node, facts.session, origin, length_ms, clear, scenes, steps)


def _within(segment: SegmentFact, low: int, high: int) -> SegmentFact:
    return replace(
        segment, started_at=max(segment.started_at, low), ended_at=min(segment.ended_at, high)
    )


def _cameras(facts: Facts) -> list[tuple[str, str]]:
    """Return every camera that is known of this session with its role, in the order shown."""
    found = dict(facts.cameras)
    known: tuple[SegmentFact | GapFact, ...] = (*facts.segments, *facts.gaps)
    for one in known:
        found.setdefault(one.camera, one.role)
    place = {role: number for number, role in enumerate(ROLES)}
    return sorted(found.items(), key=lambda item: (place.get(item[1], len(ROLES)), item[0]))


def _scene(
    facts: Facts, ordinal: int, camera: str, role: str, span: tuple[int, int], lang: Language
) -> Scene:
    own = _of_camera(facts, camera)
    views = _views(own.gaps, span, lang)
    pieces: list[Piece] = []
    for start, end, known in _spans(own, span):
        from_ms, to_ms = (start - span[0]) // 1000, (end - span[0]) // 1000
        if from_ms < to_ms:
            text = _text(known, facts.owed, (start, end), lang)
            whole = Piece(from_ms, to_ms, _state(known), _segment(known), text)
            pieces += _under_views(whole, views)
    playable = [one for one in own.segments if one.state == "accepted"]
    codec = playable[0].codec if playable else None
    return Scene(ordinal, camera, role, codec, tuple(pieces))


View = tuple[int, int, str]


def _views(gaps: Iterable[GapFact], span: tuple[int, int], lang: Language) -> list[View]:
    """Return from when till when (`*_ms`) pictures show nothing, and why in words."""
    return [
        (
            (one.started_at - span[0]) // 1000,
            ((span[1] if one.ended_at is None else one.ended_at) - span[0]) // 1000,
            word(lang, "cause", one.cause),
        )
        for one in gaps
        if one.cause in VIEW_CAUSES
    ]


def _under_views(piece: Piece, views: Sequence[View]) -> Iterable[Piece]:
    """Cut a piece where views begin and end, and say what its pictures do not show."""
    inside = {bound for view in views for bound in view[:2] if piece.from_ms < bound < piece.to_ms}
    for start, end in pairwise(sorted({piece.from_ms, piece.to_ms, *inside})):
        said = [text for begins, ends, text in views if begins <= start and end <= ends]
        yield replace(piece, from_ms=start, to_ms=end, text=" · ".join([piece.text, *said]))


def _of_camera(facts: Facts, camera: str) -> Facts:
    """Return the facts that one camera's time is made of, its segments in order."""
    segments = sorted(
        (one for one in facts.segments if one.camera == camera),
        key=lambda one: (one.started_at, one.segment),
    )
    return replace(
        facts,
        segments=_joined(segments),
        gaps=[one for one in facts.gaps if one.camera == camera],
        asked=[one for one in facts.asked if not one.cameras or camera in one.cameras],
    )


def _joined(segments: Sequence[SegmentFact]) -> list[SegmentFact]:
    """Close holes that are only rounding between two time bases: the earlier segment reaches on."""
    joined = list(segments)
    for number, (one, following) in enumerate(pairwise(segments)):
        if 0 < following.started_at - one.ended_at <= TOLERANCE_US:
            joined[number] = replace(one, ended_at=following.started_at)
    return joined


Known = SegmentFact | GapFact | Asked | None
Ranked = tuple[int, int, tuple[int, int], SegmentFact | GapFact | Asked]


def _spans(facts: Facts, span: tuple[int, int]) -> Iterable[tuple[int, int, Known]]:
    """Yield what is known from when till when, without holes; neighbours differ.

    One walk from the first moment to the last: a node that tells very much costs no more than that.
    """
    coming = _ranked(facts, span[1])
    bounds = {*span, *facts.owed}.union(*((one[0], one[1]) for one in coming))
    inside = sorted(bound for bound in bounds if span[0] <= bound <= span[1])
    begun: tuple[int, Known, bool] | None = None
    here_now: list[Ranked] = []
    for start in inside[:-1]:
        while coming and coming[-1][0] <= start:
            here_now.append(coming.pop())
        here_now = [one for one in here_now if one[1] > start]
        here = min(here_now, key=itemgetter(2))[3] if here_now else None
        outside = here is None and not facts.owed[0] <= start < facts.owed[1]
        if begun is not None and (begun[1], begun[2]) != (here, outside):
            yield begun[0], start, begun[1]
            begun = None
        begun = begun or (start, here, outside)
    if begun is not None:
        yield begun[0], span[1], begun[1]


_FIRST = {"accepted": 0, "broken": 1, "lost": 2, "receiving": 3}


def _ranked(facts: Facts, end: int) -> list[Ranked]:
    """Return all that is known, the last to begin first: from when, till when, how much it tells
    (the least number tells most), and what it is."""
    asked_first, gaps_first = len(_FIRST) + 1, len(_FIRST)
    found: list[Ranked] = [
        *((one.started_at, one.ended_at, (_FIRST[one.state], n), one)
          for n, one in enumerate(facts.segments)),
        *((one.started_at, end if one.ended_at is None else one.ended_at, (gaps_first, n), one)
          for n, one in enumerate(facts.gaps) if one.cause not in VIEW_CAUSES),
        *((one.started_at, one.ended_at, (asked_first, n), one)
          for n, one in enumerate(facts.asked)),
    ]  # fmt: skip
    return sorted(found, key=itemgetter(0), reverse=True)


def _state(known: Known) -> PieceState:
    match known:
        case SegmentFact(state="accepted"):
            return "footage"
        case SegmentFact(state="broken"):
            return "broken"
        case SegmentFact(state="receiving") | Asked(state="waiting"):
            return "coming"
        case GapFact():
            return "gap"
        case _:
            return "absent"


def _segment(known: Known) -> str | None:
    return known.segment if isinstance(known, SegmentFact) else None


def _text(known: Known, owed: tuple[int, int], piece: tuple[int, int], lang: Language) -> str:
    zh = lang == "zh"
    length = length_text((piece[1] - piece[0]) // 1000, lang)
    match known:
        case SegmentFact(state=state):
            return translated(lang, *SEGMENT_TEXTS[state])
        case GapFact(cause=cause):
            why = word(lang, "cause", cause)
            return f"缺失 {length}：{why}" if zh else f"{length} missing: {why}"
        case Asked():
            return asked_text(known, lang)
        case _ if piece[1] <= owed[0] or piece[0] >= owed[1]:
            return "不在本次业务应存的时段内" if zh else "Outside the time owed to this session"
        case _:
            return "尚未调取这段录像" if zh else "This part has not been asked for"


SEGMENT_TEXTS: dict[str, tuple[str, str]] = {
    "accepted": ("录像已校验", "Footage, verified"),
    "receiving": ("正在上传", "On its way"),
    "broken": ("这段录像未通过校验，不予播放", "This part failed its check and is not played"),
    "lost": (
        "这段录像曾经校验通过，但文件已不在复核中心",
        "This part was verified once, but its file is no longer at central",
    ),
}
ASKED_TEXTS: dict[AskedState, tuple[str, str]] = {
    "waiting": ("已调取，等待药店节点上传", "Asked for, waiting for the node"),
    "silent": (
        "已调取，但药店节点自 {since} 起没有联系",
        "Asked for; the node is silent since {since}",
    ),
    "sent": (
        "药店节点没有这一段录像，也没有说明原因",
        "The node has no such footage and gave no cause",
    ),
    "refused": ("药店节点不予上传：{detail}", "The node refused: {detail}"),
    "failed": ("上传失败：{detail}", "The transfer failed: {detail}"),
    "expired": ("调取已过期，请重新调取", "The request expired; ask again"),
}  # fmt: skip


def asked_text(asked: Asked, lang: Language) -> str:
    """Return how asking for footage stands, in words."""
    detail = word(lang, "footage", asked.detail.partition(" ")[0])
    return translated(lang, *ASKED_TEXTS[asked.state]).format(detail=detail, since=asked.since)


def length_text(length_ms: int, lang: Language) -> str:
    """Return a length in words: 0.4 秒, 12 秒, 1 分 5 秒."""
    zh = lang == "zh"
    if length_ms < 1000:
        return f"{length_ms / 1000:.1f} {'秒' if zh else 's'}"
    minutes, seconds = divmod(round(length_ms / 1000), 60)
    if not minutes:
        return f"{seconds} {'秒' if zh else 's'}"
    return f"{minutes} 分 {seconds} 秒" if zh else f"{minutes} min {seconds} s"
