"""A simulated pharmacy system: the client side of the terminal API, for the demo and the tests.

Every call returns the parsed answer or raises ProblemResponse. The people in it are made up.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from edge.simulators import warn_simulated
from retention.records.clock import to_text

Json = dict[str, Any]
SIGNATURE = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@dataclass(frozen=True, slots=True)
class Person:
    """A made-up person with a document."""

    name: str
    number: str
    cert_type: str = "02"
    insuplc_admdvs: str = "430100"

    @property
    def certificate(self) -> Json:
        return {"type": self.cert_type, "number": self.number}


PATIENT = Person("张小三", "11010519491231002X")
OTHER = Person("王大明", "44052418800101001X")
DAUGHTER = Person("张梅", "430102199003077000")
CHILD = Person("张小宝", "430102201803077005")


class ProblemResponse(Exception):
    """The terminal API said no: its status, reason code and problem details."""

    def __init__(self, status: int, code: str, body: Json) -> None:
        super().__init__(f"{status} {code}: {body.get('detail', '')}")
        self.status, self.code, self.body = status, code, body

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return every reason that was given."""
        listed = self.body.get("reasons")
        return tuple(r["code"] for r in listed) if listed else (self.code,)


def line(
    number: int = 1,
    *,
    name: str = "盐酸二甲双胍片",
    quantity: str = "1",
    unit_price: str = "18.50",
    prescription_required: bool = False,
    trace_codes: Sequence[str] = (),
) -> Json:
    """Return one basket line."""
    return {
        "line": number,
        "med_list_codg": "XA10BAA001A001010100483",
        "name": name,
        "quantity": quantity,
        "unit_price": unit_price,
        "prescription_required": prescription_required,
        "trace_codes": list(trace_codes),
    }


