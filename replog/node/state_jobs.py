"""What is to be done with the state's disk next: flushes, snapshots for peers and from them, the scrub. No I/O.

One job at a time, because all of them are one file's. A job is a value that knows how to ``perform`` itself on a store;
who performs it, in a thread or in simulated time, tells the driver how it ended (``StateJobDone``). A state machine
never waits for any of this.

It decides neither when a transfer is needed (the core does) nor what is applied.

Never: perform a job; begin a flush between a received state and the floor that follows it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Protocol

import attrs
import crc32c

from ..apply.applier import Applier
from ..errors import Damaged, Lacking, StorageFull
from ..paxos.ballot import NodeId, Slot, node_name
from ..paxos.effects import ReceivedChunk, SendChunk
from ..paxos.messages import SnapshotChunk
from ..paxos.outbox import Size
from ..paxos.peers import GUESTS_MAX
from ..paxos.replica import Replica
from ..state.contract import StateSnapshot, StateStore
from .event_log import EventLog
from .settings import NodeOptions


@attrs.frozen
class Flush:
    """Make what was set aside durable."""

    def perform(self, store: StateStore) -> None:
        store.flush()


@attrs.frozen
class Scrub:
    """Verify some rows; returns where the next scrub begins, and what is damaged."""

    place: bytes

    def perform(self, store: StateStore) -> tuple[bytes, list[Damaged]]:
        return store.scrub(self.place)


@attrs.frozen
class OpenSnapshot:
    """For the peer that asked."""

    asked: SendChunk

    def perform(self, store: StateStore) -> StateSnapshot:
        return store.open_snapshot()


@attrs.frozen
class ReadChunk:
    """Bytes of an open snapshot, and whether they are the last."""

    snapshot: StateSnapshot
    target: NodeId
    position: int
    bytes_max: int

    def perform(self, store: StateStore) -> tuple[bytes, bool]:
        return self.snapshot.read(self.position, self.bytes_max)


@attrs.frozen
class BeginInstall:
    """A place for a snapshot; returns how much of it is durably here."""

    chunk: ReceivedChunk

    def perform(self, store: StateStore) -> int:
        store.begin_install(self.chunk.snapshot)
        return store.received_bytes(self.chunk.snapshot)


@attrs.frozen
class StoreChunk:
    chunk: ReceivedChunk

    def perform(self, store: StateStore) -> None:
        store.install_chunk(self.chunk.position, self.chunk.data)


@attrs.frozen
class PrepareInstall:
    """The slow part of an install: check what was received, and make it durable."""

    chunk: ReceivedChunk

    def perform(self, store: StateStore) -> None:
        store.prepare_install(self.chunk.applied_through)


Job = Flush | Scrub | OpenSnapshot | ReadChunk | BeginInstall | StoreChunk | PrepareInstall


class Owner(Protocol):
    """What the jobs lead to; the driver."""

    replica: Replica

    @property
    def applier(self) -> Applier: ...

    def send_chunk(self, target: NodeId, chunk: SnapshotChunk) -> None: ...

    def on_flush_begun(self) -> None: ...

    def on_flushed(self) -> None: ...

    def on_chunk_stored(self, snapshot: bytes, position: int) -> None: ...

    def on_install_skipped(self) -> None: ...

    def on_swapped(self, applied_through: Slot) -> None:
        """A received state is durably in place of the one that was."""


class StateJobs:
    """Which job comes next, and what follows from one that is done."""

    def __init__(self, store: StateStore, options: NodeOptions, owner: Owner, now_s: float, log: EventLog) -> None:
        self._store = store
        self._options = options
        self._owner = owner
        self._log = log
        self._job: Job | None = None
        """Under way."""
        self._next: Job | None = None
        """What has to follow the last one, before anything else."""
        self._snapshot: StateSnapshot | None = None
        self._snapshot_used_at_s = now_s
        self._asked: deque[SendChunk] = deque()
        self._chunks: deque[ReceivedChunk] = deque()
        self._chunk_at_s = now_s
        """When the next chunk may be stored: later than now while there is no room."""
        self._flush_at_s = now_s + options.flush_interval_s
        self._scrub_at_s = now_s + options.scrub_interval_s
        self._scrub_place = b""
        self._is_flush_unfinished = False
        self.is_installing = False
        """From the last chunk of a snapshot until the log's floor has followed; nothing is applied or flushed."""
        self.is_full = False
        self.flushes = 0
        self.chunks_sent = 0
        self.chunks_stored = 0

    # --- what is asked ---

    def send(self, asked: SendChunk) -> None:
        """A peer wants a chunk; each peer asks for one at a time, so what waits here is bounded by their number."""
        self._asked = deque(other for other in self._asked if other.target != asked.target)
        self._asked.append(asked)

    def store(self, chunk: ReceivedChunk) -> None:
        """The core asks for one chunk at a time, so nothing piles up here."""
        self._chunks.append(chunk)

    def sizes(self) -> list[Size]:
        return [
            Size("chunks to store", len(self._chunks), 1),
            Size("peers that wait for a chunk", len(self._asked), self._askers_max),
        ]

    @property
    def _askers_max(self) -> int:
        return len(self._owner.replica.membership.members) + GUESTS_MAX

    def is_behind(self) -> bool:
        """Whether applying must wait for a flush, which then begins as soon as it can.

        It bounds what a restart applies again and what is held in memory: twice this many keys, with those that an
        earlier flush is writing.
        """
        if self._owner.applier.unflushed_keys < self._options.unflushed_keys_max:
            return False
        if not self.is_full:
            self.hurry()
        return True

    def hurry(self) -> None:
        """Flush as soon as the disk is free."""
        self._flush_at_s = 0.0

    @property
    def is_sending(self) -> bool:
        """Whether a peer may still need the log above a snapshot it is being sent."""
        return self._snapshot is not None

    @property
    def is_durable(self) -> bool:
        """Whether everything applied is, and nothing is under way."""
        applier = self._owner.applier
        return self._job is None and not self.is_installing and applier.applied_through == applier.durable_through

    def on_floor_installed(self) -> None:
        self.is_installing = False

    # --- the next one ---

    def next_job(self, now_s: float) -> Job | None:
        """What to perform now; None while one is under way, or when there is nothing to do."""
        if self._job is None:
            if self._next is None:
                self._job = None if self.is_installing else self._chosen(now_s)
            elif now_s >= self._chunk_at_s:
                self._job, self._next = self._next, None
            return self._job
        return None

    def _chosen(self, now_s: float) -> Job | None:
        if now_s >= self._flush_at_s:
            self._close_idle_snapshot(now_s)
            if self._begins_flush():
                return Flush()
            self._flush_at_s = now_s + self._options.flush_interval_s
        if self._chunks and now_s >= self._chunk_at_s:
            chunk = self._chunks[0]
            return BeginInstall(chunk) if chunk.position == 0 else StoreChunk(chunk)
        if self._asked:
            return self._sending(self._asked.popleft(), now_s)
        if now_s >= self._scrub_at_s:
            return Scrub(self._scrub_place)
        return None

    def _begins_flush(self) -> bool:
        if self._is_flush_unfinished:
            return True
        applier = self._owner.applier
        if applier.applied_through == applier.durable_through or not applier.begin_flush():
            return False
        self._owner.on_flush_begun()
        return True

    def _sending(self, asked: SendChunk, now_s: float) -> Job:
        self._snapshot_used_at_s = now_s
        snapshot = self._snapshot
        if snapshot is not None and not asked.snapshot and snapshot.applied_through < self._store.durable_through:
            self._close_snapshot()  # who begins may need what is above the open one
        if self._snapshot is None:
            return OpenSnapshot(asked)
        return self._reading(self._snapshot, asked)

    def _reading(self, snapshot: StateSnapshot, asked: SendChunk) -> Job:
        """One snapshot serves whoever asks while it is open; whose own one is gone begins again."""
        position = asked.position if snapshot.name == asked.snapshot else 0
        return ReadChunk(snapshot, asked.target, position, self._options.state_piece_bytes)

    @property
    def deadline_s(self) -> float:
        """When ``next_job`` may have something that nobody asked for."""
        if self._job is not None:
            return math.inf
        if self._next is not None:
            return self._chunk_at_s
        if self.is_installing:
            return math.inf
        at_s = min(self._flush_at_s, self._scrub_at_s)
        return min(at_s, self._chunk_at_s) if self._chunks else at_s

    # --- one is done ---

    def on_done(self, job: Job, result: Any, error: Exception | None, now_s: float) -> None:
        """Raises ``error``, unless it is one that passes."""
        assert job is self._job or job == self._job, (job, self._job)
        self._job = None
        if isinstance(error, StorageFull):
            self._on_full(job, error, now_s)
            return
        if isinstance(error, Damaged) and isinstance(job, PrepareInstall):
            self._on_damaged_snapshot(job.chunk, error)
            return
        if isinstance(error, Lacking) and not isinstance(job, Flush):
            self._on_lacking(job, error, now_s)
            return
        if error is not None:
            raise error
        match job:
            case Flush():
                self._on_flushed(now_s)
            case Scrub():
                self._on_scrubbed(result, now_s)
            case OpenSnapshot(asked):
                self._on_opened(result, asked)
            case ReadChunk():
                self._on_read(job, *result)
            case BeginInstall(chunk):
                self._on_begun(chunk, result)
            case StoreChunk(chunk):
                self._on_stored(chunk)
            case PrepareInstall(chunk):
                self._swap(chunk)

    def _on_full(self, job: Job, error: StorageFull, now_s: float) -> None:
        """Nothing was written; it is tried again, whatever it was."""
        if not self.is_full:
            self._log.warning("state_disk_full", reason=str(error))
        self.is_full = True
        if isinstance(job, Flush):
            self._is_flush_unfinished = True
            self._flush_at_s = now_s + self._options.flush_interval_s
            return
        self._chunk_at_s = now_s + self._options.storage_check_interval_s
        if isinstance(job, PrepareInstall):
            self._next = job

    def _on_lacking(self, job: Job, error: Lacking, now_s: float) -> None:
        """A descriptor or memory, for the moment: what was asked is done later, or asked again by the peer."""
        self._log.warning("state_job_put_off", job=type(job).__name__, reason=str(error))
        self._chunk_at_s = self._scrub_at_s = now_s + self._options.storage_check_interval_s
        if isinstance(job, PrepareInstall):
            self._next = job

    def _on_flushed(self, now_s: float) -> None:
        self.is_full = self._is_flush_unfinished = False
        self._flush_at_s = now_s + self._options.flush_interval_s
        self._owner.applier.end_flush()
        self.flushes += 1
        self._owner.on_flushed()

    def _on_scrubbed(self, found: tuple[bytes, list[Damaged]], now_s: float) -> None:
        """Raises ``Damaged``: a damaged state must not be computed with."""
        self._scrub_place, damaged = found
        self._scrub_at_s = now_s + self._options.scrub_interval_s
        if damaged:
            raise damaged[0]

    # --- a snapshot for a peer ---

    def _on_opened(self, snapshot: StateSnapshot, asked: SendChunk) -> None:
        self._snapshot = snapshot
        self._log.info("state_image_opened", target=node_name(asked.target), slot=snapshot.applied_through)
        if all(other.target != asked.target for other in self._asked):  # it has not asked again meanwhile
            self._asked.appendleft(asked)

    def _on_read(self, job: ReadChunk, data: bytes, is_last: bool) -> None:
        snapshot = job.snapshot
        self.chunks_sent += 1
        self._owner.send_chunk(
            job.target,
            SnapshotChunk(snapshot.name, snapshot.applied_through, job.position, crc32c.crc32c(data), is_last, data),
        )

    def _close_idle_snapshot(self, now_s: float) -> None:
        if now_s > self._snapshot_used_at_s + self._options.image_idle_max_s and not self._asked:
            self._close_snapshot()

    def _close_snapshot(self) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None

    def close(self) -> None:
        """No job is under way any more, and none will be."""
        self._close_snapshot()

    # --- a snapshot from a peer ---

    def _on_begun(self, chunk: ReceivedChunk, received_bytes: int) -> None:
        if received_bytes > len(chunk.data) and not chunk.is_last:
            self._chunks.popleft()
            self._owner.on_chunk_stored(chunk.snapshot, received_bytes)  # a transfer that was cut goes on
        else:
            self._next = StoreChunk(chunk)

    def _on_stored(self, chunk: ReceivedChunk) -> None:
        self.is_full = False
        self._chunks.popleft()
        self.chunks_stored += 1
        if not chunk.is_last:
            self._owner.on_chunk_stored(chunk.snapshot, chunk.position + len(chunk.data))
        elif chunk.applied_through <= self._owner.applier.applied_through:
            self._owner.on_install_skipped()
        else:
            self._close_snapshot()
            self.is_installing = True
            self._next = PrepareInstall(chunk)

    def _on_damaged_snapshot(self, chunk: ReceivedChunk, error: Damaged) -> None:
        """It is asked for again from its beginning; the store has let go of what it had."""
        self._log.warning("state_image_damaged", reason=str(error))
        self.is_installing = False
        self._owner.on_chunk_stored(chunk.snapshot, 0)

    def _swap(self, chunk: ReceivedChunk) -> None:
        """The received state takes the place of the old one, in one step that no query can see half done."""
        try:
            self._store.finish_install(chunk.applied_through)
        except Damaged as error:
            self._on_damaged_snapshot(chunk, error)
            return
        self.is_full = self._is_flush_unfinished = False
        self._owner.on_swapped(chunk.applied_through)
