"""A small process that uses a directory as a node's threads do: ``python -m tests.faults.workload DIR SAID SLOTS ...``.

``--journal``: the log is written through a small journal; ``--killed``: it ends without a clean stop.

It goes on where the directory stands, writes ``SLOTS`` more slots and appends a line to the file ``SAID`` (``-``:
stdout) for everything that has become durable. It ends as a node does: with the exit code of what went wrong.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import replog.log.environment
import replog.log.journal_layout
from replog.directory.layout import STATE_FOLDER, DataDirectory, open_directory
from replog.errors import ReplogError, StorageFull
from replog.log.journaled import JournaledLogStore
from replog.log.space import MIB, LogLimits
from replog.paxos.ballot import Slot
from replog.paxos.effects import LogWrite
from replog.state.store import LmdbStateStore

from .acknowledged import (
    CHOSEN_LAG,
    FLUSH_SLOTS,
    JOURNALED,
    LIMITS,
    RING_BYTES,
    TAIL_SLOTS,
    ballot_of,
    record_of,
    row_of,
)

COMPACT_SLOTS = 6
CHECKPOINT_SLOTS = 5


class Said:
    """Where the workload says what is durable: one line, one write."""

    def __init__(self, path: str) -> None:
        self._descriptor = 1 if path == "-" else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, word: str, number: int) -> None:
        os.write(self._descriptor, b"%s %d\n" % (word.encode(), number))


def write_log(store: JournaledLogStore, said: Said, slot: int) -> None:
    """A promise now and then, an acceptance, and room made behind it."""
    if slot % 8 == 0 or slot == 1:
        promise = ballot_of(slot)
        _patiently(store, LogWrite(promise, (), None))
        said.say("promise", promise.round)
    chosen_through = Slot(slot - CHOSEN_LAG) if slot > CHOSEN_LAG else None
    _patiently(store, LogWrite(None, (record_of(slot),), chosen_through))
    said.say("slot", slot)
    if slot % CHECKPOINT_SLOTS == 0:
        store.checkpoint()
    if slot % COMPACT_SLOTS == 0 and slot > TAIL_SLOTS:
        store.compact(Slot(slot - TAIL_SLOTS), slots_max=COMPACT_SLOTS)


def _patiently(store: JournaledLogStore, write: LogWrite) -> None:
    """As the log's writer does: a full disk is waited for, once here."""
    try:
        store.write([write])
    except StorageFull:
        store.write([write])


def write_state(state: LmdbStateStore, said: Said, slot: int) -> None:
    """Apply one slot; every few slots a flush."""
    state.write(dict([row_of(slot)]))
    state.put_record(b"through", b"%d" % slot)
    if slot % FLUSH_SLOTS == 0:
        state.begin_flush(Slot(slot))
        try:
            state.flush()
        except StorageFull:
            state.flush()
        state.end_flush()
        said.say("state", slot)


def run(
    directory: DataDirectory, said: Said, slots: int, limits: LogLimits = LIMITS, *, is_stopped: bool = True
) -> None:
    """Everything; the state is brought up to the log first, as a starting node does."""
    store = directory.open_log(limits)
    recovered = store.recover()
    state = LmdbStateStore.open(directory.path / STATE_FOLDER, map_step_bytes=MIB)
    last = max([recovered.chosen_through, *(record.slot for record in recovered.accepted)])
    for slot in range(state.durable_through + 1, last + 1):
        write_state(state, said, slot)
    said.say("opened", last)
    for slot in range(last + 1, last + 1 + slots):
        write_log(store, said, slot)
        write_state(state, said, slot)
    state.close()
    if is_stopped:
        store.finish()
    store.close()


def leave_out_syncs() -> None:
    """Break the log as a careless setting would: what it calls durable then is not."""
    import lmdb

    def careless(path: Path, map_bytes: int, *, is_readonly: bool = False) -> lmdb.Environment:
        return lmdb.open(str(path), map_size=map_bytes, max_dbs=2, create=False, sync=False, lib_version=0)

    replog.log.environment.open_environment = careless
    opened = os.open

    def without_syncs(path: str | Path, flags: int, mode: int = 0o777) -> int:
        return opened(path, flags & ~os.O_DSYNC, mode)

    os.open = without_syncs  # type: ignore[assignment]


def main(words: list[str]) -> int:
    path, said, slots, *more = words
    if "--careless" in more:
        leave_out_syncs()
    replog.log.journal_layout.JOURNAL_BYTES = RING_BYTES  # type: ignore[misc]
    limits = JOURNALED if "--journal" in more else LIMITS
    try:
        directory = open_directory(Path(path))
        run(directory, Said(said), int(slots), limits, is_stopped="--killed" not in more)
    except ReplogError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
