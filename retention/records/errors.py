"""The base errors of the records, and the one error every command line turns into exit code 2."""

from __future__ import annotations

import re

_LOADER_MESSAGE = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")


class UsageError(Exception):
    """Wrong usage or configuration: the message is one clear line, the exit code is 2."""


class RecordsError(Exception):
    """Base of everything retention.records refuses."""


class MalformedRecord(RecordsError):
    """Bytes that are not a record in canonical form; the message names the field."""


class ProofRejected(RecordsError):
    """An inclusion or consistency proof, or a signature, that does not hold."""


class SystemLibraryMissing(UsageError):
    """A wheel cannot be imported because a library of the operating system is absent."""

    def __init__(self, library: str) -> None:
        super().__init__(
            f"{library} is missing from this system (OpenCV needs libGL and glib); "
            "on Debian and Ubuntu run: apt-get install libgl1 libglib2.0-0"
        )
        self.library = library


def explained_import(problem: ImportError) -> Exception:
    """Return the clear error behind a failed import, or the problem itself."""
    found = _LOADER_MESSAGE.search(str(problem))
    return SystemLibraryMissing(found.group(1)) if found else problem
