"""Retention policies that central decides for a pharmacy. A version is never changed or taken back:
what an item was promised in its lifetime stays promised, so only a later version follows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, func, insert, select

from central import standing
from central.holds import need_reason
from central.standing import POLICIES
from central.web.state import WebState
from retention.policy import FLOORS, term_end
from retention.records.canonical import canonical_bytes
from retention.records.clock import from_micros, to_text
from retention.records.envelope import first_error
from retention.records.keeping import Ceiling, RetentionPolicy, Term
from retention.terms.problems import Problem, Refusal

AnyRow = Row[*tuple[Any, ...]]
LEAP_DAY = datetime.fromisoformat("2028-02-29T12:00:00+08:00")


def days_of(years: int) -> int:
    """Return a number of days that is never less than so many calendar years."""
    return 365 * years + years // 4 + 1


def adopt(
    state: WebState,
    connection: Connection,
    *,
    agency: str,
    pharmacy: str,
    policy: str,
    years: Mapping[str, int],
    ceilings: Mapping[str, int],
    actor: str,
    reason: str,
    effective_from: int | None = None,
) -> int:
    """Decide the next version of a policy, in force from `effective_from` (now, unless told), and
    tell every node of the pharmacy; return the version.

    `years` by subject, `ceilings` in days by material. Raises Refusal: 422 POLICY_REFUSED (a term
    below the law's floor, a ceiling above the law's, nothing said), 422 REASON_NEEDED, 404
    PHARMACY_UNKNOWN.
    """
    need_reason(reason)
    now = state.now()
    latest: int = connection.execute(
        select(func.coalesce(func.max(POLICIES.c.version), 0)).where(
            POLICIES.c.agency == agency,
            POLICIES.c.pharmacy == pharmacy,
            POLICIES.c.policy == policy,
        )
    ).scalar_one()
    version = latest + 1
    made = _made(policy, version, effective_from or now, years, ceilings)
    connection.execute(
        insert(POLICIES).values(
            agency=agency, pharmacy=pharmacy, policy=policy, version=version,
            effective_from=effective_from or now,
            body=canonical_bytes(made.model_dump(mode="json")), actor=actor, reason=reason,
            decided_at=now,
        )
    )  # fmt: skip
    told = standing.issue_to_pharmacy(
        connection, agency, pharmacy, state.keys.signer, state.ids, now
    )
    if not told:
        raise Refusal(Problem(404, "PHARMACY_UNKNOWN", pharmacy))
    return version


def _made(
    policy: str,
    version: int,
    effective_from: int,
    years: Mapping[str, int],
    ceilings: Mapping[str, int],
) -> RetentionPolicy:
    try:
        made = RetentionPolicy(
            policy=policy,
            version=version,
            province=None,
            agreement=None,
            effective_from=to_text(from_micros(effective_from)),
            terms=tuple(
                Term.model_validate({"subject": subject, "years": number, "days": days_of(number)})
                for subject, number in sorted(years.items())
            ),
            ceilings=tuple(
                Ceiling.model_validate({"material": material, "days": days})
                for material, days in sorted(ceilings.items())
            ),
        )
    except ValidationError as exc:
        raise Refusal(Problem(422, "POLICY_REFUSED", first_error(exc)[:200])) from exc
    if not made.terms and not made.ceilings:
        raise Refusal(Problem(422, "POLICY_REFUSED"))
    for term in made.terms:
        if term_end(term, LEAP_DAY) < term_end(FLOORS[term.subject], LEAP_DAY):
            detail = f"{term.subject}: {term.years} < {FLOORS[term.subject].years}"
            raise Refusal(Problem(422, "POLICY_REFUSED", detail))
    return made
