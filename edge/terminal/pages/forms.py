"""Reading what a page's form sent: fields and files as values, models as the API has them.

A field is called as the model calls it, dots between (claim.certificate.number), so that one
error names one field on the page. Files stay in memory: a picture of a person is never written
to the disk. Errors say what is allowed, never what was sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from edge.terminal.pages.fields import field_of
from edge.terminal.security import MAX_REFERENCE_BYTES
from retention.terms.problems import Problem, Refusal

MOST_FIELDS = 600
MOST_FILES = 4

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Posted:
    """A form: its texts, without those that are blank, and its files, without those empty."""

    texts: Mapping[str, str] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)

    def text(self, name: str) -> str:
        """Return a text, or "" when it was left out."""
        return self.texts.get(name, "")

    def press(self) -> str:
        """Return what tells one press of this form's button from all others."""
        if "once" not in self.texts:
            raise not_a_form("no number")
        entered = json.dumps([sorted(self.texts.items()), sorted(self.files)])
        return hashlib.sha256(entered.encode()).hexdigest()

    def nested(self, *without: str) -> dict[str, Any]:
        """Return the texts as the tree that their names describe."""
        tree: dict[str, Any] = {}
        for name, value in self.texts.items():
            if name in without:
                continue
            *way, last = name.split(".")
            place = tree
            for step in way:
                deeper = place.setdefault(step, {})
                if not isinstance(deeper, dict):
                    raise not_a_form("a name twice")
                place = deeper
            if last in place:
                raise not_a_form("a name twice")
            place[last] = value
        return tree


class _InMemory(MultiPartParser):
    """Starlette's parser, apart from its habit of writing larger files to the disk."""

    spool_max_size = MAX_REFERENCE_BYTES


async def posted(request: Request) -> Posted:
    """Return the form of a request. Raises Refusal INVALID_REQUEST for what is none."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        return await _parts(request)
    try:
        pairs = parse_qsl(
            (await request.body()).decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as exc:
        raise not_a_form("fields") from exc
    return Posted(_texts(pairs), {})


async def _parts(request: Request) -> Posted:
    parser = _InMemory(
        request.headers, request.stream(), max_files=MOST_FILES, max_fields=MOST_FIELDS
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as exc:
        raise not_a_form("parts") from exc
    try:
        pairs = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        files = {
            name: content
            for name, value in form.multi_items()
            if isinstance(value, UploadFile) and (content := await value.read())
        }
    finally:
        await form.close()
    return Posted(_texts(pairs), files)


def _texts(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise not_a_form("text that is not Unicode") from exc
        if name in found:
            raise not_a_form("a field twice")
        if value.strip():
            # A secret is what was typed, blanks and all.
            found[name] = value if name == "secret" else value.strip()
    return found


def not_a_form(why: str) -> Refusal:
    """Return the refusal of something that no page of ours sends."""
    return Refusal(Problem(400, "INVALID_REQUEST", f"not a form of this page: {why}"))


def read(
    form: str,
    model: type[Model],
    values: Mapping[str, Any],
    *,
    within: str = "",
    rows: Sequence[str] = (),
) -> Model:
    """Return the model of what a form sent, or of the part of it whose names begin with `within`.

    `rows` are the names that the entries of its list have on the page. Raises Refusal with each
    field that is at fault.
    """
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        names = list(dict.fromkeys(within + _name(e["loc"], rows) for e in exc.errors()))
        # What is at fault within a field says more than the field does.
        inner = [n for n in names if not any(other.startswith(f"{n}.") for other in names)]
        raise at_fault(form, *inner) from exc


def _name(place: tuple[int | str, ...], rows: Sequence[str]) -> str:
    """Return the name on the page: a list of rows has fields, other lists are one field."""
    parts = [str(part) for part in place]
    if rows and len(place) > 1 and isinstance(place[1], int):
        parts[1] = rows[place[1]]
    if len(place) > 2 and isinstance(place[-1], int):
        parts.pop()
    return ".".join(parts)


def at_fault(form: str, *names: str, code: str = "INVALID_REQUEST") -> Refusal:
    """Return the refusal that names fields of a form, each with what may be entered."""
    errors = [error_of(form, name) for name in names]
    return Refusal(Problem(422, code, ", ".join(names), {"errors": errors}))


def error_of(form: str, name: str) -> dict[str, str]:
    """Return what a page says of a field at fault."""
    known = field_of(form, name)
    numbers = [int(part) + 1 for part in name.split(".") if part.isdigit()]
    zh, en = (f"第 {numbers[0]} 行 ", f"Line {numbers[0]}, ") if numbers else ("", "")
    rule_zh, rule_en = known.rule_zh or "请填写", known.rule_en or "Please fill in"
    return {
        "field": name,
        "zh": f"{zh}{known.zh}：{rule_zh}",
        "en": f"{en}{known.en}: {rule_en}",
        "rule_zh": rule_zh,
        "rule_en": rule_en,
    }
