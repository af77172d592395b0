"""Reading a TOML configuration file into one frozen pydantic tree.

Unknown keys are refused. A refusal is one line: file, key, what was found, what is allowed; of an
address only its scheme is repeated, for the rest may hold a password.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from retention.records.envelope import first_error
from retention.records.errors import UsageError

_ADDRESS = re.compile(r"[^\s'\"]*@.*|(?<=://).*")
Tree = TypeVar("Tree", bound=BaseModel)


class ConfigRefused(UsageError):
    """A configuration file that cannot be used."""


def load(path: Path, tree: type[Tree]) -> Tree:
    """Read and check a configuration file. Raises ConfigRefused."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigRefused(f"{path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigRefused(f"{path}: not TOML: {exc}") from exc
    try:
        return tree.model_validate(values)
    except ValidationError as exc:
        raise ConfigRefused(f"{path}: {_explain(exc, tree)}") from exc


def _explain(exc: ValidationError, tree: type[BaseModel]) -> str:
    """Word the refusal; an unknown key comes first, for it is why another one is missing."""
    errors = exc.errors(include_url=False)
    unknown = next((error for error in errors if error["type"] == "extra_forbidden"), None)
    if unknown is None:
        said, comma, found = first_error(exc).partition(", found ")
        return said + comma + _ADDRESS.sub("…", found)
    *parents, key = unknown["loc"]
    allowed = _keys_at(tree, [part for part in parents if isinstance(part, str)])
    where = ".".join(str(part) for part in unknown["loc"])
    return f"{where}: unknown key {key!r}; allowed here: {', '.join(allowed)}"


def _keys_at(tree: type[BaseModel], parents: list[str]) -> list[str]:
    for parent in parents:
        found = _model_in(tree.model_fields[parent].annotation)
        if found is None:
            return []
        tree = found
    return sorted(tree.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None
