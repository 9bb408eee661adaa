"""The two state stores behind one way to open, crash and fill them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from replog.paxos.ballot import Slot
from replog.state.contract import StateSnapshot, StateStore
from replog.state.memory import MemoryStateStore
from replog.state.store import LmdbStateStore

STEP_BYTES = 2**20
"""A small step, so that tests see the map grow."""

Contents = tuple[dict[bytes, bytes], dict[bytes, bytes], int]


class Disk(Protocol):
    """Where one store lives."""

    store: StateStore

    def crash(self) -> StateStore:
        """Lose what is not durable; returns the store as it comes back."""

    def close(self) -> None: ...


class MemoryDisk:
    """The store in memory."""

    def __init__(self, _path: Path) -> None:
        self.memory = MemoryStateStore()
        self.store: StateStore = self.memory

    def crash(self) -> StateStore:
        self.memory.crash()
        return self.store

    def close(self) -> None:
        self.store.close()


class LmdbDisk:
    """The store in a folder. A crash copies the files as they are and opens the copy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copies = 0
        self.store: StateStore = LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)

    def crash(self) -> StateStore:
        self._copies += 1
        copy = self.path.with_name(f"{self.path.name.split('-')[0]}-{self._copies}")
        shutil.copytree(self.path, copy)
        self.store.close()
        shutil.rmtree(self.path)
        self.path = copy
        self.store = LmdbStateStore.open(copy, map_step_bytes=STEP_BYTES)
        return self.store

    def close(self) -> None:
        self.store.close()


DISKS = {"memory": MemoryDisk, "lmdb": LmdbDisk}


def flush(store: StateStore, through: int) -> None:
    """One whole flush."""
    assert store.begin_flush(Slot(through))
    store.flush()
    store.end_flush()


def contents(store: StateStore) -> Contents:
    """Everything a store holds, and where it durably stands."""
    return dict(store.scan(b"", None)), dict(store.scan_records(b"")), store.durable_through


def chunks(snapshot: StateSnapshot, chunk_bytes: int, position: int = 0) -> Iterator[tuple[int, bytes]]:
    """The snapshot's chunks with their positions."""
    is_last = False
    while not is_last:
        data, is_last = snapshot.read(position, chunk_bytes)
        assert len(data) <= chunk_bytes
        yield position, data
        position += len(data)


def transfer(snapshot: StateSnapshot, store: StateStore, chunk_bytes: int = 4096) -> None:
    """Everything up to the swap."""
    store.begin_install(snapshot.name)
    for position, data in chunks(snapshot, chunk_bytes, store.received_bytes(snapshot.name)):
        store.install_chunk(position, data)


def fill(store: StateStore, count: int, through: int, *, value_bytes: int = 100) -> None:
    """``count`` rows and a tenth as many records, flushed."""
    for number in range(count):
        store.write({b"row/%08d" % number: (b"%08d/%d/" % (number, through)).ljust(value_bytes, b".")})
        if number % 10 == 0:
            store.put_record(b"session/%06d" % number, b"kept %d" % through)
    flush(store, through)
