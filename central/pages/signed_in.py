"""Who is signed in, and that a form was ours.

(1) the cookie names a sign-in that has neither ended nor expired, of an account not disabled
(2) the role allows the page
(3) whatever changes something came from a page of ours: the form carries the sign-in's CSRF token
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from central.web.state import Actor

Role = Literal["inspector", "admin"]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account in a browser. `sign_in` is the SHA-256 of its cookie, `csrf` what forms carry."""

    account: str
    role: Role
    sign_in: str
    csrf: str

    def actor(self, reason: str = "") -> Actor:
        """Return who asks, for access rows."""
        return Actor(self.account, reason)


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer. Answered with the sign-in page, then back again."""


def require_signed_in(request: Request) -> SignedIn:
    """Return who is signed in, inspector or admin. Raises SignInNeeded, Refusal (403 CSRF)."""
    raise SignInNeeded


def require_admin_signed_in(me: Annotated[SignedIn, Depends(require_signed_in)]) -> SignedIn:
    """Return the admin who is signed in. Raises SignInNeeded, Refusal (403 FORBIDDEN)."""
    raise SignInNeeded


Me = Annotated[SignedIn, Depends(require_signed_in)]
AdminMe = Annotated[SignedIn, Depends(require_admin_signed_in)]
