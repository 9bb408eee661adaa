"""The simulated disk of one node: a log store whose contents survive a crash, and nothing else does.

``write`` here is the moment a transaction becomes durable; the host decides when that moment comes, and a crash
before it simply never calls it. Damage is done to records that are durable: their content is gone, and the store finds
out by their checksums, as the real one does.
"""

from __future__ import annotations

import msgspec
from crc32c import crc32c

from ..errors import Damaged, StorageError
from ..log.contract import Identity
from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered


class SimLogStore:
    """Satisfies ``log.contract.LogStore``."""

    def __init__(self, cluster: bytes, node: NodeId, incarnation: bytes, membership: Membership) -> None:
        self.identity = Identity(cluster, node, incarnation, membership)
        self.promise: Ballot = BALLOT_ZERO
        self.slots: dict[Slot, AcceptedSlot] = {}
        self.chosen_through = BEFORE_LOG
        self.compacted_through = BEFORE_LOG
        self.membership = membership
        self.distrust = ""
        """Why whoever starts from this disk must abstain, once that was found; stays for ever."""
        self.damaged: set[Slot] = set()
        """What was damaged and not written again since: for whoever does the damage, the store never looks."""
        self._is_promise_damaged = False
        self._is_failing = False

    def recover(self) -> Recovered:
        unchosen, damaged_unchosen, damaged_chosen = self._scan()
        highest = max((record.ballot for record in unchosen), default=BALLOT_ZERO)
        if self._is_promise_damaged:
            self._distrust_if("the promise record is damaged")
        if damaged_unchosen:
            self._distrust_if(f"the acceptance of slot {damaged_unchosen[0]} is damaged and not known chosen")
        if highest > self.promise:
            self._distrust_if(f"an acceptance at ballot {highest} stands above the promise {self.promise}")
            self.promise = highest
        return Recovered(
            self.promise,
            self.chosen_through,
            self.compacted_through,
            tuple(unchosen),
            tuple(damaged_chosen),
            self.distrust,
            self.membership,
        )

    def _scan(self) -> tuple[list[AcceptedSlot], list[Slot], list[Slot]]:
        """The sound acceptances above what is chosen, the damaged ones, and the chosen slots damaged or missing."""
        unchosen: list[AcceptedSlot] = []
        damaged_unchosen: list[Slot] = []
        for slot in sorted(slot for slot in self.slots if slot > self.chosen_through):
            record = self.slots[slot]
            if _is_sound(record):
                unchosen.append(record)
            else:
                damaged_unchosen.append(slot)
        chosen = map(Slot, range(self.compacted_through + 1, self.chosen_through + 1))
        damaged_chosen = [slot for slot in chosen if slot not in self.slots or not _is_sound(self.slots[slot])]
        return unchosen, damaged_unchosen, damaged_chosen

    def _distrust_if(self, reason: str) -> None:
        self.distrust = self.distrust or reason

    def write(self, writes: list[LogWrite]) -> None:
        if self._is_failing:
            raise StorageError("the simulated disk failed a write; the node must end")
        for write in writes:
            if write.promise is not None:
                self.promise = write.promise
                self._is_promise_damaged = False
            for record in write.slots:
                if record.slot > self.compacted_through:
                    self.slots[record.slot] = record
                    self.damaged.discard(record.slot)
            if write.chosen_through is not None:
                self.chosen_through = max(self.chosen_through, write.chosen_through)
            if write.membership is not None:
                self._follow(write.membership)

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        found: list[AcceptedSlot] = []
        size = 0
        for number in range(from_slot, min(through, from_slot + slots_max - 1) + 1):
            record = self.slots.get(Slot(number))
            if record is None or not _is_sound(record):
                break
            size += len(record.value)
            if found and size > bytes_max:
                break
            found.append(record)
        if not found and self.compacted_through < from_slot <= through and self._is_unreadable(from_slot):
            raise Damaged(f"slot {from_slot} is damaged")
        return found

    def _is_unreadable(self, slot: Slot) -> bool:
        """Damaged, or missing though it is known chosen."""
        return slot in self.slots or slot <= self.chosen_through

    def install_floor(self, through: Slot, membership: Membership) -> None:
        self.compact(through, slots_max=len(self.slots) + through)
        self.compacted_through = max(self.compacted_through, through)
        self.chosen_through = max(self.chosen_through, through)
        self._follow(membership)

    def _follow(self, membership: Membership) -> None:
        if membership.version > self.membership.version:
            self.membership = membership

    def compaction_target(self, through: Slot, *, retained_slots: int, retained_bytes: int) -> Slot:
        return max(self.compacted_through, Slot(through - retained_slots))

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        last = Slot(min(through, self.compacted_through + slots_max))
        for number in range(self.compacted_through + 1, last + 1):
            self.slots.pop(Slot(number), None)
            self.damaged.discard(Slot(number))
        self.compacted_through = max(self.compacted_through, last)
        self.chosen_through = max(self.chosen_through, last)  # what may go is chosen
        return self.compacted_through

    def close(self) -> None:
        """Nothing is held."""

    # --- what a simulation does to a disk ---

    def is_intact(self, slot: Slot) -> bool:
        """Whether ``slot`` is here, undamaged, and known chosen: so that it can be taught."""
        return slot <= self.chosen_through and slot in self.slots and slot not in self.damaged

    def damage(self, slot: Slot) -> None:
        """Flip a bit in a durable record."""
        if slot in self.slots and slot not in self.damaged:
            self.damaged.add(slot)
            self.slots[slot] = _flipped(self.slots[slot])

    def undamage(self, slot: Slot) -> None:
        """Take ``damage`` back."""
        if slot in self.damaged:
            self.damaged.discard(slot)
            self.slots[slot] = _flipped(self.slots[slot])

    def damage_promise(self) -> None:
        """Flip a bit in the promise: what was promised is gone, and the node can't know it."""
        self.promise = BALLOT_ZERO
        self._is_promise_damaged = True

    def fail_next_write(self) -> None:
        self._is_failing = True

    def replace(self) -> None:
        """The process was restarted after a failed write: the device works again."""
        self._is_failing = False


def _is_sound(record: AcceptedSlot) -> bool:
    return crc32c(record.value) == record.crc


def _flipped(record: AcceptedSlot) -> AcceptedSlot:
    """``record`` with one bit of its value changed, or of the checksum of an empty one; twice is not at all."""
    if not record.value:
        return msgspec.structs.replace(record, crc=record.crc ^ 1)
    return msgspec.structs.replace(record, value=bytes([record.value[0] ^ 1]) + record.value[1:])
