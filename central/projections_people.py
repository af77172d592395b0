"""Folding what nodes tell of people: who was checked and how, suspected attacks, locks, counts.

Groups are coarse (age band, sex) and come from signed receipts; nothing here names a person. A
session counts for whoever was checked last: when somebody else collects, counting begins anew.
"""

from __future__ import annotations

from dataclasses import replace

from central.projection_rows import Fact, SessionView, SubjectsView, Views
from retention.records import people as f


def checked(row: SessionView, receipt: f.DecisionReceipt2) -> SessionView:
    """Return a session's row after one more identity decision. Whom the face method accepted it did
    not fail, whatever vouched for them as well (a dearer basket, a receipt that ran out)."""
    if receipt.subject_role != row.subject_role:
        row = replace(row, face_tries=0, face_compared=0, accepted_by=None)
    looked = receipt.method == "face" and receipt.frames_seen > 0
    compared = looked and receipt.comparison_score is not None
    accepted = receipt.outcome == "ACCEPT" and row.accepted_by != "face"
    return replace(
        row,
        subject_role=receipt.subject_role,
        age_band=receipt.age_band,
        sex=receipt.sex,
        face_tries=row.face_tries + looked,
        face_compared=row.face_compared + compared,
        accepted_by=receipt.method if accepted else row.accepted_by,
    )


def attack_suspected(fact: Fact, content: f.AttackSuspected, views: Views) -> None:
    """Flag a session, or the receipt of a check outside one (the pharmacist on duty)."""
    views.raise_flag(fact, "ATTACK_SUSPECTED", content.session or f"receipt {content.receipt}")


def face_locked(fact: Fact, content: f.FaceLocked, views: Views) -> None:
    """Flag a credential until a pharmacist attests it."""
    views.raise_flag(fact, "FACE_LOCKED", _credential(content.person_ref))


def face_unlocked(fact: Fact, content: f.FaceUnlocked, views: Views) -> None:
    """Clear the flag of a credential."""
    views.clear_flag(fact, "FACE_LOCKED", _credential(content.person_ref))


def subjects_counted(fact: Fact, content: f.SubjectsCounted, views: Views) -> None:
    """Keep the latest count of a node."""
    views.keep(
        SubjectsView(
            agency=fact.agency, pharmacy=fact.pharmacy, node=fact.node,
            controller=content.controller, subjects=content.subjects, refs=content.references,
            sequence=fact.sequence, counted_at=fact.occurred_at,
        )
    )  # fmt: skip


def _credential(person_ref: str) -> str:
    return f"credential {person_ref[:16]}"
