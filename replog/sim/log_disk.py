"""The disk under one simulated node's log: a log in memory, the bytes of a journal in front of it, and no process.

The store that production runs is opened over both. A crash leaves what is here; it can fall before any step of a write,
and in the middle of the journal's. By what is durable in log and journal together the checkers judge what the node
says and what it finds when it starts again.

Never: ask the store what is durable.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from ..errors import Damaged, StorageError, StorageFull
from ..log.contract import Identity
from ..log.failure import Failure
from ..log.journal_layout import (
    BLOCK_BYTES,
    HEAD,
    SECTOR_BYTES,
    SECTOR_PAYLOAD_BYTES,
    STAMP,
    Ring,
    decode_body,
    decode_header,
    encode_header,
    unframe,
)
from ..log.journaled import JournaledLogStore
from ..log.records import JournalMark
from ..paxos.ballot import NodeId, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from .disk import SimLogStore

JOURNAL_BYTES_SMALL = 2**16
"""A ring of this size takes records of two blocks; every other one makes a checkpoint due."""
JOURNAL_BYTES_LARGE = 2**18
NO_ROOM_RATE = 0.05
"""Journals that can't be made, for want of room."""


class SimDisk(SimLogStore):
    """What is durable, wherever: in the log, and over it what only the journal has.

    Parameters
    ----------
    random: where a write is torn, and which bit flips.
    journal_bytes: size of the journal's ring, if there comes to be one.
    """

    def __init__(
        self,
        cluster: bytes,
        node: NodeId,
        incarnation: bytes,
        membership: Membership,
        *,
        random: Random,
        journal_bytes: int = JOURNAL_BYTES_SMALL,
    ) -> None:
        super().__init__(cluster, node, incarnation, membership)
        self.random = random
        self.log = _Log(self)
        self.file = _JournalFile(self, journal_bytes)
        self.has_struck = False
        """Whether a step has failed or was cut, since ``replace``."""
        self._durable: list[LogWrite] = []
        self._steps_left = math.inf

    def open(self, *, is_journaled: bool, clock: Callable[[], float]) -> JournaledLogStore:
        """The log as a starting process finds it. Raises ``StorageError``."""
        self.log.failure = Failure()
        return JournaledLogStore(self.log, self.file, is_wanted=is_journaled, clock=clock)

    def emptied(self, incarnation: bytes) -> SimDisk:
        """A disk of the same size for the same node, formatted as ``incarnation``."""
        cluster, membership = self.identity.cluster, self.identity.membership
        size = self.file.size_bytes
        return SimDisk(cluster, self.identity.node, incarnation, membership, random=self.random, journal_bytes=size)

    def follow_log(self) -> None:
        """A process has taken over what was here: all of it is in the log."""
        log = self.log
        self.promise, self.membership, self.distrust = log.promise, log.membership, log.distrust
        self.slots, self.damaged = dict(log.slots), set(log.damaged)
        self.chosen_through, self.compacted_through = log.chosen_through, log.compacted_through
        self._durable.clear()

    def take_durable(self) -> list[LogWrite]:
        """What became durable since this was asked last, in order."""
        durable, self._durable = self._durable, []
        return durable

    # --- the steps of a write ---

    def cut_after(self, steps: float) -> None:
        """So many more steps are made, then the power is gone: the next one is not, or only a part of it."""
        self._steps_left = steps

    def step(self) -> None:
        """Before anything becomes durable. Raises ``StorageError``: it does not."""
        if self._is_failing or self._steps_left <= 0:
            self.has_struck = True
            raise StorageError("the simulated disk failed a write; the node must end")
        self._steps_left -= 1

    def power_on(self) -> None:
        """The power is back; a device that failed was restarted with it."""
        self._steps_left = math.inf
        if self.has_struck:
            self.replace()

    def replace(self) -> None:
        """See ``SimLogStore``."""
        super().replace()
        self.has_struck = False

    def on_durable(self, writes: list[LogWrite]) -> None:
        """These are, in log or journal."""
        self._apply(writes)
        self._durable += writes

    def on_dropped(self, through: Slot, membership: Membership) -> None:
        """The log has let go of everything up to ``through``."""
        self._drop(through)
        self._follow(membership)

    # --- what a simulation does to it ---

    def write(self, writes: list[LogWrite]) -> None:
        """By hand, while no process runs: it is in the log."""
        self.log.write(writes)

    def is_repairable(self, slot: Slot) -> bool:
        """Whether the log has it intact, knows it chosen, and nothing waits in the journal to be put over it."""
        return self.is_intact(slot) and slot <= self.log.chosen_through and slot not in self.file.slots

    def damage(self, slot: Slot) -> None:
        """Flip a bit of its newest record, in the log, or while no process runs in the journal."""
        place = self.file.slots.get(slot)
        if place is None:
            self.log.damage(slot)
            super().damage(slot)
        else:
            self.file.damage(place)

    def undamage(self, slot: Slot) -> None:
        """Take ``damage`` of a record in the log back."""
        self.log.undamage(slot)
        super().undamage(slot)

    def damage_promise(self) -> None:
        """Flip a bit of the newest one, as in ``damage``."""
        if self.file.promise is None:
            self.log.damage_promise()
            super().damage_promise()
        else:
            self.file.damage(self.file.promise)


