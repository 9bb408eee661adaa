"""Receives a snapshot of the state into an environment of its own, which nobody reads before it is whole.

Frames are checked as they arrive and written in transactions of bounded size. Each transaction also writes how far the
stream is durable and the digest to go on with, so that after a crash a transfer resumes there. What is here is thrown
away only when it is damaged, when another snapshot begins, or when the live state is as new.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from ..disk.durable_files import sync_folder
from ..disk.environment import DATA_FILE
from ..disk.page_cache import ROOT_FOLIOS_BYTES, settle
from ..errors import Damaged, StorageError
from ..paxos.ballot import BEFORE_LOG, Slot
from .environment import StateEnvironment, checked_bytes, encode_checked, put_position, remove_folder
from .rows import first_damaged
from .snapshot import STREAM_VERSION, Begin, Body, End, Rows, decode_frame

COMMIT_BYTES: Final = 4 * 2**20
"""Rows are written when this much of them has arrived: the memory a transfer takes, and what a crash repeats."""
_RECEIVING_KEY: Final = b"receiving"


class _Receiving(msgspec.Struct, array_like=True):
    """How far the stream is durable.

    Parameters
    ----------
    received_bytes: position of the first frame that is not in this transaction.
    digest: of the frame before it.
    applied_through: what the begin frame says; BEFORE_LOG until it has arrived.
    counts: rows of each tree.
    is_whole: the end frame has arrived.
    """

    name: bytes
    received_bytes: int
    digest: bytes
    applied_through: Slot = BEFORE_LOG
    counts: tuple[int, int] = (0, 0)
    is_whole: bool = False


_decoder = msgspec.msgpack.Decoder(_Receiving)


class _OutOfOrder(Exception):
    """Rows that do not ascend; the transaction is aborted."""


class ReceivedSnapshot:
    """One snapshot being received; belongs to the thread that installs."""

    def __init__(self, environment: StateEnvironment, receiving: _Receiving) -> None:
        self._environment = environment
        self._receiving = receiving
        self._pending: list[Rows] = []
        self._pending_bytes = 0
        self._buffer = bytearray()
        self._damage = ""
        self._is_finished = False
        self._is_open = True
        self.durable_bytes = receiving.received_bytes

    # --- beginning ---

    @classmethod
    def begin(cls, path: Path, name: bytes, *, step_bytes: int) -> ReceivedSnapshot:
        """Go on with what is in the folder ``path``, if it is of the snapshot ``name``, or begin anew."""
        received = cls._resume(path, step_bytes)
        if received is not None:
            if received.name == name:
                return received
            received.close()
        remove_folder(path)
        path.mkdir(mode=0o700)
        environment = StateEnvironment.create(path, step_bytes)
        sync_folder(path.parent)
        return cls(environment, _Receiving(name, 0, name))

    @classmethod
    def clean(cls, path: Path, applied_through: Slot, step_bytes: int) -> None:
        """Remove what can't be resumed, or is no newer than the live state, which stands at ``applied_through``.

        The rest is settled, since a transfer goes on from what is durable. Raises ``StorageError``.
        """
        settle(path / DATA_FILE, let_go_bytes=ROOT_FOLIOS_BYTES)
        received = cls._resume(path, step_bytes)
        if received is not None:
            received.close()
            if received._receiving.applied_through > applied_through:
                return
        remove_folder(path)

    @classmethod
    def _resume(cls, path: Path, step_bytes: int) -> ReceivedSnapshot | None:
        """What a transfer that was cut short left behind; None if there is nothing, or nothing of use."""
        if not (path / DATA_FILE).exists():
            return None
        try:
            environment = StateEnvironment(path, step_bytes)
        except StorageError:
            return None
        with contextlib.suppress(Damaged, msgspec.DecodeError, lmdb.Error):
            stored = environment.record(_RECEIVING_KEY)
            if stored is not None:
                return cls(environment, _decoder.decode(checked_bytes(stored, "receiving")))
        environment.close()
        return None

    @property
    def name(self) -> bytes:
        """Which snapshot it is."""
        return self._receiving.name

    @property
    def data_path(self) -> Path:
        """The file that becomes the state."""
        return self._environment.data_path

    # --- chunks ---

    def add(self, position: int, data: bytes) -> None:
        """Take the bytes from ``position`` on; what is here already is passed over.

        Raises
        ------
        StorageFull: there is no space; nothing is lost, and the same chunk may be given again.
        lmdb.Error, OSError: the disk failed.
        """
        have = self._receiving.received_bytes + len(self._buffer)
        if position <= have and not self._is_finished and not self._damage:
            self._buffer += memoryview(data)[have - position :]
            try:
                self._take_frames()
            except Damaged as error:
                self._damage = str(error)
        if self._pending_bytes >= COMMIT_BYTES:
            self._commit()

    def _take_frames(self) -> None:
        """Check and take every frame that is complete; the commit comes between frames, never inside one."""
        used = 0
        try:
            while (frame := decode_frame(self._buffer, used, self._receiving.digest)) is not None:
                body, size, digest = frame
                self._take(body, size)
                used += size
                self._receiving.received_bytes += size
                self._receiving.digest = digest
        finally:
            del self._buffer[:used]

    def _take(self, body: Body, size: int) -> None:
        receiving = self._receiving
        if receiving.is_whole or isinstance(body, Begin) != (receiving.received_bytes == 0):
            raise Damaged("the received state has frames in the wrong order")
        match body:
            case Begin(version, name, applied_through):
                if version != STREAM_VERSION or name != receiving.name:
                    raise Damaged(f"the received state is of version {version}, or of another snapshot")
                receiving.applied_through = applied_through
            case Rows(tree, pairs):
                first, second = receiving.counts
                receiving.counts = (first + len(pairs), second) if tree == 0 else (first, second + len(pairs))
                if tree not in (0, 1) or not pairs or (tree == 0 and second):
                    raise Damaged("the received state has rows of an unknown tree")
                if first_damaged(tree, pairs) is not None:
                    raise Damaged("the received state has a row that fails its checksum")
                self._pending.append(body)
                self._pending_bytes += size
            case End(counts):
                if counts != receiving.counts:
                    raise Damaged(f"the received state has {receiving.counts} rows and says {counts}")
                receiving.is_whole = True

    def _commit(self, *, finish_at: Slot | None = None) -> None:
        """Make everything taken durable in one transaction; with ``finish_at`` it becomes a state of its own."""
        if self._damage:
            return
        environment, receiving = self._environment, self._receiving
        trees = environment.trees
        store = environment.position.store

        def write(transaction: lmdb.Transaction) -> None:
            for rows in self._pending:
                added = transaction.cursor(trees[rows.tree]).putmulti(rows.pairs, append=True)
                if added != (len(rows.pairs), len(rows.pairs)):
                    raise _OutOfOrder
            if finish_at is None:
                transaction.put(_RECEIVING_KEY, encode_checked(receiving))
            else:
                transaction.delete(_RECEIVING_KEY)
            stands_at = BEFORE_LOG if finish_at is None else finish_at
            put_position(transaction, store, stands_at, stands_at)

        try:
            environment.transact(2 * self._pending_bytes, write)
        except (_OutOfOrder, lmdb.BadValsizeError):
            self._damage = "the received state has keys that do not ascend, or of an impossible length"
            return
        self._pending.clear()
        self._pending_bytes = 0
        self.durable_bytes = receiving.received_bytes

    # --- end ---

    def finish(self, applied_through: Slot) -> None:
        """Make it a whole state standing at ``applied_through``, durable and closed; once more is no harm.

        Raises
        ------
        Damaged: it is not whole or not of that slot.
        StorageFull, lmdb.Error, OSError: see ``add``.
        """
        if self._is_finished:
            return
        if self._is_open:
            self._commit_whole(applied_through)
            self.close()
        sync_folder(self._environment.path)
        self._is_finished = True

    def _commit_whole(self, applied_through: Slot) -> None:
        receiving = self._receiving
        if not self._damage and not (receiving.is_whole and not self._buffer):
            self._damage = f"the received state ends after {receiving.received_bytes} bytes, before it is whole"
        if not self._damage and receiving.applied_through != applied_through:
            self._damage = f"the received state stands at slot {receiving.applied_through}, not {applied_through}"
        self._commit(finish_at=applied_through)
        if self._damage:
            raise Damaged(f"{self._damage}; it is fetched again from the beginning")

    def close(self) -> None:
        """Release the file; what is durable stays for a transfer that resumes."""
        if self._is_open:
            self._is_open = False
            self._environment.close()
