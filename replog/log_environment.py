"""How a log's LMDB environment is checked and opened, by its owner and by whoever only looks at it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

import lmdb

from .errors import Damaged, StorageError
from .log_pages import PageReport, UnfinishedCommit, check_pages

DATA_FILE: Final = "data.mdb"
NEVER_FRESH: Final = (
    "the node can't start from it, and never starts afresh. Keep the directory for inspection "
    '(`replog verify` says more) and see "replace a dead node" in docs/OPERATING.md'
)
_READERS_MAX: Final = 32


def check_file(data_path: Path) -> PageReport:
    """Check the structure of a log that no process has open.

    Raises
    ------
    StorageError: the file is absent or can't be read.
    Damaged: it is truncated or damaged in its structure.
    """
    try:
        descriptor = os.open(data_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"{data_path} can't be read: {error}; {NEVER_FRESH}") from error
    try:
        size = os.fstat(descriptor).st_size
        return check_pages(lambda offset, length: os.pread(descriptor, length, offset), size)
    except OSError as error:
        raise StorageError(f"{data_path} can't be read: {error}; {NEVER_FRESH}") from error
    except Damaged as error:
        raise Damaged(f"{data_path} is damaged: {error}; {NEVER_FRESH}") from error
    finally:
        os.close(descriptor)


def whole_pages(size: int) -> int:
    """``size`` rounded up to whole pages of the system: LMDB keeps the size of its map as it is given."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def finish_commit(data_path: Path, commit: UnfinishedCommit) -> None:
    """Make ``commit`` the newest transaction; a crash leaves it unfinished, or done. Raises ``StorageError``."""
    try:
        descriptor = os.open(data_path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, commit.data, commit.offset)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"{data_path}: transaction {commit.transaction} can't be finished: {error}; check the disk."
        ) from error


def open_environment(path: Path, map_bytes: int, *, is_readonly: bool = False) -> lmdb.Environment:
    """LMDB with the settings that survive a power cut, whatever its defaults are. Raises ``lmdb.Error``."""
    return lmdb.open(
        str(path),
        map_size=whole_pages(map_bytes),
        max_dbs=2,
        max_readers=_READERS_MAX,
        mode=0o600,
        create=False,
        readonly=is_readonly,
        sync=True,
        metasync=True,
        writemap=False,
        map_async=False,
        lib_version=0,
    )
