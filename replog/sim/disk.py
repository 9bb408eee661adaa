"""A log in memory that can be damaged and made to fail.

``write`` is the moment a transaction becomes durable. Damage is done to records that are durable: their content is
gone, and the store finds out by their checksums, as the real one does. ``log_disk`` puts a journal in front of it.
"""

from __future__ import annotations

import msgspec

from ..errors import StorageError
from ..log.contract import Identity
from ..log.memory import MemoryLogStore
from ..paxos.ballot import BALLOT_ZERO, NodeId, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered


class SimLogStore(MemoryLogStore):
    """A log in memory that can be damaged and made to fail."""

    def __init__(self, cluster: bytes, node: NodeId, incarnation: bytes, membership: Membership) -> None:
        super().__init__(Identity(cluster, node, incarnation, membership))
        self.damaged: set[Slot] = set()
        """What was damaged and not written again since: for whoever does the damage, the store never looks."""
        self._is_promise_damaged = False
        self._is_failing = False

    def recover(self) -> Recovered:
        """See ``log.contract.LogStore``."""
        if self._is_promise_damaged:
            self.distrust_if("the promise record is damaged")
        return super().recover()

    def write(self, writes: list[LogWrite]) -> None:
        """See ``log.contract.LogStore``."""
        if self._is_failing:
            raise StorageError("the simulated disk failed a write; the node must end")
        super().write(writes)

    def _apply(self, writes: list[LogWrite]) -> None:
        super()._apply(writes)
        if any(write.promise is not None for write in writes):
            self._is_promise_damaged = False
        self.damaged.difference_update(record.slot for write in writes for record in write.slots)

    def _drop(self, through: Slot) -> None:
        super()._drop(through)
        self.damaged = {slot for slot in self.damaged if slot > through}

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


def _flipped(record: AcceptedSlot) -> AcceptedSlot:
    """``record`` with one bit of its value changed, or of the checksum of an empty one; twice is not at all."""
    if not record.value:
        return msgspec.structs.replace(record, crc=record.crc ^ 1)
    return msgspec.structs.replace(record, value=bytes([record.value[0] ^ 1]) + record.value[1:])