class PharmacyClient:
    """One terminal. `token` is set by `pair`, or given by whoever paired before.

    `timeout_seconds` has to outlast a face attempt. `verify_tls` is the path of the node's
    certificate for the LAN listener.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        timeout_seconds: float = 40.0,
        verify_tls: str | None = None,
    ) -> None:
        warn_simulated("The pharmacy system")
        # trust_env off: a proxy of the environment has no business between counter and node.
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout_seconds,
            trust_env=False,
            verify=_context(verify_tls),
        )
        self.token, self.terminal, self.counter = token, "", ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_connections()

    def close_connections(self) -> None:
        """Let go of the connections."""
        self._http.close()

    # -- terminal and people ----------------------------------------------------------------------

    def pair(self, code: str, name: str = "前台一号") -> Json:
        """Pair with a one-time code and keep the token."""
        paired = self.call("POST", "/v1/pairing", {"code": code, "name": name})
        self.token, self.terminal = paired["token"], paired["terminal"]
        self.counter = paired["counter"]
        return paired

    def consent(
        self, person: Person, *, operator: str = "op-7", purpose: str = "face_verification"
    ) -> Json:
        """Record a consent; returns {consent, person_ref}."""
        body = {
            "certificate": person.certificate,
            "purpose": purpose,
            "notice_version": "2026-11",
            "method": "signed_on_screen",
            "operator": operator,
        }
        return self.call("POST", "/v1/consents", body)

    def withdraw(self, consent: str) -> Json:
        """Withdraw a consent; references are erased at once."""
        return self.call("DELETE", f"/v1/consents/{consent}")

    def enrol(
        self, consent: str, person: Person, picture: bytes, *, source: str = "id_card_chip"
    ) -> Json:
        """Enrol a reference picture (an image file's bytes)."""
        body = {
            "consent": consent,
            "certificate": person.certificate,
            "source": source,
            "picture_base64": base64.b64encode(picture).decode(),
        }
        return self.call("POST", "/v1/references", body)

    # -- sessions ---------------------------------------------------------------------------------

    def open(self, person: Person = PATIENT, *, operator: str = "op-7") -> Json:
        """Open a session for a claimed person; returns its view."""
        claim = {
            "certificate": person.certificate,
            "name": person.name,
            "insuplc_admdvs": person.insuplc_admdvs,
        }
        return self.call("POST", "/v1/sessions", {"operator": operator, "claim": claim})

    def sessions(self) -> list[Json]:
        """Return the counter's newest sessions."""
        return list(self._send("GET", "/v1/sessions", None))

    def session(self, session: str) -> Json:
        """Return one session's view."""
        return self.call("GET", f"/v1/sessions/{session}")

    def prescription(
        self,
        session: str,
        person: Person = PATIENT,
        *,
        valid_until: datetime,
        rx_no: str = "RX0001",
    ) -> Json:
        """Attach an electronic prescription."""
        body = {
            "rx_no": rx_no,
            "source": "electronic",
            "patient": person.certificate,
            "prescriber": "D430100012345",
            "valid_until": to_text(valid_until),
        }
        return self.call("PUT", f"/v1/sessions/{session}/prescription", body)

    def basket(self, session: str, lines: Sequence[Json] = ()) -> Json:
        """Set the basket; by default one pack."""
        body = {"lines": list(lines) or [line()]}
        return self.call("PUT", f"/v1/sessions/{session}/basket", body)

    def proxy(self, session: str, purchaser: Person = DAUGHTER, **changes: Any) -> Json:
        """Send the proxy form; `changes` replace fields, None leaves one out."""
        form = {
            "certificate": purchaser.certificate,
            "name": purchaser.name,
            "relation": "daughter",
            "reason": "患者卧床",
            "patient_signature_sha256": SIGNATURE,
            "purchaser_signature_sha256": SIGNATURE,
        } | changes
        body = {name: value for name, value in form.items() if value is not None}
        return self.call("POST", f"/v1/sessions/{session}/proxy", body)

    def verify(self, session: str) -> Json:
        """Run one face attempt; returns {outcome, reasons, attempts_left, next_step, decided}."""
        return self.call("POST", f"/v1/sessions/{session}/verification")

    def attest(
        self, session: str, pharmacist: str, secret: str, document_type: str = "id_card"
    ) -> Json:
        """Have a pharmacist attest the document."""
        body = {"pharmacist": pharmacist, "secret": secret, "document_type": document_type}
        return self.call("POST", f"/v1/sessions/{session}/attestation", body)

    def sign_in(self, pharmacist: str, secret: str) -> Json:
        """Sign a pharmacist in on duty, by secret."""
        body = {"pharmacist": pharmacist, "method": "secret", "secret": secret}
        return self.call("POST", "/v1/duty", body)

    def authorise(self, session: str) -> Json:
        """Ask the gate; returns {authorisation, signature, total}."""
        return self.call("POST", f"/v1/sessions/{session}/authorisation")

    def settle(self, session: str, person: Person = PATIENT, psn_no: str = "") -> Json:
        """Node mode: settle once."""
        body = {"certificate": person.certificate, "psn_no": psn_no}
        return self.call("POST", f"/v1/sessions/{session}/settlement", body)

    def report(
        self,
        session: str,
        authorisation: str,
        *,
        setl_id: str | None = "S20260102001",
        outcome: str = "settled",
    ) -> Json:
        """External mode: report what our own system settled."""
        body = {"authorisation": authorisation, "outcome": outcome, "setl_id": setl_id}
        return self.call("POST", f"/v1/sessions/{session}/settlement-report", body)

    def close(self, session: str, outcome: str = "settled") -> Json:
        """Close the session."""
        return self.call("POST", f"/v1/sessions/{session}/close", {"outcome": outcome})

    # -- health and the wire ----------------------------------------------------------------------

    def ready(self) -> bool:
        """Say whether the node can do business; False also while nothing listens."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send one request. Raises ProblemResponse."""
        found = self._send(method, path, body)
        if not isinstance(found, dict):
            raise TypeError(f"{path} answered {type(found).__name__}, not an object")
        return found

    def _send(self, method: str, path: str, body: Json | None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        response = self._http.request(method, path, json=body, headers=headers)
        try:
            found = response.json()
        except ValueError as exc:  # a server that is being killed answers in plain words
            raise ProblemResponse(response.status_code, "", {"detail": response.text}) from exc
        if response.status_code >= 400:
            raise ProblemResponse(response.status_code, found.get("code", ""), found)
        return found


def _context(certificate: str | None) -> ssl.SSLContext | bool:
    return True if certificate is None else ssl.create_default_context(cafile=certificate)