class _Log(SimLogStore):
    """The log behind the journal: a step a transaction, and room only for so much."""

    def __init__(self, disk: SimDisk) -> None:
        identity: Identity = disk.identity
        super().__init__(identity.cluster, identity.node, identity.incarnation, identity.membership)
        self._disk = disk
        self.slots_free = math.inf
        """So many more records find room; what goes makes some."""

    def reserve(self, records: list[AcceptedSlot], *, append_above: Slot) -> bool:
        """See ``log.journal_contract.LogBehind``; what was reserved is not given back."""
        self.failure.refuse()
        if self.slots_free < max(1, len(records)):
            return False
        self.slots_free -= len(records)
        return True

    def commit(self, writes: list[LogWrite], mark: JournalMark) -> None:
        """See ``log.journal_contract.LogBehind``."""
        self._step()
        super().commit(writes, mark)
        self._disk.file.on_covered()

    def write(self, writes: list[LogWrite]) -> None:
        """See ``log.contract.LogStore``; a promise finds the last pages."""
        count = sum([len(write.slots) for write in writes])
        if count > self.slots_free:
            raise StorageFull("the simulated log's disk is full; nothing was written")
        self._step()
        self.slots_free -= count
        super().write(writes)
        self._disk.on_durable(writes)

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        """See ``log.contract.LogStore``."""
        before = self.compacted_through
        if through > before:
            self._step()
            self.slots_free += super().compact(through, slots_max=slots_max) - before
            self._disk.on_dropped(self.compacted_through, self.membership)
        return self.compacted_through

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """See ``log.contract.LogStore``."""
        self._step()
        super().install_floor(through, membership)
        self._disk.on_dropped(self.compacted_through, self.membership)

    def _step(self) -> None:
        self.failure.refuse()
        try:
            self._disk.step()
        except StorageError as error:
            raise self.failure.of(Path(f"log of n{self.identity.node}"), error) from error


class _Place(NamedTuple):
    """Of a record in the file that the log does not cover."""

    offset: int
    body_bytes: int


class _JournalFile:
    """Satisfies ``log.journal_contract.JournalFile``."""

    def __init__(self, disk: SimDisk, size_bytes: int) -> None:
        self.path = Path(f"journal of n{disk.identity.node}")
        self.records_pending = 0
        """That the log does not cover;"""
        self.slots: dict[Slot, _Place] = {}
        """where the newest acceptances among them are,"""
        self.promise: _Place | None = None
        """and the newest promise."""
        self.times_torn = self.times_damaged = 0
        self._disk = disk
        self.size_bytes = size_bytes
        self._data = bytearray()

    def settle(self) -> None:
        """See ``JournalFile``: it always is."""

    def read(self, owner: Identity) -> tuple[Ring, bytes]:
        """See ``JournalFile``."""
        if not self._data:
            raise Damaged("it is missing")
        return decode_header(bytes(self._data[:BLOCK_BYTES]), owner), bytes(self._data)

    def create(self, owner: Identity) -> Ring | None:
        """See ``JournalFile``; a disk may have room for slots and none for a whole ring."""
        if self._disk.log.slots_free < math.inf or self._disk.random.random() < NO_ROOM_RATE:
            return None
        ring = Ring(self._disk.random.randbytes(16), self.size_bytes)
        self._data = bytearray(ring.blocks * BLOCK_BYTES)
        self._data[:BLOCK_BYTES] = encode_header(ring, owner)
        return ring

    def begin(self) -> None:
        """See ``JournalFile``."""

    def write(self, data: bytes, offset: int) -> None:
        """See ``JournalFile``; of one that fails some sectors are there, but never all."""
        try:
            self._disk.step()
        except StorageError as error:
            self._tear(data, offset)
            raise OSError(errno.EIO, str(error)) from error
        self._data[offset : offset + len(data)] = data
        body, _crc = unframe(data)
        writes = decode_body(body)
        self._disk.on_durable(writes)
        self.records_pending += 1
        place = _Place(offset, len(body))
        self.slots.update({record.slot: place for write in writes for record in write.slots})
        if any(write.promise is not None for write in writes):
            self.promise = place

    def on_covered(self) -> None:
        """The log has all that is here."""
        self.records_pending = 0
        self.slots.clear()
        self.promise = None

    def _tear(self, data: bytes, offset: int) -> None:
        random = self._disk.random
        sectors = range(len(data) // SECTOR_BYTES)
        written = random.sample(sectors, random.randrange(len(sectors)))
        self.times_torn += bool(written)
        for sector in written:
            start = sector * SECTOR_BYTES
            self._data[offset + start : offset + start + SECTOR_BYTES] = data[start : start + SECTOR_BYTES]

    def close(self) -> None:
        """See ``JournalFile``."""

    def damage(self, place: _Place) -> None:
        """Flip a bit of that record, in its body or what is said of that."""
        random = self._disk.random
        self.times_damaged += 1
        sector, byte = divmod(random.randrange(HEAD.size + place.body_bytes), SECTOR_PAYLOAD_BYTES)
        self._data[place.offset + sector * SECTOR_BYTES + STAMP.size + byte] ^= 1 << random.randrange(8)
