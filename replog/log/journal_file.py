"""The journal's file: made whole or not at all, read without believing it, and written one record at a time.

A record is one ``pwrite`` of whole blocks into a file whose every block was written before, on a descriptor that makes
each write durable before it returns (O_DSYNC): one flush of the disk, and nothing for the file system to note down. One
write is under way, ever. One that fails, or comes back short, is the last (J5).

Never: overwrite a record that the log does not cover; write a number twice.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from ..disk.durable_files import sync_folder
from ..disk.page_cache import settle
from ..disk.space import NO_SPACE, write_zeros
from ..errors import Damaged, StorageError
from ..process.resources import lacking
from . import journal_layout
from .contract import Identity
from .journal_contract import JournalFile
from .journal_layout import (
    BLOCK_BYTES,
    FIRST_BLOCK,
    Ring,
    decode_header,
    encode_header,
)
from .records import JournalMark

JOURNAL_FILE: Final = "journal"
CHECKPOINT_BYTES: Final = 2**20
"""With so many bytes of records that the log does not cover a checkpoint is due,"""
PENDING_BYTES_MAX: Final = 2 * 2**20
"""and with so many the next one waits for it."""
_UNREADABLE: Final = b"\xff" * BLOCK_BYTES
"""Stands for what the disk can't read: no sector of it has a stamp that is right."""


def create_journal(path: Path, owner: Identity, size_bytes: int) -> Ring | None:
    """Make the file ``path`` anew, durably (J1); None if the disk has no room for it.

    It is complete beside its place before it gets its name, so a crash leaves the file before it, or none.

    Raises ``StorageError``.
    """
    ring = Ring(secrets.token_bytes(16), size_bytes)
    partial = path.with_name(f"{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_zeros(descriptor, 0, ring.blocks * BLOCK_BYTES)
            _write_whole(descriptor, encode_header(ring, owner), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno in NO_SPACE:
            partial.unlink(missing_ok=True)
            return None
        raise lacking(f"{path} can't be made", error) or StorageError(
            f"{path} can't be made: {error}; check the disk (dmesg)."
        ) from error
    return ring


def read_journal(path: Path, owner: Identity | None) -> tuple[Ring, bytes]:
    """The journal in the file ``path``: its ring, and the whole file. It must have been settled.

    Raises
    ------
    Damaged: it is absent, shorter than it says, or its first block is damaged.
    StorageError: it belongs to another directory, or can't be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Damaged("it is missing") from None
    except OSError as error:
        raise lacking(f"{path} can't be read", error) or StorageError(f"it can't be read: {error}") from error
    try:
        size = os.fstat(descriptor).st_size
        ring = decode_header(_read(descriptor, 0, BLOCK_BYTES), owner)
        if size < ring.blocks * BLOCK_BYTES:
            raise Damaged(f"it is truncated: {size} bytes instead of {ring.blocks * BLOCK_BYTES}")
        return ring, _read(descriptor, 0, ring.blocks * BLOCK_BYTES)
    finally:
        os.close(descriptor)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """These bytes; blocks that the disk fails to read are filled with what is none of ours."""
    try:
        data = os.pread(descriptor, length, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        if length <= BLOCK_BYTES:
            return _UNREADABLE[:length]
        starts = range(offset, offset + length, BLOCK_BYTES)
        return b"".join([_read(descriptor, start, BLOCK_BYTES) for start in starts])
    return data


def _write_whole(descriptor: int, data: bytes, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)
    if written != len(data):
        raise OSError(errno.EIO, f"{written} of {len(data)} bytes were written")


class FileOnDisk:
    """The file ``path``; satisfies ``journal_contract.JournalFile``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def settle(self) -> None:
        """See ``JournalFile``."""
        settle(self.path)

    def read(self, owner: Identity) -> tuple[Ring, bytes]:
        """See ``JournalFile``."""
        return read_journal(self.path, owner)

    def create(self, owner: Identity) -> Ring | None:
        """See ``JournalFile``."""
        return create_journal(self.path, owner, journal_layout.JOURNAL_BYTES)

    def begin(self) -> None:
        """See ``JournalFile``."""
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC)

    def write(self, data: bytes, offset: int) -> None:
        """See ``JournalFile``."""
        _write_whole(self._descriptor, data, offset)

    def close(self) -> None:
        """See ``JournalFile``."""
        os.close(self._descriptor)


class Journal:
    """Writes records, one after the other; belongs to one thread at a time.

    Parameters
    ----------
    mark: what the log covers: numbers go on above it, blocks behind it.
    """

    def __init__(self, file: JournalFile, ring: Ring, mark: JournalMark) -> None:
        self.path = file.path
        self.ring = ring
        self._file = file
        self._sequence, self._end, self._last = mark.covered, mark.end, mark.last
        self.due_bytes = min(CHECKPOINT_BYTES, ring.size_bytes // 8)
        self.pending_bytes_max = min(PENDING_BYTES_MAX, ring.size_bytes // 4)
        self._blocks_taken = 0
        self._is_writing = False
        self.pending_bytes = 0
        """Of records that the log does not cover."""
        file.begin()

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.ring.blocks * BLOCK_BYTES

    def append(self, body: bytes) -> None:
        """Make a record durable; ``ring.takes`` its size. Raises ``OSError``: whether it is durable is unknown."""
        assert not self._is_writing  # J5
        self._is_writing = True
        sequence, place = self._sequence + 1, self.ring.place_after(self._end)
        data = self.ring.frame(sequence, body)
        blocks = len(data) // BLOCK_BYTES
        passed_over = 0 if place == self._end else self.ring.blocks - self._end
        self._blocks_taken += passed_over + blocks
        # J11: neither what the log does not cover nor the last record that it does is written over.
        assert self._blocks_taken < self.ring.blocks - FIRST_BLOCK, (place, blocks, self._blocks_taken)
        self._file.write(data, place * BLOCK_BYTES)
        self._sequence = self._last = sequence
        self._end = place + blocks
        self.pending_bytes += len(data)
        self._is_writing = False

    def mark(self, *, is_open: bool) -> JournalMark:
        """What the log covers, once it holds every record that was written."""
        return JournalMark(self.ring.id, self._sequence, self._end, self._last, is_open)

    def release(self) -> None:
        """The log durably covers every record that was written: their blocks may be written again (J11)."""
        self._blocks_taken = 0
        self.pending_bytes = 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def name_of(path: Path) -> Path:
    """Where the journal of the log in the folder ``path`` is."""
    return path / JOURNAL_FILE
