"""The log's threads: writes, reads for peers, the scrub and the watch of its space, beside the node's turns.

It brings what they say onto the event loop, as events. It decides nothing: which slots may go, and what a damaged one
means, the core says.

Never: hold a message back or send one; touch the replica.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from ..errors import Damaged
from ..log.contract import LogStore
from ..log.writer import LogWriter, WriterStatistics
from ..paxos.ballot import BEFORE_LOG, Slot, node_name
from ..paxos.effects import LogWrite, ReadSlots
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot
from .events import Compacted, Event, FloorInstalled, LogFull, SlotDamaged, SlotsRead, Written
from .settings import NodeOptions
from .threads import in_thread

log = structlog.get_logger(__name__)

SCRUB_SLOTS = 64
"""Verified at a time: the interpreter is held for well under a millisecond."""


class Turns(Protocol):
    """The node, on the event loop's thread."""

    def put(self, event: Event) -> None:
        """For its next turn."""

    def put_at_once(self, event: Event) -> None:
        """For a turn that is taken now."""

    def fail(self, error: BaseException) -> None: ...

    def is_full(self) -> bool:
        """As far as the node knows from elsewhere."""


class LogPort:
    """Runs as tasks of the node's nursery, and as the writer's thread; satisfies ``driver.LogPort``.

    Parameters
    ----------
    is_threaded: False writes on the event loop, for a log that is memory.
    """

    def __init__(self, store: LogStore, options: NodeOptions, node: Turns, *, is_threaded: bool) -> None:
        self._store = store
        self._log = log.bind(node=node_name(store.identity.node))
        self._options = options
        self._node = node
        self._is_threaded = is_threaded
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_closed = False
        self._is_forked_off = False
        self._failure_at_end: BaseException | None = None
        self._writer = LogWriter(
            store,
            on_durable=self._durable_in_thread if is_threaded else self._durable_here,
            on_failure=self._failed,
            on_compacted=lambda through: self._soon(Compacted(through)),
            is_threaded=is_threaded,
            retained_slots=options.log_tail_slots,
            retained_bytes=options.log_tail_bytes,
        )
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

    def on_forked(self) -> None:
        """This is a child: the log is the parent's, and nothing is written."""
        self._is_forked_off = True

    def close(self) -> None:
        """Finish what was submitted, and bring it to the log; what it leads to is not done any more."""
        self._is_closed = True
        self._writer.close()
        if self._failure_at_end is not None:
            self._node.fail(self._failure_at_end)

    async def run(self) -> None:
        """Read, scrub and watch until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_forever)
            nursery.start_soon(self._scrub_forever)
            nursery.start_soon(self._watch_space_forever)

    def _on_loop(self, act: Callable[[Event], None], event: Event) -> None:
        assert self._token is not None, "start() comes before anything else"
        self._token.run_sync_soon(act, event)

    def _soon(self, event: Event) -> None:
        """From any thread: for the node's next turn."""
        self._on_loop(self._node.put, event)

    # --- writing ---

    def write(self, ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        """See ``driver.LogPort``. With ``may_wait`` a fast disk's write need not change threads.

        Raises ``StorageError`` if a write made at once failed.
        """
        if self._is_forked_off:
            return False
        if may_wait and self._writer.write_here(write, is_fast_below_s=self._options.wait_for_commit_s_max):
            return True
        self._writer.submit(ticket, write)
        return False

    def _durable_here(self, ticket: int) -> None:
        self._node.put(Written(ticket))

    def _durable_in_thread(self, ticket: int) -> None:
        self._on_loop(self._on_durable, Written(ticket))

    def _on_durable(self, written: Event) -> None:
        """The turn that lets out what rests on the write needs no task switch."""
        if not self._is_closed:
            self._node.put_at_once(written)

    def _failed(self, error: BaseException) -> None:
        if not self._is_threaded:
            raise error  # out of the turn that wrote
        assert self._token is not None
        self._failure_at_end = error
        if not self._is_closed:
            self._token.run_sync_soon(self._node.fail, error)

    def statistics(self) -> WriterStatistics:
        return self._writer.statistics()

    # --- space ---

    @property
    def is_full(self) -> bool:
        return self._writer.is_waiting_for_space or self._store.is_nearly_full()

    def compact(self, through: Slot) -> None:
        """See ``driver.LogPort``."""
        self._writer.request_compaction(through)

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """See ``driver.LogPort``. The node hears of it by the same road as of what is compacted after it."""
        self._writer.request_floor(through, membership, lambda: self._soon(FloorInstalled(through)))

    async def _watch_space_forever(self) -> None:
        """Have new commands refused in time, and no longer when there is space again."""
        was_full = False
        while True:
            await trio.sleep(self._options.storage_check_interval_s)
            is_full = self.is_full
            if is_full != was_full:
                self._node.put(LogFull(is_full))
            was_full = is_full
            if is_full or self._node.is_full():
                self.compact(BEFORE_LOG)  # nothing more may go than before, but what was retained goes

    # --- reading ---

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """See ``driver.LogPort``."""
        return self._store.read(first, last, slots_max=slots_max, bytes_max=bytes_max)

    def read_for_peer(self, asked: ReadSlots) -> None:
        """See ``driver.LogPort``; the core asks for one piece a peer at a time."""
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
                slots = await in_thread(self._read, asked, limiter=limiter)
                self._node.put(SlotsRead(asked.target, slots))

    def _read(self, asked: ReadSlots) -> list[AcceptedSlot]:
        try:
            return self._store.read(
                asked.from_slot, asked.through, slots_max=asked.slots_max, bytes_max=asked.bytes_max
            )
        except Damaged as error:
            self._log.warning("slot_damaged", slot=asked.from_slot, reason=str(error))
            self._soon(SlotDamaged(asked.from_slot))
            return []

    async def _scrub_forever(self) -> None:
        """Read the chosen log back, piece by piece, so that damage is found while the peers still have the slots."""
        limiter = trio.CapacityLimiter(1)
        next_slot = Slot(1)

        def scrub(first: Slot) -> tuple[Slot, list[Slot]]:
            return self._store.scrub(first, slots_max=SCRUB_SLOTS)

        while True:
            await trio.sleep(self._options.scrub_interval_s)
            next_slot, damaged = await in_thread(scrub, next_slot, limiter=limiter)
            for slot in damaged:
                self._log.warning("slot_damaged", slot=slot, reason="found by the scrub")
                self._node.put(SlotDamaged(slot))
