"""The base errors of the records, and the one error every command line turns into exit code 2."""

from __future__ import annotations


class UsageError(Exception):
    """Wrong usage or configuration: the message is one clear line, the exit code is 2."""


class RecordsError(Exception):
    """Base of everything retention.records refuses."""


class MalformedRecord(RecordsError):
    """Bytes that are not a record in canonical form; the message names the field."""


class ProofRejected(RecordsError):
    """An inclusion or consistency proof, or a signature, that does not hold."""
