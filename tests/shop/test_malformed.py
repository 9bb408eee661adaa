"""Arbitrary bytes as a command are answered with a result and change nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shop_sm.commands import Batch, PlaceOrder, PutProduct, Wanted, encode_command
from shop_sm.results import Malformed, decode_result

from .shop_under_test import stocked_shop

ORDER = encode_command(PlaceOrder("o-1", "ann", [Wanted("tea", 2)]))


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x93\x05\xa1o\xa1c\xdd\xff\xff\xff\xff")
@example(b"\x92\x02\xa2\xff\xfe")
@example(b"\x91" * 100_000)
@example(b"\x92\x02" + b"\x91" * 100_000)
@example(msgspec.msgpack.encode([12, [[12, []]]]))
@example(msgspec.msgpack.encode([5, "o", "c", [["tea", 1.0]]]))
@example(msgspec.msgpack.encode([5, "o", "c", [["tea", True]]]))
@example(msgspec.msgpack.encode([7, "o-1", "a field from the future"]))
def test_any_bytes_have_a_result(payload: bytes) -> None:
    """No bytes make ``apply`` raise; the harness fails if they do."""
    shop = stocked_shop()
    decode_result(shop.do_bytes(payload))
    assert shop.violations() == []


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(ORDER) - 1), st.integers(0, 255), st.integers(0, len(ORDER)))
def test_any_damaged_order_has_a_result(position: int, byte: int, length: int) -> None:
    """An order with one byte changed, or cut short, is an order, a refusal or malformed; never half an order."""
    shop = stocked_shop()
    damaged = bytearray(ORDER)
    damaged[position] = byte
    decode_result(shop.do_bytes(bytes(damaged)))
    decode_result(shop.do_bytes(ORDER[:length]))
    assert shop.violations() == []


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 13), st.lists(json_like, max_size=6))
def test_any_fields_have_a_result(tag: int, fields: list[object]) -> None:
    """A right tag with wrong fields is a result too."""
    shop = stocked_shop()
    decode_result(shop.do_bytes(msgspec.msgpack.encode([tag, *fields])))
    assert shop.violations() == []


@pytest.mark.parametrize(
    "text", ["\x00", "\x7f", "a\nb", "…", "\u202e", "\U0001d4b6", "a/b", "..", "-x", "[/]", "50%", "a b", "a?b"]
)
def test_odd_characters_are_refused_in_ids_and_kept_in_names(text: str) -> None:
    """A name may be anything a person is called; an id is a word anywhere."""
    shop = stocked_shop()
    assert shop.do(PutProduct("odd", text, 1, "USD")) is not None
    assert shop.product("odd").name == text
    assert "sku" in str(shop.do(PutProduct(text, "Odd", 1, "USD")))


def test_a_batch_does_not_nest() -> None:
    """Batches in batches would make the work of a command unbounded."""
    inner = msgspec.Raw(encode_command(Batch([])))
    assert isinstance(decode_result(stocked_shop().do_bytes(msgspec.msgpack.encode([12, [inner]]))), Malformed)
