"""Money as people write it: minor units to text and back, without a float in between."""

from __future__ import annotations

import re

_DECIMALS_OF = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DECIMALS = {currency: decimals for decimals, names in _DECIMALS_OF.items() for currency in names.split()}
"""Every currency of ISO 4217 whose minor unit is not a hundredth."""

AMOUNT = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,4}))?")


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
        example = f"24.{'9' * decimals}".rstrip(".")
        raise ValueError(f"{text!r} is no amount of {currency}; write it like {example}")
    return int(whole + fraction.ljust(decimals, "0"))
