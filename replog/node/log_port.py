"""Keeps the log durable, reads it back and watches its room, beside the node's turns.

It owns the writer's thread and one thread for reading, and brings what they say onto the event loop. Messages that rest
on a write wait here and leave from the writer's call-back, before anything else is done (P1); so a follower's answer
costs no task switch. It decides nothing: which slots may go, and what a damaged one means, the core says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import structlog
import trio

from ..errors import Damaged
from ..log.contract import LogStore
from ..log.writer import LogWriter, WriterStatistics
from ..paxos.ballot import BEFORE_LOG, NodeId, Slot
from ..paxos.effects import LogWrite, ReadSlots
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot, Outbound
from .settings import NodeOptions

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

SCRUB_SLOTS = 64
"""Verified at a time: the interpreter is held for well under a millisecond."""
APPLY_BYTES = 2**20


class DurableLog(LogStore, Protocol):
    """What the node needs of the log beside ``log.contract.LogStore``."""

    def is_nearly_full(self) -> bool: ...

    def scrub(self, from_slot: Slot, *, slots_max: int) -> tuple[Slot, list[Slot]]: ...

    @property
    def file_bytes(self) -> int: ...


class Turns(Protocol):
    """What the keeper asks of the node, on the event loop's thread."""

    def put(self, event: Callable[..., object], *arguments: Any) -> None: ...

    def turn(self) -> None: ...

    def guarded(self, act: Callable[..., _T], *arguments: Any) -> _T | None: ...

    def fail(self, error: BaseException) -> None: ...

    def send(self, outbounds: Iterable[Outbound]) -> None: ...

    def on_written(self, ticket: int) -> None: ...

    def on_compacted(self, through: Slot) -> None: ...

    def on_floor_installed(self, through: Slot) -> None: ...

    def on_slots_read(self, target: NodeId, slots: list[AcceptedSlot]) -> None: ...

    def on_slot_damaged(self, slot: Slot) -> None: ...

    def on_storage_full(self, is_full: bool) -> None: ...

    def is_state_full(self) -> bool: ...


