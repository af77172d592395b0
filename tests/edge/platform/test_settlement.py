"""Settling through the real adapter and the simulated platform: one settlement, whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge.platform.nhsa import CALL_PATH, Answer, NhsaPlatform
from edge.platform.port import (
    InsuredPerson,
    Rejected,
    Reversed,
    ReverseRequest,
    Settled,
    SettlementUnknown,
)
from edge.session.commands import start_settlement
from edge.session.service import Caller, SessionService
from edge.session.settling import Settler, _request
from edge.session.state import SessionState, Stage
from edge.simulators.platform import Control, create_platform
from retention.records.clock import ManualClock
from retention.records.errors import UsageError
from retention.records.payloads import BasketLine, Claim
from retention.records.signing import Ed25519Signer
from retention.store import credentials
from retention.store.credentials import Checked
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.sessions import unconcluded_settlements
from retention.terms.problems import Refusal
from tests.edge.counter_kit import config_for
from tests.serving import served

ME = Caller("01976f00-0000-7000-8000-000000000001", "counter-1")
PERSON = InsuredPerson("02", "11010519491231002X", "")
FAULTS = ("timeout_before", "timeout_after", "duplicate", "reject", "offline", "slow", "garbage")
SETTLES = {None, "duplicate"}
LINE = BasketLine(
    line=1,
    med_list_codg="XA10",
    name="<b>药</b>",
    quantity="2",
    unit_price="3.50",
    prescription_required=False,
    trace_codes=(),
)
CLAIM = Claim(
    person_ref="a" * 64, display_name="张*三", mdtrt_cert_type="02", insuplc_admdvs="430100"
)


@pytest.fixture
def platform() -> FastAPI:
    return create_platform()


@pytest.fixture
def address(platform: FastAPI) -> Iterator[str]:
    with served(platform) as url:
        yield url


@pytest.fixture
def port(address: str, clock: ManualClock) -> NhsaPlatform:
    return NhsaPlatform(
        address, institution="P43010000001", area="430100", timeout_seconds=0.8, clock=clock
    )


@pytest.fixture
def service(store: NodeStore, signer: Ed25519Signer, tmp_path: Path) -> SessionService:
    return SessionService(store, signer, config_for(tmp_path))


@pytest.fixture
def settler(service: SessionService, port: NhsaPlatform) -> Settler:
    return Settler(service, port)


@pytest.fixture
def permitted(service: SessionService) -> Callable[[], str]:
    """Return a session that may settle."""
    checked = Checked("pharmacists", "ph-3", "scrypt")
    with service.store.write() as connection:
        now = service.store.clock.now()
        credentials.put(connection, checked.role, checked.name, checked.secret_hash, now)

    def make() -> str:
        session = service.open(ME, "op", CLAIM, "unknown", "unknown").session
        service.attest(ME, session, checked, "id_card")
        service.set_basket(ME, session, (LINE,))
        service.authorise(ME, session)
        return session

    return make


def set_fault(platform: FastAPI, fault: Any, **more: Any) -> None:
    platform.state.faults.set(Control(fault=fault, **more))


def standing(platform: FastAPI) -> list[dict[str, Any]]:
    held = platform.state.ledger.to_json()["settlements"]
    return [one for one in held if one["state"] == "settled"]


def settle(settler: Settler, session: str) -> str:
    """Return the stage, or the code of the refusal."""
    try:
        return settler.settle(ME, session, PERSON).stage.value
    except Refusal as exc:
        return exc.problem.code


def kinds(state: SessionState) -> list[str]:
    return [step.kind for step in state.steps if step.kind.startswith("settlement.")]


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_whatever_the_platform_does_a_basket_is_settled_at_most_once_and_a_retry_settles_it(
    fault: str | None,
    settler: Settler,
    service: SessionService,
    platform: FastAPI,
    permitted: Callable[[], str],
) -> None:
    session = permitted()
    set_fault(platform, fault, times=1, seconds=1.5)

    first, again = settle(settler, session), settle(settler, session)

    assert first == again
    assert len(standing(platform)) == (1 if fault in SETTLES else 0)
    if fault in SETTLES:
        assert first == "settled"
        return
    set_fault(platform, None)
    service.authorise(ME, session)
    assert settle(settler, session) == "settled"
    assert len(standing(platform)) == 1
    msgids = [m["msgid"] for m in platform.state.ledger.to_json()["messages"]]
    assert len(set(msgids)) == len(msgids)


def test_a_message_that_comes_after_its_reversal_settles_nothing(
    settler: Settler, platform: FastAPI, permitted: Callable[[], str]
) -> None:
    set_fault(platform, "slow", times=1, seconds=1.5)
    settle(settler, permitted())
    waited = threading.Event()
    for _ in range(100):
        messages = platform.state.ledger.to_json()["messages"]
        if [m["infno"] for m in messages] == ["2601", "2102"]:
            break
        waited.wait(0.05)
    else:
        pytest.fail(f"the late message never came: {messages}")
    assert standing(platform) == []


def test_the_attempt_is_committed_before_the_platform_hears_of_it(
    service: SessionService, port: NhsaPlatform, permitted: Callable[[], str]
) -> None:
    session = permitted()
    seen: list[list[str]] = []

    class Watching:
        new_msgid = staticmethod(port.new_msgid)
        reverse = staticmethod(port.reverse)

        @staticmethod
        def settle(request: Any) -> Any:
            seen.append(kinds(service.state_of(session)))
            return port.settle(request)

    assert settle(Settler(service, Watching()), session) == "settled"
    assert seen == [["settlement.attempted"]]


def test_an_authorisation_that_the_platform_refused_is_not_asked_with_again(
    settler: Settler,
    service: SessionService,
    port: NhsaPlatform,
    platform: FastAPI,
    permitted: Callable[[], str],
) -> None:
    session = permitted()
    set_fault(platform, "reject", times=1)
    assert settle(settler, session) == "SETTLEMENT_REFUSED"
    state = service.state_of(session)
    ruling = start_settlement(state, service.now(state), service.terms, port.new_msgid())
    assert ruling.problem is not None
    assert ruling.problem.code == "AUTHORISATION_USED"
    assert settle(settler, session) == "SETTLEMENT_REFUSED"
    assert len(platform.state.ledger.to_json()["messages"]) == 0


def test_two_submits_at_once_settle_once_with_one_answer(
    settler: Settler, service: SessionService, platform: FastAPI, permitted: Callable[[], str]
) -> None:
    session = permitted()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: settle(settler, session), range(6)))
    assert answers == ["settled"] * 6
    assert len(standing(platform)) == 1
    assert [m["infno"] for m in platform.state.ledger.to_json()["messages"]] == ["2102"]


@pytest.mark.parametrize("held", [False, True])
def test_a_crash_between_attempt_and_conclusion_is_reversed_at_the_next_start(
    held: bool,
    service: SessionService,
    port: NhsaPlatform,
    platform: FastAPI,
    permitted: Callable[[], str],
    store: NodeStore,
) -> None:
    session = permitted()

    class Dying:
        new_msgid = staticmethod(port.new_msgid)

        @staticmethod
        def settle(request: Any) -> Any:
            if held:
                port.settle(request)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Settler(service, Dying()).settle(ME, session, PERSON)
    assert service.state_of(session).stage is Stage.SETTLING
    assert len(standing(platform)) == held

    assert Settler(service, port).recover_all() == 1

    assert standing(platform) == []
    assert service.state_of(session).stage is Stage.REVERSED
    with store.read() as connection:
        assert unconcluded_settlements(connection) == []
    assert Settler(service, port).recover_all() == 0


def test_a_reversal_that_gets_no_answer_is_tried_again_with_longer_pauses(
    settler: Settler,
    service: SessionService,
    platform: FastAPI,
    permitted: Callable[[], str],
    clock: ManualClock,
) -> None:
    session = permitted()
    set_fault(platform, "timeout_after", times=1)
    set_fault(platform, "offline", transaction="2601")
    assert settle(settler, session) == "SETTLEMENT_UNKNOWN"
    assert service.state_of(session).stage is Stage.REVERSING
    attempts = len(kinds(service.state_of(session)))
    clock.jump(timedelta(hours=-1))  # pauses are not counted by the wall clock

    settler.retry_due()
    assert len(kinds(service.state_of(session))) == attempts
    clock.advance(timedelta(seconds=2))
    settler.retry_due()
    clock.advance(timedelta(seconds=2))
    settler.retry_due()
    assert len(kinds(service.state_of(session))) == attempts + 2
    clock.advance(timedelta(seconds=3))
    settler.retry_due()
    assert len(kinds(service.state_of(session))) == attempts + 2

    set_fault(platform, None)
    clock.advance(timedelta(seconds=4))
    settler.retry_due()
    assert service.state_of(session).stage is Stage.REVERSED
    assert standing(platform) == []


def test_an_open_reversal_still_ends_after_the_session_was_closed(
    settler: Settler,
    service: SessionService,
    platform: FastAPI,
    permitted: Callable[[], str],
    clock: ManualClock,
) -> None:
    session = permitted()
    set_fault(platform, "timeout_after", times=1)
    set_fault(platform, "offline", transaction="2601")
    settle(settler, session)
    service.close(ME, session, "self_paid")
    set_fault(platform, None)
    clock.advance(timedelta(seconds=5))
    settler.retry_due()
    assert service.state_of(session).stage is Stage.REVERSED
    assert standing(platform) == []


def test_a_lost_conclusion_is_reversed_and_not_forgotten(
    settler: Settler,
    service: SessionService,
    platform: FastAPI,
    permitted: Callable[[], str],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The platform settled, but the node's disk was full when the answer came."""
    session = permitted()
    act = service.act

    def full(*arguments: Any) -> SessionState:
        if service.state_of(session).stage is Stage.SETTLING:
            raise StoreUnavailable("disk full")
        return act(*arguments)

    monkeypatch.setattr(service, "act", full)
    with pytest.raises(StoreUnavailable):
        settler.settle(ME, session, PERSON)
    assert len(standing(platform)) == 1

    monkeypatch.setattr(service, "act", act)
    clock.advance(timedelta(seconds=2))
    settler.retry_due()
    assert standing(platform) == []
    assert service.state_of(session).stage is Stage.REVERSED


