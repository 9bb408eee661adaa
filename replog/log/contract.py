"""The log's store as a protocol: LMDB serves it in production, memory in the simulator and in tests.

It is synchronous and belongs to one thread; who waits for it, and how, is the node's matter. One set of contract
tests runs against every implementation (``tests/storage``).

Never: know LMDB.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from ..paxos.ballot import NodeId, Slot
from ..paxos.effects import LogWrite
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from ..paxos.recovered import Recovered


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


class DurableLog(Protocol):
    """Everything Paxos must not forget. ``write`` returns only when it is durable (P1)."""

    identity: Identity

    def recover(self) -> Recovered:
        """Read what the store remembers; called once, before anything else."""

    def write(self, writes: list[LogWrite]) -> None:
        """Make all of ``writes``, in order, durable in one transaction. A membership replaces an older version only.

        Raises
        ------
        StorageFull: there is no space; nothing was written, and the same may be tried again.
        StorageError: it failed; the outcome is unknown and the process must end.
        """

    def read(self, from_slot: Slot, through: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """Records of ``from_slot..through``, ascending, stopping at a limit but never before the first record.

        Safe beside a ``write`` in another thread. Stops before the first absent slot. Raises ``Damaged`` if the
        *first* record is damaged; stops before a later damaged one.
        """

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """A state standing at ``through`` was installed: drop every slot up to it and remember it as floor,
        and ``membership`` if it is newer than what is remembered. Raises ``StorageError``."""

    def compaction_target(self, through: Slot, *, retained_slots: int, retained_bytes: int) -> Slot:
        """How far slots should go now, if those up to ``through`` may go and this much is kept of them."""

    def compact(self, through: Slot, *, slots_max: int) -> Slot:
        """Drop at most ``slots_max`` slots at or below ``through``; returns the new ``compacted_through``.

        Raises ``StorageError``.
        """

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]:
        """Verify at most ``slots_max`` chosen slots from ``from_slot`` on, without copying their values.

        Returns where to go on (1 when the end was reached) and the damaged slots. Safe beside a ``write``.
        """

    def is_nearly_full(self) -> bool:
        """Whether new commands should be refused for want of space; cheap, from any thread."""

    @property
    def file_bytes(self) -> int:
        """Size of the log on its disk, part of it allocated ahead of use."""

    def close(self) -> None:
        """Release files and locks. Nothing unwritten is written."""


class LogStore(DurableLog, Protocol):
    """The log as a node uses it: what is durable need not be in the place where it stays yet."""

    lack: str
    """What it has to do without, in words for a person; empty: nothing. Known once it has recovered."""

    @property
    def checkpoint_at_s(self) -> float:
        """When ``checkpoint`` is due, by ``time.perf_counter``; infinity: nothing waits for it."""

    def checkpoint(self) -> None:
        """Bring what is durable elsewhere to the place where it stays. Belongs to whoever writes.

        Raises ``StorageError``.
        """

    def finish(self) -> None:
        """A clean stop: ``checkpoint``, and nothing is written any more. Raises ``StorageError``."""
