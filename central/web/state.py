"""What every request may use, and how requests are let in.

The API takes the administrator's token, of which only the SHA-256 is held and compared in constant
time; the pages take sign-ins (central/pages/signed_in.py).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection

from central.access import ADMIN_TOKEN, write_access
from central.config import CentralConfig
from central.database import Database
from central.keys import CentralKeys
from retention.records.clock import Clock, to_micros
from retention.records.ids import IdSource
from retention.terms.problems import Problem, Refusal

MAX_REASON = 200  # characters, as the column
_bearer = HTTPBearer(auto_error=False, description="The token in DATA/admin.token")


@dataclass(frozen=True, slots=True)
class WebState:
    """Everything the endpoints work with."""

    config: CentralConfig
    database: Database
    keys: CentralKeys
    clock: Clock
    ids: IdSource
    admin_sha256: str

    def now(self) -> int:
        return to_micros(self.clock.now())


def web_state(request: Request) -> WebState:
    found = request.app.state.countersight
    if not isinstance(found, WebState):
        raise TypeError("the application was not made by create_app")
    return found


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and the reason they gave."""

    name: str
    reason: str


def require_admin(
    state: Annotated[WebState, Depends(web_state)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    x_reason: Annotated[str, Header()] = "",
    reason: Annotated[str, Query(max_length=MAX_REASON)] = "",
) -> Actor:
    """Return who asks. Raises Refusal when the token is missing or wrong."""
    given = "" if credentials is None else credentials.credentials
    digest = hashlib.sha256(given.encode()).hexdigest()
    if not hmac.compare_digest(digest, state.admin_sha256):
        raise Refusal(Problem(401, "UNAUTHENTICATED", "Authorization: Bearer TOKEN is needed"))
    why = (_utf8(x_reason) or reason).strip()
    if len(why) > MAX_REASON:
        raise Refusal(Problem(422, "INVALID_REQUEST", f"X-Reason: at most {MAX_REASON} characters"))
    return Actor(ADMIN_TOKEN, why)


def _utf8(header: str) -> str:
    """Read a header as the UTF-8 that clients send; HTTP hands it over as Latin-1."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def record_access(
    state: WebState,
    connection: Connection,
    actor: Actor,
    action: str,
    subject: str,
    owner: Mapping[str, str | None] | None = None,
    reason: str | None = None,
) -> None:
    """Write who did what, why and when, in the caller's transaction (invariant 10)."""
    write_access(
        connection,
        state.ids,
        state.now(),
        actor=actor.name,
        action=action,
        subject=subject,
        reason=reason or actor.reason,
        owner=owner,
    )


State = Annotated[WebState, Depends(web_state)]
Admin = Annotated[Actor, Depends(require_admin)]