def test_an_unreachable_platform_is_a_definite_no(clock: ManualClock) -> None:
    nobody = NhsaPlatform(
        "http://127.0.0.1:9", institution="P1", area="430100", timeout_seconds=0.3, clock=clock
    )
    answer = nobody._call(nobody._envelope("2601", nobody.new_msgid(), "430100", "op", {}))
    assert isinstance(answer, Rejected)


@pytest.mark.parametrize("url", ["", "platform", "ftp://host", "http://", "http://h:port", "//x"])
def test_an_address_that_is_none_is_one_clear_line(url: str, clock: ManualClock) -> None:
    with pytest.raises(UsageError, match=r"settlement\.platform_url") as caught:
        NhsaPlatform(url, institution="P1", area="430100", timeout_seconds=1, clock=clock)
    assert "\n" not in str(caught.value)


def test_what_the_platform_says_is_kept_without_the_numbers_of_people(
    port: NhsaPlatform,
    service: SessionService,
    permitted: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = "人员编号[43abCD28]不存在 11010519491231002x / 4300003028 / 110105194912310029 (code 23)"
    monkeypatch.setattr(port, "_call", lambda _: Answer(infcode=-1, err_msg=said))
    person = InsuredPerson("02", "11010519491231002X", "43ABcd28")
    session = permitted()
    with pytest.raises(Refusal) as refused:
        Settler(service, port).settle(ME, session, person)
    concluded = service.state_of(session).concluded
    assert concluded is not None
    assert concluded.reason == "-1: 人员编号[…]不存在 … / … / … (code 23)"
    assert refused.value.problem.detail == concluded.reason


def test_message_ids_have_thirty_characters_and_never_repeat(port: NhsaPlatform) -> None:
    made = [port.new_msgid() for _ in range(500)]
    assert len(set(made)) == 500
    assert all(len(one) == 30 and one.startswith("P4301000000120260102110405") for one in made)


def test_a_platform_that_says_success_and_nothing_else_is_unknown(
    port: NhsaPlatform, permitted: Callable[[], str], monkeypatch: pytest.MonkeyPatch,
    service: SessionService,
) -> None:  # fmt: skip
    monkeypatch.setattr(port, "_call", lambda _: Answer(infcode=0, output={"setlinfo": {}}))
    session = permitted()
    asked = Settler(service, port)
    with pytest.raises(Refusal) as refused:
        asked.settle(ME, session, PERSON)
    assert refused.value.problem.code == "SETTLEMENT_UNKNOWN"


def test_the_simulator_answers_the_same_basket_with_the_same_settlement(
    address: str, platform: FastAPI, port: NhsaPlatform, service: SessionService,
    permitted: Callable[[], str],
) -> None:  # fmt: skip
    state = service.state_of(permitted())
    assert state.authorised is not None
    assert state.basket is not None
    attempted = service.act(
        state.session,
        None,
        lambda found: start_settlement(
            found, service.store.clock.now(), service.terms, port.new_msgid()
        ),
    )
    assert attempted.attempt is not None
    request = _request(attempted, attempted.attempt, PERSON)
    first = port.settle(request)
    second = port.settle(replace(request, msgid=port.new_msgid()))
    assert isinstance(first, Settled)
    assert first == second
    assert len(standing(platform)) == 1
    unknown = ReverseRequest(port.new_msgid(), "P" * 30, state.session, "op", "430100")
    assert port.reverse(unknown) == Reversed("the platform held nothing")
    set_fault(platform, "garbage", transaction="2601", times=1)
    with pytest.raises(SettlementUnknown):
        port.reverse(replace(unknown, msgid=port.new_msgid()))


def test_a_malformed_message_is_refused_by_the_simulator(address: str) -> None:
    with httpx.Client(trust_env=False, timeout=30) as client:
        assert client.post(address + CALL_PATH, json={"infno": "9999"}).status_code == 422
        assert client.post(address + "/control", json={"fault": "explode"}).status_code == 422
