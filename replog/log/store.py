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
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any, Final

import attrs
import lmdb

from ..disk.environment import DATA_FILE, finish_commit, open_environment
from ..disk.page_cache import settle
from ..errors import Damaged, StorageError
from ..paxos.ballot import BALLOT_ZERO, BEFORE_LOG, Ballot, Slot, node_name
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered
from .contract import Identity
from .layout import NEVER_FRESH, check_file
from .pieces import slots_from
from .records import (
    IDENTITY_KEY,
    MEMBERSHIP_KEY,
    POSITION_KEY,
    PROMISE_KEY,
    REPAIR,
    SLOT_HEADER_BYTES,
    SLOTS_NAME,
    Position,
    Promised,
    decode_identity,
    decode_membership,
    decode_position,
    decode_promise,
    decode_slot,
    encode_identity,
    encode_membership,
    encode_position,
    encode_promise,
    seal_slots,
    slot_checksum,
    slot_key,
    slot_of_key,
)
from .scan import LogScan, damaged_slots
from .space import MIB, LogLimits, Room
from .unchosen_sum import LogTail

_DROP_SLOTS_MAX: Final = 1024
_DROP_BYTES: Final = 4 * MIB
_FREE_BYTES_ENOUGH: Final = 16 * MIB
"""More free pages than this are of use only as a longer tail, so slots beyond the tail stay."""
_RECORD_OVERHEAD_BYTES: Final = 4096 + 64
"""Of a record's last page and of the way to it; what its other pieces leave of their pages is a 64th at most."""
_READER_CHECK_COMMITS: Final = 4096


