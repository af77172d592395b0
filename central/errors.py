"""What central refuses. One base; each class says what was refused."""

from __future__ import annotations

from retention.records.errors import UsageError


class CentralError(Exception):
    """Base of everything central refuses."""


class DatabaseUnavailable(CentralError):
    """The database cannot be reached or written now."""


class DatabaseRefused(CentralError, UsageError):
    """`storage.database` names a database that this installation cannot use."""


class DatabaseOutdated(CentralError, UsageError):
    """The schema is not the one this software was built for; run `countersight central migrate`."""


class AddressInUse(CentralError, UsageError):
    """A port that central was told to listen on is taken."""


class CheckFailed(CentralError):
    """The first thing held that is not what it was; the message names it."""


def require(holds: bool, message: str) -> None:
    """Raise CheckFailed unless something holds."""
    if not holds:
        raise CheckFailed(message)
