"""Holds and policies arrive and stay: neither expiry nor another node makes them go away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select, update

from central import enrolment
from central.collector.core import Arrival
from central.commands import COMMANDS
from central.config import CentralConfig
from central.holds import Asked, place, release
from central.keys import CentralKeys
from central.policies import adopt, days_of
from central.projector import project_all, reproject
from central.standing import HOLDS, POLICIES, STANDS, issue_due
from central.tables import (
    Flag,
    NodeAlarm,
    NodeBreach,
    NodeClosure,
    NodeHold,
    NodeOpening,
    NodePolicy,
    table_of,
)
from central.web.state import WebState
from edge.commands.jobs import JobTools
from edge.commands.process import Commands
from edge.uplink.connection import Connection as WireConnection
from retention.policy import FLOORS, term_end
from retention.records import keeping as k
from retention.records.clock import to_micros, to_text
from retention.records.ids import SeededIds
from retention.records.payloads import GapCause, SceneRole
from retention.records.signing import Context
from retention.store import footage, holds, policies
from retention.store.log import append
from retention.terms import wire
from retention.terms.commands import HoldCommand, SignedCommand
from retention.terms.problems import Refusal
from tests.central.auditkit import config_of
from tests.central.wirekit import (
    CENTRAL_SIGNER,
    IDENTITY,
    KEY,
    OTHER_KEY,
    TestCentral,
    TestNode,
    settle,
    signer,
)

WHERE = {"agency": IDENTITY.agency, "pharmacy": IDENTITY.pharmacy}


@dataclass
class Line:
    """The connection of a commands process, straight to a central in memory."""

    central: TestCentral
    key: str
    up: bool = True
    lost: bool = False
    sent: list[list[bytes]] = field(default_factory=list)
    answers: list[list[bytes]] = field(default_factory=list)

    def send(self, frames: list[bytes]) -> bool:
        if not self.up:
            return False
        self.sent.append(frames)
        if not (self.lost and frames[1] == b"command_done"):
            out = self.central.core.handle([Arrival(self.key.encode(), self.key, frames)])
            self.answers.extend(one.frames for one in out)
        return True

    def wait(self, milliseconds: int) -> bool:
        due = self.central.core.commands_due() if self.up else []
        self.answers.extend(one.frames for one in due if one.route == self.key.encode())
        return False

    def received(self) -> list[list[bytes]]:
        found, self.answers = self.answers, []
        return found


class Office:
    """A node with its commands process, and central's web state."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.central = folder, TestCentral(folder)
        self.central.enrol()
        (folder / "a").mkdir()
        self.node = TestNode(folder / "a")
        self.web = WebState(
            config=CentralConfig.model_validate({"storage": {"data": str(folder)}}),
            database=self.central.database,
            keys=CentralKeys(CENTRAL_SIGNER, "", ""),
            clock=self.central.clock,
            ids=SeededIds(5),
            admin_sha256="",
        )
        self.line = Line(self.central, KEY)
        self.commands = self.commands_of(self.node, self.line)

    def commands_of(self, node: TestNode, line: Line) -> Commands:
        tools = JobTools(
            config=config_of(node.folder).model_copy(
                update={"node": config_of(node.folder).node.model_copy(
                    update={"node": node.identity.node}
                )}
            ),
            store=node.store,
            log=node.log,
            seal=lambda camera: None,
            locate=lambda placed: node.folder / placed.path,
            signing_key=CENTRAL_SIGNER.public_key,
        )  # fmt: skip
        return Commands(tools, cast(WireConnection, line))

    def talk(self, rounds: int = 4) -> None:
        """Let both talk; each round begins with a hello, as after a lost connection."""
        for _ in range(rounds):
            self.commands._start_over()
            self.commands._hello_due = 0.0
            self.commands.step()

    def pass_time(self, span: timedelta) -> None:
        self.node.clock.advance(span)
        self.central.clock.advance(span)

    @property
    def now(self) -> int:
        return to_micros(self.central.clock.now())

    def place(self, scope: str = "pharmacy", **more: object) -> str:
        asked = Asked(**WHERE, scope=scope, reason="case 12", **more)  # type: ignore[arg-type]
        with self.central.database.write() as connection:
            return place(self.web, connection, asked, "zhang")

    def release(self, hold: str) -> None:
        with self.central.database.write() as connection:
            release(self.web, connection, hold, "li", "over")

    def adopt(self, **changes: object) -> int:
        asked = {
            "policy": "province", "years": {"footage": 2}, "ceilings": {}, "actor": "zhang",
            "reason": "agreement", **WHERE, **changes,
        }  # fmt: skip
        with self.central.database.write() as connection:
            return adopt(self.web, connection, **asked)  # type: ignore[arg-type]

    def standing(self) -> list[str]:
        with self.node.store.read() as connection:
            return [hold.hold for hold in holds.standing(connection)]

    def given(self) -> list[tuple[str, str | None]]:
        with self.central.database.read() as connection:
            rows = connection.execute(
                select(COMMANDS.c.kind, COMMANDS.c.outcome).order_by(COMMANDS.c.issued_at)
            )
            return [(row.kind, row.outcome) for row in rows]

    def kinds(self, name: str) -> int:
        (count,) = self.node.store._connection.execute(
            "SELECT count(*) FROM log WHERE kind = ?", (name,)
        ).fetchone()
        return int(count)

    def close(self) -> None:
        self.node.close()
        self.central.close()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def test_hold_and_policy_arrive_once_with_who_and_why(office: Office) -> None:
    hold = office.place()
    assert office.adopt() == 1
    office.talk()
    assert office.standing() == [hold]
    with office.node.store.read() as connection:
        (adopted,) = policies.adopted(connection)
    assert (adopted.policy.policy, adopted.policy.terms[0].years) == ("province", 2)
    assert office.given() == [("hold", "done"), ("policy", "done")]
    office.talk()
    assert (office.kinds("hold.placed"), office.kinds("retention.policy_adopted")) == (1, 1)
    settle(office.node, office.central)
    project_all(office.central.database)
    with office.central.database.read() as connection:
        row = connection.execute(select(table_of(NodeHold))).one()
    assert (row.hold, row.authority, row.author, row.reason) == (
        hold, "central", "zhang", "case 12",
    )  # fmt: skip


