"""The state's LMDB environment: how it is made, checked, read, written, and exchanged for another one.

```
state/
  data.mdb     the state; there is one if and only if it is whole
  lock.mdb     LMDB's table of readers; rebuilt whenever the environment is opened
  incoming/    an environment that is being received; becomes data.mdb by one rename
  fresh/       an empty environment that is being made; becomes data.mdb by one rename
```

It owns which thread may do what: reads are short transactions of the owner's thread, writes belong to one other thread
at a time, and ``_lock`` keeps both away from the moments in which the map moves. It knows nothing of overlays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import struct
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

import lmdb
import msgspec
from crc32c import crc32c

from ..disk.durable_files import sync_folder
from ..disk.environment import DATA_FILE, begin_reading, finish_commit, open_environment
from ..disk.pages import Layout, check_roots, records_from
from ..errors import Damaged, ReplogError, StorageError
from ..paxos.ballot import BEFORE_LOG, Slot
from ..process.resources import lacking
from .overlay import Row
from .rows import SEEDS, SOUND, SUM_BYTES, TREE_NAMES, is_sound, open_rows
from .space import StateSpace

LMDB_LOCK_FILE: Final = "lock.mdb"
INCOMING_FOLDER: Final = "incoming"
FRESH_FOLDER: Final = "fresh"
POSITION_KEY: Final = b"position"
FORMAT: Final = 3

SCRUB_ROWS: Final = 1024
"""Rows verified at a time: a few milliseconds of the worker's thread."""
SCRUB_BYTES: Final = 2**20

_SHOWN_KEY_BYTES: Final = 80
_CHECKSUM = struct.Struct("<I")


class UnknownFormat(StorageError):
    """It was written by another version of this program."""


class Position(msgspec.Struct, array_like=True, frozen=True):
    """Where the state stands; part of every transaction.

    Parameters
    ----------
    store: 16 random bytes, made with the environment.
    transaction: number of the transaction that wrote it, so that an old tree is not taken for the newest.
    installed_through: where the state stood when it was received from another node; BEFORE_LOG if it never was.
    """

    format: int
    store: bytes
    applied_through: Slot
    transaction: int
    installed_through: Slot = BEFORE_LOG


def rebuild(path: Path) -> str:
    """The next step of whoever finds the state in the folder ``path`` damaged."""
    return (
        f"Stop this node, remove {path} and nothing else (never the log beside it), and start it again: it fills its "
        "state from its log, or fetches it from the other nodes"
    )


def unknown_format(path: Path, error: UnknownFormat) -> StorageError:
    """What to say of a state in the folder ``path`` that another version of this program wrote."""
    return StorageError(
        f"{path / DATA_FILE}: {error}; nothing was changed. Use the release that wrote it, or have it made again: "
        f"{rebuild(path)}."
    )


_position_decoder = msgspec.msgpack.Decoder(Position)


def encode_checked(record: msgspec.Struct) -> bytes:
    """A small record behind its checksum."""
    data = msgspec.msgpack.encode(record)
    return _CHECKSUM.pack(crc32c(data)) + data


def checked_bytes(stored: bytes, name: str) -> bytes:
    """What ``encode_checked`` encoded. Raises ``Damaged``."""
    data = stored[_CHECKSUM.size :]
    if len(stored) < _CHECKSUM.size or _CHECKSUM.unpack_from(stored)[0] != crc32c(data):
        raise Damaged(f"its {name} record fails its checksum")
    return data


def decode_position(stored: bytes | None) -> Position:
    """Raises ``Damaged`` or ``UnknownFormat``."""
    if stored is None:
        raise Damaged("it has no position record")
    try:
        position = _position_decoder.decode(checked_bytes(stored, "position"))
    except msgspec.DecodeError as error:
        raise Damaged(f"its position record is no such record: {error}") from error
    if position.format != FORMAT:
        raise UnknownFormat(f"it has format {position.format} and this program reads format {FORMAT} only")
    return position


STATE_LAYOUT: Final = Layout(
    trees=TREE_NAMES,
    position_key=POSITION_KEY,
    transaction_of=lambda data: decode_position(data).transaction,
    key_bytes=None,
    is_older_ours=True,
)


