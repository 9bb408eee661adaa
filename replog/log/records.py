"""The bytes of every record in ``log/``, each with the crc32c that makes damage visible.

An LMDB page has no checksum, so a flipped bit would be read back as data. Every record here says what kind it is and
carries a checksum over that kind, its key and its content: a record that is damaged, or that stands where another
belongs, is told from one that is absent (P10).

The layouts are fixed (``struct``, big-endian) where they are written in every transaction, msgpack where they are
written once in a while. They know nothing of LMDB; ``docs/STORAGE.md`` draws them.

Never: read a record that fails its checksum.
"""

from __future__ import annotations

import struct
from typing import Final, TypeVar

import attrs
import msgspec
from crc32c import crc32c

from ..errors import Damaged, StorageError
from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.values import encode_value
from .contract import Identity

FORMAT_VERSION: Final = 5
"""Of everything in ``log/``; another version is refused, never guessed at."""
FORMAT_BEFORE: Final = 4
"""Knew no journal. It is read, and raised when a node starts on it."""

IDENTITY_KEY: Final = b"identity"
MEMBERSHIP_KEY: Final = b"membership"
POSITION_KEY: Final = b"position"
PROMISE_KEY: Final = b"promise"
SLOTS_NAME: Final = b"slots"

_SLOT_KIND: Final = b"\x01"
_SLOT = struct.Struct(">Q")
_PIECE_KEY = struct.Struct(">QH")
_BALLOT = struct.Struct(">QI")
_POSITION = struct.Struct(">QQQQIQ")
_JOURNAL_MARK = struct.Struct(">16sQIQ?")
_PROMISE = struct.Struct(">QI")
_CRC = struct.Struct(">I")

SLOT_HEADER_BYTES: Final = _BALLOT.size + _CRC.size
SLOT_KEY_BYTES: Final = _PIECE_KEY.size
PIECE_BYTES: Final = 2020
"""Two pieces fill a page. A larger record would lie in neighbouring pages, which LMDB has to search for."""
_FIRST_PIECE_BYTES: Final = PIECE_BYTES - SLOT_HEADER_BYTES

_T = TypeVar("_T")


# --- slots -----------------------------------------------------------------------------------------------


def slot_key(slot: int) -> bytes:
    """Key of the first piece of a slot's record; big-endian, so that LMDB's byte order is slot order."""
    return _PIECE_KEY.pack(slot, 0)


def slot_of_key(key: bytes | memoryview) -> Slot:
    """The slot that a piece with this key belongs to."""
    return Slot(_SLOT.unpack_from(key)[0])


def slot_checksum(record: AcceptedSlot) -> int:
    """Checksum of the acceptance: value, slot, kind and ballot, in this order.

    The crc of the value came with it and is where this one starts, so the value is not gone through again.
    """
    place = _SLOT.pack(record.slot) + _SLOT_KIND + _BALLOT.pack(*record.ballot)
    return int(crc32c(place, record.crc))


def seal_slots(records: list[AcceptedSlot]) -> tuple[list[int], list[tuple[bytes, bytes]]]:
    """Their checksums, and the keys and bytes of their pieces as they are stored.

    The write path of every slot: what the records of one ballot have in common is made once.
    """
    checksums: list[int] = []
    pairs: list[tuple[bytes, bytes]] = []
    pack_slot, pack_key, pack_crc = _SLOT.pack, _PIECE_KEY.pack, _CRC.pack
    ballot: Ballot | None = None
    header = suffix = b""
    for record in records:
        if record.ballot is not ballot:
            ballot = record.ballot
            header = _BALLOT.pack(*ballot)
            suffix = _SLOT_KIND + header
        slot, value = record.slot, record.value
        checksum = crc32c(pack_slot(slot) + suffix, record.crc)
        checksums.append(checksum)
        pairs.append((pack_key(slot, 0), b"".join((header, pack_crc(checksum), value[:_FIRST_PIECE_BYTES]))))
        if len(value) > _FIRST_PIECE_BYTES:
            starts = range(_FIRST_PIECE_BYTES, len(value), PIECE_BYTES)
            pairs += [
                (pack_key(slot, piece), value[start : start + PIECE_BYTES]) for piece, start in enumerate(starts, 1)
            ]
    return checksums, pairs


