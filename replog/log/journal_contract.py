"""What a journal stands on, as protocols: the log behind it and the file that it is in.

Production has LMDB and a file with a descriptor that syncs; the simulator has memory that survives a crash.

Never: know LMDB, or a descriptor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..paxos.ballot import Slot
from ..paxos.effects import LogWrite
from ..paxos.messages import AcceptedSlot
from .contract import DurableLog, Identity
from .failure import Failure
from .journal_layout import Ring
from .records import JournalMark, Position


class LogBehind(DurableLog, Protocol):
    """The log that a journal is in front of: its transactions say how far the journal is covered by them."""

    failure: Failure
    """Of the log or of the journal: there is one word of it."""

    @property
    def position(self) -> Position:
        """Where the log stands, by its last transaction; from any thread."""

    def distrust_if(self, reason: str) -> None:
        """Remember the first reason not to vote; it is stored with the next write and stays for ever (P10)."""

    def reserve(self, records: list[AcceptedSlot], *, append_above: Slot) -> bool:
        """Keep space for ``records`` until ``commit``; False if there is none.

        ``append_above``: the highest slot that there is a record or a reservation for. Raises ``StorageError``.
        """

    def commit(self, writes: list[LogWrite], mark: JournalMark) -> None:
        """Make durable in one transaction what space was reserved for, and how far the journal is covered by it.

        Raises ``StorageError``: the outcome is unknown; nothing is written any more.
        """


class JournalFile(Protocol):
    """One file; it need not be there until it is made."""

    path: Path
    """Its name in messages, and its place."""

    def settle(self) -> None:
        """Make what is there durable as it stands, and read it from the disk from here on. Raises ``StorageError``."""

    def read(self, owner: Identity) -> tuple[Ring, bytes]:
        """The journal's ring, and the whole file.

        Raises
        ------
        Damaged: it is absent, shorter than it says, or its first block is damaged.
        StorageError: it belongs to another directory, or can't be opened.
        """

    def create(self, owner: Identity) -> Ring | None:
        """Make it anew, durably (J1); None if there is no room for it. Raises ``StorageError``."""

    def begin(self) -> None:
        """What comes is ``write``. Raises ``OSError``."""

    def write(self, data: bytes, offset: int) -> None:
        """Durable when it returns. Raises ``OSError``: whether it is, or what part of it, is unknown (J5)."""

    def close(self) -> None:
        """Let go of the file."""
