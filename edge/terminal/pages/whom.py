"""Whom a page was shown for: what is done with it counts for that person and for nobody else.

In another tab, or before going back, somebody else may have become the one to be verified. What a
pharmacist compared, whom a consent is of and whose card was chosen is the person on the page.
"""

from __future__ import annotations

from edge.session.state import SessionState
from edge.terminal.pages.forms import Posted
from retention.records.canonical import digest_of
from retention.terms.problems import Problem, Refusal


def whom_of(state: SessionState) -> str:
    """Return what a form of this session holds for the present subject. It tells who is meant
    within the session only."""
    subject_ref, role = state.subject
    return digest_of({"session": state.session, "subject": subject_ref, "role": role})[:16]


def require_same(state: SessionState, form: Posted) -> None:
    """Raise Refusal SUBJECT_CHANGED unless the form was shown for the present subject."""
    if form.text("whom") != whom_of(state):
        raise Refusal(Problem(409, "SUBJECT_CHANGED"))
