"""What a log holds, for whoever only looks at it: the records of one pinned moment, decoded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..disk.pages import PageReport
from ..disk.pinned import PinnedEnvironment, pinned
from ..errors import Damaged
from ..paxos.ballot import Slot
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from .contract import Identity
from .environment import LOG_LAYOUT, NEVER_FRESH
from .records import (
    IDENTITY_KEY,
    MEMBERSHIP_KEY,
    POSITION_KEY,
    PROMISE_KEY,
    Position,
    Promised,
    decode_identity,
    decode_membership,
    decode_position,
    decode_promise,
    decode_slot,
    slot_of_key,
)
from .scan import LogScan, slots_from


class PinnedLog:
    """One moment of a log; valid inside ``open_pinned_log`` only."""

    def __init__(self, environment: PinnedEnvironment) -> None:
        self._transaction = environment.transaction
        (self._slots,) = environment.trees
        self.pages: PageReport = environment.pages
        self.file_bytes = environment.file_bytes

    def identity(self) -> Identity:
        """Raises ``Damaged``."""
        return decode_identity(self._transaction.get(IDENTITY_KEY))

    def identity_record(self) -> bytes | None:
        """As it is stored."""
        data = self._transaction.get(IDENTITY_KEY)
        return None if data is None else bytes(data)

    def membership(self) -> Membership:
        """Raises ``Damaged``."""
        return decode_membership(self._transaction.get(MEMBERSHIP_KEY))

    def position(self) -> Position:
        """Never damaged: checking the structure read it."""
        return decode_position(self._transaction.get(POSITION_KEY))

    def promise(self) -> Promised:
        """Raises ``Damaged``."""
        return decode_promise(self._transaction.get(PROMISE_KEY))

    def last_slot(self) -> Slot | None:
        """The highest slot that has a record."""
        cursor = self._transaction.cursor(self._slots)
        return slot_of_key(cursor.key()) if cursor.last() else None

    def slots(self, first: int, below: int) -> Iterator[tuple[Slot, AcceptedSlot | Damaged]]:
        """Every record of ``first <= slot < below``, or what is wrong with it, ascending."""
        cursor = self._transaction.cursor(self._slots)
        for slot, data in slots_from(cursor, first):
            if slot >= below:
                return
            try:
                yield slot, decode_slot(slot, data)
            except Damaged as error:
                yield slot, error

    def scan(self) -> LogScan:
        """Every record above the floor, verified to its last byte."""
        scan = LogScan(self.position(), self.file_bytes)
        scan.run(self._transaction.cursor(self._slots))
        return scan


@contextlib.contextmanager
def open_pinned_log(path: Path) -> Iterator[PinnedLog]:
    """Check the structure of the log in the folder ``path`` and look at it as it is at this moment.

    Raises ``StorageError`` or ``Damaged``, see ``pinned``.
    """
    with pinned(path, LOG_LAYOUT, next_step=NEVER_FRESH) as environment:
        yield PinnedLog(environment)