class LmdbLogStore:
    """Satisfies ``contract.LogStore``; made by ``DataDirectory.open_log``.

    ``write``, ``compact`` and ``install_floor`` belong to one thread; ``read`` may be called from any.
    """

    def __init__(self, path: Path, env: lmdb.Environment, slots: Any, identity: Identity, limits: LogLimits) -> None:
        self.identity = identity
        self.path = path
        self.stored_count = 0
        self._env = env
        self._slots = slots
        self._limits = limits
        self._map_lock = threading.Lock()
        self._room = Room(env, slots, path / DATA_FILE, limits, self._map_lock)
        self._position = Position()
        self._promise = BALLOT_ZERO
        self._tail = LogTail()
        self._membership_to_store: Membership | None = None
        self._distrust = ""
        self._is_distrust_stored = True
        self._has_slots_below_floor = False
        self._is_recovered = False
        self._failure = ""
        self._commits = 0

    # --- opening ---

    @classmethod
    def create(cls, path: Path, identity: Identity) -> None:
        """Make the log of a new node in the empty folder ``path``. Raises ``StorageError``."""
        try:
            env = open_environment(path, 16 * 2**20)
            try:
                slots = env.open_db(SLOTS_NAME)
                for _root_page in (0, 1):  # both root pages then stand on a tree that names its transaction
                    with env.begin(write=True) as transaction:
                        transaction.put(IDENTITY_KEY, encode_identity(identity))
                        transaction.put(MEMBERSHIP_KEY, encode_membership(identity.membership))
                        transaction.put(PROMISE_KEY, encode_promise(Promised()))
                        transaction.put(POSITION_KEY, encode_position(Position(transaction.id())))
                        transaction.stat(slots)
            finally:
                env.close()
        except lmdb.Error as error:
            raise StorageError(f"{path / DATA_FILE} can't be created: {error}; check the disk.") from error

    @classmethod
    def open(cls, path: Path, expected: Identity | None, limits: LogLimits | None = None) -> LmdbLogStore:
        """Make durable what an earlier process wrote, check the structure of the log in ``path``, and open it.

        Parameters
        ----------
        path: folder of the log; its data directory is locked by the caller.
        expected: whose log it must be; None if the identity file is damaged and the log's own record has to do.

        Raises
        ------
        StorageError: see ``DataDirectory.open_log``.
        """
        limits = limits or LogLimits()
        data_path = path / DATA_FILE
        settle(data_path)
        unfinished = check_file(data_path).unfinished
        if unfinished is not None:
            finish_commit(data_path, unfinished)
        try:
            env = open_environment(path, data_path.stat().st_size + limits.map_step_bytes)
        except lmdb.Error as error:
            raise StorageError(f"{data_path} can't be opened: {error}; {NEVER_FRESH}") from error
        try:
            return cls._over(path, env, expected, limits)
        except lmdb.Error as error:
            env.close()
            raise Damaged(f"{data_path} is damaged: {error}; {NEVER_FRESH}") from error
        except BaseException:
            env.close()
            raise

    @classmethod
    def _over(cls, path: Path, env: lmdb.Environment, expected: Identity | None, limits: LogLimits) -> LmdbLogStore:
        env.reader_check()
        slots = env.open_db(SLOTS_NAME, create=False)
        with env.begin() as transaction:
            stored = transaction.get(IDENTITY_KEY)
        try:
            identity, distrust = decode_identity(stored), ""
        except Damaged as error:
            if expected is None:
                raise Damaged(
                    f"{path / DATA_FILE}: {error}, and the identity file beside it is damaged too; {NEVER_FRESH}"
                ) from error
            identity, distrust = expected, f"in the log, {error}"
        except StorageError as error:
            raise StorageError(f"{path / DATA_FILE}: {error}.") from error
        if expected is not None and identity != expected:
            raise StorageError(
                f"{path / DATA_FILE} belongs to {_owner(identity)}, its directory to {_owner(expected)}: one of them "
                "was copied or restored from elsewhere. Put back what belongs together; never start the mixture."
            )
        store = cls(path, env, slots, identity, limits)
        store._distrust_if(distrust)
        return store

    # --- what it remembers ---

    def recover(self) -> Recovered:
        """See ``contract.LogStore``; may be called again after writes of the owner.

        Every record above ``chosen_through`` is verified, and of the chosen ones the newest ``recover_bytes_max``
        bytes: the others are verified when they are read, and by a scrub.
        """
        with self._map_lock, self._env.begin(buffers=True) as transaction:
            position = decode_position(transaction.get(POSITION_KEY))
            promise = self._recover_promise(transaction.get(PROMISE_KEY))
            membership = self._recover_membership(transaction.get(MEMBERSHIP_KEY))
            scan = LogScan(position, self._limits.recover_bytes_max)
            scan.run(transaction.cursor(self._slots))
        self._distrust_if(scan.distrust())
        highest = max((record.ballot for record in scan.tail), default=BALLOT_ZERO)
        if highest > promise and not self._distrust:
            self._distrust_if(f"an acceptance at ballot {highest} stands above the promise {promise}")
        self._promise = max(promise, highest)
        self._position = position
        self._tail = LogTail()
        self._tail.store([record.slot for record in scan.tail], [slot_checksum(record) for record in scan.tail])
        self._has_slots_below_floor = scan.has_slots_below_floor
        self._is_recovered = True
        return Recovered(
            self._promise,
            position.chosen_through,
            position.compacted_through,
            tuple(scan.tail),
            tuple(scan.damaged_chosen),
            self._distrust,
            membership,
        )

    def _recover_promise(self, data: memoryview | None) -> Ballot:
        try:
            promised = decode_promise(data)
        except Damaged as error:
            self._distrust_if(str(error))
            return BALLOT_ZERO
        self._distrust_if(promised.distrust, is_stored=True)
        return promised.ballot

    def _recover_membership(self, data: memoryview | None) -> Membership:
        try:
            return decode_membership(data)
        except Damaged as error:
            self._distrust_if(str(error))
            return self.identity.membership

    def _distrust_if(self, reason: str, *, is_stored: bool = False) -> None:
        """Remember the first reason not to vote; it is stored with the next write and stays for ever (P10)."""
        if reason and not self._distrust:
            self._distrust = reason
            self._is_distrust_stored = is_stored

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """See ``contract.LogStore``; a chosen slot that should be here and is not counts as damaged (P10)."""
        found: list[AcceptedSlot] = []
        position = self._position
        if from_slot <= position.compacted_through:
            return found
        last = min(through, from_slot + slots_max - 1)
        size = 0
        with self._map_lock, self._env.begin(buffers=True) as transaction:
            expected = from_slot
            for slot, data in slots_from(transaction.cursor(self._slots), from_slot):
                if slot != expected or slot > last:
                    break
                size += len(data) - SLOT_HEADER_BYTES
                if found and size > bytes_max:
                    return found
                try:
                    found.append(decode_slot(expected, data))
                except Damaged:
                    if not found:
                        raise
                    return found
                expected = Slot(expected + 1)
        if not found and from_slot <= min(through, position.chosen_through):
            raise Damaged(f"slot {from_slot}: its record is missing though the slot is known chosen; {REPAIR}")
        return found

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]:
        """Verify at most ``slots_max`` chosen slots from ``from_slot`` on, without copying their values.

        Returns where to go on (1 when the end was reached) and the damaged slots. Safe beside a ``write``.
        """
        position = self._position
        first = Slot(max(from_slot, position.compacted_through + 1))
        last = Slot(min(first + slots_max - 1, position.chosen_through))
        if first > last:
            return Slot(1), []
        with self._map_lock, self._env.begin(buffers=True) as transaction:
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
        StorageFull: there is no room; nothing was written, and the same write may be tried again later.
        """
        promise: Ballot | None = None
        chosen_through = self._position.chosen_through
        for write in writes:
            if write.promise is not None:
                promise = write.promise
            if write.chosen_through is not None and write.chosen_through > chosen_through:
                chosen_through = write.chosen_through
        records = _newest_above(self._position.compacted_through, writes)
        need_bytes = sum([len(record.value) for record in records]) * 65 // 64 + len(records) * _RECORD_OVERHEAD_BYTES
        self._prepare(need_bytes, is_essential=not records)
        slots = [record.slot for record in records]
        checksums, pairs = seal_slots(records)
        change = _Change(slots=slots, pairs=pairs, append_above=self._position.last_slot, promise=promise)
        self._transact(change, self._advance(slots, checksums, chosen_through))
        self.stored_count += len(slots)

    def compaction_target(self, through: Slot, *, tail_slots: int, tail_bytes: int) -> Slot:
        """How far slots should go now, if those up to ``through`` may go.

        With more than ``tail_bytes`` in use the oldest go, whatever their number. Beyond ``tail_slots`` they go as long
        as there are few free pages, or little room outside the file: a file never shrinks, so what is free beyond that
        is of use only as a longer tail.
        """
        before = self._position.compacted_through
        used_bytes, free_bytes = self._room.used_and_free_bytes()
        if used_bytes > tail_bytes:
            return max(before, through)
        if free_bytes < _FREE_BYTES_ENOUGH or self.is_nearly_full():
            return max(before, Slot(through - tail_slots))
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
        self._transact(_Change(drop_through=target, drop_slots_max=slots_max), position)
        return self._position.compacted_through

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """See ``contract.LogStore``. The floor is durable first; the slots below it go in bounded transactions.

        Raises
        ------
        StorageError: the outcome is unknown; nothing is written any more.
        """
        self._prepare(0, is_essential=True)
        self._membership_to_store = membership
        floor = max(through, self._position.compacted_through)
        position = self._advance([], [], max(self._position.chosen_through, floor))
        self._has_slots_below_floor = True
        self._transact(_Change(), attrs.evolve(position, compacted_through=floor))
        while self._has_slots_below_floor:
            self.compact(floor, slots_max=_DROP_SLOTS_MAX)

    def set_membership(self, membership: Membership) -> None:
        """See ``contract.LogStore``."""
        self._membership_to_store = membership

    def _advance(self, slots: list[Slot], checksums: list[int], chosen_through: Slot) -> Position:
        """The position after storing ``slots``: their checksums enter the sum of the tail, chosen slots leave it."""
        self._tail.store(slots, checksums)
        self._tail.release(chosen_through)
        before = self._position
        return Position(
            before.transaction,
            chosen_through,
            before.compacted_through,
            max(before.last_slot, slots[-1] if slots else chosen_through),
            self._tail.count,
            self._tail.sum,
        )

    def _prepare(self, need_bytes: int, *, is_essential: bool) -> None:
        if self._failure:
            raise StorageError(self._failure)
        assert self._is_recovered, "recover() comes before anything else"
        try:
            self._room.prepare(need_bytes, is_essential=is_essential)
        except (lmdb.Error, OSError) as error:
            raise self._fail(error) from error

    def _transact(self, change: _Change, position: Position) -> None:
        """Make one change durable, or fail for ever. A full map is no failure: nothing was written, and it grows."""
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    reached = self._apply(transaction, change, position)
                break
            except lmdb.MapFullError:
                self._room.grow_map_again()
            except BaseException as error:
                raise self._fail(error) from error
        self._position = reached
        self._membership_to_store = None
        self._is_distrust_stored = True
        self._commits += 1
        if self._commits % _READER_CHECK_COMMITS == 0:
            self._env.reader_check()

    def _apply(self, transaction: lmdb.Transaction, change: _Change, position: Position) -> Position:
        """Everything one transaction writes; few calls, since each of them lets go of the interpreter."""
        if change.pairs:
            self._put_slots(transaction, change)
        if change.drop_slots_max:
            position = self._drop_slots(transaction, change, position)
        if change.promise is not None:
            self._promise = change.promise
        if change.promise is not None or not self._is_distrust_stored:
            transaction.put(PROMISE_KEY, encode_promise(Promised(self._promise, self._distrust)))
        if self._membership_to_store is not None:
            transaction.put(MEMBERSHIP_KEY, encode_membership(self._membership_to_store))
        position = attrs.evolve(position, transaction=transaction.id())
        transaction.put(POSITION_KEY, encode_position(position))
        return position

    def _put_slots(self, transaction: lmdb.Transaction, change: _Change) -> None:
        """Slots above all others are appended, which fills their pages; others are put where they belong.

        What stood there goes first: it may have had more pieces.
        """
        new_from = bisect_left(change.pairs, (slot_key(change.append_above + 1),))
        cursor = transaction.cursor(self._slots)
        replacing, appended = change.pairs[:new_from], change.pairs[new_from:]
        if replacing:
            for slot in change.slots[: bisect_right(change.slots, change.append_above)]:
                _delete_slot(cursor, slot)
            cursor.putmulti(replacing)
        if appended:
            cursor.putmulti(appended, append=True)

    def _drop_slots(self, transaction: lmdb.Transaction, change: _Change, position: Position) -> Position:
        """Delete a bounded number of slots from the lowest one on; the floor follows what is gone."""
        cursor = transaction.cursor(self._slots)
        cursor.first()
        dropped_bytes = 0
        for _count in range(change.drop_slots_max):
            if not cursor.key() or (slot := slot_of_key(cursor.key())) > change.drop_through:
                break
            dropped_bytes += _delete_slot(cursor, slot)
            if dropped_bytes >= _DROP_BYTES:
                break
        first = slot_of_key(cursor.key()) if cursor.key() else None
        is_left = first is not None and first <= change.drop_through
        self._has_slots_below_floor = is_left
        floor = Slot(first - 1) if first is not None and is_left else change.drop_through
        return attrs.evolve(position, compacted_through=max(position.compacted_through, floor))

    def _fail(self, error: BaseException) -> StorageError:
        """The first failure is the last thing this store does."""
        self._failure = self._failure or (
            f"{self.path / DATA_FILE}: a write failed ({error}); whether it is durable is unknown, so this process "
            "must end. Check the disk (dmesg, free space), then start the node again: it goes on from what is durable."
        )
        return StorageError(self._failure)

    # --- room, and the end ---

    def is_nearly_full(self) -> bool:
        """Whether new commands should be refused for want of room; cheap, from any thread."""
        return self._room.is_nearly_full()

    @property
    def file_bytes(self) -> int:
        """Size of the log's file on disk, part of it allocated ahead of use."""
        return self._room.file_bytes

    def close(self) -> None:
        """See ``contract.LogStore``. No other thread may be inside a call."""
        self._room.close()
        self._env.close()


