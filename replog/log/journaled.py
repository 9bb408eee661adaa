"""The log as a node uses it: LMDB, and a journal in front of it that makes a group durable with one flush of the disk.

LMDB is the log: slots, promise, membership and positions live there. A commit of it flushes twice, and rewrites the
pages on the way to each record; so a group is made durable in the journal first, and after a while, or a MiB, all that
gathered there goes to LMDB in one transaction, the checkpoint. Everything the checkpoint needs is reserved before the
journal is written, so a full disk says so while nothing has been tried. The simulator runs the same over memory.

The rules are those of ``docs/STORAGE.md``, "The journal" (J1 to J20). What protects them is order: nothing is in LMDB's
position that is not in LMDB, nothing is let go of before LMDB has it durably, and a process begins with one durable
transaction that holds everything it found.

Never: answer or journal anything before that transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from ..errors import Damaged
from ..paxos.ballot import Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered
from .contract import Identity
from .journal_contract import JournalFile, LogBehind
from .journal_file import Journal
from .journal_layout import Ring, decode_body, encode_body
from .journal_opening import Opened, open_journal
from .overlay import Overlay
from .records import NO_JOURNAL, REPAIR, JournalMark

CHECKPOINT_AGE_S: Final = 0.05
CHECKPOINT_SHARE: Final = 20
"""A checkpoint is due when the time since the one before is so many times what that one took."""


class JournaledLogStore:
    """Satisfies ``contract.LogStore``; made by ``DataDirectory.open_log``.

    ``write``, ``checkpoint``, ``compact``, ``install_floor``, ``recover`` and ``finish`` belong to one thread at a
    time; ``read`` and ``scrub`` may be called from any.

    Parameters
    ----------
    log: what stays; it is closed with this.
    is_wanted: whether to write a journal. What stands in one is taken over either way.
    clock: seconds, by which checkpoints are due.

    Raises ``StorageError``, see ``open_journal``.
    """

    def __init__(
        self,
        log: LogBehind,
        file: JournalFile,
        *,
        is_wanted: bool,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.identity: Identity = log.identity
        self.log = log
        self._file = file
        self._opened: Opened | None = open_journal(file, log.identity, log.position.journal)
        self._is_wanted = is_wanted
        self._clock = clock
        self._journal: Journal | None = None
        self._overlay = Overlay(log.position.compacted_through)
        self._age_s = CHECKPOINT_AGE_S
        self._checkpoint_at_s = math.inf
        self.lack = ""
        """Why there is no journal though one was asked for; empty: there is one, or nobody asked."""

    # --- opening ---

    def recover(self) -> Recovered:
        """See ``contract.LogStore``; what the journal held is in LMDB when it returns.

        Raises ``StorageError``.
        """
        if self._opened is None:
            self.checkpoint()
            return self.log.recover()
        recovered = self.log.recover()
        opened, self._opened = self._opened, None
        found = opened.found
        writes = [write for body in found.bodies for write in decode_body(body)]
        self.log.distrust_if(found.damage)
        mark = JournalMark(opened.ring.id if opened.ring else NO_JOURNAL, found.used_through, found.end, found.last)
        ring = self._ring_to_go_on_with(opened)
        if ring is not None:
            if ring is not opened.ring:
                mark = JournalMark(ring.id, found.used_through)
            mark = msgspec.structs.replace(mark, is_open=True)
        if writes or found.damage or mark != self.log.position.journal:
            records = [record for write in writes for record in write.slots]
            self.log.reserve(records, append_above=self.log.position.last_slot)
            self.log.commit(writes, mark)
            recovered = self.log.recover() if writes or found.damage else recovered
        if ring is not None:
            self._journal = Journal(self._file, ring, mark)
        self._begin_overlay()
        return recovered

    def _ring_to_go_on_with(self, opened: Opened) -> Ring | None:
        """The journal that was found, or a new one; None: without (J1)."""
        if not self._is_wanted:
            return None
        ring = opened.ring or self._file.create(self.identity)
        if ring is None:
            self.lack = (
                f"{self._file.path} can't be made: its disk has no room for it. Writes go to the log itself, "
                "which takes longer; make room, then start the node again."
            )
        return ring

    # --- writing ---

    def write(self, writes: list[LogWrite]) -> None:
        """See ``contract.LogStore``: durable in the journal, or in LMDB if there is none or the group is too large."""
        journal = self._journal
        if journal is None:
            self.log.write(writes)
            return
        body = encode_body(writes)
        if not journal.ring.takes(len(body)) or not self._reserve(journal, writes):
            self._write_directly(writes)
            return
        try:
            journal.append(body)
        except BaseException as error:
            raise self.log.failure.of(journal.path, error) from error
        if not self._overlay.writes:
            self._checkpoint_at_s = self._clock() + self._age_s
        self._overlay.add(writes)
        if journal.pending_bytes >= journal.due_bytes:
            self._checkpoint_at_s = -math.inf

    def _reserve(self, journal: Journal, writes: list[LogWrite]) -> bool:
        """Whether there is room for the group in LMDB, and in the journal; what waits goes first where there is none.

        Raises ``StorageFull``: there is none, and it is for acceptances, which can wait; nothing was written (J9).
        """
        records = [record for write in writes for record in write.slots]
        if journal.pending_bytes >= journal.pending_bytes_max:
            self.checkpoint()
        if self._has_room(records):
            return True
        self.checkpoint()
        return self._has_room(records)

    def _has_room(self, records: list[AcceptedSlot]) -> bool:
        append_above = max(self.log.position.last_slot, self._overlay.last_slot)
        return self.log.reserve(records, append_above=append_above)

    def _write_directly(self, writes: list[LogWrite]) -> None:
        """To LMDB at once, behind everything that waits (J17). Raises ``StorageFull``: nothing of it was written."""
        self.checkpoint()
        self.log.write(writes)

    @property
    def checkpoint_at_s(self) -> float:
        """See ``contract.LogStore``: so long after the first write since the last one, or at a MiB (J12)."""
        return self._checkpoint_at_s

    def checkpoint(self) -> None:
        """See ``contract.LogStore``: everything journaled is in LMDB, and durable there, when it returns (J11)."""
        if self._overlay.writes:
            self._checkpoint(is_open=True)

    def _checkpoint(self, *, is_open: bool) -> None:
        assert self._journal is not None
        began_s = self._clock()
        self.log.commit(self._overlay.writes, self._journal.mark(is_open=is_open))
        self._journal.release()
        self._begin_overlay()
        self._age_s = max(CHECKPOINT_AGE_S, CHECKPOINT_SHARE * (self._clock() - began_s))

    def _begin_overlay(self) -> None:
        """Everything is in LMDB: only from here on may readers find it there alone."""
        self._overlay = Overlay(self.log.position.compacted_through)
        self._checkpoint_at_s = math.inf

    def compaction_target(self, through: Slot, *, retained_slots: int, retained_bytes: int) -> Slot:
        """See ``LmdbLogStore.compaction_target``."""
        return self.log.compaction_target(through, retained_slots=retained_slots, retained_bytes=retained_bytes)

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        """See ``LmdbLogStore.compact``; what waits goes first (J17)."""
        self.checkpoint()
        compacted_through = self.log.compact(through, slots_max=slots_max)
        self._begin_overlay()
        return compacted_through

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """See ``LmdbLogStore.install_floor``; what waits goes first (J17)."""
        self.checkpoint()
        self.log.install_floor(through, membership)
        self._begin_overlay()

    # --- reading ---

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """See ``contract.LogStore``; what waits in the journal wins (J18)."""
        overlay = self._overlay
        chosen_through = max(overlay.chosen_through, self.log.position.chosen_through)
        if from_slot <= self.log.position.compacted_through:
            return []
        last = Slot(min(through, from_slot + slots_max - 1))
        found: list[AcceptedSlot] = []
        size = 0
        try:
            for record in self._records(overlay, from_slot, last, bytes_max):
                size += len(record.value)
                if found and size > bytes_max:
                    break
                found.append(record)
        except Damaged:
            if not found:
                raise
        if not found and self.log.position.compacted_through < from_slot <= min(through, chosen_through):
            raise Damaged(f"slot {from_slot}: its record is missing though the slot is known chosen; {REPAIR}")
        return found

    def _records(self, overlay: Overlay, first: Slot, last: Slot, bytes_max: int) -> Iterator[AcceptedSlot]:
        """The records of ``first..last`` up to the first one that is absent. Raises ``Damaged``."""
        while first <= last:
            record = overlay.records.get(first)
            if record is not None:
                yield record
                first = Slot(first + 1)
                continue
            journaled = overlay.first_in(first, last) or Slot(last + 1)
            count = journaled - first
            stored = self.log.read(first, Slot(journaled - 1), slots_max=count, bytes_max=bytes_max)
            yield from stored
            if len(stored) < count:
                return
            first = journaled

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]:
        """See ``contract.LogStore``; a slot that was damaged in LMDB and waits to be written over is none (J18)."""
        overlay = self._overlay
        next_slot, damaged = self.log.scrub(from_slot, slots_max=slots_max)
        return next_slot, [slot for slot in damaged if slot not in overlay.records]

    # --- space, and the end ---

    def is_nearly_full(self) -> bool:
        """See ``contract.LogStore``."""
        return self.log.is_nearly_full()

    @property
    def file_bytes(self) -> int:
        """See ``contract.LogStore``; the journal's included."""
        return self.log.file_bytes + (self._journal.file_bytes if self._journal is not None else 0)

    def finish(self) -> None:
        """See ``contract.LogStore``: LMDB has everything, and says so, so the next start may do without the journal."""
        if self._journal is not None and (self._overlay.writes or self._has_room([])):
            self._checkpoint(is_open=False)
            self._journal.close()
            self._journal = None

    def close(self) -> None:
        """See ``contract.LogStore``. No other thread may be inside a call."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self.log.close()