def check_slot(slot: Slot, data: bytes | memoryview) -> tuple[Ballot, int]:
    """Check one record without copying its value; returns its ballot and the crc of its value.

    Raises
    ------
    Damaged: ballot or value fail the checksum, or the record belongs to another slot.
    """
    if len(data) < SLOT_HEADER_BYTES:
        raise Damaged(f"slot {slot}: its record has {len(data)} bytes, fewer than a header; {REPAIR}")
    header = bytes(data[: _BALLOT.size])
    crc: int = crc32c(data[SLOT_HEADER_BYTES:])
    if _CRC.unpack_from(data, _BALLOT.size)[0] != crc32c(_SLOT.pack(slot) + _SLOT_KIND + header, crc):
        raise Damaged(f"slot {slot}: its record fails its checksum; {REPAIR}")
    round_, node = _BALLOT.unpack(header)
    return Ballot(round_, NodeId(node)), crc


def decode_slot(slot: Slot, data: bytes | memoryview) -> AcceptedSlot:
    """Check and read one record. Raises ``Damaged``, see ``check_slot``."""
    ballot, crc = check_slot(slot, data)
    return AcceptedSlot(slot, ballot, crc, bytes(data[SLOT_HEADER_BYTES:]))


REPAIR: Final = "a slot known chosen is repaired from the peers when the node runs, any other makes it abstain"


# --- records of which there is one -----------------------------------------------------------------------


NO_JOURNAL: Final = bytes(16)


class JournalMark(msgspec.Struct, frozen=True, gc=False):
    """How far the journal's records are in the log (J7); written with it, so both are of one moment.

    Parameters
    ----------
    id: of the journal; ``NO_JOURNAL``: there is none.
    covered: the highest number of a record that is in the log, or that was passed over.
    end: the block behind the last record that is.
    last: the number of that record; 0: there was none.
    is_open: whether a process may have written further records since.
    """

    id: bytes = NO_JOURNAL
    covered: int = 0
    end: int = 1
    last: int = 0
    is_open: bool = False


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where the log stands; written in every transaction.

    Parameters
    ----------
    transaction: number of the LMDB transaction that wrote it: tells an old tree from the newest one.
    chosen_through, compacted_through: as in ``Recovered``.
    last_slot: the highest slot that ever had a record.
    unchosen_count, unchosen_sum: how many records stand above ``chosen_through``, and the sum of their checksums.
        A record that vanished, or an older one that came back whole, changes them.
    journal: how far the journal's records are in it.
    """

    transaction: int = 0
    chosen_through: Slot = BEFORE_LOG
    compacted_through: Slot = BEFORE_LOG
    last_slot: Slot = BEFORE_LOG
    unchosen_count: int = 0
    unchosen_sum: int = 0
    journal: JournalMark = JournalMark()


@attrs.frozen
class Promised:
    """The promise, and why it is not to be relied on (empty: it is)."""

    ballot: Ballot = BALLOT_ZERO
    distrust: str = ""


def seal(key: bytes, content: bytes) -> bytes:
    """Checksum over key and content, then the content."""
    return _CRC.pack(crc32c(content, crc32c(key))) + content


def unseal(key: bytes, data: bytes | memoryview | None) -> bytes:
    """The content of a sealed record.

    Raises
    ------
    Damaged: absent, too short or failing its checksum; formatting wrote it, so absent is damaged too.
    """
    name = key.decode()
    if data is None:
        raise Damaged(f"the {name} record is missing")
    content = bytes(data[_CRC.size :])
    if len(data) < _CRC.size or _CRC.unpack_from(data)[0] != crc32c(content, crc32c(key)):
        raise Damaged(f"the {name} record fails its checksum")
    return content


def encode_position(position: Position) -> bytes:
    """The record as it is stored."""
    content = _POSITION.pack(
        position.transaction,
        position.chosen_through,
        position.compacted_through,
        position.last_slot,
        position.unchosen_count,
        position.unchosen_sum,
    )
    mark = position.journal
    marked = _JOURNAL_MARK.pack(mark.id, mark.covered, mark.end, mark.last, mark.is_open)
    return seal(POSITION_KEY, content + marked)


def decode_position(data: bytes | memoryview | None) -> Position:
    """Of this format or of the one before, which ends before the journal's part. Raises ``Damaged``."""
    content = unseal(POSITION_KEY, data)
    size = _POSITION.size + _JOURNAL_MARK.size
    if len(content) == _POSITION.size:
        return Position(*_POSITION.unpack(content))
    if len(content) != size:
        raise Damaged(f"the position record has {len(content)} bytes instead of {size}")
    mark = JournalMark(*_JOURNAL_MARK.unpack_from(content, _POSITION.size))
    return msgspec.structs.replace(Position(*_POSITION.unpack_from(content)), journal=mark)


