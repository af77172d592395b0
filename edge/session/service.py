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
from edge.gate.rules import Presence
from edge.session import commands, receipts
from edge.session.commands import GateTerms, Outcome, Ruling
from edge.session.limits import LimitsInForce
from edge.session.state import CHILD, SessionState, fold
from edge.session.tries import why_no_face
from identity.methods import Vouched, by_pharmacist
from retention.records import payloads as p
from retention.records.fields import Frozen
from retention.records.people import AgeBand, ProxyDeclared2, SessionOpened2, Sex
from retention.records.receipts import claim_digest
from retention.records.signing import Ed25519Signer
from retention.store import credentials, duty, face_locks, log
from retention.store.credentials import Checked
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What the node knows of the present subject: whether there is a reference to compare with,
    and why no face of them is looked at now, as a reason code, or None."""

    enrolled: bool
    no_face: str | None


class SessionService:
    """The sessions of one node, for its counters."""

    def __init__(self, store: NodeStore, signer: Ed25519Signer, config: EdgeConfig) -> None:
        self.store, self._signer, self._config = store, signer, config
        self.receipt_for = timedelta(seconds=config.verification.receipt_seconds)
        self._limits = LimitsInForce(config, store.clock)

    @property
    def terms(self) -> GateTerms:
        """Return what sessions are judged by now."""
        return GateTerms(
            signer=self._signer,
            public_key=self._signer.public_key,
            attempts=self._config.verification.attempts,
            valid_for=timedelta(seconds=self._config.session.authorisation_seconds),
            transaction=self._limits.now(),
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

    def standing(self, state: SessionState) -> Standing:
        """Return what the node knows of the present subject."""
        person_ref, now = state.subject[0], self.store.clock.now()
        with self.store.read() as connection:
            reference = latest_reference(connection, person_ref, now)
            return Standing(reference is not None, self._no_face(connection, state))

    def presence(self) -> Presence:
        """Return whether a pharmacist is there, as the gate would hear it now."""
        with self.store.read() as connection:
            return self._presence(connection)

    def state_of(self, session: str) -> SessionState:
        """Return a session's state for the node itself, whatever its counter."""
        with self.store.read() as connection:
            return self._load(connection, session, None)

    def now(self, state: SessionState) -> datetime:
        """Return the time by which what is in force in a session is judged."""
        clock = self.store.clock
        return state.no_earlier_than(clock.now(), clock.monotonic_ns(), clock.boot_id())

    # -- steps ------------------------------------------------------------------------------------

    def open(
        self, caller: Caller, operator: str, claim: p.Claim, age_band: AgeBand, sex: Sex
    ) -> SessionState:
        """Open a session for a claimed identity."""
        session = self.store.ids.new()
        opened = SessionOpened2(
            session=session,
            terminal=caller.terminal,
            operator=operator,
            claim=claim,
            claim_digest=claim_digest(claim),
            age_band=age_band,
            sex=sex,
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

    def declare_proxy(self, caller: Caller, form: ProxyDeclared2) -> SessionState:
        return self.act(form.session, caller, lambda state: commands.declare_proxy(state, form))

    def attest(
        self,
        caller: Caller,
        session: str,
        checked: Checked,
        document_type: str,
        *,
        of: str | None = None,
    ) -> SessionState:
        """Record a pharmacist's comparison of a document, once their secret was checked. Raises
        Refusal PHARMACIST_REFUSED when the credential does not stand any more: revoked first, it
        attests nothing; attested first, the receipt stays what it was until it expires. The face
        method of whoever was attested is open again. A child is not verified in person."""
        said = by_pharmacist(checked.name, document_type)
        return self.vouch(caller, session, said, of=of, checked=checked)

    def vouch(
        self,
        caller: Caller,
        session: str,
        said: Vouched,
        *,
        of: str | None = None,
        checked: Checked | None = None,
    ) -> SessionState:
        """Record what a pharmacist or a device says of the person at the counter; `of` is whom it
        was said of, and of nobody else it counts. A pharmacist's word counts only with the secret
        that was `checked`, and only while that stands. A child is not verified in person."""

        def command(state: SessionState, connection: sqlite3.Connection) -> Ruling:
            if not _may_vouch(connection, said, checked):
                return commands.refuse("PHARMACIST_REFUSED", status=403)
            refusal = commands.changeable(state) or commands.needs_guardian(state)
            if refusal is not None:
                return refusal
            if of is not None and of != state.subject[0]:
                return commands.refuse("SUBJECT_CHANGED")
            decided = receipts.vouched(
                state,
                said,
                receipt=self.store.ids.new(),
                now=self.store.clock.now(),
                valid_for=self.receipt_for,
                signer=self._signer,
            )
            return Ruling((decided,))

        return self._act(session, caller, command)

    def say_child(self, caller: Caller, session: str) -> SessionState:
        """Record that the insured person, whose age no document told, is under 14: no face is
        looked at. Raises Refusal when the document says another age."""
        state = self.load(caller, session)
        if state.opened_age not in ("unknown", "under_14"):
            raise Refusal(Problem(409, "INVALID_REQUEST", "the document says another age"))
        if state.proxy is not None:
            raise Refusal(Problem(409, "INVALID_REQUEST", "somebody else collects already"))
        return self.record_not_looked(caller, session, CHILD, "under_14")

    def record_not_looked(
        self, caller: Caller, session: str, reason: str, age_band: AgeBand | None = None
    ) -> SessionState:
        """Record that no face was looked at, and why: REFER. The same again is no news."""

        def command(state: SessionState) -> Ruling:
            if (refusal := commands.changeable(state)) is not None:
                return refusal
            last = state.decision.receipt if state.decision else None
            same = last is not None and (last.subject_ref, last.reasons) == (
                state.subject[0],
                (reason,),
            )
            if same and reason in ONCE:
                return Ruling()
            decided = receipts.not_looked(
                state,
                receipt=self.store.ids.new(),
                reason=reason,
                now=self.store.clock.now(),
                valid_for=self.receipt_for,
                signer=self._signer,
                age_band=age_band,
            )
            return Ruling((decided,))

        return self.act(session, caller, command)

    def authorise(self, caller: Caller, session: str) -> SessionState:
        """Ask the gate. Raises Refusal with every reason; the refusal is recorded."""
        authorisation, terms = self.store.ids.new(), self.terms

        def command(state: SessionState, connection: sqlite3.Connection) -> Ruling:
            presence = self._presence(connection)
            return commands.ask_gate(state, self.now(state), terms, authorisation, presence)

        return self._act(session, caller, command)

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
        return self._act(session, caller, lambda state, _connection: command(state))

    def _act(
        self,
        session: str,
        caller: Caller | None,
        command: Callable[[SessionState, sqlite3.Connection], Ruling],
    ) -> SessionState:
        with self.store.write() as connection:
            state = self._load(connection, session, caller.counter if caller else None)
            ruling = command(state, connection)
            for payload in ruling.payloads:
                log.append(self.store, connection, payload, counter=state.counter or None)
                self._follow(connection, state, payload)
            after = self._load(connection, session, None) if ruling.payloads else state
        if ruling.problem is not None:
            raise Refusal(ruling.problem)
        return after

    def _follow(self, connection: sqlite3.Connection, state: SessionState, payload: Frozen) -> None:
        """Do what a record brings with it, in its own transaction."""
        if isinstance(payload, p.SessionClosed):
            mark_closed(connection, state.session, self.store.clock.now())
        elif isinstance(payload, p.IdentityDecided):
            self._unlock(connection, state, payload.receipt)

    def _unlock(
        self, connection: sqlite3.Connection, state: SessionState, receipt: p.DecisionReceipt
    ) -> None:
        """Open the face method again to a person whom a pharmacist has attested."""
        if receipt.outcome == "ACCEPT" and receipt.attested_by is not None:
            face_locks.unlock(
                self.store,
                connection,
                receipt.subject_ref,
                receipt.attested_by,
                receipt.receipt,
                counter=state.counter or None,
            )

    def _no_face(self, connection: sqlite3.Connection, state: SessionState) -> str | None:
        terms = self.terms
        return why_no_face(
            state,
            self.store.clock.now(),
            limits=terms.transaction,
            attempts=terms.attempts,
            locked=face_locks.is_locked(connection, state.subject[0]),
        )

    def _presence(self, connection: sqlite3.Connection) -> Presence:
        """A pharmacist who is present anywhere in the pharmacy counts for all of its counters."""
        limits = self._config.presence
        if not limits.required:
            return "not_required"
        there = duty.present(connection, None, self.store.clock, limits)
        return "present" if there else "absent"

    def _load(
        self, connection: sqlite3.Connection, session: str, counter: str | None
    ) -> SessionState:
        row = read_session(connection, session)
        # (2) a session belongs to one counter; for every other it does not exist
        if row is None or (counter is not None and row.counter != counter):
            raise Refusal(Problem(404, "SESSION_UNKNOWN"))
        return fold(stored.parse() for stored in log.of_session(connection, session))


def _may_vouch(connection: sqlite3.Connection, said: Vouched, checked: Checked | None) -> bool:
    """Tell whether whoever vouches may, in the transaction that writes it."""
    if said.attested_by is None or checked is None:
        return said.attested_by is None
    known = (checked.role, checked.name) == ("pharmacists", said.attested_by)
    return known and credentials.stands(connection, checked)


# A refusal to look that stays true however often it is asked is recorded once.
ONCE = frozenset({"ATTEMPTS_EXHAUSTED", "FACE_LOCKED", CHILD})
