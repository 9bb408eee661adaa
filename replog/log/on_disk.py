"""The log in a folder: LMDB, its journal's file, and the one store over both.

Never: leave LMDB open where the journal is refused.
"""

from __future__ import annotations

from pathlib import Path

from .contract import Identity
from .journal_file import FileOnDisk, name_of
from .journaled import JournaledLogStore
from .space import LogLimits
from .store import LmdbLogStore


def open_log(path: Path, expected: Identity | None, limits: LogLimits | None = None) -> JournaledLogStore:
    """The log in the folder ``path``, see ``open_log_environment``, and its journal, see ``open_journal``.

    Nothing that is found in the journal is in the log before ``recover``. Raises ``StorageError``.
    """
    limits = limits or LogLimits()
    log = LmdbLogStore.open(path, expected, limits)
    try:
        return JournaledLogStore(log, FileOnDisk(name_of(path)), is_wanted=limits.journal)
    except BaseException:
        log.close()
        raise
