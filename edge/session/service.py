"""The shell around the session: load, fold, decide and append in one write transaction.

Two requests can never both win, because the second folds what the first has committed. A session
of another counter does not exist here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from edge.config import EdgeConfig
from edge.session import commands, receipts
from edge.session.commands import GateTerms, Outcome, Ruling
from edge.session.state import SessionState, fold
from retention.records import payloads as p
from retention.records.receipts import claim_digest
from retention.records.signing import Ed25519Signer
from retention.store import log
from retention.store.database import NodeStore
from retention.store.people import latest_reference
from retention.store.sessions import insert_session, mark_closed, read_session, recent_sessions
from retention.terms.problems import Problem, Refusal

LISTED = 50


@dataclass(frozen=True, slots=True)
class Caller:
    """The paired terminal that asks."""

    terminal: str
    counter: str


class SessionService:
    """The sessions of one node, for its counters."""

    def __init__(self, store: NodeStore, signer: Ed25519Signer, config: EdgeConfig) -> None:
        self.store, self._signer = store, signer
        self.receipt_for = timedelta(seconds=config.verification.receipt_seconds)
        self.terms = GateTerms(
            signer=signer,
            public_key=signer.public_key,
            attempts=config.verification.attempts,
            valid_for=timedelta(seconds=config.session.authorisation_seconds),
        )

    # -- reading ----------------------------------------------------------------------------------

    def load(self, caller: Caller, session: str) -> SessionState:
        """Return a session's state. Raises Refusal SESSION_UNKNOWN."""
        with self.store.read() as connection:
            return self._load(connection, session, caller.counter)

    def recent(self, caller: Caller) -> list[SessionState]:
        """Return the counter's newest sessions, newest first."""
        with self.store.read() as connection:
            rows = recent_sessions(connection, caller.counter, LISTED)
            return [self._load(connection, row.id, caller.counter) for row in rows]

    def has_reference(self, person_ref: str) -> bool:
        """Say whether a face reference of this person may be compared now."""
        with self.store.read() as connection:
            return latest_reference(connection, person_ref, self.store.clock.now()) is not None

    def state_of(self, session: str) -> SessionState:
        """Return a session's state for the node itself, whatever its counter."""
        with self.store.read() as connection:
            return self._load(connection, session, None)

    def now(self, state: SessionState) -> datetime:
        """Return the time by which what is in force in a session is judged."""
        clock = self.store.clock
        return state.no_earlier_than(clock.now(), clock.monotonic_ns(), clock.boot_id())

    # -- steps ------------------------------------------------------------------------------------

    def open(self, caller: Caller, operator: str, claim: p.Claim) -> SessionState:
        """Open a session for a claimed identity."""
        session = self.store.ids.new()
        opened = p.SessionOpened(
            session=session,
            terminal=caller.terminal,
            operator=operator,
            claim=claim,
            claim_digest=claim_digest(claim),
        )
        with self.store.write() as connection:
            insert_session(connection, session, caller.counter, self.store.clock.now())
            log.append(self.store, connection, opened, counter=caller.counter)
            return self._load(connection, session, caller.counter)

    def set_basket(
        self, caller: Caller, session: str, lines: tuple[p.BasketLine, ...]
    ) -> SessionState:
        return self.act(session, caller, lambda state: commands.set_basket(state, lines))

    def attach_prescription(
        self, caller: Caller, prescription: p.PrescriptionAttached
    ) -> SessionState:
        return self.act(
            prescription.session,
            caller,
            lambda state: commands.attach_prescription(state, prescription),
        )

    def declare_proxy(self, caller: Caller, form: p.ProxyDeclared) -> SessionState:
        return self.act(form.session, caller, lambda state: commands.declare_proxy(state, form))

    def attest(
        self, caller: Caller, session: str, pharmacist: str, document_type: str
    ) -> SessionState:
        """Record a pharmacist's comparison of a document, once the credential was checked."""

        def command(state: SessionState) -> Ruling:
            if (refusal := commands.changeable(state)) is not None:
                return refusal
            decided = receipts.attested(
                state,
                receipt=self.store.ids.new(),
                pharmacist=pharmacist,
                document_type=document_type,
                now=self.store.clock.now(),
                valid_for=self.receipt_for,
                signer=self._signer,
            )
            return Ruling((decided,))

        return self.act(session, caller, command)

    def record_not_looked(self, caller: Caller, session: str, reason: str) -> SessionState:
        """Record that no face was looked at, and why: REFER. The same again is no news."""

        def command(state: SessionState) -> Ruling:
            if (refusal := commands.changeable(state)) is not None:
                return refusal
            last = state.decision
            if last is not None and last.receipt.reasons == (reason,) and reason in ONCE:
                return Ruling()
            decided = receipts.not_looked(
                state,
                receipt=self.store.ids.new(),
                reason=reason,
                now=self.store.clock.now(),
                valid_for=self.receipt_for,
                signer=self._signer,
            )
            return Ruling((decided,))

        return self.act(session, caller, command)

    def authorise(self, caller: Caller, session: str) -> SessionState:
        """Ask the gate. Raises Refusal with every reason; the refusal is recorded."""
        authorisation = self.store.ids.new()
        return self.act(
            session,
            caller,
            lambda state: commands.ask_gate(state, self.now(state), self.terms, authorisation),
        )

    def report(
        self,
        caller: Caller,
        session: str,
        authorisation: str,
        outcome: Literal["settled", "refused"],
        setl_id: str | None,
    ) -> SessionState:
        """Take an external settlement's report; it consumes the authorisation."""
        return self.act(
            session,
            caller,
            lambda state: commands.report_settlement(
                state, self.now(state), self.terms, authorisation, outcome, setl_id
            ),
        )

    def close(self, caller: Caller, session: str, outcome: Outcome) -> SessionState:
        now = self.store.clock.now()
        return self.act(session, caller, lambda state: commands.close(state, now, outcome))

    # -- one transaction --------------------------------------------------------------------------

    def act(
        self, session: str, caller: Caller | None, command: Callable[[SessionState], Ruling]
    ) -> SessionState:
        """Fold, decide and append in one transaction, then raise the ruling's problem if any."""
        with self.store.write() as connection:
            state = self._load(connection, session, caller.counter if caller else None)
            ruling = command(state)
            for payload in ruling.payloads:
                log.append(self.store, connection, payload, counter=state.counter or None)
                if isinstance(payload, p.SessionClosed):
                    mark_closed(connection, session, self.store.clock.now())
            after = self._load(connection, session, None) if ruling.payloads else state
        if ruling.problem is not None:
            raise Refusal(ruling.problem)
        return after

    def _load(
        self, connection: sqlite3.Connection, session: str, counter: str | None
    ) -> SessionState:
        row = read_session(connection, session)
        # (2) a session belongs to one counter; for every other it does not exist
        if row is None or (counter is not None and row.counter != counter):
            raise Refusal(Problem(404, "SESSION_UNKNOWN"))
        return fold(stored.parse() for stored in log.of_session(connection, session))


# A refusal to look that stays true however often it is asked is recorded once.
ONCE = frozenset({"ATTEMPTS_EXHAUSTED"})
