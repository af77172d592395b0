"""What central refuses. One base; each class says what was refused."""

from __future__ import annotations

from retention.records.errors import UsageError


class CentralError(Exception):
    """Base of everything central refuses."""


class DatabaseUnavailable(CentralError):
    """The database cannot be reached or written now."""


class DatabaseOutdated(CentralError, UsageError):
    """The schema is not the one this software was built for; run `countersight central migrate`."""


class AddressInUse(CentralError, UsageError):
    """A port that central was told to listen on is taken."""
