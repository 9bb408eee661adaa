"""What is durable in the journal and not in LMDB yet, as readers see it: each slot's newest record, and a position.

The writer's thread fills it and lets go of it; any thread reads. A reader asks for the position first, then here, then
in LMDB, in this order (J18): what is let go of here was in LMDB before, so a reader that comes too late finds it there.

Never: let go of anything before LMDB has it durably.
"""

from __future__ import annotations

from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.effects import LogWrite
from ..paxos.messages import AcceptedSlot


class Overlay:
    """Grows until it is let go of as a whole."""

    def __init__(self, floor: Slot) -> None:
        self.records: dict[Slot, AcceptedSlot] = {}
        self.writes: list[LogWrite] = []
        self.chosen_through = BEFORE_LOG
        self.last_slot = BEFORE_LOG
        self._floor = floor

    def add(self, writes: list[LogWrite]) -> None:
        """These are durable: first their records, then the position that they come to (J10)."""
        records = {record.slot: record for write in writes for record in write.slots if record.slot > self._floor}
        if records:
            self.last_slot = max(self.last_slot, *records)
            self.records.update(records)
        for write in writes:
            if write.chosen_through is not None and write.chosen_through > self.chosen_through:
                self.chosen_through = write.chosen_through
        self.writes += writes

    def first_in(self, first: Slot, last: Slot) -> Slot | None:
        """The lowest slot of ``first..last`` that has a record here."""
        return next((slot for slot in map(Slot, range(first, last + 1)) if slot in self.records), None)