def encode_promise(promised: Promised) -> bytes:
    """The record as it is stored."""
    content = _PROMISE.pack(promised.ballot.round, promised.ballot.node) + promised.distrust.encode()
    return seal(PROMISE_KEY, content)


def decode_promise(data: bytes | memoryview | None) -> Promised:
    """Raises ``Damaged``."""
    content = unseal(PROMISE_KEY, data)
    if len(content) < _PROMISE.size:
        raise Damaged(f"the promise record has {len(content)} bytes, fewer than a ballot")
    round_, node = _PROMISE.unpack_from(content)
    return Promised(Ballot(round_, NodeId(node)), content[_PROMISE.size :].decode())


def encode_membership(membership: Membership) -> bytes:
    """The record as it is stored."""
    return seal(MEMBERSHIP_KEY, encode_value(membership))


def decode_membership(data: bytes | memoryview | None) -> Membership:
    """Raises ``Damaged``."""
    return _decode(MEMBERSHIP_KEY, data, Membership)


class _StoredIdentity(msgspec.Struct, array_like=True, frozen=True):
    """``Identity`` behind the version of the format, which is read first."""

    format_version: int
    cluster: bytes
    node: NodeId
    incarnation: bytes
    membership: Membership


def encode_identity(identity: Identity) -> bytes:
    """The record, and the identity file, as they are stored."""
    membership = msgspec.Raw(encode_value(identity.membership))
    stored = (FORMAT_VERSION, identity.cluster, identity.node, identity.incarnation, membership)
    return seal(IDENTITY_KEY, msgspec.msgpack.encode(stored))


def decode_identity(data: bytes | memoryview | None) -> Identity:
    """Raises ``Damaged``; ``StorageError`` for a format version that is not read, whose message names it and those."""
    stored = _decode(IDENTITY_KEY, data, _StoredIdentity)
    if stored.format_version not in (FORMAT_BEFORE, FORMAT_VERSION):
        raise StorageError(
            f"it has format version {stored.format_version} and this program reads versions {FORMAT_BEFORE} and "
            f"{FORMAT_VERSION} only; nothing was changed, so use the release that wrote it"
        )
    return Identity(stored.cluster, stored.node, stored.incarnation, stored.membership)


def is_of_format_before(identity: bytes | memoryview | None) -> bool:
    """Whether a sound identity record is of the format before this one."""
    try:
        return _decode(IDENTITY_KEY, identity, _StoredIdentity).format_version == FORMAT_BEFORE
    except Damaged:
        return False


def _decode(key: bytes, data: bytes | memoryview | None, type_: type[_T]) -> _T:
    content = unseal(key, data)
    try:
        return msgspec.msgpack.decode(content, type=type_)
    except (msgspec.DecodeError, ValueError) as error:
        raise Damaged(f"the {key.decode()} record can't be decoded: {error}") from error
