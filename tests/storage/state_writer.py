"""A process that flushes a state as fast as it can, until it is killed.

``python -m tests.storage.state_writer FOLDER``

It prints the position of each completed flush. What a flush holds follows from its position alone, so whoever opens the
folder afterwards can tell whether data, records and position agree.
"""

from __future__ import annotations

import sys
from pathlib import Path

from replog.paxos.ballot import Slot
from replog.state_store import LmdbStateStore

from .state_cases import STEP_BYTES, Contents

ROWS = 200
CHANGED = 40


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


def main() -> None:
    """Flush until killed."""
    store = LmdbStateStore.open(Path(sys.argv[1]), map_step_bytes=STEP_BYTES)
    slot = store.durable_through
    while True:
        slot = Slot(slot + 1)
        for key, value in changes(slot).items():
            if value is None:
                store.delete(key)
            else:
                store.put(key, value)
        store.put_record(b"meta", b"%d" % slot)
        assert store.begin_flush(slot)
        store.flush()
        store.end_flush()
        print(slot, flush=True)


if __name__ == "__main__":
    main()
