"""Keeps the applied state durable and moves it between nodes, beside the node's turns.

It owns the one worker thread that may touch the state store beside the event loop: flushes, the scrub, images for a
peer that is below the floor, and the pieces of an image that is being received. It decides neither when a transfer is
needed (the core does) nor what is applied. A state machine never waits for any of this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

import crc32c
import structlog
import trio

from ..apply.applier import Applier
from ..errors import Damaged, StorageFull
from ..paxos.ballot import NodeId, Slot, node_name
from ..paxos.effects import SendState, StoreStatePiece
from ..paxos.messages import StatePiece
from ..state.contract import StateSnapshot, StateStore
from .settings import NodeOptions

log = structlog.get_logger(__name__)

_T = TypeVar("_T")


class Keeper(Protocol):
    """What the keeper asks of the node, on the event loop's thread."""

    applier: Applier

    def send_piece(self, target: NodeId, piece: StatePiece) -> None: ...

    def on_flush_begun(self) -> None: ...

    def on_flushed(self) -> None: ...

    def on_piece_stored(self, image: bytes, position: int) -> None: ...

    def on_install_skipped(self) -> None: ...

    def set_applying(self, *, is_paused: bool) -> None: ...

    async def adopt_state(self, applied_through: Slot) -> None:
        """A received state is durably in place: begin a new Applier over it and drop the log below it."""