def test_release_takes_back_what_was_placed_and_nothing_else(office: Office) -> None:
    hold, other = office.place(), office.place()
    office.talk()
    office.release(hold)
    office.release(hold)
    office.talk()
    assert office.standing() == [other]
    assert office.kinds("hold.released") == 1


def test_hold_that_was_released_before_it_arrived_never_arrives(office: Office) -> None:
    hold = office.place()
    office.release(hold)
    office.talk()
    assert office.standing() == []
    assert office.given() == [("hold", "withdrawn"), ("release", "done")]
    assert office.kinds("hold.placed") == office.kinds("hold.released") == 0


def test_command_that_expired_undelivered_is_issued_again(office: Office) -> None:
    office.line.up = False
    hold = office.place()
    office.talk()
    office.pass_time(STANDS + timedelta(seconds=1))
    office.talk()
    assert office.standing() == []
    office.line.up = True
    office.talk()
    assert office.standing() == [hold]
    assert office.given() == [("hold", None), ("hold", "done")]


def test_lost_conclusion_changes_nothing(office: Office) -> None:
    office.line.lost = True
    hold = office.place()
    office.talk()
    office.line.lost = False
    assert office.given() == [("hold", None)]
    office.talk()
    assert office.given() == [("hold", "done")]
    assert office.standing() == [hold]
    assert office.kinds("hold.placed") == 1


