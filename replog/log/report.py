"""What a log holds, for whoever only looks at it: the records of one pinned moment, decoded.

What is durable in the journal alone belongs to it: a killed node would start with it. Beside a running node the journal
is read while it is written, so what looks wrong there counts only if nothing was checkpointed meanwhile and a second
look agrees (J20).

Never: write anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from ..disk.pages import PageReport
from ..disk.pinned import PinnedEnvironment, pinned
from ..errors import Damaged, StorageError
from ..paxos.ballot import Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from .contract import Identity
from .environment import LOG_LAYOUT, NEVER_FRESH
from .journal_file import name_of
from .journal_layout import decode_body
from .journal_opening import judge_journal
from .overlay import Overlay
from .records import (
    IDENTITY_KEY,
    MEMBERSHIP_KEY,
    NO_JOURNAL,
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

_TRIES: Final = 50


@attrs.frozen
class JournalLook:
    """What stands in the journal beyond the log.

    Parameters
    ----------
    file_bytes: size of the file; 0: there is none, or none that is needed.
    groups: the writes of each record, in order.
    damage: why a node that starts on it must abstain; empty: it need not.
    refusal: why none starts on it; empty: one does.
    """

    file_bytes: int = 0
    groups: tuple[list[LogWrite], ...] = ()
    damage: str = ""
    refusal: str = ""


class PinnedLog:
    """One moment of a log; valid inside ``open_pinned_log`` only."""

    def __init__(self, environment: PinnedEnvironment, path: Path) -> None:
        self._transaction = environment.transaction
        (self._slots,) = environment.trees
        self.pages: PageReport = environment.pages
        self.file_bytes = environment.file_bytes
        self.journal = self._look_at_journal(path)
        self._overlay = Overlay(self.position().compacted_through)
        for writes in self.journal.groups:
            self._overlay.add(writes)
        self._is_sure = not (self.journal.damage or self.journal.refusal) or (
            self._look_at_journal(path) == self.journal and environment.is_newest()
        )

    @property
    def is_sure(self) -> bool:
        """Whether what is wrong with the journal is so, and no writer was at it."""
        return self._is_sure

    def _look_at_journal(self, path: Path) -> JournalLook:
        mark = self.position().journal
        if mark.id == NO_JOURNAL:
            return JournalLook()
        owner: Identity | None = None
        with contextlib.suppress(Damaged):
            owner = self.identity()
        try:
            opened = judge_journal(name_of(path), owner, mark)
            groups = tuple(decode_body(body) for body in opened.found.bodies)
        except StorageError as error:
            return JournalLook(refusal=str(error))
        size = name_of(path).stat().st_size if opened.ring is not None else 0
        return JournalLook(size, groups, opened.found.damage)

    def identity(self) -> Identity:
        """Raises ``Damaged``."""
        return decode_identity(self._transaction.get(IDENTITY_KEY))

    def identity_record(self) -> bytes | None:
        """As it is stored."""
        data = self._transaction.get(IDENTITY_KEY)
        return None if data is None else bytes(data)

    def membership(self) -> Membership:
        """Raises ``Damaged``."""
        stored = decode_membership(self._transaction.get(MEMBERSHIP_KEY))
        later = [write.membership for write in self._overlay.writes if write.membership is not None]
        return max([stored, *later], key=lambda membership: membership.version)

    def position(self) -> Position:
        """That of the log itself. Never damaged: checking the structure read it."""
        return decode_position(self._transaction.get(POSITION_KEY))

    @property
    def chosen_through(self) -> Slot:
        """By the log, or by the journal if that is further."""
        return max(self.position().chosen_through, self._overlay.chosen_through)

    def promise(self) -> Promised:
        """Raises ``Damaged``."""
        stored = decode_promise(self._transaction.get(PROMISE_KEY))
        later = [write.promise for write in self._overlay.writes if write.promise is not None]
        return attrs.evolve(stored, ballot=later[-1]) if later else stored

    def last_slot(self) -> Slot | None:
        """The highest slot that has a record."""
        cursor = self._transaction.cursor(self._slots)
        last = slot_of_key(cursor.key()) if cursor.last() else Slot(0)
        return max(last, self._overlay.last_slot) or None

    def slots(self, first: int, below: int) -> Iterator[tuple[Slot, AcceptedSlot | Damaged]]:
        """Every record of ``first <= slot < below``, or what is wrong with it, ascending."""
        journaled = sorted(slot for slot in self._overlay.records if first <= slot < below)
        for slot, stored in self._stored_slots(first, below):
            while journaled and journaled[0] < slot:
                yield journaled[0], self._overlay.records[journaled.pop(0)]
            if journaled and journaled[0] == slot:
                yield slot, self._overlay.records[journaled.pop(0)]
            else:
                yield slot, stored
        for slot in journaled:
            yield slot, self._overlay.records[slot]

    def _stored_slots(self, first: int, below: int) -> Iterator[tuple[Slot, AcceptedSlot | Damaged]]:
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
    with contextlib.ExitStack() as stack:
        yield _look_until_sure(path, stack)


def _look_until_sure(path: Path, stack: contextlib.ExitStack) -> PinnedLog:
    for _try in range(_TRIES):
        with contextlib.ExitStack() as attempt:
            log = PinnedLog(attempt.enter_context(pinned(path, LOG_LAYOUT, next_step=NEVER_FRESH)), path)
            if log.is_sure:
                stack.push(attempt.pop_all())
                return log
    raise StorageError(
        f"{name_of(path)} is written faster than it can be looked at; try again, or stop the node first."
    )
