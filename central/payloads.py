"""What a stored record says, as far as this software understands it.

Not asked when a record comes in: evidence is kept whether it is understood or not, and a later
version may understand more.
"""

from __future__ import annotations

from pydantic import ValidationError

from retention.records.envelope import first_error
from retention.records.fields import Frozen
from retention.records.kinds import BY_NAME


def read_payload(kind: str, version: int, payload: object) -> tuple[Frozen | None, str | None]:
    """Return the typed payload (None for an unknown kind or one that does not fit), and what is
    wrong with a known kind's payload (None: nothing)."""
    known = BY_NAME.get((kind, version))
    if known is None:
        return None, None
    try:
        return known.payload.model_validate(payload), None
    except ValidationError as exc:
        return None, f"{kind} v{version}: {first_error(exc)}"[:500]
