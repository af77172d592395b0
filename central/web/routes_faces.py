"""The face method over the API: people per controller, and exclusion by sex and age band."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from central import faces
from central.web.problems import responses
from central.web.state import Admin, State, record_access
from retention.records.clock import from_micros, to_text
from retention.records.fields import Frozen

router = APIRouter(prefix="/v1", tags=["faces"], responses=responses())
Days = Annotated[int, Query(ge=1, le=1096)]


class ControllerView(Frozen):
    """`subjects` is an upper bound: who is enrolled at two nodes counts twice."""

    controller: str
    nodes: int
    subjects: int
    level: Literal["ok", "warn", "file"]
    counted_at: str


class RateView(Frozen):
    """`value` is null when `total` is 0; `interval` is at 95 % (Wilson)."""

    count: int
    total: int
    value: float | None
    interval: Annotated[tuple[float, float], Field(description="lower and upper end")]


class GroupView(Frozen):
    dimension: Literal["age", "sex"]
    group: str
    sessions: int
    attempts: int
    refused: RateView
    uncaptured: RateView
    other_way: RateView
    stands_out: bool


class FacesView(Frozen):
    days: int
    warn_at: int
    file_at: int
    controllers: list[ControllerView]
    everybody: GroupView
    groups: list[GroupView]


@router.get("/faces")
def faces_report(state: State, actor: Admin, days: Days = 90) -> FacesView:
    """People enrolled per controller; likely false rejects and other ways by sex and age band."""
    with state.database.read() as connection:
        people = faces.controllers(connection)
        report = faces.fairness(connection, state.clock.now(), days)
    with state.database.write() as connection:
        record_access(state, connection, actor, "faces.read", f"faces of {days} days")
    return FacesView(
        days=days,
        warn_at=faces.WARN_AT,
        file_at=faces.FILE_AT,
        controllers=[_controller(one) for one in people],
        everybody=_group(report.everybody, report),
        groups=[_group(one, report) for one in report.groups],
    )


def _controller(one: faces.Controller) -> ControllerView:
    return ControllerView(
        controller=one.controller,
        nodes=one.nodes,
        subjects=one.subjects,
        level=one.level,
        counted_at=to_text(from_micros(one.counted_at)),
    )


def _group(one: faces.Group, report: faces.Fairness) -> GroupView:
    return GroupView(
        dimension=one.dimension,
        group=one.code,
        sessions=one.sessions,
        attempts=one.attempts,
        refused=_rate(one.refused),
        uncaptured=_rate(one.uncaptured),
        other_way=_rate(one.other_way),
        stands_out=report.stands_out(one),
    )


def _rate(rate: faces.Rate) -> RateView:
    return RateView(count=rate.count, total=rate.total, value=rate.value, interval=rate.interval)
