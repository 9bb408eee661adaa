"""The two stores a replica needs, as protocols: LMDB serves them in production, the simulator's disk in tests.

Both are synchronous and belong to one thread each; who waits for them, and how, is the node's matter. One set of
contract tests runs against every implementation (``tests/storage``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import msgspec

from .errors import Damaged
from .paxos.ballot import NodeId, Slot
from .paxos.effects import LogWrite
from .paxos.membership import Membership
from .paxos.messages import AcceptedSlot
from .paxos.recovered import Recovered


class Identity(msgspec.Struct, frozen=True):
    """Who a data directory belongs to. Written once, by ``replog init``.

    Parameters
    ----------
    cluster: 16 random bytes, the same on all members.
    node: whose promises are in it.
    incarnation: 16 random bytes, made anew whenever a directory is formatted (P9).
    membership: the members the cluster was founded with.
    """

    cluster: bytes
    node: NodeId
    incarnation: bytes
    membership: Membership


class LogStore(Protocol):
    """Everything Paxos must not forget. ``write`` returns only when it is durable (P1)."""

    identity: Identity

    def recover(self) -> Recovered:
        """Read what the store remembers; called once, before anything else."""

    def write(self, writes: list[LogWrite]) -> None:
        """Make all of ``writes``, in order, durable in one transaction.

        Raises ``StorageError`` if that failed: the outcome is then unknown and the process must end.
        """

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """Records of ``from_slot..through``, ascending, stopping at a limit but never before the first record.

        Safe beside a ``write`` in another thread. Stops before the first absent slot. Raises ``Damaged`` if the
        *first* record is damaged; stops before a later damaged one.
        """

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """A state standing at ``through`` was installed: drop every slot up to it and remember it as floor."""

    def compaction_target(self, through: Slot, *, tail_slots: int, tail_bytes: int) -> Slot:
        """How far slots should go now, if those up to ``through`` may go and this much is kept of them."""

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        """Drop at most ``slots_max`` slots at or below ``through``; returns the new ``compacted_through``."""

    def set_membership(self, membership: Membership) -> None:
        """Remember the newest chosen membership with the next write."""

    def close(self) -> None:
        """Release files and locks. Nothing unwritten is written."""


class StateImage(Protocol):
    """A consistent image of a state store, readable in pieces while the store goes on."""

    image: bytes
    """Names the image: 16 random bytes."""
    applied_through: Slot

    def read(self, position: int, bytes_max: int) -> tuple[bytes, bool]:
        """The bytes from ``position`` on, and whether they are the last."""

    def close(self) -> None: ...


class StateStore(Protocol):
    """The state machine's ordered data and, in a second map, the Applier's own records.

    ``write`` changes memory; ``flush`` makes everything up to a moment durable in one transaction, so
    data, sessions and ``applied_through`` can't disagree. After a crash the store stands exactly at a past flush.
    """

    def get(self, key: bytes) -> bytes | None: ...

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

    def scan_records(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]: ...

    @property
    def durable_through(self) -> Slot:
        """``applied_through`` of the last completed flush."""

    @property
    def unflushed_keys(self) -> int:
        """Changed keys that no flush has set aside yet; they are held in memory."""

    def begin_flush(self, applied_through: Slot) -> bool:
        """Set aside everything changed so far as the generation to flush. False if one is still under way."""

    def flush(self) -> None:
        """Make the generation set aside durable (callable from another thread, beside reads and changes)."""

    def end_flush(self) -> None:
        """Let go of the flushed generation, on the owner's thread."""

    def scrub(self, start: bytes) -> tuple[bytes, list[Damaged]]:
        """Verify a bounded number of rows of the last flush, where the one before it ended (empty: from the start).

        Returns where the next one begins (empty: that was all of it) and the errors that reading what is damaged would
        raise. Callable from the thread that flushes.
        """

    def open_image(self) -> StateImage:
        """An image of the last completed flush."""

    @property
    def installed_through(self) -> Slot:
        """Where this state stood when it was received; BEFORE_LOG if it never was.

        It becomes durable with the state itself, and no flush changes it: what is above it was applied here.
        """

    def begin_install(self, image: bytes) -> None:
        """Start receiving an image into a fresh place, dropping a half-received other one."""

    def received_bytes(self, image: bytes) -> int:
        """How much of ``image`` is already durably here, so that a transfer resumes."""

    def install_piece(self, position: int, data: bytes) -> None: ...

    def prepare_install(self, applied_through: Slot) -> None:
        """The slow part of ``finish_install``, beside reads: check the received image and make it durable.

        Raises ``Damaged`` if it is not whole, or not of that slot.
        """

    def finish_install(self, applied_through: Slot) -> None:
        """Check, sync and swap the received image in, atomically; on the owner's thread.

        Raises what ``prepare_install`` raises.
        """

    def close(self) -> None: ...
