"""Looks at an LMDB file of ours without using it: nothing is written, and its owner may run meanwhile.

A read transaction pins the newest tree and the one before it: LMDB uses none of their pages again while it is open. The
bytes of the two root pages are read right after it began, and only if they still name the pinned tree does the look
count; otherwise a live writer was faster, and it is tried again. Structure is checked over plain reads of the file,
before LMDB follows any page number in it.

What is pinned can't be used again by the owner, so its file grows by what it writes meanwhile: look, then let go.

Never: know what a record means.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import lmdb

from ..errors import Damaged, StorageError
from ..process.resources import lacking
from .environment import DATA_FILE, begin_reading, open_environment
from .pages import Layout, PageReport, check_pages
from .roots import Read, newest_transaction

_ROOT_PAGES_BYTES: Final = 2 * 65536
"""Both root pages, however large LMDB's pages are."""
_MAP_SPACE_BYTES: Final = 2**30
_TRIES: Final = 200


@attrs.frozen
class PinnedEnvironment:
    """One moment of a file whose structure is sound; valid inside ``pinned`` only."""

    transaction: lmdb.Transaction
    env: lmdb.Environment
    trees: tuple[Any, ...]
    """As the layout names them."""
    pages: PageReport
    file_bytes: int

    def is_newest(self) -> bool:
        """Whether nothing was committed since this moment."""
        return int(self.env.info()["last_txnid"]) == self.transaction.id()


@contextlib.contextmanager
def pinned(path: Path, layout: Layout, *, next_step: str) -> Iterator[PinnedEnvironment]:
    """Check the structure of the environment in the folder ``path`` and hold this moment of it.

    Parameters
    ----------
    next_step: ends the message of every error.

    Raises
    ------
    PermissionError: this user may not read it.
    StorageError: the file is absent, can't be read, or is written too fast to be looked at.
    Damaged: it is truncated or damaged in its structure; the message names the file.
    """
    data_path = path / DATA_FILE
    with contextlib.ExitStack() as stack:
        try:
            transaction, env, read, size = _pin(path, stack)
            pages = check_pages(read, size, layout)
            trees = tuple(env.open_db(name, txn=transaction, create=False) for name in layout.trees)
        except PermissionError:
            raise  # nothing is damaged
        except (lmdb.Error, OSError) as error:
            lack = lacking(f"{data_path} can't be read", error)
            raise lack or StorageError(f"{data_path} can't be read: {error}; {next_step}") from error
        except Damaged as error:
            raise Damaged(f"{data_path} is damaged: {error}; {next_step}") from error
        yield PinnedEnvironment(transaction, env, trees, pages, size)


def _pin(path: Path, stack: contextlib.ExitStack) -> tuple[lmdb.Transaction, lmdb.Environment, Read, int]:
    """Begin a read transaction, and give a way to read the file's bytes as that transaction sees them."""
    for _try in range(_TRIES):
        with contextlib.ExitStack() as attempt:
            descriptor = os.open(path / DATA_FILE, os.O_RDONLY | os.O_CLOEXEC)
            attempt.callback(os.close, descriptor)
            _check_roots(descriptor)
            map_bytes = 2 * os.fstat(descriptor).st_size + _MAP_SPACE_BYTES
            env = attempt.enter_context(open_environment(path, map_bytes, is_readonly=True))
            try:
                transaction = attempt.enter_context(begin_reading(env, buffers=True))
                size, read = os.fstat(descriptor).st_size, _reader(descriptor)
                is_same_file = os.path.samestat(os.stat(path / DATA_FILE), os.fstat(descriptor))
                if is_same_file and newest_transaction(read, size) == transaction.id():
                    stack.push(attempt.pop_all())
                    return transaction, env, read, size
            except (lmdb.MapResizedError, Damaged):
                continue
    raise StorageError(
        f"{path / DATA_FILE} is written faster than it can be looked at; try again, or stop the node first."
    )


def _check_roots(descriptor: int) -> None:
    """LMDB maps both root pages when it opens a file, so they must be there. Raises ``Damaged``."""
    for _try in range(_TRIES):
        before = os.pread(descriptor, _ROOT_PAGES_BYTES, 0)
        try:
            newest_transaction(_reader(descriptor), os.fstat(descriptor).st_size)
            return
        except Damaged:
            if os.pread(descriptor, _ROOT_PAGES_BYTES, 0) == before:
                raise  # no writer was at it


def _reader(descriptor: int) -> Read:
    """Reads the file as it is, but for the root pages: those as they were when the reader was made."""
    roots = os.pread(descriptor, _ROOT_PAGES_BYTES, 0)

    def read(offset: int, length: int) -> bytes:
        if offset + length <= len(roots):
            return roots[offset : offset + length]
        return os.pread(descriptor, length, offset)

    return read