class StateEnvironment:
    """One open environment with its two trees.

    ``get`` and ``rows`` belong to the owner's thread; ``transact`` and ``replace`` to one other thread at a time.
    """

    def __init__(self, path: Path, step_bytes: int) -> None:
        self.path = path
        self.data_path = path / DATA_FILE
        self._step_bytes = step_bytes
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._snapshots: set[object] = set()
        self._open()

    @classmethod
    def create(cls, path: Path, step_bytes: int) -> StateEnvironment:
        """An environment standing before the log, in the empty folder ``path``."""
        with open_environment(path, step_bytes) as env:
            store = secrets.token_bytes(16)
            for _root_page in range(2):  # so that both of them name a tree of ours
                with env.begin(write=True) as transaction:
                    for name in TREE_NAMES:
                        env.open_db(name, txn=transaction)
                    put_position(transaction, store, BEFORE_LOG)
        return cls(path, step_bytes)

    def _open(self) -> None:
        """Check the file and open it. Raises ``Damaged`` or ``StorageError``, naming the file and the next step."""
        try:
            size = check_roots_of(self.data_path)
            self._env = open_environment(self.path, (size // self._step_bytes + 2) * self._step_bytes)
        except (lmdb.Error, OSError) as error:
            lack = lacking(f"{self.data_path} can't be opened", error)
            raise lack or StorageError(f"{self.data_path} can't be opened: {error}. {rebuild(self.path)}.") from error
        except Damaged as error:
            raise self.damaged(error) from error
        except UnknownFormat as error:
            raise self._unknown(error) from error
        try:
            self._env.reader_check()
            self.trees = [self._env.open_db(name, create=False) for name in TREE_NAMES]
            self.position = self._read_position()
            self._space = StateSpace(self._env, self.trees, self.data_path, self._step_bytes, self._lock)
        except (lmdb.Error, OSError, Damaged) as error:
            self._env.close()
            raise lacking(f"{self.data_path} can't be opened", error) or self.damaged(error) from error
        except UnknownFormat as error:
            self._env.close()
            raise self._unknown(error) from error

    def _read_position(self) -> Position:
        with begin_reading(self._env) as transaction:
            position = decode_position(transaction.get(POSITION_KEY))
            if position.transaction != transaction.id():
                raise Damaged(
                    f"its root page says transaction {transaction.id()} and its tree says {position.transaction}"
                )
        return position

    # --- reading, on the owner's thread ---

    def get(self, tree: int, key: bytes) -> bytes | None:
        """The stored value of ``key``, or None."""
        try:
            with self._lock, self._env.begin(self.trees[tree]) as transaction:
                stored: bytes | None = transaction.get(key)
        except lmdb.BadValsizeError:
            return None  # the empty key, which nobody can have put
        except lmdb.ReadersFullError:
            with self._lock, begin_reading(self._env, self.trees[tree]) as transaction:
                stored = transaction.get(key)
        except lmdb.Error as error:
            raise self.unreadable(error) from error
        if stored is None:
            return None
        if crc32c(key + stored, SEEDS[tree][len(key)]) != SOUND:
            raise self.damaged_row(tree, key)
        return stored[:-SUM_BYTES]

    def rows(
        self, tree: int, start: bytes, stop: bytes | None, *, count_max: int, is_reverse: bool
    ) -> tuple[list[Row], bool]:
        """The first ``count_max`` rows of the range, in the order asked for, and whether there may be more."""
        try:
            with self._lock, begin_reading(self._env, self.trees[tree]) as transaction:
                cursor = transaction.cursor()
                if is_reverse:
                    rows = _rows_down(cursor, start, stop, count_max)
                else:
                    rows = _rows_up(cursor, start, stop, count_max)
        except lmdb.Error as error:
            raise self.unreadable(error) from error
        opened, damaged = open_rows(tree, rows)
        if damaged is not None:
            raise self.damaged_row(tree, damaged)
        return opened, len(opened) == count_max

    def record(self, key: bytes) -> bytes | None:
        """One of the environment's own records."""
        with self._lock, begin_reading(self._env) as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def unreadable(self, error: BaseException) -> ReplogError:
        """What to raise when reading failed, with the file and the next step."""
        lack = lacking(f"{self.data_path} can't be read", error)
        return lack or StorageError(f"{self.data_path} can't be read: {error}. {rebuild(self.path)}.")

    def damaged(self, what: object) -> Damaged:
        """What to raise over damage, with the file and the next step."""
        return Damaged(f"{self.data_path} is damaged: {what}. {rebuild(self.path)}.")

    def damaged_row(self, tree: int, key: bytes) -> Damaged:
        """What to raise over a row that fails its checksum."""
        return self.damaged(describe_damaged(tree, key))

    def _unknown(self, error: UnknownFormat) -> StorageError:
        return unknown_format(self.path, error)

    # --- scrub, on the writing thread ---

    def scrub(self, tree: int, start: bytes) -> tuple[bytes | None, list[bytes]]:
        """Check the pages on the way to the rows of ``tree`` from the key ``start`` on, and a bounded number of them.

        It reads the file past LMDB, which would follow a damaged page wherever it leads.

        Returns where to go on (None: that was all of the tree), and the keys of damaged rows.
        Raises ``Damaged`` over damage in the structure, and ``StorageError``.
        """
        damaged: list[bytes] = []
        size = 0
        try:
            # The transaction keeps every page that it can see as it is; the root pages change by this thread only.
            with self._writing, begin_reading(self._env):
                rows = records_from(
                    self._space.read,
                    self.data_path.stat().st_size,
                    STATE_LAYOUT,
                    TREE_NAMES[tree],
                    start,
                )
                for count, (key, stored) in enumerate(rows, 1):
                    if not is_sound(tree, key, stored):
                        damaged.append(key)
                    size += len(key) + len(stored)
                    if count >= SCRUB_ROWS or size >= SCRUB_BYTES:
                        return key + b"\0", damaged
        except Damaged as error:
            raise self.damaged(error) from error
        except (lmdb.Error, OSError) as error:
            raise self.unreadable(error) from error
        return None, damaged

    # --- writing ---

    @property
    def file_bytes(self) -> int:
        """Size of the file, part of it allocated ahead of use."""
        return self._space.file_bytes

    def leaf_bytes_at_most(self, change_count: int) -> int:
        """An upper bound for the leaves that this many changes touch: one each, but never more than there are."""
        with self._lock, begin_reading(self._env) as transaction:
            stats = [transaction.stat(tree) for tree in self.trees]
        leaves = sum(stat["leaf_pages"] + stat["branch_pages"] for stat in stats)
        return min(change_count, int(leaves) + 1) * int(stats[0]["psize"])

    def transact(self, need_bytes: int, work: Callable[[lmdb.Transaction], None]) -> None:
        """Run ``work`` in one synchronous transaction; it may be run again if the map had to grow for it.

        Raises
        ------
        StorageFull: there is no space; nothing was written, and the same may be tried again.
        Exception: anything else leaves the outcome unknown.
        """
        with self._writing:
            self._space.prepare(need_bytes, is_map_held=bool(self._snapshots))
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        work(transaction)
                    return
                except lmdb.MapFullError:
                    self._space.grow_map_again(is_map_held=bool(self._snapshots))

    # --- snapshots ---

    def begin_snapshot(self, snapshot: object, ahead_bytes: int) -> lmdb.Transaction[bytes]:
        """A read transaction that lasts until ``end_snapshot``; the map stays where it is as long as there is one."""
        with self._writing:
            if not self._snapshots:
                self._space.reserve(max(ahead_bytes, self._space.file_bytes))
            transaction = begin_reading(self._env)
            self._snapshots.add(snapshot)
        return transaction

    def end_snapshot(self, snapshot: object) -> None:
        """Let the map move again; the transaction has ended."""
        self._snapshots.discard(snapshot)

    # --- exchange ---

    def replace(self, data_path: Path, before_reading: Callable[[], None]) -> None:
        """Put the closed environment ``data_path`` in this one's place; a crash leaves one or the other.

        ``before_reading`` is called while nobody can read, between the old state and the new one.
        """
        with self._writing:
            old_space = self._space
            with self._lock:
                self._env.close()
                os.replace(data_path, self.data_path)
                sync_folder(self.path)
                before_reading()
                self._open()
            old_space.close()  # frees the old file's blocks, which takes a while, when reads go on

    def close(self) -> None:
        """Release the file; reading or writing is an error afterwards."""
        with self._writing, self._lock:
            self._space.close()
            self._env.close()


def put_position(
    transaction: lmdb.Transaction, store: bytes, applied_through: Slot, installed_through: Slot = BEFORE_LOG
) -> Position:
    """Make ``applied_through`` part of ``transaction``."""
    position = Position(FORMAT, store, applied_through, transaction.id(), installed_through)
    transaction.put(POSITION_KEY, encode_checked(position))
    return position


def _rows_up(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes | None, count_max: int) -> list[Row]:
    if not (cursor.set_range(start) if start else cursor.first()):
        return []
    rows: list[Row] = list(islice(cursor.iternext(), count_max))
    if stop is not None:
        while rows and rows[-1][0] >= stop:
            rows.pop()
    return rows


def _rows_down(cursor: lmdb.Cursor[bytes], start: bytes, stop: bytes | None, count_max: int) -> list[Row]:
    is_there = cursor.last() if stop is None or not cursor.set_range(stop) else cursor.prev()
    if not is_there:
        return []
    rows: list[Row] = list(islice(cursor.iterprev(), count_max))
    while rows and rows[-1][0] < start:
        rows.pop()
    return rows


def describe_damaged(tree: int, key: bytes) -> str:
    """A row that fails its checksum, in words."""
    shown = repr(key[:_SHOWN_KEY_BYTES]) + ("..." if len(key) > _SHOWN_KEY_BYTES else "")
    return f"the row {shown} of {TREE_NAMES[tree].decode()} fails its checksum"


def check_roots_of(data_path: Path) -> int:
    """Check both root pages and that the file reaches to its last page: LMDB would kill the process (SIGBUS).

    A flush that was written but for its root page is finished, see ``disk.roots.UnfinishedCommit``.

    Returns the file's size. Raises ``Damaged``, ``StorageError`` or ``OSError``.
    """
    with data_path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        unfinished = check_roots(lambda offset, length: os.pread(descriptor, length, offset), size, STATE_LAYOUT)
    if unfinished is not None:
        finish_commit(data_path, unfinished)
    return size


def remove_folder(path: Path) -> None:
    """Remove what an interrupted transfer or creation left behind, if there is anything."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
