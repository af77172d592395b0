"""The machine that says whether whoever signed in is still there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import presence
from identity.presence import (
    Confirmed,
    Event,
    Looked,
    Passed,
    Restarted,
    Standing,
    after,
    confirm_in_seconds,
    is_confirmation_near,
    is_forgotten,
    is_looked_for,
    next_look_seconds,
)
from retention.terms.presence import LATE_SECONDS, lapse_seconds, still_holds

S = 1_000_000_000
START = 1_000 * S


@dataclass(frozen=True)
class Limits:
    recheck_seconds: float = 120.0
    grace_seconds: float = 300.0
    confirm_minutes: float = 240.0


LIMITS = Limits()
BY_FACE = Standing("face", "present", START, 0, ("MATCH",))
BY_SECRET = Standing("secret", "present", START, 0, ("SECRET_CONFIRMED",))
AWAY = Looked("not_seen", ("NO_FACE",))
UNSURE = Looked("unsure", ("CAMERA_UNAVAILABLE",))
ATTACK = Looked("suspected", ("PLANAR_MOTION",))
SEEN = Looked("seen", ("MATCH",))


def at(seconds: float) -> int:
    return START + int(seconds * S)


def told(standing: Standing, *events: tuple[float, Event], limits: Limits = LIMITS) -> Standing:
    for seconds, event in events:
        standing = after(standing, event, at(seconds), limits)
    return standing


def test_one_missed_look_is_doubtful_and_brings_a_second_look_soon() -> None:
    missed = told(BY_FACE, (100, AWAY))

    assert (missed.state, missed.missed, missed.reasons) == ("doubtful", 1, ("NO_FACE",))
    soon = next_look_seconds(missed, LIMITS, lambda low, high: high)
    usual = next_look_seconds(BY_FACE, LIMITS, lambda low, high: low)
    assert soon < usual == 60.0


def test_nobody_is_absent_before_the_grace_is_over() -> None:
    doubted = told(BY_FACE, (100, AWAY), (130, AWAY), (160, AWAY), (299, AWAY))
    assert doubted.state == "doubtful"

    assert told(doubted, (300, Passed())).state == "absent"


def test_nobody_is_absent_by_one_look_alone() -> None:
    often_seldom = Limits(recheck_seconds=3600, grace_seconds=10)

    once = told(BY_FACE, (3000, AWAY), limits=often_seldom)
    assert once.state == "doubtful"
    assert told(once, (3005, AWAY), limits=often_seldom).state == "absent"


def test_one_accepted_look_is_enough_to_be_present_again() -> None:
    absent = told(BY_FACE, (100, AWAY), (130, AWAY), (300, Passed()))
    assert told(absent, (800, Passed()), (800, Restarted())) == absent

    back = told(absent, (900, SEEN))

    assert back == Standing("face", "present", at(900), 0, ("MATCH",))


def test_a_suspected_attack_is_doubtful_at_once_and_says_why() -> None:
    suspected = told(BY_FACE, (1, ATTACK))

    assert (suspected.state, suspected.reasons) == ("doubtful", ("PLANAR_MOTION",))
    assert told(suspected, (30, ATTACK), (301, ATTACK)).state == "absent"


def test_a_camera_that_is_away_lets_the_grace_run_and_the_secret_helps() -> None:
    away = told(BY_FACE, (100, UNSURE), (140, UNSURE), (310, UNSURE))
    assert (away.state, away.reasons) == ("absent", ("CAMERA_UNAVAILABLE",))

    assert told(away, (320, Confirmed())) == Standing(
        "secret", "present", at(320), 0, ("SECRET_CONFIRMED",)
    )


def test_a_verifier_that_is_off_leaves_nobody_present() -> None:
    silent = told(BY_FACE, (lapse_seconds("face", LIMITS), Passed()))
    assert silent.state == "present"

    lapsed = told(silent, (lapse_seconds("face", LIMITS) + 0.1, Passed()))

    assert (lapsed.state, lapsed.reasons) == ("absent", ("NOT_LOOKED",))


def test_silence_lasts_no_shorter_than_two_looks_need() -> None:
    seldom = Limits(recheck_seconds=3600, grace_seconds=10)

    assert lapse_seconds("face", seldom) == 5400 + LATE_SECONDS
    assert lapse_seconds("face", LIMITS) == 300 + LATE_SECONDS


def test_who_gave_their_secret_is_present_until_it_is_due_and_warned_before() -> None:
    assert not is_looked_for(BY_SECRET)
    assert confirm_in_seconds(BY_SECRET, at(60), LIMITS) == 240 * 60 - 60
    assert not is_confirmation_near(BY_SECRET, at(240 * 60 - 601), LIMITS)
    assert is_confirmation_near(BY_SECRET, at(240 * 60 - 600), LIMITS)
    assert told(BY_SECRET, (240 * 60, Passed())).state == "present"
    assert confirm_in_seconds(BY_SECRET, at(240 * 60 + 1), LIMITS) is None

    due = told(BY_SECRET, (240 * 60 + 1, Passed()))

    assert (due.state, due.reasons) == ("absent", ("CONFIRMATION_DUE",))
    assert confirm_in_seconds(due, at(240 * 60 + 1), LIMITS) is None
    assert told(due, (240 * 60 + 60, Confirmed())).state == "present"


def test_a_short_interval_is_warned_of_within_its_last_quarter() -> None:
    short = Limits(confirm_minutes=1)

    assert not is_confirmation_near(BY_SECRET, at(44), short)
    assert is_confirmation_near(BY_SECRET, at(45), short)


def test_a_restart_doubts_a_face_until_it_was_looked_at() -> None:
    restarted = told(BY_FACE, (20, Restarted()))
    assert (restarted.state, restarted.reasons) == ("doubtful", ("NODE_RESTARTED",))
    assert told(restarted, (25, SEEN)).state == "present"
    # What a secret said an hour ago, a restart does not make older.
    assert told(BY_SECRET, (3600, Restarted())) == BY_SECRET


def test_after_a_reboot_nobody_can_say_how_long_ago_it_was() -> None:
    for known in (BY_FACE, BY_SECRET):
        booted = after(replace(known, seen_ns=None), Passed(), at(0), LIMITS)
        assert (booted.state, booted.reasons) == ("doubtful", ("NODE_RESTARTED",))
        assert not still_holds(booted.method, presence.age_seconds(booted, at(0)), LIMITS)
        assert after(booted, Confirmed(), at(5), LIMITS).state == "present"

    lost = replace(BY_FACE, seen_ns=None)
    assert told(lost, (5, AWAY), (10, AWAY)).state == "absent"


def test_a_moment_that_is_yet_to_come_counts_as_unknown() -> None:
    early = after(replace(BY_FACE, seen_ns=at(50)), Passed(), at(0), LIMITS)

    assert early.state == "doubtful"
    assert presence.age_seconds(early, at(0)) is None


@pytest.mark.parametrize(("method", "hours"), [("face", 2), ("secret", 12)])
def test_who_was_not_seen_for_long_went_away(method: Literal["face", "secret"], hours: int) -> None:
    standing, seconds = replace(BY_FACE, method=method), hours * 3600
    assert not is_forgotten(standing, at(seconds - 1))
    assert is_forgotten(standing, at(seconds))
    # Known from before the reboot: at least the time since then has passed.
    assert not is_forgotten(replace(standing, seen_ns=None), seconds * S - 1)
    assert is_forgotten(replace(standing, seen_ns=None), seconds * S)


_LIMITS = st.builds(
    Limits,
    recheck_seconds=st.floats(5, 3600),
    grace_seconds=st.floats(10, 3600),
    confirm_minutes=st.floats(1, 720),
)
_METHOD: st.SearchStrategy[Literal["face", "secret"]] = st.sampled_from(["face", "secret"])
_NO_PROOF: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([AWAY, UNSURE, ATTACK]), st.just(Restarted()), st.just(Passed())
)
_ANY: st.SearchStrategy[Event] = st.one_of(_NO_PROOF, st.just(Confirmed()), st.just(SEEN))
_GAP = st.floats(0, 20_000)


@given(
    st.lists(st.tuples(_GAP, _ANY), max_size=12),
    st.lists(st.tuples(_GAP, _NO_PROOF), min_size=1, max_size=12),
    _METHOD,
    _LIMITS,
)
def test_nothing_but_a_look_or_a_secret_makes_anybody_present(
    first: list[tuple[float, Event]],
    then: list[tuple[float, Event]],
    method: Literal["face", "secret"],
    limits: Limits,
) -> None:
    standing, now = Standing(method, "absent", None, 0, ("NOT_LOOKED",)), START
    proven_ns: int | None = None
    for gap, event in first:
        now += int(gap * S)
        standing = after(standing, event, now, limits)
        if event in (SEEN, Confirmed()):
            proven_ns = now
    for gap, event in then:
        now += int(gap * S)
        before = standing.state
        standing = after(standing, event, now, limits)
        assert not (before != "present" and standing.state == "present")
        if standing.state == "present":
            assert proven_ns is not None
            assert (now - proven_ns) / S <= lapse_seconds(standing.method, limits)
        if before == "absent":
            assert standing.state == "absent"


@given(st.lists(st.tuples(_GAP, _ANY), max_size=20), _METHOD, _LIMITS)
def test_absent_by_looks_needs_two_of_them_and_the_grace(
    events: list[tuple[float, Event]], method: Literal["face", "secret"], limits: Limits
) -> None:
    standing, now, missed = Standing(method, "present", START, 0, ("MATCH",)), START, 0
    seen_ns = START
    for gap, event in events:
        now += int(gap * S)
        before = standing
        standing = after(standing, event, now, limits)
        if event in (SEEN, Confirmed()):
            seen_ns, missed = now, 0
        elif isinstance(event, Looked):
            missed += 1
        assert standing.missed == missed
        if standing.state == "absent" != before.state:
            age = (now - seen_ns) / S
            sought = standing.method == "face" and missed >= 2 and age >= limits.grace_seconds
            assert sought or age > lapse_seconds(standing.method, limits)


@given(_LIMITS, st.floats(0, 1), st.sampled_from(["present", "doubtful", "absent"]))
def test_the_next_look_lies_between_half_and_one_and_a_half_of_its_mean(
    limits: Limits, share: float, state: Literal["present", "doubtful", "absent"]
) -> None:
    standing = replace(BY_FACE, state=state)

    seconds = next_look_seconds(standing, limits, lambda low, high: low + (high - low) * share)

    assert seconds <= 1.5 * limits.recheck_seconds
    least = 0.5 * limits.recheck_seconds if state != "doubtful" else 2.5
    assert seconds >= least
