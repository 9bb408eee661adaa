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

import crc32c
import lmdb
import msgspec

from .errors import Damaged, StorageError
from .paxos.ballot import BEFORE_LOG, Slot
from .state_overlay import Row
from .state_room import StateRoom

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"
INCOMING_FOLDER: Final = "incoming"
FRESH_FOLDER: Final = "fresh"
DATA, RECORDS = 0, 1
TREE_NAMES: Final = (b"data", b"records")
POSITION_KEY: Final = b"position"
FORMAT: Final = 1
KEY_BYTES_MAX: Final = 511
REBUILD: Final = (
    "The state can be fetched from the other nodes: stop this node, move its state folder away (keep log and "
    "identity), and start it again"
)

_READERS_MAX: Final = 32
_SPARE_READS: Final = 2
_META_PAGES: Final = 2
_META = struct.Struct("<QHHI II QQ 48s 48s QQ")  # page, pad, flags, -, magic, version, address, map, free, main, ...
_META_MAGIC: Final = 0xBEEFC0DE
_META_VERSION: Final = 1
_META_FLAG: Final = 0x08
_CHECKSUM = struct.Struct("<I")


class Position(msgspec.Struct, array_like=True, frozen=True):
    """Where the state stands; part of every transaction.

    Parameters
    ----------
    store: 16 random bytes, made with the environment.
    transaction: number of the transaction that wrote it, so that an old tree is not taken for the newest.
    """

    format: int
    store: bytes
    applied_through: Slot
    transaction: int


_position_decoder = msgspec.msgpack.Decoder(Position)


def encode_checked(record: msgspec.Struct) -> bytes:
    """A small record behind its checksum."""
    data = msgspec.msgpack.encode(record)
    return _CHECKSUM.pack(crc32c.crc32c(data)) + data


def checked_bytes(stored: bytes, name: str) -> bytes:
    """What ``encode_checked`` encoded. Raises ``Damaged``."""
    data = stored[_CHECKSUM.size :]
    if len(stored) < _CHECKSUM.size or _CHECKSUM.unpack_from(stored)[0] != crc32c.crc32c(data):
        raise Damaged(f"its {name} record fails its checksum")
    return data


def decode_position(stored: bytes | None) -> Position:
    """Raises ``Damaged``; ``StorageError`` for a format that this program does not know."""
    if stored is None:
        raise Damaged("it has no position record")
    try:
        position = _position_decoder.decode(checked_bytes(stored, "position"))
    except msgspec.DecodeError as error:
        raise Damaged(f"its position record is no such record: {error}") from error
    if position.format != FORMAT:
        raise StorageError(f"it has format {position.format} and this program knows format {FORMAT}")
    return position


