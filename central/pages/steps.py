"""The steps of a session in words: what was done, how it ended, whether it needs a look.

A kind, version or payload that this software does not know is a step all the same, under its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from central.pages.timeline_values import Mark, StepFact
from central.payloads import read_payload
from central.web.views import StepView
from retention.pages.kit import Language, translated
from retention.records import payloads as p
from retention.records.clock import from_text, to_micros
from retention.records.fields import Frozen
from retention.terms.reasons import BY_CODE
from retention.terms.words import word

Told = tuple[str, Mark]
_MARKS: dict[str, Mark] = {
    "ACCEPT": "ok", "RETRY": "look", "REFER": "look",
    "settled": "ok", "refused": "stop", "unknown": "look", "reversed": "look",
    "self_paid": "plain", "abandoned": "plain",
    "sent": "ok", "failed": "look",
}  # fmt: skip


def steps_in_words(steps: Iterable[StepView], lang: Language) -> list[StepFact]:
    """Return every step with its number, moment, words and mark."""
    found = []
    for n, step in enumerate(steps, start=1):
        text, mark = _told(step, lang)
        at = to_micros(from_text(step.occurred_at))
        found.append(StepFact(n, at, step.kind, text, mark))
    return found


def contents(steps: Iterable[StepView]) -> dict[type[Frozen], Frozen]:
    """Return what the steps say, the last of each kind; what cannot be read is left out."""
    read = (read_payload(step.kind, step.version, step.payload)[0] for step in steps)
    return {type(content): content for content in read if content is not None}


def reasons_text(codes: Sequence[str], lang: Language) -> str:
    """Return the titles of reasons as one line; an unknown code speaks for itself."""
    known = (BY_CODE.get(code) for code in codes)
    titles = [
        code if one is None else translated(lang, one.zh, one.en)
        for code, one in zip(codes, known, strict=True)
    ]
    return translated(lang, "、", ", ").join(titles)


def _told(step: StepView, lang: Language) -> Told:
    name = word(lang, "step", step.kind)
    content, problem = read_payload(step.kind, step.version, step.payload)
    if problem is not None:
        return (
            f"{name}{translated(lang, '（记录无法读懂）', ' (the record cannot be read)')}",
            "look",
        )
    if content is None:
        return name, "plain"
    detail, mark = _detail(content, lang)
    return (f"{name}{translated(lang, '：', ': ')}{detail}" if detail else name), mark


def _detail(content: Frozen, lang: Language) -> Told:
    match content:
        case p.IdentityDecided(receipt=receipt):
            said = (
                f"{word(lang, 'method', receipt.method)} · {word(lang, 'outcome', receipt.outcome)}"
            )
            if receipt.outcome != "ACCEPT":
                said += f" · {reasons_text(receipt.reasons, lang)}"
            return said, _MARKS[receipt.outcome]
        case p.SessionRefused(reasons=reasons):
            return reasons_text(reasons, lang), "stop"
        case p.SessionAuthorised():
            return "", "ok"
        case p.BasketSet(lines=lines, total=total):
            zh, en = f"{len(lines)} 种 · {total} 元", f"{len(lines)} lines · CNY {total}"
            return translated(lang, zh, en), "plain"
        case p.ProxyDeclared(purchaser_display_name=name):
            return name, "look"
        case p.SettlementConcluded(outcome=outcome) | p.SessionClosed(outcome=outcome):
            return word(lang, "outcome", outcome), _MARKS[outcome]
        case p.SessionCovered(owed_ms=owed, covered_ms=covered):
            return "", "ok" if covered >= owed else "look"
        case p.FootageSent(outcome=outcome):
            return "", _MARKS[outcome]
        case _:
            return "", "plain"
