"""Judges what a journal holds beyond the log: whole records, a torn end, or damage. A function of bytes alone.

One write is under way at a time, so of all records only the newest can be torn, and it was never acknowledged. What is
neither whole nor such an end is damage, and what it held may have been a vote (P10). The stamps say which it is: a torn
record has sectors that are still an older one's; a damaged one has none, or a later record stands behind it.

Never: take damage for an end.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import attrs

from .journal_layout import (
    BLOCK_BYTES,
    FIRST_BLOCK,
    HEAD,
    SECTOR_BYTES,
    SECTOR_PAYLOAD_BYTES,
    STAMP,
    Ring,
    blocks_for,
    head_crc,
    unframe,
)
from .records import JournalMark

_STAMPED: Final = struct.Struct(f">QI{SECTOR_PAYLOAD_BYTES}x")


@attrs.frozen
class Found:
    """What stands in a journal behind the records that the log covers.

    Parameters
    ----------
    bodies: of the whole records, in order.
    last: number of the last record that is whole, or that the log covers; 0: there was none.
    end: the block behind it.
    used_through: no record after these has a number up to here (J6).
    damage: why what follows can't be read, and the node must abstain; empty: nothing followed.
    """

    bodies: list[bytes]
    last: int
    end: int
    used_through: int
    damage: str


class Anchor(enum.Enum):
    """What stands where the last record that the log covers ends (J15)."""

    SOUND = enum.auto()
    OLDER = enum.auto()
    LATER = enum.auto()


class _Sector(enum.Enum):
    NEW = enum.auto()
    OLD = enum.auto()
    LATER = enum.auto()
    BAD = enum.auto()


def read_records(ring: Ring, data: bytes, mark: JournalMark) -> Found:
    """Everything behind ``mark``, by the rules of J14.

    Parameters
    ----------
    data: the whole file; what the disk could not read is filled with ones.
    mark: what the log covers.
    """
    return _Reading(ring, data, mark).run()


def check_anchor(ring: Ring, data: bytes, mark: JournalMark) -> Anchor:
    """Whether this is the journal that the log was written beside: one that was set back lacks the last record."""
    if not mark.last:
        return Anchor.SOUND
    match _kind(ring, STAMP.unpack_from(data, mark.end * BLOCK_BYTES - SECTOR_BYTES), mark.last):
        case _Sector.OLD:
            return Anchor.OLDER
        case _Sector.LATER:
            return Anchor.LATER
        case _:
            return Anchor.SOUND


def highest_stamp(ring: Ring, data: bytes, above: int) -> int:
    """The highest number above ``above`` that a sector is stamped with, or ``above``."""
    stamps = set(_STAMPED.iter_unpack(data[FIRST_BLOCK * BLOCK_BYTES :]))
    later = [sequence for sequence, crc in stamps if sequence > above and crc == ring.stamp_crc(sequence)]
    return max(later, default=above)


def _kind(ring: Ring, stamp: tuple[int, ...], sequence: int) -> _Sector:
    found, crc = stamp
    if found == crc == 0:
        return _Sector.OLD  # never written
    if crc != ring.stamp_crc(found):
        return _Sector.BAD
    if found == sequence:
        return _Sector.NEW
    return _Sector.OLD if found < sequence else _Sector.LATER


class _Reading:
    """One pass over one journal."""

    def __init__(self, ring: Ring, data: bytes, mark: JournalMark) -> None:
        self._ring = ring
        self._data = data
        self._highest = highest_stamp(ring, data, mark.covered)
        self._sequence = mark.covered + 1
        self._last, self._end = mark.last, mark.end

    def run(self) -> Found:
        bodies: list[bytes] = []
        while (body := self._whole_record()) is not None:
            bodies.append(body)
        used_through = max(self._sequence, self._highest)
        return Found(bodies, self._last, self._end, used_through, self._damage())

    def _whole_record(self) -> bytes | None:
        """The body of the record that is expected next, if all of it is there; then the one after it is expected."""
        place = self._ring.place_after(self._end)
        length = self._head_at(place)
        if length is None:
            return None
        blocks = blocks_for(length)
        if _Sector.OLD in self._kinds(place, blocks):
            return None
        start = place * BLOCK_BYTES
        body, crc = unframe(self._data[start : start + blocks * BLOCK_BYTES])
        if self._ring.body_crc(self._sequence, body) != crc:
            return None
        self._last, self._end = self._sequence, place + blocks
        self._sequence += 1
        return body

    def _damage(self) -> str:
        """Why the record that is expected next is damaged, or empty: it was never written, or not to its end."""
        place, name = self._ring.place_after(self._end), f"record {self._sequence} of the journal"
        if self._highest > self._sequence:
            return f"{name} is damaged, and record {self._highest} stands behind it"
        (kind, *_others) = self._kinds(place, 1)
        if kind is _Sector.OLD:
            return ""
        length = self._head_at(place)
        if length is None:
            return f"the head of {name} is damaged"
        if _Sector.OLD in self._kinds(place, blocks_for(length)):
            return ""
        return f"{name} is damaged"

    def _head_at(self, place: int) -> int | None:
        """The length that a record which begins here says it has; None: none of the expected number does, or not so."""
        offset = place * BLOCK_BYTES
        if _kind(self._ring, STAMP.unpack_from(self._data, offset), self._sequence) is not _Sector.NEW:
            return None
        length, body_crc, crc = HEAD.unpack_from(self._data, offset + STAMP.size)
        if crc != head_crc(self._sequence, length, body_crc) or not self._ring.takes(length):
            return None
        return int(length)

    def _kinds(self, place: int, blocks: int) -> list[_Sector]:
        start = place * BLOCK_BYTES
        stamps = _STAMPED.iter_unpack(self._data[start : start + blocks * BLOCK_BYTES])
        return [_kind(self._ring, stamp, self._sequence) for stamp in stamps]
