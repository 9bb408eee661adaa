"""Money as people write it: minor units to text and back, without a float in between."""

from __future__ import annotations

import re

from .currencies import DECIMALS

AMOUNT = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,4}))?")


def format_money(minor: int, currency: str) -> str:
    """``249900, "USD"`` is ``2,499.00 USD``; what an older shop took for a currency has hundredths."""
    decimals = DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(minor), 10**decimals)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}{f'.{rest:0{decimals}}' if decimals else ''} {currency}"


def parse_money(text: str, currency: str) -> int:
    """``24.99`` in minor units of ``currency``.

    Raises ``ValueError`` for what is no amount, or one with more decimals than the currency has, or no currency.
    """
    decimals = DECIMALS.get(currency)
    if decimals is None:
        raise ValueError(f"{currency!r} is no currency of ISO 4217; write three capital letters, like USD")
    match = AMOUNT.fullmatch(text.strip())
    whole, fraction = (match.group(1), match.group(2) or "") if match else ("", "")
    if match is None or len(fraction) > decimals:
        example = f"24.{'9' * decimals}".rstrip(".")
        raise ValueError(f"{text!r} is no amount of {currency}; write it like {example}")
    return int(whole + fraction.ljust(decimals, "0"))
