"""Node mode: settling through the port, so that a crash or a timeout never settles twice.

The attempt is committed before the platform is asked. No definite answer means unknown: that is
concluded, and the reversal is committed as begun, before the reversal is sent. An attempt found
without a conclusion (a crash) is treated the same. A retry needs a new authorisation and has a
new msgid; nothing is ever resent blindly.
"""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from edge.platform.port import (
    InsuredPerson,
    Rejected,
    ReverseRequest,
    Settled,
    SettlementPort,
    SettlementUnknown,
    SettleRequest,
)
from edge.session import commands
from edge.session.commands import Ruling
from edge.session.service import Caller, SessionService
from edge.session.state import WAITING, SessionState, Stage
from retention.records.payloads import SettlementAttempted, SettlementConcluded
from retention.store.sessions import unconcluded_settlements
from retention.terms.problems import Problem, Refusal

log = structlog.get_logger(__name__)

FIRST_RETRY = timedelta(seconds=2)
LONGEST_RETRY = timedelta(minutes=10)


class Settler:
    """Settles sessions through a port, and reverses what is left unknown."""

    def __init__(self, service: SessionService, port: SettlementPort) -> None:
        self._service, self._port = service, port
        self._locks = tuple(threading.Lock() for _ in range(64))
        self._retries: dict[str, tuple[timedelta, timedelta]] = {}  # due at uptime, pause

    def settle(self, caller: Caller, session: str, person: InsuredPerson) -> SessionState:
        """Settle once and return the state; a second submit waits and gets the same answer.

        Raises Refusal: not permitted, refused by the platform, or unknown and being reversed.
        """
        self._service.load(caller, session)  # another counter's session takes no lock
        with self._lock_of(session):
            state = self._service.load(caller, session)
            if _was_asked(state):
                return _answer(self._recover(state))
            state = self._begin(caller, session)
            self._watch(session)  # so that it is looked at again however this call ends
            return _answer(self._ask(state, person))

    def recover_all(self) -> int:
        """Reverse what an earlier process left without a conclusion; return how many were found.

        To be called once at start-up, when no other process can be settling.
        """
        with self._service.store.read() as connection:
            sessions = unconcluded_settlements(connection)
        for session in sessions:
            self._retries[session] = (self._uptime(), FIRST_RETRY)
        self.retry_due()
        return len(sessions)

    def retry_due(self) -> None:
        """Try again the reversals whose time has come; each waits twice as long as before."""
        now = self._uptime()
        for session, (due, pause) in list(self._retries.items()):
            if now < due:
                continue
            longer = min(pause * 2, LONGEST_RETRY)
            self._retries[session] = (now + pause, longer)
            with self._lock_of(session):
                self._recover(self._service.state_of(session))

    def _begin(self, caller: Caller, session: str) -> SessionState:
        msgid = self._port.new_msgid()
        service = self._service
        return service.act(
            session,
            caller,
            lambda state: commands.start_settlement(
                state, service.now(state), service.terms, msgid
            ),
        )

    def _ask(self, state: SessionState, person: InsuredPerson) -> SessionState:
        attempt = _attempt_of(state)
        try:
            answer = self._port.settle(_request(state, attempt, person))
        except SettlementUnknown as exc:
            log.warning("settlement_unknown", session=state.session, why=str(exc))
            return self._reverse(state)
        if isinstance(answer, Settled):
            concluded = commands.conclusion(attempt, "settled", answer.setl_id, None)
        else:
            concluded = commands.conclusion(attempt, "refused", None, answer.reason)
        return self._conclude(concluded)

    def _recover(self, state: SessionState) -> SessionState:
        """Reverse an attempt that nobody is waiting for. The caller holds the session's lock."""
        if state.stage in WAITING:
            return self._reverse(state)
        self._retries.pop(state.session, None)
        return state

    def _reverse(self, state: SessionState) -> SessionState:
        msgid = self._port.new_msgid()
        state = self._service.act(
            state.session, None, lambda found: commands.start_reversal(found, msgid)
        )
        attempt = _attempt_of(state)
        request = ReverseRequest(
            msgid=msgid,
            original_msgid=attempt.msgid,
            session=state.session,
            operator=state.opened.operator,
            insuplc_admdvs=state.opened.claim.insuplc_admdvs,
        )
        try:
            answer = self._port.reverse(request)
        except SettlementUnknown as exc:
            return self._reversal_pending(state, str(exc))
        if isinstance(answer, Rejected):
            return self._reversal_pending(state, answer.reason)
        concluded = commands.conclusion(attempt, "reversed", None, answer.reason)
        return self._conclude(concluded)

    def _conclude(self, concluded: SettlementConcluded) -> SessionState:
        state = self._service.act(concluded.session, None, lambda _: Ruling((concluded,)))
        self._retries.pop(concluded.session, None)
        return state

    def _reversal_pending(self, state: SessionState, why: str) -> SessionState:
        log.warning("reversal_pending", session=state.session, why=why)
        self._watch(state.session)
        return state

    def _watch(self, session: str) -> None:
        due = self._uptime() + FIRST_RETRY
        self._retries.setdefault(session, (due, FIRST_RETRY))

    def _uptime(self) -> timedelta:
        return timedelta(microseconds=self._service.store.clock.monotonic_ns() // 1000)

    def _lock_of(self, session: str) -> threading.Lock:
        """Return the session's lock. A few sessions share one, so locks need no tidying up."""
        return self._locks[int(session[-4:], 16) % len(self._locks)]


def _was_asked(state: SessionState) -> bool:
    """Say whether the authorisation in force was already spent on the platform."""
    if state.stage in WAITING or state.stage is Stage.SETTLED:
        return True
    authorised = state.authorised
    spent = authorised is not None and authorised.authorisation.authorisation in state.used
    return spent and state.void is None


def _answer(state: SessionState) -> SessionState:
    """Return a settled session; raise the problem for every other end of the attempt."""
    if state.stage is Stage.SETTLED:
        return state
    if state.stage is Stage.REFUSED:
        reason = state.concluded.reason if state.concluded else None
        raise Refusal(Problem(409, "SETTLEMENT_REFUSED", reason or ""))
    pending = state.stage in WAITING
    raise Refusal(
        Problem(409, "SETTLEMENT_UNKNOWN", facts={"stage": state.stage.value, "pending": pending})
    )


def _attempt_of(state: SessionState) -> SettlementAttempted:
    if state.attempt is None:
        raise Refusal(Problem(409, "AUTHORISATION_MISSING"))
    return state.attempt


def _request(
    state: SessionState, attempt: SettlementAttempted, person: InsuredPerson
) -> SettleRequest:
    basket = state.basket
    if basket is None:
        raise Refusal(Problem(409, "BASKET_EMPTY"))
    return SettleRequest(
        msgid=attempt.msgid,
        idempotency_key=attempt.idempotency_key,
        session=state.session,
        authorisation=attempt.authorisation,
        operator=state.opened.operator,
        insuplc_admdvs=state.opened.claim.insuplc_admdvs,
        person=person,
        rx_no=state.prescription.rx_no if state.prescription else None,
        lines=basket.lines,
        total=basket.total,
    )
