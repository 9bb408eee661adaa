"""The state's store as a protocol: LMDB serves it in production, memory in the simulator and in tests.

It is synchronous; who waits for it, and how, is the node's matter. One set of contract tests runs against every
implementation (``tests/storage``).

Never: know LMDB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from ..errors import Damaged
from ..paxos.ballot import Slot


class StateSnapshot(Protocol):
    """A consistent snapshot of a state store, readable in chunks while the store goes on."""

    name: bytes
    """Names the snapshot: 16 random bytes."""
    applied_through: Slot

    def read(self, position: int, bytes_max: int) -> tuple[bytes, bool]:
        """The bytes from ``position`` on, and whether they are the last."""

    def close(self) -> None:
        """Let go of the snapshot; from any thread, and once more is no harm."""


class StateStore(Protocol):
    """The state machine's ordered data and, in a second map, the Applier's own records.

    ``write`` changes memory; ``flush`` makes everything up to a moment durable in one transaction, so
    data, sessions and ``applied_through`` can't disagree. After a crash the store stands exactly at a past flush.
    """

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, or None. Raises ``Damaged`` and ``StorageError``."""

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Put these keys, or delete those whose value is None. A key has 1 to 511 bytes."""

    def scan(self, start: bytes, stop: bytes | None, *, is_reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop`` (None: to the end), ascending, or descending with ``is_reverse``.

        What is put or deleted while the iterator is open may or may not be seen.
        """

    def get_record(self, key: bytes) -> bytes | None:
        """The Applier's own records: sessions, applied_through, digest, log time."""

    def put_record(self, key: bytes, value: bytes | None) -> None:
        """None deletes."""

    def scan_records(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        """The Applier's own records whose keys begin with ``prefix``, ascending."""

    @property
    def durable_through(self) -> Slot:
        """``applied_through`` of the last completed flush."""

    @property
    def unflushed_keys(self) -> int:
        """Changed keys that no flush has set aside yet; they are held in memory."""

    def begin_flush(self, applied_through: Slot) -> bool:
        """Set aside everything changed so far as the generation to flush. False if one is still under way."""

    def flush(self) -> None:
        """Make the generation set aside durable (callable from another thread, beside reads and changes).

        Raises
        ------
        StorageFull: there is no space; nothing was written, and ``flush`` may be called again.
        StorageError: the outcome is unknown; nothing is written any more.
        """

    def end_flush(self) -> None:
        """Let go of the flushed generation, on the owner's thread."""

    def scrub(self, start: bytes) -> tuple[bytes, list[Damaged]]:
        """Verify a bounded number of rows of the last flush, where the one before it ended (empty: from the start).

        Returns where the next one begins (empty: that was all of it) and the errors that reading what is damaged would
        raise. Callable from the thread that flushes.
        """

    def open_snapshot(self) -> StateSnapshot:
        """A snapshot of the last completed flush. Raises ``StorageError``."""

    @property
    def installed_through(self) -> Slot:
        """Where this state stood when it was received; BEFORE_LOG if it never was.

        It becomes durable with the state itself, and no flush changes it: what is above it was applied here.
        """

    def begin_install(self, name: bytes) -> None:
        """Start receiving a snapshot into a fresh place, dropping a half-received other one.

        Raises ``StorageFull`` and ``StorageError``, as ``flush`` does.
        """

    def received_bytes(self, name: bytes) -> int:
        """How much of the snapshot ``name`` is already durably here, so that a transfer resumes."""

    def install_chunk(self, position: int, data: bytes) -> None:
        """Keep the bytes from ``position`` on: what is here already is passed over, what leaves a gap is not kept.

        Raises ``StorageFull`` if there is no space: the same chunk may be given again later.
        """

    def prepare_install(self, applied_through: Slot) -> None:
        """The slow part of ``finish_install``, beside reads: check the received snapshot and make it durable.

        Raises ``Damaged`` if it is not whole, or not of that slot.
        """

    def finish_install(self, applied_through: Slot) -> None:
        """Check, sync and swap the received snapshot in, atomically; on the owner's thread.

        Raises what ``prepare_install`` raises.
        """

    @property
    def file_bytes(self) -> int:
        """Size of the state on its disk, part of it allocated ahead of use."""

    def close(self) -> None:
        """Release files. What was not flushed is gone."""
