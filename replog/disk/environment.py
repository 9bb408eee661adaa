"""How an LMDB environment is opened, by its owner and by whoever only looks at it, and how its commits are finished.

Never: know what a record means.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

import lmdb

from ..errors import StorageError
from .roots import UnfinishedCommit

DATA_FILE: Final = "data.mdb"
_TREES_MAX: Final = 2
_READERS_MAX: Final = 32
_SPARE_READS: Final = 2
"""Handles of read transactions that LMDB keeps for the next ones."""


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
    """LMDB in the existing folder ``path`` with the settings that survive a power cut, whatever its defaults are.

    Raises ``lmdb.Error``.
    """
    return lmdb.open(
        os.fsencode(path),  # as text, LMDB takes only names that are UTF-8
        map_size=whole_pages(map_bytes),
        max_dbs=_TREES_MAX,
        max_readers=_READERS_MAX,
        max_spare_txns=_SPARE_READS,
        mode=0o600,
        create=False,
        readonly=is_readonly,
        sync=True,
        metasync=True,
        writemap=False,
        map_async=False,
        lib_version=0,
    )
