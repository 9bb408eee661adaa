"""The stream of an image: what is refused though every digest in it is right, and how early damage is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from replog.errors import Damaged
from replog.paxos.ballot import Slot
from replog.state_image import STREAM_VERSION, Begin, Body, End, Rows, decode_frame, encode_frame
from replog.state_store import LmdbStateStore

from .state_cases import STEP_BYTES, contents

IMAGE = b"i" * 16
BEGIN = Begin(STREAM_VERSION, IMAGE, Slot(9))
DATA = Rows(0, [(b"a", b"1"), (b"b", b"2")])
RECORDS = Rows(1, [(b"meta", b"m")])
END = End((2, 1))
GOLDEN = (
    "000000176bd46554a6a07d89c1ab0ae74fe952d22ff8d51294a16201c4106969696969696969696969696969696909000000"
    "13721067a6c4356b32a35e2b7065b362d0ab5a5a9f93a172009292c40161c4013192c40162c401320000000f3d58c3b528c3"
    "d9acf62df8acb528c8822f8c1d8993a172019192c4046d657461c4016d000000062206b539004b116a0e9276887a8ba931f2"
    "59af2892a165920201"
)


def stream(*bodies: Body) -> bytes:
    """Frames with the right digests."""
    digest = IMAGE
    frames = []
    for body in bodies:
        frame, digest = encode_frame(body, digest)
        frames.append(frame)
    return b"".join(frames)


def install(path: Path, data: bytes) -> LmdbStateStore:
    """A new store into which ``data`` was received."""
    store = LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)
    store.begin_install(IMAGE)
    store.install_piece(0, data)
    return store


def test_a_stream_in_the_right_order_is_a_state(tmp_path: Path) -> None:
    """What the other tests of this file take something away from."""
    store = install(tmp_path / "state", stream(BEGIN, DATA, RECORDS, END))
    store.finish_install(Slot(9))
    assert contents(store) == ({b"a": b"1", b"b": b"2"}, {b"meta": b"m"}, 9)
    store.close()


@pytest.mark.parametrize(
    "bodies",
    [
        (),
        (DATA, RECORDS, END),
        (BEGIN, BEGIN, DATA, RECORDS, END),
        (BEGIN, DATA, RECORDS),
        (BEGIN, DATA, RECORDS, END, END),
        (BEGIN, DATA, RECORDS, End((2, 2))),
        (BEGIN, DATA, END),
        (BEGIN, RECORDS, DATA, END),
        (BEGIN, DATA, Rows(1, []), RECORDS, END),
        (BEGIN, DATA, RECORDS, Rows(2, [(b"c", b"3")]), END),
        (BEGIN, Rows(0, [(b"b", b"1"), (b"a", b"2")]), RECORDS, END),
        (BEGIN, Rows(0, [(b"a", b"1")]), Rows(0, [(b"a", b"1")]), RECORDS, END),
        (BEGIN, Rows(0, [(b"", b"1"), (b"a", b"2")]), RECORDS, END),
        (BEGIN, Rows(0, [(b"a", b"1"), (b"b" * 600, b"2")]), RECORDS, END),
        (Begin(STREAM_VERSION + 1, IMAGE, Slot(9)), DATA, RECORDS, END),
        (Begin(STREAM_VERSION, b"j" * 16, Slot(9)), DATA, RECORDS, END),
    ],
)
def test_a_stream_that_is_no_state_is_refused(tmp_path: Path, bodies: tuple[Body, ...]) -> None:
    """A mistake of the sender is found as damage is, and the store goes on with what it had."""
    store = install(tmp_path / "state", stream(*bodies))
    with pytest.raises(Damaged):
        store.finish_install(Slot(9))
    assert contents(store) == ({}, {}, 0)
    store.begin_install(IMAGE)
    store.install_piece(0, stream(BEGIN, DATA, RECORDS, END))
    store.finish_install(Slot(9))
    assert contents(store)[2] == 9
    store.close()


def test_a_damaged_length_is_told_from_the_header_alone() -> None:
    """Otherwise a receiver would gather gigabytes before it finds that no frame is that long."""
    frame = bytearray(stream(BEGIN)[:24])
    assert decode_frame(frame, 0, IMAGE) is None
    for bit in range(64):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged, match="length"):
            decode_frame(damaged, 0, IMAGE)


def test_a_frame_is_good_only_in_its_place() -> None:
    """After any other frame it is damage."""
    frame, digest = encode_frame(DATA, IMAGE)
    assert decode_frame(bytearray(frame), 0, IMAGE) == (DATA, len(frame), digest)
    with pytest.raises(Damaged):
        decode_frame(bytearray(frame), 0, digest)


def test_the_format_of_the_stream_stays() -> None:
    """Nodes of two versions read each other's images."""
    assert stream(BEGIN, DATA, RECORDS, END).hex() == GOLDEN
