"""The simulated disk of one node: a log store whose contents survive a crash, and nothing else does.

``write`` here is the moment a transaction becomes durable; the host decides when that moment comes, and a crash
before it simply never calls it. Damage is done to records that are durable.
"""

from __future__ import annotations

from ..errors import Damaged, StorageError
from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, NodeId, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered
from ..storage import Identity


class SimLogStore:
    """Satisfies ``storage.LogStore``."""

    def __init__(self, cluster: bytes, node: NodeId, incarnation: bytes, membership: Membership) -> None:
        self.identity = Identity(cluster, node, incarnation, membership)
        self.promise: Ballot = BALLOT_ZERO
        self.slots: dict[Slot, AcceptedSlot] = {}
        self.chosen_through = BEFORE_LOG
        self.compacted_through = BEFORE_LOG
        self.membership = membership
        self._damaged: set[Slot] = set()
        self._abstain_reason = ""
        self._is_failing = False

    def recover(self) -> Recovered:
        damaged_tail = sorted(slot for slot in self._damaged if slot > self.chosen_through)
        if damaged_tail and not self._abstain_reason:
            self._abstain_reason = f"the acceptance of slot {damaged_tail[0]} is damaged and not known chosen"
        tail = sorted(slot for slot in self.slots if slot > self.chosen_through and slot not in self._damaged)
        return Recovered(
            self.promise,
            self.chosen_through,
            self.compacted_through,
            tuple(self.slots[slot] for slot in tail),
            tuple(sorted(slot for slot in self._damaged if slot <= self.chosen_through)),
            self._abstain_reason,
            self.membership,
        )

    def write(self, writes: list[LogWrite]) -> None:
        if self._is_failing:
            raise StorageError("the simulated disk failed a write; the node must end")
        for write in writes:
            if write.promise is not None:
                self.promise = write.promise
            for record in write.slots:
                if record.slot > self.compacted_through:
                    self.slots[record.slot] = record
                    self._damaged.discard(record.slot)
            if write.chosen_through is not None:
                self.chosen_through = max(self.chosen_through, write.chosen_through)

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        if from_slot in self._damaged:
            raise Damaged(f"slot {from_slot} is damaged")
        found: list[AcceptedSlot] = []
        size = 0
        for number in range(from_slot, min(through, from_slot + slots_max - 1) + 1):
            record = self.slots.get(Slot(number))
            if record is None or number in self._damaged:
                break
            size += len(record.value)
            if found and size > bytes_max:
                break
            found.append(record)
        return found

    def install_floor(self, through: Slot, membership: Membership) -> None:
        self.compact(through, slots_max=len(self.slots) + through)
        self.compacted_through = max(self.compacted_through, through)
        self.chosen_through = max(self.chosen_through, through)
        self.membership = membership

    def compaction_target(self, through: Slot, *, tail_slots: int, tail_bytes: int) -> Slot:
        return max(self.compacted_through, Slot(through - tail_slots))

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        last = Slot(min(through, self.compacted_through + slots_max))
        for number in range(self.compacted_through + 1, last + 1):
            self.slots.pop(Slot(number), None)
            self._damaged.discard(Slot(number))
        self.compacted_through = max(self.compacted_through, last)
        self.chosen_through = max(self.chosen_through, last)  # what may go is chosen
        return self.compacted_through

    def set_membership(self, membership: Membership) -> None:
        self.membership = membership

    def close(self) -> None:
        """Nothing is held."""

    # --- what a simulation does to a disk ---

    @property
    def damaged(self) -> set[Slot]:
        return self._damaged

    def is_intact(self, slot: Slot) -> bool:
        """Whether ``slot`` is here, undamaged, and known chosen: so that it can be taught."""
        return slot <= self.chosen_through and slot in self.slots and slot not in self._damaged

    def damage(self, slot: Slot) -> None:
        """Flip a bit in a durable record."""
        if slot in self.slots:
            self._damaged.add(slot)

    def undamage(self, slot: Slot) -> None:
        """Take ``damage`` back."""
        self._damaged.discard(slot)

    def damage_promise(self) -> None:
        """Flip a bit in the promise: the node can't know what it promised."""
        self._abstain_reason = "the promise record is damaged"

    def fail_next_write(self) -> None:
        self._is_failing = True

    def replace(self) -> None:
        """The process was restarted after a failed write: the device works again."""
        self._is_failing = False
