"""Makes space for the state before a transaction begins: address space for its map, blocks for its file.

LMDB finds out that a disk or its map is full in the middle of a commit. So the map grows in steps and blocks are
allocated ahead of use, while nothing has been tried and saying no is safe: what raises ``StorageFull`` here wrote
nothing and may be tried again.

The map may change its size only while this process has no transaction open, so a snapshot that is being sent holds it
where it is; ``reserve`` makes it large enough beforehand.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any, Final

import lmdb

from ..disk.environment import begin_reading
from ..disk.space import take_blocks
from ..errors import StorageFull

MIB: Final = 2**20
PATH_BYTES: Final = 128 * 1024
"""Pages that any transaction rewrites on the way to its records, several times over."""
_ALLOCATION_MIN: Final = 1 * MIB
_ALLOCATION_MAX: Final = 64 * MIB
_FREE_PAGES_FACTOR: Final = 3
"""Free pages count as space at a third: those of the last two transactions can't be used, and big values want
neighbours."""


class StateSpace:
    """Belongs to one environment and its writing thread."""

    def __init__(
        self, env: lmdb.Environment, trees: list[Any], data_path: Path, step_bytes: int, lock: threading.Lock
    ) -> None:
        self._env = env
        self._trees = trees
        self._data_path = data_path
        self._step_bytes = step_bytes
        self._lock = lock
        self._page_size: int = env.stat()["psize"]
        self._map_bytes: int = env.info()["map_size"]
        self._descriptor = os.open(data_path, os.O_RDWR | os.O_CLOEXEC)
        self._file_bytes = os.fstat(self._descriptor).st_size

    @property
    def file_bytes(self) -> int:
        """Size of the file, allocated ahead of use."""
        return self._file_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file, past LMDB; the file is open anyway, so that nothing can be lacking for it."""
        return os.pread(self._descriptor, length, offset)

    def prepare(self, need_bytes: int, *, is_map_held: bool) -> None:
        """Make space for a transaction of at most ``need_bytes``; this thread has none open.

        Raises
        ------
        StorageFull: there is no space; nothing was written.
        OSError, lmdb.Error: the disk failed.
        """
        need_bytes += PATH_BYTES
        used_bytes = self._used_bytes()
        if used_bytes + need_bytes > self._map_bytes and not is_map_held:
            self._grow_map(used_bytes + need_bytes)
        missing_bytes = used_bytes + need_bytes - self._file_bytes
        if missing_bytes <= 0 or self._allocate(missing_bytes):
            return
        if not is_map_held and used_bytes - self._live_bytes() >= _FREE_PAGES_FACTOR * need_bytes:
            # Free pages will do. The file still reaches beyond every page that LMDB may number: a short one is damage.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._file_bytes + missing_bytes)
                self._file_bytes += missing_bytes
                return
        raise StorageFull(
            f"{self._data_path}: no space for {need_bytes} bytes more, its disk is full; nothing was written. "
            "Make space on that disk; it goes on by itself then."
        )

    def grow_map_again(self, *, is_map_held: bool) -> None:
        """LMDB said that the map is full, and wrote nothing: one more step."""
        if is_map_held:
            raise StorageFull(
                f"{self._data_path}: its map of {self._map_bytes} bytes is full and can't grow while a snapshot of the "
                "state is being sent; nothing was written. It goes on by itself when the transfer ends."
            )
        self._grow_map(self._map_bytes + 1)

    def reserve(self, ahead_bytes: int) -> None:
        """Make the map so large that ``ahead_bytes`` fit beside what is used; address space, not memory or disk."""
        self._grow_map(self._used_bytes() + ahead_bytes)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _grow_map(self, wanted_bytes: int) -> None:
        if wanted_bytes <= self._map_bytes:
            return
        steps = -(-(wanted_bytes - self._map_bytes) // self._step_bytes)
        step_bytes = -(-self._step_bytes // self._page_size) * self._page_size
        with self._lock:
            self._env.set_mapsize(self._map_bytes + steps * step_bytes)
            self._map_bytes += steps * step_bytes

    def _used_bytes(self) -> int:
        return (int(self._env.info()["last_pgno"]) + 1) * self._page_size

    def _live_bytes(self) -> int:
        """Pages in use, but for those of the list of free pages."""
        with self._lock, begin_reading(self._env) as transaction:
            stats = [transaction.stat(tree) for tree in self._trees]
        stats.append(self._env.stat())
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        return (int(pages) + 2) * self._page_size

    def _allocate(self, missing_bytes: int) -> bool:
        """Take blocks for ``missing_bytes`` and more ahead of use; False if there are none."""
        step = min(max(self._file_bytes // 8, _ALLOCATION_MIN), _ALLOCATION_MAX)
        for wanted in (max(step, missing_bytes), missing_bytes):
            if take_blocks(self._descriptor, self._file_bytes, wanted, is_written=False):
                self._file_bytes += wanted
                return True
        return False
