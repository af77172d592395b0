"""Adding up a basket, in decimal arithmetic only. Amounts are yuan with two places."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from retention.records.payloads import BasketLine

CENT = Decimal("0.01")


def total_of(lines: Iterable[BasketLine]) -> str:
    """Return the sum of quantity times unit price, each line rounded half up to a cent."""
    amounts = (amount_of(line) for line in lines)
    return str(sum(amounts, start=Decimal("0.00")))


def amount_of(line: BasketLine) -> Decimal:
    """Return what one line costs."""
    exact = Decimal(line.quantity) * Decimal(line.unit_price)
    return exact.quantize(CENT, rounding=ROUND_HALF_UP)
