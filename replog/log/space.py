"""Space for the log: how large its map is, how much of the disk it has taken, and when it is nearly full.

LMDB wants to know the size of its map beforehand, and finds out that a disk is full in the middle of a commit, when it
is too late to say no. So space is made *before* a transaction begins: the map grows in steps, and the file's blocks are
allocated ahead of use. What can't be allocated is refused while nothing has been tried, which makes it safe to try
again later; a failed commit never is.

Two thresholds. ``is_nearly_full`` is the early one: new commands are refused while promises, acceptances already under
way and compaction go on in the space that is left. Only when that is used up too does a write raise ``StorageFull``.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Final

import attrs
import lmdb
from attrs.validators import ge, instance_of, optional

from ..disk.environment import begin_reading, whole_pages
from ..disk.space import take_blocks
from ..errors import StorageFull
from ..paxos.option_kinds import kinds_checked

MIB: Final = 2**20
PATH_BYTES: Final = 128 * 1024
"""Pages that any transaction rewrites on the way to its records, several times over."""
_ALLOCATION_BYTES: Final = MIB // 4


@attrs.frozen(kw_only=True, field_transformer=kinds_checked)
class LogLimits:
    """How large the log may become, and how early it says so.

    Raises
    ------
    ValueError: a limit is too small to work with.
    """

    map_step_bytes: int = attrs.field(default=64 * MIB, validator=ge(MIB))
    """The map grows by this much at a time (or a quarter of itself, if that is more)."""
    reserve_bytes: int = attrs.field(default=64 * MIB, validator=ge(0))
    """With less space than this the log is nearly full; it has space again at five quarters of it."""
    bytes_max: int | None = attrs.field(default=None, validator=optional(ge(4 * MIB)))
    """Quota of the log's file; None: the disk is the limit. The journal comes on top."""
    recover_bytes_max: int = attrs.field(default=256 * MIB, validator=ge(0))
    """How many bytes of chosen records are verified when the log is opened, newest first; a scrub does the rest."""
    journal: bool = attrs.field(default=False, validator=instance_of(bool))
    """Whether writes are made durable in a journal of 8 MiB first, by one flush of the disk instead of two."""