def test_replaced_node_gets_every_standing_hold_and_every_policy(
    office: Office, tmp_path: Path
) -> None:
    held, gone = office.place(), office.place()
    office.adopt()
    office.adopt(years={"footage": 3})
    local = k.Hold(
        hold=office.node.ids.new(), scope="pharmacy", session=None, person_ref=None,
        started_at=None, ended_at=None, cameras=(),
    )  # fmt: skip
    with office.node.store.write() as connection:
        placed = k.HoldPlaced(hold=local, authority="inspector", author="wang", reason="on site")
        holds.place(office.node.store, connection, placed)
    office.talk()
    office.release(gone)
    settle(office.node, office.central)
    project_all(office.central.database)

    identity = type(IDENTITY)(IDENTITY.agency, IDENTITY.pharmacy, "node-b")
    office.central.enrol(identity, OTHER_KEY)
    with office.central.database.write() as connection:
        enrolment.revoke(connection, IDENTITY.node, to_micros(office.central.clock.now()))
    (tmp_path / "b").mkdir()
    office.node.close()
    office.node = TestNode(tmp_path / "b", identity=identity)
    office.line = Line(office.central, OTHER_KEY)
    office.commands = office.commands_of(office.node, office.line)
    office.talk()
    assert set(office.standing()) == {held, local.hold}
    with office.node.store.read() as connection:
        assert [one.policy.version for one in policies.adopted(connection)] == [1, 2]
    with office.central.database.read() as connection:
        taken = connection.execute(select(HOLDS).where(HOLDS.c.hold == local.hold)).one()
    assert (taken.actor, taken.taken_from) == ("wang", IDENTITY.node)
    office.release(local.hold)
    office.talk()
    assert office.standing() == [held]


def test_what_the_node_refuses_says_why_and_is_asked_again_later(office: Office) -> None:
    office.adopt()
    with office.node.store.write() as connection:
        policy = k.RetentionPolicy(
            policy="province", version=1, province=None, agreement=None,
            effective_from=to_text(office.node.clock.now()),
            terms=(k.Term(subject="archive", years=9, days=0),), ceilings=(),
        )  # fmt: skip
        adopted = k.PolicyAdopted(policy=policy, authority="inspector", author="w", reason="r")
        policies.adopt(office.node.store, connection, adopted)
    office.talk()
    assert office.given() == [("policy", "refused")]
    with office.central.database.read() as connection:
        assert connection.execute(select(COMMANDS.c.detail)).scalar_one() == "POLICY_CONFLICT"
    office.pass_time(timedelta(hours=2))
    office.talk()
    assert office.given() == [("policy", "refused")] * 2
    for _ in range(24 * 30):  # it never can: asked less and less often, not every hour
        office.pass_time(timedelta(hours=1))
        with office.central.database.write() as connection:
            issue_due(connection, IDENTITY, CENTRAL_SIGNER, office.node.ids, office.now)
            connection.execute(
                update(COMMANDS)
                .where(COMMANDS.c.outcome.is_(None))
                .values(outcome="refused", concluded_at=office.now)
            )
    assert 6 <= len(office.given()) < 15


@pytest.mark.parametrize("recorded", [True, False])
def test_hold_that_is_called_done_without_its_record_is_owed_still(
    office: Office, recorded: bool
) -> None:
    office.place()
    if recorded:
        office.talk()
        settle(office.node, office.central)
        project_all(office.central.database)
    with office.central.database.write() as connection:
        connection.execute(update(COMMANDS).values(outcome="done", concluded_at=office.now))
    for hours in (0, 2):
        office.pass_time(timedelta(hours=hours))
        with office.central.database.write() as connection:
            again = issue_due(connection, IDENTITY, CENTRAL_SIGNER, office.node.ids, office.now)
        assert again == (1 if hours and not recorded else 0)


