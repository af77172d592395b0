"""What central knows of the face method: how many people are enrolled, and whom it fails.

The duty to file begins at 100,000 people whose faces one controller stores (face rule, article 15);
central adds up what nodes count and warns before that. A person who is enrolled at two pharmacies
of one controller is counted twice, because no two nodes can recognise the same person: the sum is
an upper bound, which is the safe side.

Exclusion is accounted by sex and age band. That a face was compared and not accepted, and that the
same person was then accepted in another way, stands for a false reject: nobody can know it better
without knowing who people are. Rates carry 95 % intervals (Wilson 1927).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, case, func, or_, select

from central.tables import Flag, NodeSubjects, Session, table_of
from retention.records.clock import to_micros
from retention.records.people import AgeBand, Sex

SUBJECTS, SESSIONS, FLAGS = table_of(NodeSubjects), table_of(Session), table_of(Flag)
WARN_AT, FILE_AT = 80_000, 100_000
FILING_WORKING_DAYS = 30
STANDS_OUT = 1.25
"""A group stands out when its whole interval lies above this multiple of the rate of everybody:
the mirror of the four-fifths rule."""
MOST_FLAGS = 100
Z95 = 1.959964
Level = Literal["file", "warn", "ok"]
Dimension = Literal["age", "sex"]
_DIMENSIONS: tuple[tuple[Dimension, int], ...] = (("age", 0), ("sex", 1))
_ORDER = {code: place for place, code in enumerate((*get_args(AgeBand), *get_args(Sex)))}


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller: the sum over its nodes, and the oldest of the counts it is made of."""

    controller: str
    nodes: int
    subjects: int
    counted_at: int

    @property
    def level(self) -> Level:
        if self.subjects >= FILE_AT:
            return "file"
        return "warn" if self.subjects >= WARN_AT else "ok"


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total`, with the ends of its 95 % interval; without a total nothing is known."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float]:
        """Return the Wilson score interval, each end from 0 to 1."""
        if not self.total:
            return 0.0, 1.0
        n, p = self.total, self.count / self.total
        middle = p + Z95**2 / (2 * n)
        reach = Z95 * sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
        scale = 1 + Z95**2 / n
        low, high = (middle - reach) / scale, (middle + reach) / scale
        return (0.0 if self.count == 0 else low), (1.0 if self.count == n else high)


@dataclass(frozen=True, slots=True)
class Group:
    """One group of people over a time: sessions in which somebody was checked.

    `refused`: compared, not accepted, then accepted in another way, of those compared.
    `uncaptured`: looked at and never compared, of those looked at. `other_way`: accepted without a
    face, of those accepted.
    """

    dimension: Dimension
    code: str
    sessions: int
    attempts: int
    refused: Rate
    uncaptured: Rate
    other_way: Rate


@dataclass(frozen=True, slots=True)
class Fairness:
    """Everybody, and every group of which there is anything."""

    everybody: Group
    groups: tuple[Group, ...]

    def stands_out(self, group: Group) -> bool:
        """Tell whether a group is refused clearly more often than everybody."""
        rate = self.everybody.refused.value
        return rate is not None and group.refused.interval[0] > STANDS_OUT * rate


def controllers(connection: Connection) -> list[Controller]:
    """Return every controller, the largest first."""
    rows = connection.execute(
        select(
            SUBJECTS.c.controller,
            func.count(),
            func.sum(SUBJECTS.c.subjects),
            func.min(SUBJECTS.c.counted_at),
        ).group_by(SUBJECTS.c.controller)
    )
    found = [Controller(name, nodes, int(people), at) for name, nodes, people, at in rows]
    return sorted(found, key=lambda one: (-one.subjects, one.controller))


def fairness(connection: Connection, now: datetime, days: int) -> Fairness:
    """Return the accounting over the sessions that were opened in the last `days` days. Reads each
    of them once."""
    since = to_micros(now - timedelta(days=days))
    age, sex = SESSIONS.c.age_band, SESSIONS.c.sex
    rows = connection.execute(
        select(age, sex, *_sums())
        .where(SESSIONS.c.opened_at >= since, age.is_not(None))
        .group_by(age, sex)
    ).all()
    groups: list[Group] = []
    for dimension, place in _DIMENSIONS:
        codes = sorted({row[place] for row in rows}, key=lambda code: _ORDER.get(code, 99))
        groups += [
            _group(dimension, code, [row[2:] for row in rows if row[place] == code])
            for code in codes
        ]
    return Fairness(_group("sex", "everybody", [row[2:] for row in rows]), tuple(groups))


def attacks(connection: Connection) -> list[Row[*tuple[Any, ...]]]:
    """Return the newest suspected attacks and the credentials that are locked now."""
    standing = or_(FLAGS.c.code == "ATTACK_SUSPECTED", FLAGS.c.code == "FACE_LOCKED")
    return list(
        connection.execute(
            select(FLAGS)
            .where(standing, FLAGS.c.cleared_at.is_(None))
            .order_by(FLAGS.c.raised_at.desc(), FLAGS.c.subject)
            .limit(MOST_FLAGS)
        )
    )


def _sums() -> list[ColumnElement[Any]]:
    tries, compared = SESSIONS.c.face_tries, SESSIONS.c.face_compared
    by = SESSIONS.c.accepted_by
    otherwise = by.is_not(None) & (by != "face")
    counted = (
        (compared > 0) & otherwise,
        compared > 0,
        (tries > 0) & (compared == 0),
        tries > 0,
        otherwise,
        by.is_not(None),
    )
    return [
        func.count(),
        func.coalesce(func.sum(tries), 0),
        *(func.coalesce(func.sum(case((condition, 1), else_=0)), 0) for condition in counted),
    ]


def _group(dimension: Dimension, code: str, rows: Sequence[Sequence[Any]]) -> Group:
    """Add up rows of `_sums`."""
    sessions, attempts, refused, compared, missed, tried, otherwise, accepted = (
        sum(map(int, column)) for column in zip((0,) * 8, *rows, strict=True)
    )
    return Group(
        dimension, code, sessions, attempts,
        refused=Rate(refused, compared),
        uncaptured=Rate(missed, tried),
        other_way=Rate(otherwise, accepted),
    )  # fmt: skip
