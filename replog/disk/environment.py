"""How an LMDB environment is opened, by its owner and by whoever only looks at it, and how its commits are finished.

Never: know what a record means.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import Any, Final

import lmdb

from ..errors import Lacking, StorageError
from ..process.resources import lacking
from .roots import UnfinishedCommit

DATA_FILE: Final = "data.mdb"
_TREES_MAX: Final = 2
READERS_MAX: Final = 1024
"""Read transactions at a time, of all processes: the owner needs a handful, each that looks needs one."""
_FULL_TRIES: Final = 50
_FULL_PAUSE_S: Final = 0.01
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
        raise lacking(f"{data_path} can't be opened", error) or StorageError(
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
        max_readers=READERS_MAX,
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


def begin_reading(env: lmdb.Environment, tree: Any = None, *, buffers: bool = False) -> lmdb.Transaction[Any]:
    """A read transaction, also where others that look have taken every place in the table of readers for a moment.

    Raises ``lmdb.Error``, and ``Lacking`` if they do not let go.
    """
    for _try in range(_FULL_TRIES):
        try:
            return env.begin(tree, buffers=True) if buffers else env.begin(tree)
        except lmdb.ReadersFullError:
            if not env.reader_check():  # the places of processes that were killed are free again
                time.sleep(_FULL_PAUSE_S)
    raise Lacking(
        f"{env.path()}: {READERS_MAX:,} others read it at this moment. Nothing stored is at fault: let fewer look at "
        "it at a time (`replog inspect`, `replog verify`), then start the node again."
    )
