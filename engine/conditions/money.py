"""Exact amounts: whole millionths, never binary fractions (DESIGN.md 3, "Money")."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from engine.conditions.values import exact, number

MILLION = 1_000_000
AMOUNT_MAX = 10**12
"""Amounts at or beyond a million millions are no amounts, so that sums stay within 64 bits."""
TOTAL_MAX = (1 << 62) - 1
"""Sums stop here, in millionths: 4.6 million millions."""
_QUICK = 1_000_000_000.0
_UNIT = Decimal(1)


def millionths(value: Any) -> int | None:
    """A JSON number, or a text that is one, in millionths, rounded half to even; None for anything else.

    >>> millionths(1290.5), millionths("0.1"), millionths(True), millionths("tea")
    (1290500000, 100000, None, None)
    """
    kind = type(value)
    if kind is int:
        whole: int = value * MILLION
        return whole if -AMOUNT_MAX < value < AMOUNT_MAX else None
    if kind is float and -_QUICK < value < _QUICK:
        scaled = value * MILLION
        whole = round(scaled)
        if abs(scaled - whole) < 0.25:  # the product is off by far less; nearer to a half, the decimal decides
            return whole
    found = number(value)
    if found is None:
        return None
    decimal = exact(found)
    if not isinstance(decimal, Decimal):
        return millionths(decimal) if type(decimal) is int else None
    if not decimal.is_finite() or abs(decimal) >= AMOUNT_MAX:
        return None
    return int(decimal.scaleb(6).quantize(_UNIT, rounding=ROUND_HALF_EVEN))


def amount(total: int) -> Decimal:
    """The exact number of so many millionths."""
    return Decimal(total).scaleb(-6)


def plain_amount(total: int) -> int | float:
    """The same as a JSON number."""
    whole, rest = divmod(total, MILLION)
    return total / MILLION if rest else whole


def within_bounds(total: int) -> int:
    """A sum that the state can hold."""
    return max(-TOTAL_MAX, min(TOTAL_MAX, total))
