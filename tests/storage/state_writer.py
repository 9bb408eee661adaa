"""A process that flushes a state as fast as it can.

``python -m tests.storage.state_writer FOLDER SAID COUNT [SOURCE]``

It goes on from where the state in ``FOLDER`` stands, flushes ``COUNT`` times, and appends a line to the file ``SAID``
(``-``: stdout) for each completed flush. With ``SOURCE``, the folder of another state, it first installs a snapshot of
that one. What a flush holds follows from its position alone, so whoever opens the folder afterwards can tell whether
data, records and position agree. It ends as a node does: with the exit code of what went wrong.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs
import lmdb

import replog.state.environment
from replog.errors import ReplogError
from replog.state.store import LmdbStateStore
from tests.faults.workload import Said

from .state_cases import STEP_BYTES, Contents, contents, flush, transfer

ROWS = 200
CHANGED = 40
CHUNK_BYTES = 64 * 1024


def expected_contents(through: int) -> Contents:
    """What a state that was flushed at every position up to ``through`` holds."""
    data: dict[bytes, bytes] = {}
    for slot in range(max(1, through - ROWS), through + 1):
        for key, value in changes(slot).items():
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
    return data, {b"meta": b"%d" % through} if through else {}, through


def changes(slot: int) -> dict[bytes, bytes | None]:
    """Every row changes again within ``ROWS`` positions; some are deleted."""
    changed: dict[bytes, bytes | None] = {}
    for step in range(CHANGED):
        number = (slot + step * 5) % ROWS
        changed[b"row/%03d" % number] = None if (slot + step) % 7 == 0 else b"%d" % slot * (1 + step * 10)
    return changed


def put_changes(store: LmdbStateStore, slot: int) -> None:
    for key, value in changes(slot).items():
        if value is None:
            store.write({key: None})
        else:
            store.write({key: value})
    store.put_record(b"meta", b"%d" % slot)


def write(store: LmdbStateStore, said: Said, count: int) -> None:
    """``count`` flushes."""
    for slot in range(store.durable_through + 1, store.durable_through + 1 + count):
        put_changes(store, slot)
        flush(store, slot)
        said.say("flushed", slot)


def install(store: LmdbStateStore, said: Said, source_path: Path) -> None:
    """Take over the state of ``source_path``."""
    source = LmdbStateStore.open(source_path, map_step_bytes=STEP_BYTES)
    snapshot = source.open_snapshot()
    transfer(snapshot, store, CHUNK_BYTES)
    store.finish_install(snapshot.applied_through)
    said.say("installed", snapshot.applied_through)
    source.close()


@attrs.frozen
class Acknowledged:
    """The last of each kind that the writer said was durable."""

    flushed: int = 0
    installed: int = 0

    @classmethod
    def read(cls, text: str) -> Acknowledged:
        """From the writer's lines; one without its line end was not said."""
        lines = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return cls(**{word: int(number) for word, number in lines})


def check(path: Path, said: Acknowledged) -> int:
    """Open the state, and hold rows, records and position to each other and to what was said; returns the position."""
    store = LmdbStateStore.open(path, map_step_bytes=STEP_BYTES)
    try:
        through = store.durable_through
        assert through >= max(said.flushed, said.installed), f"{said} was acknowledged, the state stands at {through}"
        assert contents(store) == expected_contents(through)
        place, damaged = store.scrub(b"")
        while place and not damaged:
            place, damaged = store.scrub(place)
        assert not damaged
    finally:
        store.close()
    return through


def leave_out_syncs() -> None:
    """Break the store as careless settings would: what it calls durable then is not."""

    def careless(path: Path, map_bytes: int, *, is_readonly: bool = False) -> lmdb.Environment:
        return lmdb.open(str(path), map_size=map_bytes, max_dbs=2, create=False, sync=False, lib_version=0)

    replog.state.environment.open_environment = careless
    os.fsync = lambda fd: None


def main(words: list[str]) -> int:
    """Write, and say how it ended."""
    path, said_path, count, *more = words
    if "--careless" in more:
        more.remove("--careless")
        leave_out_syncs()
    said = Said(said_path)
    try:
        store = LmdbStateStore.open(Path(path), map_step_bytes=STEP_BYTES)
        for source in more:
            install(store, said, Path(source))
        write(store, said, int(count))
        store.close()
    except ReplogError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