def test_node_takes_no_hold_of_another_key_node_or_time(office: Office) -> None:
    hold = k.Hold(
        hold=office.node.ids.new(), scope="pharmacy", session=None, person_ref=None,
        started_at=None, ended_at=None, cameras=(),
    )  # fmt: skip
    now = office.node.clock.now()
    command = HoldCommand(
        command=office.node.ids.new(), node=IDENTITY.node, hold=hold, actor="a", reason="r",
        issued_at=to_text(now), expires_at=to_text(now + timedelta(hours=1)),
    )  # fmt: skip
    reasons = []
    for changed, key in (
        ({}, signer(9)),
        ({"node": "node-b"}, CENTRAL_SIGNER),
        ({"expires_at": to_text(now)}, CENTRAL_SIGNER),
        ({"expires_at": "2026-02-30T00:00:00.000000Z"}, CENTRAL_SIGNER),
    ):
        bad = command.model_copy(update=changed)
        signed = SignedCommand(command=bad, signature=key.sign(Context.COMMAND, bad))
        office.line.answers.append(wire.encode(wire.Command(signed=signed)))
        office.commands._hello_due = 1e12
        office.commands.step()
        done = wire.decode(office.line.sent[-1], wire.TO_CENTRAL).header
        assert isinstance(done, wire.CommandDone)
        reasons.append((done.outcome, done.reason))
    assert [reason for _, reason in reasons] == [
        "BAD_SIGNATURE", "OTHER_NODE", "EXPIRED", "MALFORMED",
    ]  # fmt: skip
    assert {outcome for outcome, _ in reasons} == {"refused"}
    assert office.standing() == []


# -- what central allows --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "more"),
    [
        ("span", {}),
        ("span", {"started_at": 5, "ended_at": 5}),
        ("session", {}),
        ("person", {}),
        ("pharmacy", {"cameras": ("c",)}),
        ("pharmacy", {"session": "01900000-0000-7000-8000-0000000000aa"}),
    ],
)
def test_hold_whose_scope_says_too_little_or_too_much_is_refused(
    office: Office, scope: str, more: dict[str, object]
) -> None:
    with pytest.raises(Refusal, match="HOLD_REFUSED"):
        office.place(scope, **more)
    assert office.given() == []


def test_hold_of_a_pharmacy_without_a_node_is_refused(office: Office) -> None:
    asked = Asked("430100", "nowhere", "pharmacy", "r")
    with (
        pytest.raises(Refusal, match="PHARMACY_UNKNOWN"),
        office.central.database.write() as connection,
    ):
        place(office.web, connection, asked, "zhang")
    with office.central.database.read() as connection:
        assert connection.execute(select(HOLDS)).all() == []


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 201])
def test_hold_needs_a_reason(office: Office, reason: str) -> None:
    asked = Asked(**WHERE, scope="pharmacy", reason=reason)
    with (
        pytest.raises(Refusal, match="REASON_NEEDED"),
        office.central.database.write() as connection,
    ):
        place(office.web, connection, asked, "zhang")


@pytest.mark.parametrize(
    "changes",
    [
        {"years": {"processing": 2}},
        {"years": {"archive": 1}},
        {"years": {"footage": 0}},
        {"years": {"footage": 31}},
        {"years": {"face": 3}},
        {"years": {}, "ceilings": {}},
        {"years": {}, "ceilings": {"probe_crop": -1}},
        {"policy": "spaces are not"},
    ],
)
def test_policy_below_the_law_or_without_sense_is_refused(
    office: Office, changes: dict[str, object]
) -> None:
    with pytest.raises(Refusal, match="POLICY_REFUSED"):
        office.adopt(**changes)
    with office.central.database.read() as connection:
        assert connection.execute(select(POLICIES)).all() == []


def test_years_are_never_less_than_the_calendars() -> None:
    for years in range(1, 31):
        for day in ("2024-02-29", "2025-03-01", "2027-12-31"):
            start = datetime.fromisoformat(f"{day}T12:00:00+08:00")
            calendar = term_end(k.Term(subject="footage", years=years, days=0), start)
            assert start + timedelta(days=days_of(years)) >= calendar
    for floor in FLOORS.values():
        assert days_of(floor.years) == floor.days


# -- what nodes tell ------------------------------------------------------------------------------


