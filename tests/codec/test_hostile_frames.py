"""Whatever arrives, it is a frame or a ``FrameError``: never another exception, and never memory taken on trust."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from replog.wire.client_messages import Ping
from replog.wire.codec import (
    FRAME_VERSION,
    HEADER_BYTES,
    FrameError,
    FrameSplitter,
    Kind,
    decode_payload,
    encode_frame,
)

from .samples import frames

SAMPLES = frames()
NAMES = st.sampled_from(sorted(SAMPLES))
KINDS = st.sampled_from(list(Kind))
GOOD = encode_frame(Kind.CLIENT, [Ping(1)])


def read(data: bytes, kinds: frozenset[Kind] = frozenset(Kind), limit: int = 2**20) -> list[object]:
    """Everything in ``data``, decoded; may raise ``FrameError`` and nothing else."""
    contents = []
    for kind, payload in FrameSplitter(kinds, limit).feed(data):
        contents.append(decode_payload(kind, payload, object))
    return contents


def read_or_refuse(data: bytes) -> list[object] | None:
    try:
        return read(data)
    except FrameError:
        return None


@given(st.binary(max_size=200))
@example(b"GET / HTTP/1.1\r\n\r\n")
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
def test_garbage_is_refused_or_unfinished(data: bytes) -> None:
    """Random bytes never make a message."""
    assert not read_or_refuse(data)


@given(NAMES, st.data())
def test_one_flipped_bit_is_never_another_message(name: str, data: st.DataObject) -> None:
    """The header's checks and the payload's checksum leave no room for a message that was not sent."""
    frame = bytearray(SAMPLES[name][1])
    position = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[position // 8] ^= 1 << position % 8
    found = read_or_refuse(bytes(frame))
    if found:  # only the kind is not covered by the checksum; the payload is then of no or of an equal kind
        assert position // 8 == 2


@given(NAMES, st.data())
def test_a_truncated_frame_is_waited_for(name: str, data: st.DataObject) -> None:
    """A beginning is no error and no message."""
    frame = SAMPLES[name][1]
    splitter = FrameSplitter(frozenset(Kind))
    assert splitter.feed(frame[: data.draw(st.integers(1, len(frame) - 1))]) == []
    assert splitter.is_inside_frame


def checked(kind: Kind, payload: bytes) -> None:
    """A payload is an error, or messages of its kind, which come out of their own bytes again."""
    try:
        content = decode_payload(kind, payload, object)
    except FrameError:
        return
    messages = content if isinstance(content, list) else [content]
    assert all(isinstance(message, msgspec.Struct) for message in messages), content
    assert decode_payload(kind, encode_frame(kind, content)[HEADER_BYTES:], object) == content  # type: ignore[arg-type]


@given(KINDS, st.binary(max_size=300))
@settings(max_examples=300)
def test_any_payload_is_a_message_or_an_error(kind: Kind, payload: bytes) -> None:
    """A frame with a right checksum may still hold anything."""
    checked(kind, payload)


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=25,
)


@given(KINDS, JSON_LIKE)
@settings(max_examples=300)
def test_any_msgpack_is_a_message_or_an_error(kind: Kind, content: object) -> None:
    """Well-formed msgpack of another shape is refused in the same way."""
    checked(kind, msgspec.msgpack.encode(content))


@given(KINDS, st.integers(0, 255), st.lists(JSON_LIKE, max_size=13))
@settings(max_examples=300)
def test_a_known_tag_with_strange_fields_is_a_message_or_an_error(kind: Kind, tag: int, fields: list[object]) -> None:
    """Half-right messages, as another release or a broken client might send them."""
    checked(kind, msgspec.msgpack.encode([[tag, *fields]]))


def test_text_that_is_no_text_is_an_error() -> None:
    """A name of bytes that are no UTF-8 is refused like any other wrong field."""
    with pytest.raises(FrameError):
        decode_payload(Kind.HELLO, b"\x94\xc4\x00\x00\xc4\x00\xa2\xff\xfe", object)


@pytest.mark.parametrize("kind", list(Kind))
def test_deep_nesting_is_an_error(kind: Kind) -> None:
    """A payload that nests a hundred thousand lists does not exhaust the stack."""
    with pytest.raises(FrameError):
        decode_payload(kind, b"\x91" * 100_000 + b"\xc0", object)


@pytest.mark.parametrize("prefix", [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"])
def test_a_promised_length_takes_no_memory(prefix: bytes) -> None:
    """A list, bytes or text that claims four gigabytes is refused before they are allocated."""
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            decode_payload(Kind.PEER, prefix, list)
        with pytest.raises(FrameError):
            decode_payload(Kind.PEER, b"\x91\x92\x01" + prefix, list)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [2**20 + 1, 2**31, 2**32 - 1])
def test_an_oversized_length_is_refused_from_the_header_alone(length: int) -> None:
    """The limit is checked when the header is there, not when the payload is."""
    header = bytearray(GOOD[:HEADER_BYTES])
    header[5:9] = length.to_bytes(4, "big")
    with pytest.raises(FrameError, match="above the limit"):
        read(bytes(header))


def test_a_frame_at_the_limit_is_taken() -> None:
    """The limit is the largest payload, not one below it."""
    payload_bytes = len(GOOD) - HEADER_BYTES
    assert read(GOOD, limit=payload_bytes) == [[Ping(1)]]
    with pytest.raises(FrameError, match="above the limit"):
        read(GOOD, limit=payload_bytes - 1)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, 0xA6, "no frame"),
        (1, FRAME_VERSION + 1, "use the same release everywhere"),
        (2, 0, "kind 0 is not expected"),
        (2, 6, "kind 6 is not expected"),
        (3, 1, "no frame"),
        (9, GOOD[9] ^ 1, "checksum"),
        (len(GOOD) - 1, GOOD[-1] ^ 1, "checksum"),
    ],
)
def test_each_field_of_the_header_is_checked(position: int, value: int, message: str) -> None:
    """The error says which of them is wrong, for whoever reads the log."""
    frame = bytearray(GOOD)
    frame[position] = value
    with pytest.raises(FrameError, match=message):
        read(bytes(frame))


def test_a_kind_that_is_not_expected_on_this_link_is_refused() -> None:
    """A client can't speak as a peer."""
    with pytest.raises(FrameError, match="not expected here"):
        read(GOOD, kinds=frozenset({Kind.PEER}))


def test_good_frames_before_a_bad_one_are_lost_with_the_link() -> None:
    """After a broken frame nothing on the link can be trusted to be where it seems."""
    with pytest.raises(FrameError):
        read(GOOD + b"\x00" * HEADER_BYTES)
