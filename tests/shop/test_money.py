"""Money to text and back, exactly."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_sm.currencies import DECIMALS
from shop_sm.money import format_money, parse_money


@given(st.integers(0, 10**15), st.sampled_from(["USD", "JPY", "XOF", "KWD", "CLF"]))
def test_what_is_written_reads_back(minor: int, currency: str) -> None:
    """No amount changes on its way through text."""
    text = format_money(minor, currency).removesuffix(f" {currency}").replace(",", "")
    assert parse_money(text, currency) == minor


def test_amounts_look_as_people_write_them() -> None:
    """Thousands apart, as many decimals as the currency has."""
    assert format_money(24_409_194, "USD") == "244,091.94 USD"
    assert format_money(-5, "EUR") == "-0.05 EUR"
    assert format_money(1_999, "JPY") == "1,999 JPY"
    assert (parse_money("500", "XOF"), parse_money("500", "USD")) == (500, 50_000)


def test_every_currency_is_of_the_table() -> None:
    """ISO 4217, with the decimals it says; whatever is in nobody's table is refused instead of having hundredths."""
    counts = Counter(DECIMALS.values())
    assert (len(DECIMALS), counts[0], counts[3], counts[4]) == (166, 17, 7, 2)
    assert all(len(name) == 3 and name.isascii() and name.isupper() for name in DECIMALS)
    for unknown in ("XYZ", "usd", "US", "XAU", "XXX", ""):
        with pytest.raises(ValueError, match="ISO 4217"):
            parse_money("500", unknown)


@pytest.mark.parametrize("text", ["", "1,00", "1.005", "-1", "one", "1.", ".5", "1e3", "\u0661", "1.\u0661"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Nothing is rounded or guessed."""
    with pytest.raises(ValueError, match="is no amount"):
        parse_money(text, "USD")
