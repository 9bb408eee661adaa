"""Mounts a ``PowerCutDisk`` for real processes: ``python -m tests.storage.power_cut_mount MOUNTPOINT``.

It answers commands on stdin, one JSON object a line, with one line on stdout:

* ``{"watch": "/node", "into": FOLDER, "count": N, "stride": M}``: from now on, after every M-th operation that changes
  or syncs something, write to ``FOLDER/K`` what would be found below ``/node`` if the power failed at that moment, and
  beside it ``FOLDER/K.acknowledged``: what the workload had said by then was durable (its file ``/acknowledged``).
* ``{"sync": false}``: from now on nothing that is written becomes durable, as if every process were killed just before
  its syncs; ``true``: it does again, when somebody asks for it.
* ``{"cut": SEED}``: the power fails; every operation fails until ``{"on": true}``.
* ``{"report": true}``: how many moments were kept, and how many operations there were.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mfusepy

from .power_cut_disk import File, Folder, PowerCutDisk

ACKNOWLEDGED = "/acknowledged"


class Mounted(mfusepy.Operations):  # type: ignore[misc]
    """The disk behind FUSE's operations; one thread serves them, another one the commands."""

    use_ns = True

    def __init__(self) -> None:
        self._disk = PowerCutDisk()
        self._lock = threading.Lock()
        self._is_off = False
        self._is_syncing = True
        self._handles: dict[int, tuple[File, bool]] = {}
        self._next_handle = 1
        self._operations = 0
        self._watched = ""
        self._into = Path()
        self._moments_left = 0
        self._moments = 0
        self._stride = 1

    # --- commands ---

    def command(self, fields: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            match fields:
                case {"watch": str(folder), "into": str(into), "count": int(count), "stride": int(stride)}:
                    self._watched, self._into = folder, Path(into)
                    self._moments_left, self._stride = count, stride
                case {"sync": bool(is_syncing)}:
                    self._is_syncing = is_syncing
                case {"cut": seed}:
                    self._disk.cut(seed)
                    self._handles.clear()
                    self._is_off = True
                case {"on": True}:
                    self._is_off = False
            return {"moments": self._moments, "operations": self._operations}

    def _changed(self) -> None:
        self._operations += 1
        if not self._watched or not self._moments_left or self._operations % self._stride:
            return
        self._moments += 1
        self._moments_left -= 1
        seed = None if self._moments % 3 == 0 else self._moments
        self._disk.write_after_cut(self._watched, self._into / str(self._moments), seed)
        said = bytes(self._disk.file(ACKNOWLEDGED).content)
        (self._into / f"{self._moments}.acknowledged").write_bytes(said)

    def _do(self, work: Callable[[], Any], *, is_change: bool = True) -> Any:
        with self._lock:
            if self._is_off:
                raise OSError(errno.EIO, "the power is off")
            result = work()
            if is_change:
                self._changed()
            return result

    # --- names ---

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._do(lambda: self._disk.find(path), is_change=False)
        size = len(node.content) if isinstance(node, File) else 0
        return {"st_mode": node.mode, "st_nlink": 1, "st_size": size, "st_blocks": -(-size // 512)}

    def readdir(self, path: str, fh: int) -> list[str]:
        names: list[str] = self._do(lambda: list(self._disk.folder(path).names), is_change=False)
        return [".", "..", *names]

    def mkdir(self, path: str, mode: int) -> int:
        self._do(lambda: self._disk.make_folder(path, mode))
        return 0

    def rename(self, old: str, new: str) -> int:
        self._do(lambda: self._disk.rename(old, new))
        return 0

    def unlink(self, path: str) -> int:
        self._do(lambda: self._disk.remove(path))
        return 0

    def rmdir(self, path: str) -> int:
        self._do(lambda: self._disk.remove(path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        def change() -> None:
            node = self._disk.find(path)
            node.mode = node.mode & ~0o7777 | mode & 0o7777

        self._do(change, is_change=False)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 2**20, "f_bfree": 2**19, "f_bavail": 2**19}

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._do(lambda: self._sync(self._disk.folder(path)))
        return 0

    # --- files ---

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        file = self._do(lambda: self._disk.create(path, mode))
        return self._handle(file, is_synchronous=False)

    def open(self, path: str, flags: int) -> int:
        file = self._do(lambda: self._disk.file(path), is_change=False)
        return self._handle(file, is_synchronous=bool(flags & os.O_DSYNC))

    def _handle(self, file: File, *, is_synchronous: bool) -> int:
        with self._lock:
            handle, self._next_handle = self._next_handle, self._next_handle + 1
            self._handles[handle] = file, is_synchronous
            return handle

    def _opened(self, handle: int) -> tuple[File, bool]:
        """A file opened before the power failed can't be used after it."""
        if handle not in self._handles:
            raise OSError(errno.EIO, "opened before the power failed")
        return self._handles[handle]

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._handles.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._do(lambda: self._opened(fh)[0].content[offset : offset + size], is_change=False))

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        def write() -> bool:
            file, is_synchronous = self._opened(fh)
            file.write(offset, data)
            return is_synchronous

        if self._do(write):  # the power may fail while it is under way
            self._do(lambda: self._sync(self._opened(fh)[0]))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._do(lambda: self._disk.file(path).truncate(length))
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        def extend() -> None:
            file = self._opened(fh)[0]
            file.truncate(max(len(file.content), offset + size))

        self._do(extend)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._do(lambda: self._sync(self._opened(fh)[0]))
        return 0

    def _sync(self, node: File | Folder) -> None:
        if self._is_syncing:
            node.sync()


def _obey(mounted: Mounted) -> None:
    for line in sys.stdin:
        print(json.dumps(mounted.command(json.loads(line))), flush=True)


def main(mountpoint: str) -> None:
    """Serve until it is unmounted."""
    mounted = Mounted()
    threading.Thread(target=_obey, args=(mounted,), daemon=True).start()
    mfusepy.FUSE(
        mounted, mountpoint, foreground=True, nothreads=True, attr_timeout=0, entry_timeout=0, negative_timeout=0
    )


if __name__ == "__main__":
    main(sys.argv[1])
