"""What a record of a node's life consists of, and its bytes: a beginning, then one frame for each turn.

A record holds all that entered a driver (events, times, answers of what it called) and, as one line each, all that it
called: so the life can be lived again without the node's disks, peers and clients, and compared line by line.

The file begins with ``MAGIC``. Each frame is the length of its content (4 bytes, big-endian), the content's crc32c (4),
and the content: a zlib stream of the msgpack of a ``Beginning`` or a ``Turn``. A crash cuts a file anywhere: what
follows the last whole frame is not read.

Never: trust a length before checking it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crc32c
import msgspec

from ..apply.command_loop import Outcome
from ..errors import ConfigError
from ..paxos.ballot import NodeId, Slot
from ..paxos.membership import Membership
from ..paxos.recovered import Recovered
from .events import (
    ChangeMembers,
    ClientClosed,
    ClientMessages,
    ClientOpened,
    ClientsLookedAt,
    Compacted,
    FloorInstalled,
    HandOver,
    LinkDrained,
    LogFull,
    PeerClosed,
    PeerMessages,
    PeerOpened,
    SlotDamaged,
    SlotsRead,
    StopApplying,
    Written,
)

RECORD_VERSION = 1
MAGIC = b"replog record %d\n" % RECORD_VERSION
RECORD_FRAME_BYTES_MAX = 512 * 2**20
_FRAME = struct.Struct(">II")


class JobDone(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """``events.StateJobDone`` of the job that is under way: what it found, as plain values, or the error's name."""

    result: Any
    error: str = ""


RecordedEvent = (
    PeerOpened
    | PeerClosed
    | PeerMessages
    | ClientOpened
    | ClientClosed
    | ClientMessages
    | ClientsLookedAt
    | LinkDrained
    | Written
    | Compacted
    | FloorInstalled
    | SlotsRead
    | SlotDamaged
    | LogFull
    | JobDone
    | HandOver
    | ChangeMembers
    | StopApplying
)


class Call(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Something that the driver called; ``answer`` as msgpack, or the name of the error that came out."""

    line: str
    answer: msgspec.Raw
    error: str = ""


class Seen(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Something that changes by itself was looked at, and differed from the last time."""

    name: str
    value: int


class Put(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """An event that came in the middle of a turn, out of the call that follows."""

    event: RecordedEvent


Entry = Call | Seen | Put


class Beginning(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """What a driver and its core were made of, and what they called meanwhile."""

    release: str
    is_with_contents: bool
    node: NodeId
    seeds: dict[NodeId, str]
    paxos: dict[str, Any]
    options: dict[str, Any]
    recovered: Recovered
    seed: int
    now_s: float
    time_ms: int
    entries: list[Entry]


class Turn(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """One turn.

    Parameters
    ----------
    number: of the turn, from 1.
    first_event: number of the first of ``events``; those since the turn before.
    over_at: which reading of the clock was the first at or over the turn's end; 0: none.
    entries: what was called, seen and put meanwhile, in order.
    stands: where the driver stood afterwards.
    error: the name of what came out of it.
    """

    number: int
    first_event: int
    events: list[RecordedEvent]
    now_s: float
    time_ms: int
    over_at: int
    entries: list[Entry]
    stands: str
    error: str


class Applied(msgspec.Struct, array_like=True, frozen=True):
    """What came of applying a slot, and where the Applier stood then.

    ``outcomes``: what concerns whoever is here; None while the slot is not done.
    """

    outcomes: list[Outcome] | None
    log_time_ms: int
    checkpoint_slot: Slot
    checkpoint_digest: bytes


class AppliedSoFar(msgspec.Struct, array_like=True, frozen=True):
    """Where an Applier stands when it is made."""

    applied_through: Slot
    log_time_ms: int
    checkpoint_slot: Slot
    checkpoint_digest: bytes
    membership: Membership | None = None


class LinkFacts(msgspec.Struct, array_like=True, frozen=True):
    """What does not change of a client's link."""

    write_buffer_bytes_max: int
    peer_address: str


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Beginning | Turn] = msgspec.msgpack.Decoder(Beginning | Turn)


def encode_frame(content: Beginning | Turn) -> bytes:
    """One whole frame."""
    packed = zlib.compress(_encoder.encode(content), 1)
    return _FRAME.pack(len(packed), crc32c.crc32c(packed)) + packed


def read_frames(path: Path) -> Iterator[Beginning | Turn]:
    """Whatever is whole, in order.

    Raises ``ConfigError`` if the file can't be read, is no record, or one of another version.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError(f"{path} is no record of version {RECORD_VERSION}, as this release writes them.")
            while len(header := file.read(_FRAME.size)) == _FRAME.size:
                length, crc = _FRAME.unpack(header)
                if length > RECORD_FRAME_BYTES_MAX:
                    return
                packed = file.read(length)
                if len(packed) < length or crc32c.crc32c(packed) != crc:
                    return
                yield _decoder.decode(zlib.decompress(packed))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} was written by another release: {error}.") from error
