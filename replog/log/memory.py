"""The log in memory: the same contract as on LMDB, for the simulator and for tests.

``write`` is the moment at which a transaction is durable: what it returned from is there when ``recover`` is asked
again, as a new process would ask. Records are checked whenever they are read, as those on a disk are. A journal can
stand in front of it as it stands in front of LMDB.
"""

from __future__ import annotations

import math

from crc32c import crc32c

from ..errors import Damaged
from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered
from .contract import Identity
from .failure import Failure
from .records import JournalMark, Position


class MemoryLogStore:
    """Satisfies ``contract.LogStore`` and ``journal_contract.LogBehind``."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.promise: Ballot = BALLOT_ZERO
        self.slots: dict[Slot, AcceptedSlot] = {}
        self.chosen_through = BEFORE_LOG
        self.compacted_through = BEFORE_LOG
        self.last_slot = BEFORE_LOG
        """The highest slot that ever had a record."""
        self.membership = identity.membership
        self.journal = JournalMark()
        """How far a journal in front of it is covered."""
        self.failure = Failure()
        self.lack = ""
        self.distrust = ""
        """Why whoever starts from this log must abstain, once that was found; stays for ever."""

    # --- what it remembers ---

    def recover(self) -> Recovered:
        """See ``contract.LogStore``."""
        unchosen = [record for slot, record in sorted(self.slots.items()) if slot > self.chosen_through]
        accepted = [record for record in unchosen if _is_sound(record)]
        highest = max((record.ballot for record in accepted), default=BALLOT_ZERO)
        if len(accepted) < len(unchosen):
            slot = next(record.slot for record in unchosen if not _is_sound(record))
            self.distrust_if(f"the acceptance of slot {slot} is damaged and not known chosen")
        if highest > self.promise:
            self.distrust_if(f"an acceptance at ballot {highest} stands above the promise {self.promise}")
            self.promise = highest
        return Recovered(
            self.promise,
            self.chosen_through,
            self.compacted_through,
            tuple(accepted),
            tuple(self._damaged(self.compacted_through + 1, self.chosen_through)),
            self.distrust,
            self.membership,
        )

    def distrust_if(self, reason: str) -> None:
        """Remember the first reason not to vote."""
        self.distrust = self.distrust or reason

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """See ``contract.LogStore``."""
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

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]:
        """See ``contract.LogStore``."""
        first = max(from_slot, self.compacted_through + 1)
        last = min(first + slots_max - 1, self.chosen_through)
        return (Slot(last + 1), self._damaged(first, last)) if first <= last else (Slot(1), [])

    def _damaged(self, first: int, last: int) -> list[Slot]:
        """Which of the chosen slots ``first..last`` are damaged or missing."""
        slots = map(Slot, range(first, last + 1))
        return [slot for slot in slots if slot not in self.slots or not _is_sound(self.slots[slot])]

    # --- writing ---

    def write(self, writes: list[LogWrite]) -> None:
        """See ``contract.LogStore``."""
        self._apply(writes)

    def _apply(self, writes: list[LogWrite]) -> None:
        for write in writes:
            if write.promise is not None:
                self.promise = write.promise
            for record in write.slots:
                if record.slot > self.compacted_through:
                    self.slots[record.slot] = record
                    self.last_slot = max(self.last_slot, record.slot)
            if write.chosen_through is not None:
                self.chosen_through = max(self.chosen_through, write.chosen_through)
            if write.membership is not None:
                self._follow(write.membership)

    def _follow(self, membership: Membership) -> None:
        if membership.version > self.membership.version:
            self.membership = membership

    def reserve(self, records: list[AcceptedSlot], *, append_above: Slot) -> bool:
        """See ``journal_contract.LogBehind``: there is room."""
        return True

    def commit(self, writes: list[LogWrite], mark: JournalMark) -> None:
        """See ``journal_contract.LogBehind``."""
        self._apply(writes)
        self.journal = mark

    @property
    def position(self) -> Position:
        """See ``journal_contract.LogBehind``; what tells LMDB's trees apart is not counted."""
        return Position(
            chosen_through=self.chosen_through,
            compacted_through=self.compacted_through,
            last_slot=self.last_slot,
            journal=self.journal,
        )

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """See ``contract.LogStore``."""
        self._drop(max(through, self.compacted_through))
        self._follow(membership)

    def compaction_target(self, through: Slot, *, retained_slots: int, retained_bytes: int) -> Slot:
        """See ``contract.LogStore``; bytes are not counted."""
        return max(self.compacted_through, Slot(through - retained_slots))

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        """See ``contract.LogStore``."""
        self._drop(Slot(max(self.compacted_through, min(through, self.compacted_through + slots_max))))
        return self.compacted_through

    def _drop(self, through: Slot) -> None:
        for number in range(self.compacted_through + 1, through + 1):
            self.slots.pop(Slot(number), None)
        self.compacted_through = through
        self.chosen_through = max(self.chosen_through, through)  # what may go is chosen

    checkpoint_at_s = math.inf
    """See ``contract.LogStore``: what is written is where it stays."""

    def checkpoint(self) -> None:
        """See ``contract.LogStore``: there is nothing to do."""

    def finish(self) -> None:
        """See ``contract.LogStore``: there is nothing to do."""

    # --- space, and the end ---

    def is_nearly_full(self) -> bool:
        """See ``contract.LogStore``: never."""
        return False

    @property
    def file_bytes(self) -> int:
        """See ``contract.LogStore``: of the values."""
        return sum(len(record.value) for record in list(self.slots.values()))

    def close(self) -> None:
        """See ``contract.LogStore``: nothing is held."""


def _is_sound(record: AcceptedSlot) -> bool:
    return crc32c(record.value) == record.crc