def test_alarms_breaches_and_closures_are_folded_and_folded_again_the_same(office: Office) -> None:
    node, now = office.node, to_text(office.node.clock.now())
    breach = node.ids.new()
    told = [
        k.AlarmRaised(alarm="CAMERA_SILENT", subject="cam-0", detail="d", since=now),
        k.AlarmRaised(alarm="DISK_WARN", subject="main", detail="80 days", since=now),
        k.AlarmCleared(alarm="CAMERA_SILENT", subject="cam-0", since=now),
        k.RetentionBreach(
            breach=breach, stage="announced", camera="cam-0", started_at=now, ended_at=None,
            cause="disk_full", detail="",
        ),
        k.RetentionBreach(
            breach=breach, stage="averted", camera="cam-0", started_at=now, ended_at=now,
            cause="disk_full", detail="",
        ),
        k.ViewChanged(
            camera="cam-0", scene_role=SceneRole.PURCHASE, condition="black", measure="m",
            value="1", limit="2", since=now,
        ),
        k.OpeningAdopted(hours=("08:00-22:00",) * 6 + ("closed",), effective_from=now),
        k.ClosureDeclared(
            closure=breach, kind="closed", started_at=now, ended_at=now, author="a", reason="r",
        ),
        k.ClosureCancelled(closure=breach, author="a", reason="r"),
    ]  # fmt: skip
    with node.store.write() as connection:
        for payload in told:
            append(node.store, connection, payload)
    settle(node, office.central)

    def found() -> object:
        with office.central.database.read() as connection:
            flags = table_of(Flag)
            open_flags = connection.execute(
                select(flags.c.code, flags.c.subject).where(flags.c.cleared_at.is_(None))
            ).all()
            rows = [
                connection.execute(select(table_of(table))).all()
                for table in (NodeAlarm, NodeBreach, NodeClosure, NodeOpening, NodePolicy)
            ]
        return sorted(map(tuple, open_flags)), rows

    project_all(office.central.database)
    flags, rows = before = found()  # type: ignore[misc]
    assert flags == [("ALARM", "DISK_WARN main"), ("VIEW_UNUSABLE", "cam-0")]
    alarms, breaches, closures, openings, _ = rows
    assert {(row.alarm, row.cleared_at is None) for row in alarms} == {
        ("CAMERA_SILENT", False), ("DISK_WARN", True),
    }  # fmt: skip
    assert [row.stage for row in breaches] == ["averted"]
    assert closures[0].cancelled_at is not None
    assert len(openings) == 1
    reproject(office.central.database)
    assert found() == before


@pytest.mark.parametrize("hours", ["garbage", "25:00-26:00", "08:00", "08:00-"])
def test_opening_hours_that_are_none_are_flagged_and_stop_nothing(
    office: Office, hours: str
) -> None:
    now = to_text(office.node.clock.now())
    with office.node.store.write() as connection:
        told = k.OpeningAdopted(hours=(hours,) + ("open",) * 6, effective_from=now)
        append(office.node.store, connection, told)
    settle(office.node, office.central)
    project_all(office.central.database)
    with office.central.database.read() as connection:
        assert connection.execute(select(table_of(NodeOpening))).all() == []
        flags = table_of(Flag)
        assert connection.execute(select(flags.c.code)).scalars().all() == ["PAYLOAD_UNREADABLE"]


def test_gaps_of_both_layers_of_one_camera_may_be_open(office: Office) -> None:
    node, at = office.node, to_micros(office.node.clock.now())
    with node.store.write() as connection:
        for cause in (GapCause.VIEW_BLACK, GapCause.CAMERA_UNREACHABLE):
            footage.open_gap(node.store, connection, "cam-0", SceneRole.PURCHASE, at, cause)
        footage.close_gap(node.store, connection, "cam-0", at + 5, "footage")
    settle(node, office.central)
    project_all(office.central.database)
    with office.central.database.read() as connection:
        flags = table_of(Flag)
        rows = connection.execute(select(flags.c.cleared_at).where(flags.c.code == "GAP_OPEN"))
        assert sorted(row.cleared_at is None for row in rows) == [False, True]
