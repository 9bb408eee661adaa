"""What one transaction of the log writes, and in which calls of LMDB: few, since each lets go of the interpreter."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, Final

import lmdb
import msgspec

from ..paxos.ballot import BEFORE_LOG, Ballot, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from .records import (
    MEMBERSHIP_KEY,
    POSITION_KEY,
    PROMISE_KEY,
    Position,
    Promised,
    encode_membership,
    encode_position,
    encode_promise,
    slot_key,
    slot_of_key,
)

_DROP_BYTES: Final = 4 * 2**20


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one transaction does to the records of a log.

    Parameters
    ----------
    position: where the log stands after it, but for what is dropped and the transaction's own number.
    slots: those that are written, ascending.
    pairs: keys and bytes of their pieces.
    append_above: the highest slot that ever had a record.
    promised: to be stored, or None.
    membership: to be stored, or None.
    drop_through: slots up to here are deleted, from the lowest one on,
    drop_slots_max: so many of them at most, and about 4 MiB.
    """

    position: Position
    slots: list[Slot] = []
    pairs: list[tuple[bytes, bytes]] = []
    append_above: Slot = BEFORE_LOG
    promised: Promised | None = None
    membership: Membership | None = None
    drop_through: Slot = BEFORE_LOG
    drop_slots_max: int = 0

    def apply(self, transaction: lmdb.Transaction, tree: Any) -> Reached:
        """Do all of it in ``transaction``, the slots in ``tree``."""
        if self.pairs:
            self._put_slots(transaction.cursor(tree))
        compacted_through, is_left = self.position.compacted_through, None
        if self.drop_slots_max:
            floor, is_left = self._drop_slots(transaction.cursor(tree))
            compacted_through = max(compacted_through, floor)
        if self.promised is not None:
            transaction.put(PROMISE_KEY, encode_promise(self.promised))
        if self.membership is not None:
            transaction.put(MEMBERSHIP_KEY, encode_membership(self.membership))
        before = self.position
        position = Position(
            transaction.id(),
            before.chosen_through,
            compacted_through,
            before.last_slot,
            before.unchosen_count,
            before.unchosen_sum,
            before.journal,
        )
        transaction.put(POSITION_KEY, encode_position(position))
        return Reached(position, is_left)

    def _put_slots(self, cursor: Any) -> None:
        """Slots above all others are appended, which fills their pages; others are put where they belong.

        What stood there goes first: it may have had more pieces.
        """
        new_from = bisect_left(self.pairs, (slot_key(self.append_above + 1),))
        replacing, appended = self.pairs[:new_from], self.pairs[new_from:]
        if replacing:
            for slot in self.slots[: bisect_right(self.slots, self.append_above)]:
                _delete_slot(cursor, slot)
            cursor.putmulti(replacing)
        if appended:
            cursor.putmulti(appended, append=True)

    def _drop_slots(self, cursor: Any) -> tuple[Slot, bool]:
        """Delete a bounded number of slots from the lowest one on; returns the floor, and whether there are more."""
        cursor.first()
        dropped_bytes = 0
        for _count in range(self.drop_slots_max):
            if not cursor.key() or (slot := slot_of_key(cursor.key())) > self.drop_through:
                break
            dropped_bytes += _delete_slot(cursor, slot)
            if dropped_bytes >= _DROP_BYTES:
                break
        first = slot_of_key(cursor.key()) if cursor.key() else None
        if first is not None and first <= self.drop_through:
            return Slot(first - 1), True
        return self.drop_through, False


class Reached(msgspec.Struct, frozen=True, gc=False):
    """Where a transaction has brought the log; whether slots below the floor are left (None: it did not look)."""

    position: Position
    is_left_below_floor: bool | None


def _delete_slot(cursor: Any, slot: Slot) -> int:
    """Delete every piece of a slot; the cursor then stands on the next one. Returns their bytes."""
    size = 0
    is_there = cursor.set_range(slot_key(slot))
    while is_there and slot_of_key(cursor.key()) == slot:
        size += len(cursor.value())
        cursor.delete()
        is_there = bool(cursor.key())
    return size


class Joined(msgspec.Struct, frozen=True, gc=False):
    """Several writes as one: the newest of everything in them.

    Parameters
    ----------
    records: the last one of every slot, ascending.
    """

    records: list[AcceptedSlot]
    promise: Ballot | None
    chosen_through: Slot
    membership: Membership | None


def join_writes(writes: list[LogWrite], *, floor: Slot) -> Joined:
    """What ``writes``, in order, come to; records at or below ``floor`` are left out."""
    promise: Ballot | None = None
    membership: Membership | None = None
    chosen_through = BEFORE_LOG
    for write in writes:
        if write.promise is not None:
            promise = write.promise
        if write.chosen_through is not None and write.chosen_through > chosen_through:
            chosen_through = write.chosen_through
        if write.membership is not None and (membership is None or write.membership.version > membership.version):
            membership = write.membership
    return Joined(_newest_above(floor, writes), promise, chosen_through, membership)


def _newest_above(floor: Slot, writes: list[LogWrite]) -> list[AcceptedSlot]:
    """The last record of every slot above ``floor``, in slot order; mostly they come that way."""
    records = [record for write in writes for record in write.slots]
    if len(records) == 1 and records[0].slot > floor:
        return records
    slots = [record.slot for record in records]
    ascending = sorted(set(slots))
    if slots == ascending and (not slots or slots[0] > floor):
        return records
    newest = dict(zip(slots, records, strict=True))
    return [newest[slot] for slot in ascending[bisect_right(ascending, floor) :]]