def open_lmdb(path: Path, map_bytes: int, *, is_new: bool = False) -> lmdb.Environment:
    """LMDB with the settings that survive a power cut, whatever its defaults are. Raises ``lmdb.Error``."""
    return lmdb.open(
        str(path),
        map_size=map_bytes,
        max_dbs=len(TREE_NAMES),
        max_readers=_READERS_MAX,
        max_spare_txns=_SPARE_READS,
        mode=0o600,
        create=is_new,
        sync=True,
        metasync=True,
        writemap=False,
        map_async=False,
        lib_version=0,
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
        self._images: set[object] = set()
        self._open()

    @classmethod
    def create(cls, path: Path, step_bytes: int) -> StateEnvironment:
        """An environment standing before the log, in the empty folder ``path``."""
        with open_lmdb(path, step_bytes, is_new=True) as env:
            for name in TREE_NAMES:
                env.open_db(name)
            with env.begin(write=True) as transaction:
                put_position(transaction, secrets.token_bytes(16), BEFORE_LOG)
        return cls(path, step_bytes)

    def _open(self) -> None:
        """Check the file and open it. Raises ``Damaged`` or ``StorageError``, naming the file and the next step."""
        try:
            size = check_root_pages(self.data_path)
            self._env = open_lmdb(self.path, (size // self._step_bytes + 2) * self._step_bytes)
        except (lmdb.Error, OSError) as error:
            raise StorageError(f"{self.data_path} can't be opened: {error}. {REBUILD}.") from error
        except Damaged as error:
            raise Damaged(f"{self.data_path} is damaged: {error}. {REBUILD}.") from error
        try:
            self._env.reader_check()
            self.trees = [self._env.open_db(name, create=False) for name in TREE_NAMES]
            self.position = self._read_position()
            self._room = StateRoom(self._env, self.trees, self.data_path, self._step_bytes, self._lock)
        except (lmdb.Error, OSError, Damaged) as error:
            self._env.close()
            raise Damaged(f"{self.data_path} is damaged: {error}. {REBUILD}.") from error
        except StorageError as error:
            self._env.close()
            raise StorageError(f"{self.data_path}: {error}. Start it with the program that wrote it.") from error

    def _read_position(self) -> Position:
        with self._env.begin() as transaction:
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
                value: bytes | None = transaction.get(key)
                return value
        except lmdb.BadValsizeError:
            return None  # the empty key, which nobody can have put
        except lmdb.Error as error:
            raise self.unreadable(error) from error

    def rows(
        self, tree: int, start: bytes, stop: bytes | None, *, count_max: int, is_reverse: bool
    ) -> tuple[list[Row], bool]:
        """The first ``count_max`` stored rows of the range, in the order asked for, and whether there may be more."""
        try:
            with self._lock, self._env.begin(self.trees[tree]) as transaction:
                cursor = transaction.cursor()
                if is_reverse:
                    rows = _rows_down(cursor, start, stop, count_max)
                else:
                    rows = _rows_up(cursor, start, stop, count_max)
        except lmdb.Error as error:
            raise self.unreadable(error) from error
        return rows, len(rows) == count_max

    def record(self, key: bytes) -> bytes | None:
        """One of the environment's own records."""
        with self._lock, self._env.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def unreadable(self, error: BaseException) -> StorageError:
        return StorageError(f"{self.data_path} can't be read: {error}. {REBUILD}.")

    # --- writing ---

    @property
    def file_bytes(self) -> int:
        """Size of the file, part of it allocated ahead of use."""
        return self._room.file_bytes

    def leaf_bytes_at_most(self, change_count: int) -> int:
        """An upper bound for the leaves that this many changes touch: one each, but never more than there are."""
        with self._lock, self._env.begin() as transaction:
            stats = [transaction.stat(tree) for tree in self.trees]
        leaves = sum(stat["leaf_pages"] + stat["branch_pages"] for stat in stats)
        return min(change_count, int(leaves) + 1) * int(stats[0]["psize"])

    def transact(self, need_bytes: int, work: Callable[[lmdb.Transaction], None]) -> None:
        """Run ``work`` in one synchronous transaction; it may be run again if the map had to grow for it.

        Raises
        ------
        StorageFull: there is no room; nothing was written, and the same may be tried again.
        Exception: anything else leaves the outcome unknown.
        """
        with self._writing:
            self._room.prepare(need_bytes, is_map_held=bool(self._images))
            while True:
                try:
                    with self._env.begin(write=True) as transaction:
                        work(transaction)
                    return
                except lmdb.MapFullError:
                    self._room.grow_map_again(is_map_held=bool(self._images))

    # --- images ---

    def begin_image(self, image: object, ahead_bytes: int) -> lmdb.Transaction[bytes]:
        """A read transaction that lasts until ``end_image``; the map stays where it is as long as there is one."""
        with self._writing:
            if not self._images:
                self._room.reserve(max(ahead_bytes, self._room.file_bytes))
            transaction = self._env.begin()
            self._images.add(image)
        return transaction

    def end_image(self, image: object) -> None:
        self._images.discard(image)

    # --- exchange ---

    def replace(self, data_path: Path, before_reading: Callable[[], None]) -> None:
        """Put the closed environment ``data_path`` in this one's place; a crash leaves one or the other.

        ``before_reading`` is called while nobody can read, between the old state and the new one.
        """
        with self._writing:
            old_room = self._room
            with self._lock:
                self._env.close()
                os.replace(data_path, self.data_path)
                sync_folder(self.path)
                before_reading()
                self._open()
            old_room.close()  # frees the old file's blocks, which takes a while, when reads go on

    def close(self) -> None:
        """Release the file; reading or writing is an error afterwards."""
        with self._writing, self._lock:
            self._room.close()
            self._env.close()


def put_position(transaction: lmdb.Transaction, store: bytes, applied_through: Slot) -> Position:
    """Make ``applied_through`` part of ``transaction``."""
    position = Position(FORMAT, store, applied_through, transaction.id())
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


def check_root_pages(data_path: Path) -> int:
    """Check both root pages and the file's length, since LMDB would kill the process (SIGBUS) over a file that is too
    short.

    Returns the file's size. Raises ``Damaged`` or ``OSError``.
    """
    with data_path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        page_size = 0
        last_page = 0
        for page in range(_META_PAGES):
            file.seek(page * page_size)
            data = file.read(_META.size)
            if len(data) < _META.size:
                raise Damaged(f"it is truncated: {size} bytes, too few for root page {page}")
            number, _pad, flags, _unused, magic, version, _address, _map, free, _main, last, _id = _META.unpack(data)
            if (number, flags, magic, version) != (page, _META_FLAG, _META_MAGIC, _META_VERSION):
                raise Damaged(f"root page {page} is overwritten or zeroed")
            named = int.from_bytes(free[:4], "little")
            if named & (named - 1) or not 512 <= named <= 65536 or (page and named != page_size):
                raise Damaged(f"root page {page} names a page size of {named} bytes")
            page_size = named
            last_page = max(last_page, last)
    if (last_page + 1) * page_size > size:
        raise Damaged(f"it is truncated: {size} bytes, and its last page ends at {(last_page + 1) * page_size}")
    return size


def sync_folder(path: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Remove what an interrupted transfer or creation left behind, if there is anything."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
