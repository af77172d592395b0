"""Bounded field types, from which every payload is built.

Every string has a pattern or a small maximum, every list a maximum, and there is no bytes, float
or free-form field. So a payload has no room for an image, a crop or an embedding (invariant 9).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,63}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,8})?(e-?[0-9]{1,3})?$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
Text = Annotated[str, Field(max_length=200)]
ShortText = Annotated[str, Field(max_length=64)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
SignatureText = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class Frozen(BaseModel):
    """Base of every value that crosses a boundary: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