@attrs.frozen(kw_only=True)
class _Change:
    """What one transaction does, beside the position."""

    slots: list[Slot] = attrs.Factory(list)
    pairs: list[tuple[bytes, bytes]] = attrs.Factory(list)
    append_above: Slot = BEFORE_LOG
    promise: Ballot | None = None
    drop_through: Slot = BEFORE_LOG
    drop_slots_max: int = 0


def _delete_slot(cursor: Any, slot: Slot) -> int:
    """Delete every piece of a slot; the cursor then stands on the next one. Returns their bytes."""
    size = 0
    is_there = cursor.set_range(slot_key(slot))
    while is_there and slot_of_key(cursor.key()) == slot:
        size += len(cursor.value())
        cursor.delete()
        is_there = bool(cursor.key())
    return size


def _newest_above(floor: Slot, writes: list[LogWrite]) -> list[AcceptedSlot]:
    """The last record of every slot above ``floor``, in slot order; mostly they come that way."""
    records = [record for write in writes for record in write.slots]
    slots = [record.slot for record in records]
    ascending = sorted(set(slots))
    if slots == ascending and (not slots or slots[0] > floor):
        return records
    newest = dict(zip(slots, records, strict=True))
    return [newest[slot] for slot in ascending[bisect_right(ascending, floor) :]]


def _owner(identity: Identity) -> str:
    return (
        f"{node_name(identity.node)} of cluster {identity.cluster.hex()} (incarnation {identity.incarnation.hex()[:8]})"
    )
