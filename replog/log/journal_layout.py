"""The bytes of the journal: a file of blocks whose every sector says which record it belongs to.

A record is a group of writes that was made durable by one write of the disk, ahead of LMDB. It fills whole blocks, so
that no sector holds parts of two records: one that a later write tears would take its neighbour along. Every sector
begins with a stamp, so that what a power cut left is told sector by sector: this record's, an older one's, a later
one's, or damaged (``journal_reading`` judges). The place of a record follows from the end of the one before, and the
numbers of records ascend and are never used twice.

``docs/STORAGE.md`` draws it. Nothing here knows of files, LMDB or what a write means beyond its bytes.

Never: put two records into one sector.
"""

from __future__ import annotations

import struct
from typing import Final

import attrs
import msgspec
from crc32c import crc32c

from ..errors import Damaged, StorageError
from ..paxos.ballot import Ballot, NodeId, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from .contract import Identity

BLOCK_BYTES: Final = 4096
SECTOR_BYTES: Final = 512
"""What a disk writes as a whole; between two sectors a write may be torn."""
SECTORS_A_BLOCK: Final = BLOCK_BYTES // SECTOR_BYTES
JOURNAL_BYTES: Final = 8 * 2**20
"""Of the ring, without the block before it."""
JOURNAL_RECORD_BYTES_MAX: Final = 256 * 1024
FIRST_BLOCK: Final = 1

_MAGIC: Final = b"replogJ\n"
_VERSION: Final = 1
_HEADER = struct.Struct(">8sIQ16s16sI16s")
_CRC = struct.Struct(">I")
STAMP: Final = struct.Struct(">QI")
SEQUENCE: Final = struct.Struct(">Q")
HEAD: Final = struct.Struct(">III")
"""Length of the body, its checksum, and the checksum of both and the record's number."""
SECTOR_PAYLOAD_BYTES: Final = SECTOR_BYTES - STAMP.size
BLOCK_PAYLOAD_BYTES: Final = SECTORS_A_BLOCK * SECTOR_PAYLOAD_BYTES
_NUMBERED = struct.Struct(">QI")
_NUMBERED_HEAD = struct.Struct(">QII")
_ZEROS: Final = bytes(BLOCK_PAYLOAD_BYTES)


