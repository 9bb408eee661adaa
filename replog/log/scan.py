"""Reads a log from its newest slot down and judges what it finds: sound, damaged, missing.

The verdict on a record depends on where it stands. At or below ``chosen_through`` a record that is damaged or missing
is the same thing: its value is known to the peers and is fetched again. Above it, what can't be read may have been this
node's vote, so the node may not vote any more (P10). It knows nothing of files and transactions: a cursor is handed in.

The pieces of a record are put together as the cursor meets them. A piece has no checksum of its own: the record's goes
over all of them in order, so one that is missing or stands where another belongs makes the record fail it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..errors import Damaged
from ..paxos.ballot import Slot
from ..paxos.messages import AcceptedSlot
from .records import SLOT_HEADER_BYTES, Position, check_slot, decode_slot, slot_checksum, slot_key, slot_of_key

Record = bytes | memoryview
"""A record of one piece is a view of its page, valid as long as the cursor's transaction."""


class LogScan:
    """One pass over all slots above the floor.

    Parameters
    ----------
    position: as it is stored.
    chosen_bytes_max: how many bytes of chosen records are verified; of older ones only the presence is.
    """

    def __init__(self, position: Position, chosen_bytes_max: int) -> None:
        self._position = position
        self._bytes_left = chosen_bytes_max
        self.unchosen: list[AcceptedSlot] = []
        self.damaged_unchosen: list[Slot] = []
        self.damaged_chosen: list[Slot] = []
        self.has_slots_below_floor = False

    def run(self, cursor: Any) -> None:
        """``cursor`` stands nowhere yet, over the slots, with buffers."""
        missing_below = self._position.chosen_through + 1
        for slot, data in slots_backwards(cursor):
            if slot <= self._position.compacted_through:
                self.has_slots_below_floor = True
                break
            if slot > self._position.chosen_through:
                self._judge_unchosen(slot, data)
            else:
                self._judge_chosen(slot, data, missing_below)
                missing_below = slot
        self._miss(self._position.compacted_through + 1, missing_below)
        self.unchosen.reverse()
        self.damaged_unchosen.sort()
        self.damaged_chosen.sort()

    def distrust(self) -> str:
        """Why the node must not vote, or empty."""
        if self.damaged_unchosen:
            return f"the acceptance of slot {self.damaged_unchosen[0]} is damaged and not known chosen"
        unchosen_sum = sum(slot_checksum(record) for record in self.unchosen)
        if (len(self.unchosen), unchosen_sum) != (self._position.unchosen_count, self._position.unchosen_sum):
            return (
                f"the {len(self.unchosen)} acceptances above slot {self._position.chosen_through} are not the "
                f"{self._position.unchosen_count} that were stored last"
            )
        return ""

    def _judge_unchosen(self, slot: Slot, data: Record) -> None:
        try:
            self.unchosen.append(decode_slot(slot, data))
        except Damaged:
            self.damaged_unchosen.append(slot)

    def _judge_chosen(self, slot: Slot, data: Record, missing_below: int) -> None:
        if slot + 1 < missing_below:
            self._miss(slot + 1, missing_below)
        if self._bytes_left <= 0:
            return
        self._bytes_left -= len(data)
        try:
            check_slot(slot, data)
        except Damaged:
            self.damaged_chosen.append(slot)

    def _miss(self, first: int, below: int) -> None:
        self.damaged_chosen.extend(Slot(number) for number in range(first, below))


def read_slots(cursor: Any, first: Slot, last: Slot, bytes_max: int) -> list[AcceptedSlot]:
    """The records of ``first..last`` up to a gap, a damaged one or ``bytes_max``, but never stopping before the first.

    Raises ``Damaged`` if the first one is.
    """
    found: list[AcceptedSlot] = []
    expected = first
    size = 0
    for slot, data in slots_from(cursor, first):
        if slot != expected or slot > last:
            break
        size += len(data) - SLOT_HEADER_BYTES
        if found and size > bytes_max:
            break
        try:
            found.append(decode_slot(slot, data))
        except Damaged:
            if not found:
                raise
            break
        expected = Slot(expected + 1)
    return found


def damaged_slots(cursor: Any, first: Slot, last: Slot) -> list[Slot]:
    """Which of the chosen slots ``first..last`` are damaged or missing."""
    damaged: list[Slot] = []
    expected = first
    for slot, data in slots_from(cursor, first):
        if slot > last:
            break
        damaged.extend(Slot(number) for number in range(expected, slot))
        expected = Slot(slot + 1)
        try:
            check_slot(slot, data)
        except Damaged:
            damaged.append(slot)
    damaged.extend(Slot(number) for number in range(expected, last + 1))
    return damaged


# --- slots out of pieces ---


def slots_from(cursor: Any, first: int) -> Iterator[tuple[Slot, Record]]:
    """Every slot from ``first`` on with its record, ascending."""
    for slot, pieces in _pieces(cursor, cursor.set_range(slot_key(first)), cursor.next):
        yield slot, pieces[0] if len(pieces) == 1 else b"".join(pieces)


def slots_backwards(cursor: Any) -> Iterator[tuple[Slot, Record]]:
    """Every slot with its record, from the highest one down."""
    for slot, pieces in _pieces(cursor, cursor.last(), cursor.prev):
        yield slot, pieces[0] if len(pieces) == 1 else b"".join(reversed(pieces))


def _pieces(cursor: Any, is_there: bool, step: Callable[[], bool]) -> Iterator[tuple[Slot, list[memoryview]]]:
    """Every slot with its pieces, in the order in which the steps come to them."""
    while is_there:
        slot, pieces = slot_of_key(cursor.key()), [cursor.value()]
        while (is_there := step()) and slot_of_key(cursor.key()) == slot:
            pieces.append(cursor.value())
        yield slot, pieces
