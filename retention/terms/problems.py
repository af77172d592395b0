"""RFC 9457 problem details as values; each web service renders them in one handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from retention.terms.reasons import BY_CODE

PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal: HTTP status, reason code, and facts the caller may act on."""

    status: int
    code: str
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self, instance: str) -> dict[str, Any]:
        """Return the RFC 9457 object: what happened, why, and what to do, in both languages."""
        reason = BY_CODE[self.code]
        return {
            "type": f"urn:countersight:reason:{self.code}",
            "title": reason.zh,
            "title_en": reason.en,
            "status": self.status,
            "code": self.code,
            "detail": self.detail or reason.en,
            "do": reason.do_zh,
            "do_en": reason.do_en,
            "instance": instance,
            **self.facts,
        }


class Refusal(Exception):
    """Carries a Problem to the edge of a request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.detail}")
        self.problem = problem
