"""Messages to bytes and back: one frame a turn and link, however many messages it carries.

A frame is a header of 13 bytes and a payload, all integers big-endian:

    magic    1   0xA7
    version  1   format version
    kind     1   what the payload is (Kind)
    reserved 2   zero
    length   4   payload bytes
    crc32c   4   of the payload

The length is checked against a limit before memory is taken for it. Payloads are msgpack of tagged, array-like
Structs (``paxos.messages`` between nodes, ``client_messages`` with clients): an old reader ignores new trailing
fields, a new one fills them in.

Never: trust a length before checking it.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from typing import Annotated, TypeVar

import crc32c
import msgspec
from msgspec import Meta

from ..errors import ReplogError
from ..paxos.messages import Message
from .client_messages import ClientMessage, NodeMessage

FRAME_VERSION = 2
FRAME_BYTES_MAX = 64 * 2**20
"""Hard upper limit of a payload; a link may set a smaller one."""
HELLO_BYTES_MAX = 4096
MESSAGES_MAX = 65_536
"""In one frame to a node."""
_MAGIC = 0xA7
_HEADER = struct.Struct(">BBBHII")
_LENGTH_AND_CRC = struct.Struct(">II")
"""The end of a header."""
HEADER_BYTES = _HEADER.size


class FrameError(ReplogError):
    """Bytes that are no frame, or a frame that is no message. The link that brought them is dropped."""

    exit_code = 4


class Kind(enum.IntEnum):
    """What a frame's payload is."""

    HELLO = 1
    """The first frame of a link, from the one who dialled."""
    WELCOME = 2
    """The answer to a hello."""
    PEER = 3
    """A list of ``paxos.messages.Message``."""
    CLIENT = 4
    """A list of ``client_messages.ClientMessage``."""
    NODE = 5
    """A list of ``client_messages.NodeMessage``."""


VISITOR_NAME = "replog command"
"""Of a client that asks one question and goes: some places are kept for it."""


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """Who dials. ``node`` 0 is a client; a client may leave ``cluster`` empty and takes the one it meets.

    ``terms``: what a node runs the log under (``apply.machine_terms``); a client has none.
    """

    cluster: bytes
    node: int
    incarnation: bytes
    name: str = ""
    terms: tuple[tuple[str, str], ...] = ()


class Welcome(msgspec.Struct, array_like=True, frozen=True):
    """Who answers; with a ``refusal`` the link is closed right after.

    ``members`` are (node, advertised address) of the whole cluster. ``submission_bytes_max`` is what a client may
    send in one submission (0: it was not said). ``terms`` as in ``Hello``.
    """

    cluster: bytes
    node: int
    incarnation: bytes
    refusal: str = ""
    members: tuple[tuple[int, str], ...] = ()
    submission_bytes_max: int = 0
    terms: tuple[tuple[str, str], ...] = ()


_STARTS = {bytes((_MAGIC, FRAME_VERSION, kind, 0, 0)): kind for kind in Kind}
"""How a frame of each kind begins."""
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Kind, msgspec.msgpack.Decoder[object]] = {
    Kind.HELLO: msgspec.msgpack.Decoder(Hello),
    Kind.WELCOME: msgspec.msgpack.Decoder(Welcome),
    Kind.PEER: msgspec.msgpack.Decoder(Annotated[list[Message], Meta(max_length=MESSAGES_MAX)]),
    Kind.CLIENT: msgspec.msgpack.Decoder(Annotated[list[ClientMessage], Meta(max_length=MESSAGES_MAX)]),
    Kind.NODE: msgspec.msgpack.Decoder(list[NodeMessage]),
}

_T = TypeVar("_T")


def encode_frame(kind: Kind, content: Hello | Welcome | Sequence[Message | ClientMessage | NodeMessage]) -> bytes:
    """One whole frame."""
    payload = _encoder.encode(content)
    return _HEADER.pack(_MAGIC, FRAME_VERSION, kind, 0, len(payload), crc32c.crc32c(payload)) + payload


def decode_payload(kind: Kind, payload: bytes | memoryview, wanted: type[_T]) -> _T:
    """The content of a frame of the expected kind.

    Raises ``FrameError`` if the bytes are no such content.
    """
    try:
        content = _decoders[kind].decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise FrameError(f"a {kind.name} frame can't be decoded: {error}") from error
    assert isinstance(content, wanted), (type(content), wanted)
    return content


class FrameSplitter:
    """Cuts a byte stream into payloads; keeps what is not whole yet.

    Parameters
    ----------
    kinds: the kinds this end expects; any other is an error.
    payload_bytes_max: a longer payload is an error before memory is taken for it.
    """

    def __init__(self, kinds: frozenset[Kind], payload_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self.expect(kinds, payload_bytes_max)

    @property
    def is_inside_frame(self) -> bool:
        """Whether a part of a frame is waiting for its rest."""
        return bool(self._buffer)

    @property
    def held_bytes(self) -> int:
        """How large that part is."""
        return len(self._buffer)

    def forget(self) -> None:
        """Nothing comes any more; what waits for its rest is let go at once."""
        self._buffer = bytearray()

    def expect(self, kinds: frozenset[Kind], payload_bytes_max: int) -> None:
        """Other kinds come from here on: the greeting is over."""
        self._kinds = kinds
        self._starts = {start: kind for start, kind in _STARTS.items() if kind in kinds}
        self._payload_bytes_max = payload_bytes_max

    def feed(self, chunk: bytes | memoryview) -> list[tuple[Kind, bytes]]:
        """Every whole frame's kind and payload, in order.

        Raises ``FrameError`` at the first byte that can't be part of a frame.
        """
        if not self._buffer:
            frames, taken = self._cut(chunk)  # mostly whole frames: none of them is copied but into its payload
            if taken < len(chunk):
                self._buffer += chunk[taken:]
            return frames
        self._buffer += chunk
        frames, taken = self._cut(self._buffer)
        del self._buffer[:taken]
        return frames

    def _cut(self, data: bytes | bytearray | memoryview) -> tuple[list[tuple[Kind, bytes]], int]:
        """The whole frames at the front of ``data``, and how many bytes they are."""
        frames: list[tuple[Kind, bytes]] = []
        view = memoryview(data)
        start, size, starts = 0, len(view), self._starts
        while size - start >= HEADER_BYTES:
            begin = start + HEADER_BYTES
            kind = starts.get(bytes(view[start : begin - _LENGTH_AND_CRC.size]))
            length, crc = _LENGTH_AND_CRC.unpack_from(view, begin - _LENGTH_AND_CRC.size)
            if kind is None or length > self._payload_bytes_max:
                raise self._fault(*_HEADER.unpack_from(view, start))
            end = begin + length
            if size < end:
                break
            payload = bytes(view[begin:end])
            if crc32c.crc32c(payload) != crc:
                raise FrameError("a frame's checksum does not match its payload")
            frames.append((kind, payload))
            start = end
        return frames, start

    def _fault(self, magic: int, version: int, kind: int, reserved: int, length: int, _crc: int) -> FrameError:
        """What is wrong with a header."""
        if magic != _MAGIC or reserved != 0:
            return FrameError("these bytes are no frame: is something else speaking to this port?")
        if version != FRAME_VERSION:
            return FrameError(
                f"frame format {version}; this program speaks {FRAME_VERSION}: use the same release everywhere"
            )
        if kind not in self._kinds:
            return FrameError(f"a frame of kind {kind} is not expected here")
        return FrameError(f"a frame of {length:,} bytes is above the limit of {self._payload_bytes_max:,}")
