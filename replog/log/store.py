"""The durable log in LMDB: one synchronous transaction a call, every record checked whenever it is read.

It owns what Paxos must not forget: promise, acceptances, positions, membership, identity. It knows nothing of ballots'
meaning beyond order. The rules it protects: what ``write`` returned from is durable (P1); a damaged record is never
reported as absent, and damage outside what is known chosen makes the node abstain (P10).

Small records live in the main tree and slots in a named one, so that a transaction touches two leaves and the list of
free pages. Every transaction writes the position record with its own number: that is how an old tree is told from the
newest (see ``disk.pages``).

After one failed transaction nothing is written any more: its outcome is unknown, and the kernel has dropped the pages
it could not write, so a second attempt would succeed and prove nothing.

Never: retry a failed sync.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from ..disk.environment import DATA_FILE, begin_reading
from ..errors import Damaged
from ..paxos.ballot import BALLOT_ZERO, Ballot, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered
from .changes import Change, Joined, join_writes
from .contract import Identity
from .environment import LogEnvironment, open_log_environment
from .failure import Failure
from .records import (
    MEMBERSHIP_KEY,
    POSITION_KEY,
    PROMISE_KEY,
    REPAIR,
    JournalMark,
    Position,
    Promised,
    decode_membership,
    decode_position,
    decode_promise,
    seal_slots,
    slot_checksum,
)
from .scan import LogScan, damaged_slots, read_slots
from .space import MIB, LogLimits, LogSpace
from .unchosen_sum import UnchosenSum

_DROP_SLOTS_MAX: Final = 1024
_FREE_BYTES_ENOUGH: Final = 16 * MIB
"""More free pages than this are of use only to retain more slots, so slots beyond their number stay."""
_RECORD_OVERHEAD_BYTES: Final = 4096 + 64
"""Of a record's last page and of the way to it; what its other pieces leave of their pages is a 64th at most."""
_APPENDED_OVERHEAD_BYTES: Final = 128
_READER_CHECK_COMMITS: Final = 4096