class StateKeeper:
    """Runs as tasks of the node's nursery."""

    def __init__(self, store: StateStore, options: NodeOptions, node: Keeper) -> None:
        self._store = store
        self._options = options
        self._node = node
        self._thread = trio.CapacityLimiter(1)
        self._store_lock = trio.Lock()
        self._image: StateSnapshot | None = None
        self._image_used_at_s = 0.0
        self._asked: deque[SendState] = deque()
        self._pieces: deque[StoreStatePiece] = deque()
        self._has_asked = trio.Event()
        self._has_pieces = trio.Event()
        self._is_flush_unfinished = False
        self._is_flush_due = trio.Event()
        self.is_full = False
        self.flushes = 0
        self.pieces_sent = 0
        self.pieces_stored = 0

    async def run(self) -> None:
        """Flush, send and receive until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush_forever)
                nursery.start_soon(self._send_forever)
                nursery.start_soon(self._store_forever)
                nursery.start_soon(self._scrub_forever)
        finally:
            self._close_image()

    # --- flush ---

    async def _flush_forever(self) -> None:
        while True:
            with trio.move_on_after(self._options.flush_interval_s):
                await self._is_flush_due.wait()
            self._is_flush_due = trio.Event()
            await self.flush()
            if self._image is not None and self._is_image_idle():
                async with self._store_lock:
                    self._close_image()

    def is_behind(self) -> bool:
        """Whether applying must wait for a flush, which then begins as soon as it can.

        It bounds what a restart applies again and what is held in memory: twice this many keys, with those that an
        earlier flush is writing.
        """
        if self._node.applier.unflushed_keys < self._options.unflushed_keys_max:
            return False
        if not self.is_full:
            self._is_flush_due.set()
        return True

    async def flush(self) -> None:
        """Make what has been applied durable.

        Raises ``StorageError`` if that failed; when there is no room it is tried again with the next flush.
        """
        async with self._store_lock:
            await trio.lowlevel.checkpoint_if_cancelled()  # the node may have failed while this waited for the lock
            applier = self._node.applier
            if not self._is_flush_unfinished:
                if applier.applied_through == applier.durable_through or not applier.begin_flush():
                    return
                self._node.on_flush_begun()
            try:
                await self._in_thread(applier.flush)
            except StorageFull as error:
                self._note_full(error)
                self._is_flush_unfinished = True
                return
            self.is_full = self._is_flush_unfinished = False
            applier.end_flush()
            self.flushes += 1
        self._node.on_flushed()

    async def _in_thread(self, call: Callable[..., _T], *arguments: object) -> _T:
        """Beside the event loop; a node that has failed meanwhile does not come back from here."""
        done = await trio.to_thread.run_sync(call, *arguments, limiter=self._thread)
        await trio.lowlevel.checkpoint_if_cancelled()
        return done

    # --- scrub ---

    async def _scrub_forever(self) -> None:
        """Verify every row in turn. Raises ``Damaged``: a damaged state must not be computed with."""
        place = b""
        while True:
            await trio.sleep(self._options.scrub_interval_s)
            async with self._store_lock:
                place, damaged = await self._in_thread(self._store.scrub, place)
            if damaged:
                raise damaged[0]

    # --- an image for a peer ---

    @property
    def is_sending(self) -> bool:
        """Whether a peer may still need the log above an image it is being sent."""
        return self._image is not None

    def send(self, asked: SendState) -> None:
        """A peer wants a piece; each peer asks for one at a time, so what waits here is bounded by their number."""
        self._asked = deque(other for other in self._asked if other.target != asked.target)
        self._asked.append(asked)
        self._has_asked.set()

    async def _send_forever(self) -> None:
        while True:
            await self._has_asked.wait()
            self._has_asked = trio.Event()
            while self._asked:
                await self._send_piece(self._asked.popleft())

    async def _send_piece(self, asked: SendState) -> None:
        async with self._store_lock:
            self._image_used_at_s = trio.current_time()
            position = asked.position
            if (
                self._image is not None
                and not asked.image
                and self._image.applied_through < self._store.durable_through
            ):
                self._close_image()  # who begins may need what is above the open one
            if self._image is None:
                self._image = await self._in_thread(self._store.open_snapshot)
                log.info("state_image_opened", target=node_name(asked.target), slot=self._image.applied_through)
            if self._image.name != asked.image:
                position = 0  # it begins, or its image is gone: one image serves whoever asks while it is open
            image = self._image
            data, is_last = await self._in_thread(image.read, position, self._options.state_piece_bytes)
        self.pieces_sent += 1
        crc = crc32c.crc32c(data)
        self._node.send_piece(asked.target, StatePiece(image.name, image.applied_through, position, crc, is_last, data))

    def _is_image_idle(self) -> bool:
        return trio.current_time() > self._image_used_at_s + self._options.image_idle_max_s

    def _close_image(self) -> None:
        if self._image is not None:
            self._image.close()
            self._image = None

    # --- an image from a peer ---

    def store(self, piece: StoreStatePiece) -> None:
        """The core asks for one piece at a time, so nothing piles up here."""
        self._pieces.append(piece)
        self._has_pieces.set()

    async def _store_forever(self) -> None:
        while True:
            await self._has_pieces.wait()
            self._has_pieces = trio.Event()
            while self._pieces:
                piece = self._pieces.popleft()
                while not await self._has_stored(piece):  # noqa: ASYNC110 - room comes without an event
                    await trio.sleep(self._options.storage_check_interval_s)

    async def _has_stored(self, piece: StoreStatePiece) -> bool:
        """False: there is no room, and nothing was written."""
        try:
            await self._store_piece(piece)
        except StorageFull as error:
            self._note_full(error)
            return False
        self.is_full = False
        return True

    def _note_full(self, error: StorageFull) -> None:
        if not self.is_full:
            log.warning("state_disk_full", reason=str(error))
        self.is_full = True

    async def _store_piece(self, piece: StoreStatePiece) -> None:
        async with self._store_lock:
            if piece.position == 0:
                await self._in_thread(self._store.begin_install, piece.image)
                received = self._store.received_bytes(piece.image)
                if received > len(piece.data) and not piece.is_last:
                    self._node.on_piece_stored(piece.image, received)
                    return
            await self._in_thread(self._store.install_chunk, piece.position, piece.data)
            self.pieces_stored += 1
            if not piece.is_last:
                self._node.on_piece_stored(piece.image, piece.position + len(piece.data))
                return
            if piece.applied_through <= self._node.applier.applied_through:
                self._node.on_install_skipped()
                return
            self._close_image()
            await self._install(piece)

    async def _install(self, piece: StoreStatePiece) -> None:
        """Swap the received state in, then let the log's floor follow; nothing is applied or flushed until both are
        durable, reads go on from the old state (docs/STATE.md, "Installing").

        The slow part is done beside the event loop, the swap on it, so that no query sees two states.
        """
        self._node.set_applying(is_paused=True)
        try:
            await self._in_thread(self._store.prepare_install, piece.applied_through)
            self._store.finish_install(piece.applied_through)
        except Damaged as error:
            log.warning("state_image_damaged", reason=str(error))
            await self._in_thread(self._store.begin_install, piece.image)
            self._node.on_piece_stored(piece.image, 0)
        else:
            self._is_flush_unfinished = False
            await self._node.adopt_state(piece.applied_through)
        finally:
            self._node.set_applying(is_paused=False)
