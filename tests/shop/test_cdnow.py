"""CDNOW's orders become commands of the shop without losing one, or a cent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_sm import cdnow
from shop_sm.commands import AdjustStock, PayOrder, PlaceOrder, PutProduct
from shop_sm.results import BatchDone, Refusal

from .shop_under_test import ShopUnderTest


def sample() -> list[cdnow.Purchase]:
    with cdnow.sample_file() as path:
        return cdnow.read_purchases(path)


def test_the_sample_sums_to_what_is_known() -> None:
    """6,919 orders of 2,357 customers: 16,479 CDs for 244,091.94 dollars."""
    assert cdnow.totals_of(sample()) == cdnow.SAMPLE_TOTALS


def test_equal_lines_are_different_orders() -> None:
    """Lines that are the same letter for letter get ids of their own."""
    purchases = sample()
    contents = Counter((p.customer, p.day, p.units, p.cents) for p in purchases)
    assert any(count > 1 for count in contents.values())
    imported = cdnow.Import("sample", purchases)
    assert len({imported.order_id(purchase) for purchase in purchases}) == len(purchases)


@given(units=st.integers(1, 10_000), cents=st.integers(0, 10**9))
def test_any_order_splits_into_at_most_two_prices_exactly(units: int, cents: int) -> None:
    """Pieces and money of the lines are the order's own, whatever they are."""
    parts = cdnow.split_price(cdnow.Purchase(line=1, customer="1", day=1, units=units, cents=cents))
    assert sum(quantity for _, quantity in parts) == units
    assert sum(price * quantity for price, quantity in parts) == cents
    assert len(parts) <= 2
    assert all(quantity > 0 for _, quantity in parts)


def test_the_catalogue_holds_what_the_file_sells_and_no_more() -> None:
    """Stock booked and pieces ordered are equal for each product."""
    imported = cdnow.Import("sample", sample())
    stock = {c.sku: c.delta for c in imported.catalogue() if isinstance(c, AdjustStock)}
    wanted: Counter[str] = Counter()
    for purchase in imported.purchases:
        placed, paid = imported.order(purchase).commands
        assert isinstance(placed, PlaceOrder)
        assert isinstance(paid, PayOrder)
        wanted.update({line.sku: line.quantity for line in placed.lines})
    assert stock == dict(wanted)


def test_the_first_orders_come_out_to_the_cent_and_once() -> None:
    """Loaded twice over, 500 orders show the file's totals, an empty stock and no violation."""
    imported = cdnow.Import("sample", sample()[:500])
    shop = ShopUnderTest()
    for _ in range(2):
        for command in (*imported.catalogue(), *imported.customers()):
            assert not isinstance(shop.do(command), Refusal)
        for purchase in imported.purchases:
            result = shop.do(imported.order(purchase))
            assert isinstance(result, BatchDone)
            assert not any(isinstance(one, Refusal) for one in result.results), result
    totals = shop.totals()
    (row,) = totals.currencies
    shown = cdnow.KnownTotals(row.orders, totals.customer_count, row.units, row.revenue_minor)
    assert shown == cdnow.totals_of(imported.purchases)
    for command in imported.catalogue():
        if isinstance(command, PutProduct):
            assert shop.stock(command.sku)[:2] == (0, 0)
    assert shop.violations() == []


def test_both_kinds_of_file_are_read(tmp_path: Path) -> None:
    """The master file has a header and one customer column, the sample two and none."""
    path = tmp_path / "orders.txt"
    path.write_bytes(b" customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n")
    expected = cdnow.Purchase(line=2, customer="00001", day=9_862, units=1, cents=1_177)
    assert cdnow.read_purchases(path) == [expected]
    path.write_text(" 00004 0001 19970101  2   29.33\n")
    assert cdnow.read_purchases(path)[0] == cdnow.Purchase(line=1, customer="00004", day=9_862, units=2, cents=2_933)


@pytest.mark.parametrize(
    "line", ["00001 19970101 1", "x 19970101 1 1.00", "1 19971301 1 1.00", "1 19970101 0 1.00", "1 19970101 1 1.005"]
)
def test_a_line_that_is_no_order_stops_the_import(tmp_path: Path, line: str) -> None:
    """Nothing is guessed: the error names the line."""
    path = tmp_path / "orders.txt"
    path.write_text(f"00001 19970101 1 1.00\n{line}\n")
    with pytest.raises(cdnow.FileError, match="line 2"):
        cdnow.read_purchases(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xef\xbb\xbf00001 19970101  1   11.77\r\n", "begins with a byte order mark"),
        ("00001 19970101  1   11.77".encode("utf-16"), "begins with a byte order mark"),
        (b"00001 19970101  1   11.77\n00001 19970101\xa01 11.77\n", "line 2 has a byte that is no ASCII text: 0xa0"),
    ],
)
def test_a_file_that_is_no_plain_text_is_named_by_what_it_is(tmp_path: Path, data: bytes, words: str) -> None:
    """What an editor puts in unseen is said, with where it stands."""
    path = tmp_path / "orders.txt"
    path.write_bytes(data)
    with pytest.raises(cdnow.FileError, match=words):
        cdnow.read_purchases(path)