@attrs.frozen
class Ring:
    """One journal's geometry and stamps.

    Parameters
    ----------
    id: 16 random bytes, made with the file: a sector of another journal is no sector of this one.
    size_bytes: of the ring; with the block before it that is the file.
    """

    id: bytes
    size_bytes: int
    _id_crc: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_id_crc", crc32c(self.id))

    @property
    def blocks(self) -> int:
        """Number of the block behind the last one; the first is ``FIRST_BLOCK``."""
        return FIRST_BLOCK + self.size_bytes // BLOCK_BYTES

    @property
    def record_blocks_max(self) -> int:
        """A larger record goes to LMDB at once; in a small ring so does one that is an eighth of it."""
        return min(JOURNAL_RECORD_BYTES_MAX, self.size_bytes // 8) // BLOCK_BYTES

    def takes(self, body_bytes: int) -> bool:
        """Whether a body of this size is a record, or too large for one."""
        return blocks_for(body_bytes) <= self.record_blocks_max

    def place_after(self, end: int) -> int:
        """The block at which the next record begins, if the one before it ends at ``end`` (J4)."""
        return FIRST_BLOCK if self.blocks - end < self.record_blocks_max else end

    def frame(self, sequence: int, body: bytes) -> bytes:
        """The blocks of the record ``sequence``; every sector of them stamped, those of the padding too (J2)."""
        body_crc = self.body_crc(sequence, body)
        payload = b"".join((HEAD.pack(len(body), body_crc, head_crc(sequence, len(body), body_crc)), body))
        padded = payload + _ZEROS[: -len(payload) % BLOCK_PAYLOAD_BYTES]
        stamp = STAMP.pack(sequence, self.stamp_crc(sequence))
        step = SECTOR_PAYLOAD_BYTES
        return stamp + stamp.join([padded[start : start + step] for start in range(0, len(padded), step)])

    def stamp_crc(self, sequence: int) -> int:
        """What the stamp of a sector of the record ``sequence`` ends with."""
        return int(crc32c(SEQUENCE.pack(sequence), self._id_crc))

    def body_crc(self, sequence: int, body: bytes | memoryview) -> int:
        """Over whose it is, which record it is, how long it is, and what is in it."""
        return int(crc32c(body, crc32c(_NUMBERED.pack(sequence, len(body)), self._id_crc)))


def unframe(record: bytes) -> tuple[bytes, int]:
    """The body of a whole record, and the checksum that its head has of it."""
    offsets = range(0, len(record), SECTOR_BYTES)
    payload = b"".join([record[offset + STAMP.size : offset + SECTOR_BYTES] for offset in offsets])
    length, body_crc, _crc = HEAD.unpack_from(payload)
    return payload[HEAD.size : HEAD.size + length], body_crc


def head_crc(sequence: int, body_bytes: int, body_crc: int) -> int:
    """Tells a damaged length from a damaged body."""
    return int(crc32c(_NUMBERED_HEAD.pack(sequence, body_bytes, body_crc)))


def blocks_for(body_bytes: int) -> int:
    """Blocks that a record with a body of this size fills."""
    return -(-(HEAD.size + body_bytes) // BLOCK_PAYLOAD_BYTES)


# --- what is in a record ---


class _StoredSlot(msgspec.Struct, array_like=True, frozen=True):
    """``AcceptedSlot`` as it was written; what may be in one was checked when it came, and is not judged again."""

    slot: int
    ballot: tuple[int, int]
    crc: int
    value: bytes

    def accepted(self) -> AcceptedSlot:
        round_, node = self.ballot
        return AcceptedSlot(Slot(self.slot), Ballot(round_, NodeId(node)), self.crc, self.value)


class _StoredWrite(msgspec.Struct, array_like=True, frozen=True):
    """``LogWrite`` as it was written."""

    promise: tuple[int, int] | None
    slots: list[_StoredSlot]
    chosen_through: int | None
    membership: Membership | None = None

    def write(self) -> LogWrite:
        promise = None if self.promise is None else Ballot(self.promise[0], NodeId(self.promise[1]))
        chosen_through = None if self.chosen_through is None else Slot(self.chosen_through)
        return LogWrite(promise, tuple(slot.accepted() for slot in self.slots), chosen_through, self.membership)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_StoredWrite]).decode


def encode_body(writes: list[LogWrite]) -> bytes:
    """The group's writes in order: replaying them is ``LogStore.write`` and nothing else (J3)."""
    return _encode(writes)


def decode_body(body: bytes) -> list[LogWrite]:
    """Raises ``Damaged``: the checksum was right, so whoever wrote it has another format."""
    try:
        return [stored.write() for stored in _decode(body)]
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged(
            f"a record of the journal can't be decoded, and its checksum is right: {error}. Nothing was changed; use "
            "the release that wrote it."
        ) from error


# --- the block before the ring ---


def encode_header(ring: Ring, owner: Identity) -> bytes:
    """The first block of the file: whose journal it is."""
    fields = _HEADER.pack(_MAGIC, _VERSION, ring.size_bytes, ring.id, *_names_of(owner))
    return (fields + _CRC.pack(crc32c(fields))).ljust(BLOCK_BYTES, b"\0")


def decode_header(block: bytes, owner: Identity | None) -> Ring:
    """The ring behind this block; ``owner``: whose it must be, None: anybody's.

    Raises
    ------
    Damaged: it is none of a journal, or fails its checksum.
    StorageError: it is another version's or another directory's; the message says which.
    """
    if len(block) < BLOCK_BYTES or not block.startswith(_MAGIC):
        raise Damaged("its first block is not that of a journal")
    fields = block[: _HEADER.size]
    if _CRC.unpack_from(block, _HEADER.size)[0] != crc32c(fields):
        raise Damaged("its first block fails its checksum")
    _magic, version, size_bytes, id_, cluster, node, incarnation = _HEADER.unpack(fields)
    if version != _VERSION:
        raise StorageError(f"it has version {version} and this program reads version {_VERSION} only")
    if owner is not None and (cluster, node, incarnation) != _names_of(owner):
        raise StorageError("it belongs to another directory")
    return Ring(id_, size_bytes)


def _names_of(owner: Identity) -> tuple[bytes, int, bytes]:
    return owner.cluster.ljust(16, b"\0"), owner.node, owner.incarnation.ljust(16, b"\0")
