"""Reads a log from its newest slot down and judges what it finds: sound, damaged, missing.

The verdict on a record depends on where it stands. At or below ``chosen_through`` a record that is damaged or missing
is the same thing: its value is known to the peers and is fetched again. Above it, what can't be read may have been this
node's vote, so the node may not vote any more (P10). It knows nothing of files and transactions: a cursor is handed in.
"""

from __future__ import annotations

from typing import Any

from ..errors import Damaged
from ..paxos.ballot import Slot
from ..paxos.messages import AcceptedSlot
from .pieces import Record, slots_backwards, slots_from
from .records import Position, check_slot, decode_slot, slot_checksum


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
