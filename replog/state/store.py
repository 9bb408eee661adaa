"""The durable state in LMDB: what is applied goes to memory at once and to the file with the next flush.

It protects one rule: after any crash the state machine's data, the Applier's records and ``applied_through`` stand
together at one past flush (P7), because a flush is one synchronous transaction. It decides neither when to flush nor
what a key means.

Two generations of changes lie over the file. ``begin_flush`` sets the newer one aside, ``flush`` writes it from another
thread, ``end_flush`` lets go of it; reads look through both and then into the file, so they never wait for the disk,
and a key that changes a thousand times between flushes is written once.

After one failed flush nothing is written any more: its outcome is unknown, and the kernel has dropped the pages it
could not write, so a second attempt would succeed and prove nothing. A full disk is found before anything is written,
and may be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from ..disk.durable_files import sync_folder
from ..disk.environment import DATA_FILE
from ..disk.page_cache import ROOT_FOLIOS_BYTES, settle
from ..errors import Damaged, ReplogError, StorageError, StorageFull
from ..paxos.ballot import Slot
from ..process.resources import lacking
from .changes import write_changes
from .environment import FRESH_FOLDER, INCOMING_FOLDER, StateEnvironment, remove_folder
from .overlay import Generation, Row, lay_over, scan_by_windows
from .receiving import ReceivedSnapshot
from .rows import DATA, RECORDS
from .snapshot import LmdbStateSnapshot

_MIB: Final = 2**20
_SNAPSHOT_HEADROOM_BYTES: Final = 4 * 1024 * _MIB


class LmdbStateStore:
    """Satisfies ``contract.StateStore``; made by ``open``.

    Reads, changes, ``begin_flush`` and ``end_flush`` belong to the owner's thread. ``flush``, snapshots and installing
    belong to one other thread at a time.
    """

    write: Callable[[Mapping[bytes, bytes | None]], None]
    """See ``contract.StateStore``; the dictionary's own ``update``, since every command calls it. A longer key would
    fail the flush."""

    def __init__(self, environment: StateEnvironment, step_bytes: int) -> None:
        self._environment = environment
        self._step_bytes = step_bytes
        self._durable_through = environment.position.applied_through
        self._forget_changes()
        self._is_flushed = False
        self._received: ReceivedSnapshot | None = None
        self._snapshots: set[LmdbStateSnapshot] = set()
        self._failure = ""

    @classmethod
    def open(cls, path: Path, *, map_step_bytes: int = 64 * _MIB) -> LmdbStateStore:
        """Open the state in the folder ``path``, or make an empty one standing before the log.

        An empty state is nothing lost: the log fills it from its first slot, or the other nodes do from a snapshot.

        Parameters
        ----------
        map_step_bytes: how much the map grows at a time.

        Raises
        ------
        Damaged: the file is truncated or damaged in its structure; the message names it and the next step.
        StorageError: it can't be opened, read, made, or made durable.
        """
        return cls(_open_environment(path, map_step_bytes), map_step_bytes)

    def _forget_changes(self) -> None:
        """Begin two generations anew."""
        self._data_flushing = Generation()
        self._begin_data()
        self._records, self._records_flushing = Generation(), Generation()
        self._flushing_through: Slot | None = None

    def _begin_data(self) -> None:
        """What is written from here on is another generation's."""
        self._data = Generation()
        self.write = self._data.pairs.update

    # --- the state machine's map ---

    def get(self, key: bytes) -> bytes | None:
        """See ``contract.StateStore``. Raises ``StorageError``, and ``Damaged`` if the row fails its checksum."""
        pairs = self._data.pairs
        if key in pairs:
            return pairs[key]
        pairs = self._data_flushing.pairs
        if key in pairs:
            return pairs[key]
        return self._environment.get(DATA, key)

    def scan(self, start: bytes, stop: bytes | None, *, is_reverse: bool = False) -> Iterator[Row]:
        """See ``contract.StateStore``. Reads window by window, so an iterator left open holds nothing."""
        return self._scan(DATA, start, stop, is_reverse)

    # --- the Applier's records ---

    def get_record(self, key: bytes) -> bytes | None:
        """See ``contract.StateStore``."""
        for pairs in (self._records.pairs, self._records_flushing.pairs):
            if key in pairs:
                return pairs[key]
        return self._environment.get(RECORDS, key)

    def put_record(self, key: bytes, value: bytes | None) -> None:
        """See ``contract.StateStore``."""
        self._records.pairs[key] = value

    def scan_records(self, prefix: bytes) -> Iterator[Row]:
        """See ``contract.StateStore``."""
        for key, value in self._scan(RECORDS, prefix, None, is_reverse=False):
            if not key.startswith(prefix):
                return
            yield key, value

    def _scan(self, tree: int, start: bytes, stop: bytes | None, is_reverse: bool) -> Iterator[Row]:
        """A flush may commit between a window's two looks; its generation still lies over the file then and says the
        same."""

        def window(start: bytes, stop: bytes | None, count: int) -> tuple[list[Row], bytes | None]:
            rows, is_more = self._environment.rows(tree, start, stop, count_max=count, is_reverse=is_reverse)
            bound = rows[-1][0] if is_more else None
            generations = (self._data_flushing, self._data) if tree == DATA else (self._records_flushing, self._records)
            return lay_over(rows, bound, generations, start, stop, count_max=count, is_reverse=is_reverse)

        return scan_by_windows(window, start, stop, is_reverse=is_reverse)

    # --- flush ---

    @property
    def durable_through(self) -> Slot:
        """See ``contract.StateStore``."""
        return self._durable_through

    @property
    def unflushed_keys(self) -> int:
        """See ``contract.StateStore``."""
        return len(self._data.pairs) + len(self._records.pairs)

    def begin_flush(self, applied_through: Slot) -> bool:
        """See ``contract.StateStore``."""
        if self._flushing_through is not None:
            return False
        self._data_flushing = self._data
        self._begin_data()
        self._records_flushing, self._records = self._records, Generation()
        self._is_flushed = False
        self._flushing_through = applied_through
        return True

    def flush(self) -> None:
        """See ``contract.StateStore``.

        Raises
        ------
        StorageFull: there is no space; nothing was written, and ``flush`` may be called again.
        StorageError: the outcome is unknown; nothing is written any more.
        """
        self._refuse_after_failure()
        through = self._flushing_through
        if through is None or self._is_flushed:
            return
        try:
            write_changes(self._environment, (self._data_flushing.pairs, self._records_flushing.pairs), through)
        except StorageFull:
            raise
        except BaseException as error:
            raise self._fail(error) from error
        self._durable_through = through
        self._is_flushed = True

    def end_flush(self) -> None:
        """See ``contract.StateStore``."""
        assert self._is_flushed or self._flushing_through is None, "a generation is let go before it is durable"
        self._data_flushing, self._records_flushing = Generation(), Generation()
        self._flushing_through = None

    def _refuse_after_failure(self) -> None:
        if self._failure:
            raise StorageError(self._failure)

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """What LMDB or the disk raises inside is of unknown outcome: the store fails for ever. But for a lack, which
        passes: what is received is not the state yet, and the same may be tried again."""
        self._refuse_after_failure()
        try:
            yield
        except (lmdb.Error, OSError) as error:
            lack = lacking(f"{self._environment.path / INCOMING_FOLDER}: a state can't be received", error)
            raise lack or self._fail(error) from error

    def _fail(self, error: BaseException) -> ReplogError:
        """The first failure is the last thing this store writes."""
        data_path = self._environment.data_path
        lack = lacking(f"{data_path}: a write failed, and whether it is durable is unknown", error)
        if lack is not None:
            self._failure = self._failure or str(lack)
            return lack
        self._failure = self._failure or (
            f"{data_path}: a write failed ({error}); whether it is durable is unknown, so this "
            "process must end. Check the disk (dmesg, free space), then start the node again: it goes on from what is "
            "durable."
        )
        return StorageError(self._failure)

    # --- scrub ---

    def scrub(self, start: bytes) -> tuple[bytes, list[Damaged]]:
        """See ``contract.StateStore``: first all of the data, then the records. Raises ``StorageError``."""
        tree, key = (start[0], start[1:]) if start else (DATA, b"")
        try:
            next_key, keys = self._environment.scrub(tree, key)
        except Damaged as error:
            return b"", [error]
        damaged = [self._environment.damaged_row(tree, key) for key in keys]
        if next_key is None:
            return (bytes((RECORDS,)) if tree == DATA else b""), damaged
        return bytes((tree,)) + next_key, damaged

    # --- snapshots ---

    def open_snapshot(self) -> LmdbStateSnapshot:
        """See ``contract.StateStore``. It holds pages of the file until it is closed, so it must not stay open long.

        Raises ``StorageError``.
        """
        self._refuse_after_failure()
        try:
            snapshot = LmdbStateSnapshot(self._environment, _SNAPSHOT_HEADROOM_BYTES, self._snapshots.discard)
        except (lmdb.Error, OSError) as error:
            raise self._environment.unreadable(error) from error
        self._snapshots.add(snapshot)
        return snapshot

    # --- installing ---

    def begin_install(self, name: bytes) -> None:
        """See ``contract.StateStore``. Raises ``StorageError``."""
        with self._receiving():
            self._close_received()
            self._received = ReceivedSnapshot.begin(
                self._environment.path / INCOMING_FOLDER, name, step_bytes=self._step_bytes
            )

    def received_bytes(self, name: bytes) -> int:
        """See ``contract.StateStore``."""
        received = self._received
        return received.durable_bytes if received is not None and received.name == name else 0

    def install_chunk(self, position: int, data: bytes) -> None:
        """See ``contract.StateStore``. What is here already is passed over; what leaves a gap is not kept.

        Raises
        ------
        StorageFull: there is no space; the same chunk may be given again later.
        StorageError: the outcome is unknown; nothing is written any more.
        """
        with self._receiving():
            if self._received is not None:
                self._received.add(position, data)

    @property
    def installed_through(self) -> Slot:
        """See ``contract.StateStore``."""
        return self._environment.position.installed_through

    def prepare_install(self, applied_through: Slot) -> None:
        """The slow part of ``finish_install``: check the snapshot and make all of it durable, beside reads.

        Raises
        ------
        Damaged: it is not whole, or not of that slot; what was received is dropped.
        StorageFull: there is no space; it may be tried again later.
        StorageError: the outcome is unknown; nothing is written any more.
        """
        with self._receiving():
            if self._received is None:
                raise Damaged("no snapshot was being received; the transfer begins again")
            try:
                self._received.finish(applied_through)
            except Damaged:
                self._drop_received()
                raise

    def finish_install(self, applied_through: Slot) -> None:
        """See ``contract.StateStore``. Changes that were not flushed are forgotten, open snapshots end.

        A reader on the owner's thread sees the old state or the new one with each single call. Where several calls
        must agree, call ``prepare_install`` beside the reads and then this on the owner's thread.

        Raises the errors of ``prepare_install``.
        """
        self.prepare_install(applied_through)
        assert self._received is not None
        for snapshot in list(self._snapshots):
            snapshot.close()
        try:
            self._environment.replace(self._received.data_path, self._forget_changes)
        except BaseException as error:
            raise self._fail(error) from error
        self._durable_through = self._environment.position.applied_through
        self._drop_received()

    def _drop_received(self) -> None:
        self._close_received()
        try:
            remove_folder(self._environment.path / INCOMING_FOLDER)
        except OSError as error:
            raise self._fail(error) from error

    def _close_received(self) -> None:
        if self._received is not None:
            self._received.close()
            self._received = None

    # --- space, and the end ---

    @property
    def file_bytes(self) -> int:
        """See ``contract.StateStore``."""
        return self._environment.file_bytes

    def close(self) -> None:
        """See ``contract.StateStore``. No other thread may be inside a call."""
        for snapshot in list(self._snapshots):
            snapshot.close()
        self._close_received()
        self._environment.close()


def _open_environment(path: Path, step_bytes: int) -> StateEnvironment:
    """Settle what an earlier process left behind in the folder ``path``, and open what is there. See ``open``."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_folder(path / FRESH_FOLDER)
        if not (path / DATA_FILE).exists():
            _make_empty(path, step_bytes)
        settle(path / DATA_FILE, let_go_bytes=ROOT_FOLIOS_BYTES)
        environment = StateEnvironment(path, step_bytes)
        ReceivedSnapshot.clean(path / INCOMING_FOLDER, environment.position.applied_through, step_bytes)
    except (OSError, lmdb.Error) as error:
        raise lacking(f"{path} can't be opened", error) or StorageError(
            f"{path} can't be opened: {error}; check its owner, its permissions and the disk."
        ) from error
    return environment


def _make_empty(path: Path, step_bytes: int) -> None:
    """An empty state, complete from the moment its file has its name."""
    fresh = path / FRESH_FOLDER
    fresh.mkdir(mode=0o700)
    StateEnvironment.create(fresh, step_bytes).close()
    (fresh / DATA_FILE).rename(path / DATA_FILE)
    remove_folder(fresh)
    sync_folder(path)
    sync_folder(path.parent)
