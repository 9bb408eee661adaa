"""A consistent snapshot of the state as a stream of bytes, made chunk by chunk from a read transaction.

The stream is a sequence of frames. A frame's digest is keyed with the digest of the frame before it (the first one with
the snapshot's name), so a frame is good only in its place, damage is found when its frame arrives, and 16 bytes are all
that must be remembered to go on after a crash.

```
stream   begin frame, rows frames (tree 0 ascending, then tree 1 ascending), end frame
frame    length of body (4), crc32c over previous digest and length (4), digest (16), body (msgpack)
body     ["b", version, name, applied_through] | ["r", tree, [[key, stored], ...]] | ["e", rows of tree 0, of tree 1]
```

Rows travel as they are stored, with the checksum that was made when they were flushed first, and both sides check it.

The same snapshot gives the same bytes and the same name, whoever asks and in whatever chunks. Nothing here knows of
peers.

Never: make anything one's own state that is not whole.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import crc32c
import lmdb
import msgspec

from ..errors import Damaged, StorageError
from ..paxos.ballot import Slot
from .environment import POSITION_KEY, StateEnvironment, decode_position
from .overlay import Row
from .rows import TREE_NAMES, first_damaged

STREAM_VERSION: Final = 3
FRAME_BYTES: Final = 256 * 1024
"""A frame is closed when its rows reach this size; a row is never split, so a large value makes a large frame."""
_ROW_BYTES: Final = 8
HEADER = struct.Struct(">II16s")


class Begin(msgspec.Struct, array_like=True, frozen=True, tag="b"):
    """The first frame: what the stream is."""

    version: int
    name: bytes
    applied_through: Slot


class Rows(msgspec.Struct, array_like=True, frozen=True, tag="r"):
    """Rows of one tree, ascending, after all rows before them."""

    tree: int
    pairs: list[Row]


class End(msgspec.Struct, array_like=True, frozen=True, tag="e"):
    """The last frame: how many rows each tree has."""

    counts: tuple[int, int]


Body = Begin | Rows | End

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Body] = msgspec.msgpack.Decoder(Body)


def encode_frame(body: Body, previous: bytes) -> tuple[bytes, bytes]:
    """The frame of ``body`` after the frame with the digest ``previous``, and its own digest."""
    data = _encoder.encode(body)
    digest = hashlib.blake2b(data, digest_size=16, key=previous).digest()
    return HEADER.pack(len(data), _length_checksum(previous, len(data)), digest) + data, digest


def decode_frame(buffer: bytearray, start: int, previous: bytes) -> tuple[Body, int, bytes] | None:
    """The frame at ``start`` of ``buffer`` with its size and digest; None if not all of it is here.

    Raises ``Damaged`` as soon as it can be told that it is not the frame that was sent.
    """
    body_start = start + HEADER.size
    if len(buffer) < body_start:
        return None
    length, checksum, digest = HEADER.unpack_from(buffer, start)
    if checksum != _length_checksum(previous, length):
        raise Damaged("a frame of the received state has a damaged length")
    if len(buffer) < body_start + length:
        return None
    data = buffer[body_start : body_start + length]
    if hashlib.blake2b(data, digest_size=16, key=previous).digest() != digest:
        raise Damaged("a frame of the received state fails its digest")
    try:
        return _decoder.decode(data), HEADER.size + length, digest
    except msgspec.DecodeError as error:
        raise Damaged(f"a frame of the received state is no such frame: {error}") from error


def _length_checksum(previous: bytes, length: int) -> int:
    return crc32c.crc32c(previous + length.to_bytes(4, "big"))


class _Place(msgspec.Struct, frozen=True):
    """Where a frame begins: enough to make it again."""

    position: int
    previous: bytes
    tree: int
    start: bytes
    counts: tuple[int, int]
    is_begin: bool = False


class LmdbStateSnapshot:
    """Satisfies ``contract.StateSnapshot``. Remembers one place a frame, so a read at any earlier position is cheap."""

    def __init__(
        self, environment: StateEnvironment, ahead_bytes: int, on_close: Callable[[LmdbStateSnapshot], None]
    ) -> None:
        self._environment = environment
        self._on_close = on_close
        self._lock = threading.Lock()
        self._transaction: lmdb.Transaction[bytes] | None = environment.begin_snapshot(self, ahead_bytes)
        self._trees = list(environment.trees)
        try:
            position = decode_position(self._transaction.get(POSITION_KEY))
        except BaseException:
            self.close()
            raise
        self.applied_through = position.applied_through
        identity = _encoder.encode((STREAM_VERSION, position))
        self.name = hashlib.blake2b(identity, digest_size=16, person=b"replog image").digest()
        self._places = [_Place(0, self.name, 0, b"", (0, 0), is_begin=True)]
        self._starts = [0]
        self._end_bytes: int | None = None
        self._cached: tuple[int, bytes] = (-1, b"")

    def read(self, position: int, bytes_max: int) -> tuple[bytes, bool]:
        """See ``contract.StateSnapshot``. Raises ``StorageError`` if it is closed, damaged, or can't be read."""
        with self._lock:
            parts: list[bytes] = []
            size = 0
            index = bisect_right(self._starts, position) - 1
            while size < bytes_max and not self._is_past_end(index):
                start = self._starts[index]
                frame = self._frame(index)
                part = frame[max(0, position - start) :]
                parts.append(part)
                size += len(part)
                index += 1
            is_last = self._is_past_end(index) and size <= bytes_max
        return b"".join(parts)[:bytes_max], is_last

    def close(self) -> None:
        """Let go of the snapshot; from any thread."""
        with self._lock:
            if self._transaction is None:
                return
            self._transaction.abort()
            self._transaction = None
            self._environment.end_snapshot(self)
        self._on_close(self)

    def _is_past_end(self, index: int) -> bool:
        return self._end_bytes is not None and index >= len(self._starts)

    def _frame(self, index: int) -> bytes:
        """Frame ``index``, made now; also learns where the next one begins."""
        if self._cached[0] == index:
            return self._cached[1]
        place = self._places[index]
        try:
            body, tree, start, counts = self._body(place)
        except lmdb.Error as error:
            raise self._environment.unreadable(error) from error
        frame, digest = encode_frame(body, place.previous)
        if index + 1 == len(self._places) and self._end_bytes is None:
            position = place.position + len(frame)
            if isinstance(body, End):
                self._end_bytes = position
            else:
                self._places.append(_Place(position, digest, tree, start, counts))
                self._starts.append(position)
        self._cached = (index, frame)
        return frame

    def _body(self, place: _Place) -> tuple[Body, int, bytes, tuple[int, int]]:
        """The body of the frame at ``place``; tree, key and counts where the next one begins."""
        if place.is_begin:
            return Begin(STREAM_VERSION, self.name, self.applied_through), 0, b"", (0, 0)
        tree, start = place.tree, place.start
        while tree < len(TREE_NAMES):
            pairs = self._pairs(tree, start)
            if pairs:
                first, second = place.counts
                counts = (first + len(pairs), second) if tree == 0 else (first, second + len(pairs))
                return Rows(tree, pairs), tree, pairs[-1][0] + b"\0", counts
            tree, start = tree + 1, b""
        return End(place.counts), tree, b"", place.counts

    def _pairs(self, tree: int, start: bytes) -> list[Row]:
        """The rows of one frame. The rule is part of the format: bytes must not depend on who asks."""
        if self._transaction is None:
            raise StorageError("this snapshot of the state is closed; the transfer goes on from another one")
        cursor = self._transaction.cursor(self._trees[tree])
        pairs: list[Row] = []
        if not (cursor.set_range(start) if start else cursor.first()):
            return pairs
        size = 0
        for pair in cursor.iternext():
            pairs.append(pair)
            size += len(pair[0]) + len(pair[1]) + _ROW_BYTES
            if size >= FRAME_BYTES:
                break
        damaged = first_damaged(tree, pairs)
        if damaged is not None:
            raise self._environment.damaged_row(tree, damaged)
        return pairs
