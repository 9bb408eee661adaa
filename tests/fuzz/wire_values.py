"""Values of a message's fields as they may stand on the wire: right ones, wrong ones, and the ends of every range."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers(0, 5),
    st.sampled_from([2**20, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1, -1, -(2**63)]),
)
BYTES = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"", b"s" * 16, b"\x91\x00", b"\xc1", b"\x96\x00" + b"\x91" * 2_000])
)
TEXTS = st.text(max_size=8)
NOISE = st.one_of(st.none(), NUMBERS, BYTES, TEXTS, st.lists(NUMBERS, max_size=3))
_NOISE_ONE_IN = 40


def kinds_of(union: Any) -> list[type[msgspec.Struct]]:
    """The messages of a union."""
    return list(typing.get_args(union))


def message_values(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """A message as plain values."""
    return _values(msgspec.inspect.type_info(kind))


def _values(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    right = _right(kind)
    return st.integers(0, _NOISE_ONE_IN).flatmap(lambda drawn: right if drawn else NOISE)


def _right(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case msgspec.inspect.IntType():
            return NUMBERS
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.BytesType():
            return BYTES
        case msgspec.inspect.StrType():
            return TEXTS
        case msgspec.inspect.NamedTupleType():
            return st.tuples(*(_values(field.type) for field in kind.fields)).map(list)
        case msgspec.inspect.StructType():
            tag = [] if kind.tag is None else [kind.tag]
            return st.tuples(*(_values(field.type) for field in kind.fields)).map(lambda fields: [*tag, *fields])
        case msgspec.inspect.TupleType():
            return st.tuples(*map(_values, kind.item_types)).map(list)
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return st.lists(_values(kind.item_type), max_size=4)
    raise AssertionError(f"no values for {kind}")