class LogKeeper:
    """Runs as tasks of the node's nursery, and as the writer's thread.

    Parameters
    ----------
    is_threaded: False writes on the event loop, for a log that is memory.
    """

    def __init__(self, store: DurableLog, options: NodeOptions, node: Turns, *, is_threaded: bool) -> None:
        self._store = store
        self._options = options
        self._node = node
        self._is_threaded = is_threaded
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_closed = False
        self._writer = LogWriter(
            store,
            on_durable=self._durable_in_thread if is_threaded else self._durable_here,
            on_failure=self._failed,
            on_compacted=lambda through: self._soon(node.put, node.on_compacted, through),
            is_threaded=is_threaded,
            retained_slots=options.log_tail_slots,
            retained_bytes=options.log_tail_bytes,
        )
        self._held: deque[tuple[int, list[Outbound]]] = deque()
        self._slot_reads: deque[ReadSlots] = deque()
        self._has_slot_reads = trio.Event()

    # --- life ---

    def start(self) -> None:
        """Start the writer; from inside the event loop."""
        self._token = trio.lowlevel.current_trio_token()
        self._writer.start()

    def abandon(self) -> None:
        """The node has failed: begin no other write, and let nothing rest on the one under way."""
        self._writer.abandon()

    def close(self) -> None:
        """Finish what was submitted; what it leads to is not done any more."""
        self._is_closed = True
        self._writer.close()

    async def run(self) -> None:
        """Read, scrub and watch until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_forever)
            nursery.start_soon(self._scrub_forever)
            nursery.start_soon(self._watch_room_forever)

    def _soon(self, act: Callable[..., object], *arguments: Any) -> None:
        """On the event loop's thread, soon; what an ``act`` raises there would otherwise be the end of trio itself."""
        assert self._token is not None, "start() comes before anything else"
        self._token.run_sync_soon(self._node.guarded, act, *arguments)

    # --- writing ---

    def write(self, ticket: int, write: LogWrite, send_after_write: list[Outbound], *, may_wait: bool) -> bool:
        """Make a turn's write durable, then send what rests on it.

        ``may_wait``: this node has nothing better to do than to wait for a fast disk, so the write need not change
        threads; a follower's answer leaves the sooner.

        Returns whether it is durable already; otherwise the node hears of it in ``on_written``.

        Raises ``StorageError`` if a write made at once failed.
        """
        if send_after_write:
            self._held.append((ticket, send_after_write))
        if may_wait and self._writer.write_here(write, is_fast_below_s=self._options.wait_for_commit_s_max):
            self._send_held(ticket)
            return True
        self._writer.submit(ticket, write)
        return False

    def _durable_here(self, ticket: int) -> None:
        self._node.put(self._settle, ticket)

    def _durable_in_thread(self, ticket: int) -> None:
        assert self._token is not None, "start() comes before anything else"
        self._token.run_sync_soon(self._on_durable, ticket)

    def _on_durable(self, ticket: int) -> None:
        """What rests on the write leaves at once, and the turn that follows needs no task switch."""
        if self._is_closed:
            return
        self._node.guarded(self._settle, ticket)
        self._node.turn()

    def _settle(self, ticket: int) -> None:
        self._send_held(ticket)
        self._node.on_written(ticket)

    def _send_held(self, ticket: int) -> None:
        ready: list[Outbound] = []
        while self._held and self._held[0][0] <= ticket:
            ready += self._held.popleft()[1]
        self._node.send(ready)

    def _failed(self, error: BaseException) -> None:
        if not self._is_threaded:
            raise error  # out of the turn that wrote
        self._soon(self._node.fail, error)

    def statistics(self) -> WriterStatistics:
        return self._writer.statistics()

    # --- room ---

    @property
    def is_full(self) -> bool:
        return self._writer.is_waiting_for_space or self._store.is_nearly_full()

    def compact(self, through: Slot) -> None:
        """Slots up to ``through`` may go, but for the tail."""
        self._writer.request_compaction(through)

    async def install_floor(self, through: Slot, membership: Membership) -> None:
        """Drop everything up to ``through`` and remember it as the floor; returns when that is durable.

        The node hears of it by the same road as of what is compacted after it, and so before it.
        """
        is_installed = trio.Event()

        def report() -> None:
            self._node.put(self._node.on_floor_installed, through)
            is_installed.set()

        self._writer.request_floor(through, membership, lambda: self._soon(report))
        await is_installed.wait()

    async def _watch_room_forever(self) -> None:
        """Refuse new commands in time, and say so no longer when there is room again."""
        was_full = False
        while True:
            await trio.sleep(self._options.storage_check_interval_s)
            is_full = self.is_full or self._node.is_state_full()
            if is_full != was_full:
                log.warning("storage_full" if is_full else "storage_has_room")
                self._node.put(self._node.on_storage_full, is_full)
            was_full = is_full
            if is_full:
                self.compact(BEFORE_LOG)  # nothing more may go than before, but what was kept beyond the tail goes now

    # --- reading ---

    def read_for_peer(self, asked: ReadSlots) -> None:
        """Old slots for a peer that is behind; the core asks for one piece a peer at a time."""
        self._slot_reads.append(asked)
        self._has_slot_reads.set()

    async def _read_forever(self) -> None:
        """In a thread: a cold page must not hold up a turn."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await self._has_slot_reads.wait()
            self._has_slot_reads = trio.Event()
            while self._slot_reads:
                asked = self._slot_reads.popleft()
                slots = await trio.to_thread.run_sync(self._read, asked, limiter=limiter)
                self._node.put(self._node.on_slots_read, asked.target, slots)

    def _read(self, asked: ReadSlots) -> list[AcceptedSlot]:
        try:
            return self._store.read(
                asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max
            )
        except Damaged:
            self._soon(self._node.put, self._node.on_slot_damaged, asked.from_slot)
            return []

    def read_here(self, first: Slot, last: Slot, slots_max: int, bytes_max: int = APPLY_BYTES) -> list[AcceptedSlot]:
        """Slots to apply or to show to a client, at once; a damaged one is told to the core and not given."""
        try:
            return self._store.read(first, last, slots_max=slots_max, bytes_max=bytes_max)
        except Damaged as error:
            log.warning("slot_damaged", slot=first, reason=str(error))
            self._node.put(self._node.on_slot_damaged, first)
            return []

    async def _scrub_forever(self) -> None:
        """Read the chosen log back, piece by piece, so that damage is found while the peers still have the slots."""
        limiter = trio.CapacityLimiter(1)
        next_slot = Slot(1)

        def scrub(first: Slot) -> tuple[Slot, list[Slot]]:
            return self._store.scrub(first, slots_max=SCRUB_SLOTS)

        while True:
            await trio.sleep(self._options.scrub_interval_s)
            next_slot, damaged = await trio.to_thread.run_sync(scrub, next_slot, limiter=limiter)
            for slot in damaged:
                log.warning("slot_damaged", slot=slot, reason="found by the scrub")
                self._node.put(self._node.on_slot_damaged, slot)