class LmdbLogStore:
    """Satisfies ``contract.LogStore``; made by ``DataDirectory.open_log``.

    ``write``, ``compact`` and ``install_floor`` belong to one thread; ``read`` may be called from any.
    """

    def __init__(self, path: Path, opened: LogEnvironment, limits: LogLimits) -> None:
        self.identity = opened.identity
        self.path = path
        self._env = opened.env
        self._slots = opened.slots
        self._limits = limits
        self._map_lock = threading.Lock()
        self._space = LogSpace(opened.env, opened.slots, path / DATA_FILE, limits, self._map_lock)
        self._position = opened.position
        self._promise = BALLOT_ZERO
        self._membership = opened.identity.membership
        self._unchosen = UnchosenSum()
        self._distrust = opened.distrust
        self._is_distrust_stored = not opened.distrust
        self._has_slots_below_floor = False
        self._is_recovered = False
        self.failure = Failure()
        self._commits = 0

    @classmethod
    def open(cls, path: Path, expected: Identity | None, limits: LogLimits | None = None) -> LmdbLogStore:
        """The log in the folder ``path``, see ``open_log_environment``. Raises ``StorageError``."""
        limits = limits or LogLimits()
        opened = open_log_environment(path, expected, map_step_bytes=limits.map_step_bytes)
        try:
            return cls(path, opened, limits)
        except BaseException:
            opened.env.close()
            raise

    # --- what it remembers ---

    def recover(self) -> Recovered:
        """See ``contract.LogStore``; may be called again after writes of the owner.

        Every record above ``chosen_through`` is verified, and of the chosen ones the newest ``recover_bytes_max``
        bytes: the others are verified when they are read, and by a scrub.
        """
        with self._map_lock, begin_reading(self._env, buffers=True) as transaction:
            position = decode_position(transaction.get(POSITION_KEY))
            promise = self._recover_promise(transaction.get(PROMISE_KEY))
            self._membership = self._recover_membership(transaction.get(MEMBERSHIP_KEY))
            scan = LogScan(position, self._limits.recover_bytes_max)
            scan.run(transaction.cursor(self._slots))
        self.distrust_if(scan.distrust())
        highest = max((record.ballot for record in scan.unchosen), default=BALLOT_ZERO)
        if highest > promise and not self._distrust:
            self.distrust_if(f"an acceptance at ballot {highest} stands above the promise {promise}")
        self._promise = max(promise, highest)
        self._position = position
        self._unchosen = UnchosenSum()
        self._unchosen.store(
            [record.slot for record in scan.unchosen], [slot_checksum(record) for record in scan.unchosen]
        )
        self._has_slots_below_floor = scan.has_slots_below_floor
        self._is_recovered = True
        return Recovered(
            self._promise,
            position.chosen_through,
            position.compacted_through,
            tuple(scan.unchosen),
            tuple(scan.damaged_chosen),
            self._distrust,
            self._membership,
        )

    def _recover_promise(self, data: memoryview | None) -> Ballot:
        try:
            promised = decode_promise(data)
        except Damaged as error:
            self.distrust_if(str(error))
            return BALLOT_ZERO
        self.distrust_if(promised.distrust, is_stored=True)
        return promised.ballot

    def _recover_membership(self, data: memoryview | None) -> Membership:
        try:
            return decode_membership(data)
        except Damaged as error:
            self.distrust_if(str(error))
            return self.identity.membership

    def distrust_if(self, reason: str, *, is_stored: bool = False) -> None:
        """Remember the first reason not to vote; it is stored with the next write and stays for ever (P10)."""
        if reason and not self._distrust:
            self._distrust = reason
            self._is_distrust_stored = is_stored

    @property
    def position(self) -> Position:
        """Where the log stands, by its last transaction; from any thread."""
        return self._position

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """See ``contract.LogStore``; a chosen slot that should be here and is not counts as damaged (P10)."""
        position = self._position
        if from_slot <= position.compacted_through:
            return []
        last = Slot(min(through, from_slot + slots_max - 1))
        with self._map_lock, begin_reading(self._env, buffers=True) as transaction:
            found = read_slots(transaction.cursor(self._slots), from_slot, last, bytes_max)
        if not found and from_slot <= min(through, position.chosen_through):
            raise Damaged(f"slot {from_slot}: its record is missing though the slot is known chosen; {REPAIR}")
        return found

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]:
        """See ``contract.LogStore``."""
        position = self._position
        first = Slot(max(from_slot, position.compacted_through + 1))
        last = Slot(min(first + slots_max - 1, position.chosen_through))
        if first > last:
            return Slot(1), []
        with self._map_lock, begin_reading(self._env, buffers=True) as transaction:
            damaged = damaged_slots(transaction.cursor(self._slots), first, last)
        # Compaction may have dropped some of them meanwhile: those are not damaged.
        damaged = [slot for slot in damaged if slot > self._position.compacted_through]
        return Slot(last + 1), damaged

    # --- writing ---

    def write(self, writes: list[LogWrite]) -> None:
        """See ``contract.LogStore``.

        Raises
        ------
        StorageError: the outcome is unknown; nothing is written any more.
        StorageFull: there is no space; nothing was written, and the same write may be tried again later.
        """
        joined = join_writes(writes, floor=self._position.compacted_through)
        records = joined.records
        self._prepare(_need_bytes(records), is_essential=not records)
        self._store(joined, self._position.journal)

    def reserve(self, records: list[AcceptedSlot], *, append_above: Slot) -> bool:
        """Keep space for ``records`` until ``commit``; False if there is none.

        ``append_above``: the highest slot that there is a record or a reservation for. Raises ``StorageError``.
        """
        self.failure.refuse()
        need_bytes = _need_bytes(records)
        if records and records[0].slot > append_above:
            need_bytes = min(need_bytes, _appended_bytes(records))
        try:
            return self._space.reserve(need_bytes)
        except (lmdb.Error, OSError) as error:
            raise self.failure.of(self.path / DATA_FILE, error) from error

    def commit(self, writes: list[LogWrite], mark: JournalMark) -> None:
        """Make durable in one transaction what space was reserved for, and how far the journal is covered by it.

        Raises ``StorageError``: the outcome is unknown; nothing is written any more.
        """
        self.failure.refuse()
        self._store(join_writes(writes, floor=self._position.compacted_through), mark)
        self._space.release()

    def _store(self, joined: Joined, mark: JournalMark) -> None:
        records = joined.records
        slots = [record.slot for record in records]
        checksums, pairs = seal_slots(records)
        chosen_through = max(self._position.chosen_through, joined.chosen_through)
        change = Change(
            position=msgspec.structs.replace(self._advance(slots, checksums, chosen_through), journal=mark),
            slots=slots,
            pairs=pairs,
            append_above=self._position.last_slot,
            promised=self._promised(joined.promise),
            membership=self._if_newer(joined.membership),
        )
        self._transact(change)

    def compaction_target(self, through: Slot, *, retained_slots: int, retained_bytes: int) -> Slot:
        """How far slots should go now, if those up to ``through`` may go.

        With more than ``retained_bytes`` in use the oldest go, whatever their number. Beyond ``retained_slots`` they go
        as long as there are few free pages, or little space outside the file: a file never shrinks, so what is free
        beyond that is of use only to retain more slots.
        """
        before = self._position.compacted_through
        used_bytes, free_bytes = self._space.used_and_free_bytes()
        if used_bytes > retained_bytes:
            return max(before, through)
        if free_bytes < _FREE_BYTES_ENOUGH or self.is_nearly_full():
            return max(before, Slot(through - retained_slots))
        return before

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        """See ``contract.LogStore``. What may go is chosen, so ``chosen_through`` is at least ``through`` afterwards.

        One call drops about 4 MiB at most, so that large slots do not hold up a write.

        Raises
        ------
        StorageError: the outcome is unknown; nothing is written any more.
        """
        before = self._position.compacted_through
        target = Slot(max(before, min(through, before + slots_max)))
        if target == before and not self._has_slots_below_floor:
            return before
        self._prepare(slots_max * _RECORD_OVERHEAD_BYTES, is_essential=True)
        position = self._advance([], [], max(self._position.chosen_through, target))
        self._transact(
            Change(position=position, promised=self._promised(None), drop_through=target, drop_slots_max=slots_max)
        )
        return self._position.compacted_through

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """See ``contract.LogStore``. The floor is durable first; the slots below it go in bounded transactions.

        Raises
        ------
        StorageError: the outcome is unknown; nothing is written any more.
        """
        self._prepare(0, is_essential=True)
        floor = max(through, self._position.compacted_through)
        position = self._advance([], [], max(self._position.chosen_through, floor))
        self._has_slots_below_floor = True
        self._transact(
            Change(
                position=msgspec.structs.replace(position, compacted_through=floor),
                promised=self._promised(None),
                membership=self._if_newer(membership),
            )
        )
        while self._has_slots_below_floor:
            self.compact(floor, slots_max=_DROP_SLOTS_MAX)

    def _advance(self, slots: list[Slot], checksums: list[int], chosen_through: Slot) -> Position:
        """The position after storing ``slots``: their checksums enter the unchosen sum, chosen slots leave it."""
        self._unchosen.store(slots, checksums)
        self._unchosen.release(chosen_through)
        before = self._position
        last_slot = max(before.last_slot, slots[-1] if slots else chosen_through)
        unchosen = (self._unchosen.count, self._unchosen.sum)
        return Position(
            before.transaction, chosen_through, before.compacted_through, last_slot, *unchosen, before.journal
        )

    def _promised(self, promise: Ballot | None) -> Promised | None:
        """What to store of ``promise``, or of why this node abstains; None: nothing of it has changed."""
        if promise is None and self._is_distrust_stored:
            return None
        return Promised(self._promise if promise is None else promise, self._distrust)

    def _if_newer(self, membership: Membership | None) -> Membership | None:
        return membership if membership is not None and membership.version > self._membership.version else None

    def _prepare(self, need_bytes: int, *, is_essential: bool) -> None:
        self.failure.refuse()
        assert self._is_recovered, "recover() comes before anything else"
        try:
            self._space.prepare(need_bytes, is_essential=is_essential)
        except (lmdb.Error, OSError) as error:
            raise self.failure.of(self.path / DATA_FILE, error) from error

    def _transact(self, change: Change) -> None:
        """Make one change durable, or fail for ever. A full map is no failure: nothing was written, and it grows."""
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    reached = change.apply(transaction, self._slots)
                break
            except lmdb.MapFullError:
                self._space.grow_map_again()
            except BaseException as error:
                raise self.failure.of(self.path / DATA_FILE, error) from error
        self._position = reached.position
        if reached.is_left_below_floor is not None:
            self._has_slots_below_floor = reached.is_left_below_floor
        if change.promised is not None:
            self._promise = change.promised.ballot
        if change.membership is not None:
            self._membership = change.membership
        self._is_distrust_stored = True
        self._commits += 1
        if self._commits % _READER_CHECK_COMMITS == 0:
            self._env.reader_check()

    # --- space, and the end ---

    def is_nearly_full(self) -> bool:
        """See ``contract.LogStore``."""
        return self._space.is_nearly_full()

    @property
    def file_bytes(self) -> int:
        """See ``contract.LogStore``."""
        return self._space.file_bytes

    def close(self) -> None:
        """See ``contract.LogStore``. No other thread may be inside a call."""
        self._space.close()
        self._env.close()


def _need_bytes(records: list[AcceptedSlot]) -> int:
    """Pages that a transaction takes for ``records`` at most, wherever they stand."""
    return sum([len(record.value) for record in records]) * 65 // 64 + len(records) * _RECORD_OVERHEAD_BYTES


def _appended_bytes(records: list[AcceptedSlot]) -> int:
    """For records behind all others: their pieces fill pages one after the other, more than half of each."""
    return sum([len(record.value) for record in records]) * 33 // 16 + len(records) * _APPENDED_OVERHEAD_BYTES