class LogSpace:
    """Belongs to one store; ``prepare`` to its writer's thread, ``is_nearly_full`` to any."""

    def __init__(
        self, env: lmdb.Environment, slots: Any, data_path: Path, limits: LogLimits, map_lock: threading.Lock
    ) -> None:
        self._env = env
        self._slots = slots
        self._data_path = data_path
        self._limits = limits
        self._map_lock = map_lock
        self._descriptor = os.open(data_path, os.O_RDWR | os.O_CLOEXEC)
        info = env.info()
        self._page_size: int = env.stat()["psize"]
        self._map_bytes: int = info["map_size"]
        self._file_bytes = os.fstat(self._descriptor).st_size
        self._spare_bytes = 0
        self._reserved_bytes = 0
        self._is_nearly_full = False

    @property
    def file_bytes(self) -> int:
        """Size of the file, allocated ahead of use."""
        return self._file_bytes

    def prepare(self, need_bytes: int, *, is_essential: bool) -> None:
        """Make space for a transaction of at most ``need_bytes``; no transaction may be open in this process.

        ``is_essential``: a promise or a compaction, which may use the last space there is and is never refused here.

        Raises
        ------
        OSError: the disk failed while blocks were taken.
        StorageFull: there is no space; nothing was written, so the same write may be tried again later.
        """
        need_bytes += PATH_BYTES
        if not self._take(need_bytes) and not is_essential:
            raise self._full(need_bytes)

    def reserve(self, need_bytes: int) -> bool:
        """Keep space for ``need_bytes`` of a transaction that comes later, until ``release``; False if there is none.

        No transaction may be open in this process. Raises ``OSError`` if the disk failed while blocks were taken.
        """
        if not self._reserved_bytes:
            need_bytes += PATH_BYTES
        if not self._take(need_bytes):
            return False
        self._reserved_bytes += need_bytes
        return True

    def release(self) -> None:
        """What was reserved is used."""
        self._reserved_bytes = 0

    def _take(self, need_bytes: int) -> bool:
        """Take ``need_bytes`` from what is allocated and unused, allocating more first; False: there is no space."""
        if need_bytes <= self._spare_bytes:
            self._spare_bytes -= need_bytes
            return True
        used_bytes = self._refresh()
        self.grow_map(used_bytes + self._reserved_bytes + need_bytes)
        missing_bytes = need_bytes - self._spare_bytes
        if missing_bytes > 0 and not self._allocate(missing_bytes):
            return self._has_free_pages(need_bytes + self._reserved_bytes)
        self._spare_bytes -= need_bytes
        return True

    def _full(self, need_bytes: int) -> StorageFull:
        return StorageFull(
            f"{self._data_path}: no space for {need_bytes} bytes more ({self._limit_text()}); "
            "nothing was written. Make space on that disk; it goes on by itself then."
        )

    def grow_map(self, wanted_bytes: int) -> None:
        """Make the map at least this large, in steps."""
        if wanted_bytes <= self._map_bytes:
            return
        step = max(self._limits.map_step_bytes, self._map_bytes // 4)
        steps = -(-(wanted_bytes - self._map_bytes) // step)
        self._map_bytes += steps * (step // self._page_size * self._page_size + self._page_size)
        with self._map_lock:
            self._env.set_mapsize(self._map_bytes)

    def grow_map_again(self) -> None:
        """The estimate was too low (LMDB said the map is full, and wrote nothing): one more step."""
        self._spare_bytes = 0
        self.grow_map(self._map_bytes + 1)

    def is_nearly_full(self) -> bool:
        """Whether new commands should be refused; cheap enough to ask every second."""
        left_bytes = self.left_bytes()
        reserve = self._limits.reserve_bytes
        if self._limits.bytes_max is not None:
            reserve = min(reserve, self._limits.bytes_max // 4)
        self._is_nearly_full = left_bytes < (reserve * 5 // 4 if self._is_nearly_full else reserve)
        return self._is_nearly_full

    def left_bytes(self) -> int:
        """What can still be written: unallocated disk or quota, allocated and unused, and half of the free pages."""
        disk = os.statvfs(self._data_path)
        outside = disk.f_bavail * disk.f_frsize
        if self._limits.bytes_max is not None:
            outside = min(outside, max(0, self._limits.bytes_max - self._file_bytes))
        last_bytes = self._last_page_bytes()
        ahead = max(0, self._file_bytes - last_bytes)
        return outside + ahead + (last_bytes - self._live_bytes()) // 2

    def used_and_free_bytes(self) -> tuple[int, int]:
        """Pages in use, and pages that transactions may use again; from any thread."""
        live_bytes = self._live_bytes()
        return live_bytes, self._last_page_bytes() - live_bytes

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _last_page_bytes(self) -> int:
        return (int(self._env.info()["last_pgno"]) + 1) * self._page_size

    def _live_bytes(self) -> int:
        """Pages in use, but for those of the list of free pages."""
        with self._map_lock, begin_reading(self._env) as transaction:
            stats = (transaction.stat(self._slots), self._env.stat())
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        return (int(pages) + 2) * self._page_size

    def _refresh(self) -> int:
        """Learn how much of the allocated file is in use; returns that.

        LMDB may have gone beyond what was estimated: zeros ahead of use must begin where the file really ends.
        """
        used_bytes = self._last_page_bytes()
        self._file_bytes = max(self._file_bytes, os.fstat(self._descriptor).st_size, used_bytes)
        self._spare_bytes = self._file_bytes - used_bytes - self._reserved_bytes
        return used_bytes

    def _allocate(self, missing_bytes: int) -> bool:
        """Take blocks for ``missing_bytes`` and more ahead of use; False if there are none."""
        for wanted in (max(_ALLOCATION_BYTES, whole_pages(missing_bytes)), whole_pages(missing_bytes)):
            if self._limits.bytes_max is not None and self._file_bytes + wanted > self._limits.bytes_max:
                continue
            if take_blocks(self._descriptor, self._file_bytes, wanted, is_written=True):
                self._file_bytes += wanted
                self._spare_bytes += wanted
                return True
        return False

    def _has_free_pages(self, need_bytes: int) -> bool:
        """Whether pages that compaction freed will do; twice the need, since those freed last must rest."""
        ahead_bytes = self._spare_bytes + self._reserved_bytes
        return self._last_page_bytes() - self._live_bytes() + ahead_bytes >= 2 * need_bytes

    def _limit_text(self) -> str:
        if self._limits.bytes_max is not None:
            return f"its quota is {self._limits.bytes_max} bytes"
        return "its disk is full"
