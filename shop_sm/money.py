"""Money as people write it: minor units to text and back, without a float in between."""

from __future__ import annotations

import re

DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
"""Currencies whose minor unit is not a hundredth (ISO 4217)."""

AMOUNT = re.compile(r"(\d{1,18})(?:\.(\d{1,3}))?")


def format_money(minor: int, currency: str) -> str:
    """``249900, "USD"`` is ``2,499.00 USD``."""
    decimals = DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(minor), 10**decimals)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}{f'.{rest:0{decimals}}' if decimals else ''} {currency}"


def parse_money(text: str, currency: str) -> int:
    """``24.99`` in minor units of ``currency``.

    Raises ``ValueError`` for what is no amount, or one with more decimals than the currency has.
    """
    decimals = DECIMALS.get(currency, 2)
    match = AMOUNT.fullmatch(text.strip())
    whole, fraction = (match.group(1), match.group(2) or "") if match else ("", "")
    if match is None or len(fraction) > decimals:
        example = "24.99" if decimals == 2 else "2499" if decimals == 0 else "24.999"
        raise ValueError(f"{text!r} is no amount of {currency}; write it like {example}")
    return int(whole + fraction.ljust(decimals, "0"))
