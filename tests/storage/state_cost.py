"""What the state store costs, printed as a table. Run by hand: ``python -m tests.storage.state_cost``.

Everything is measured on one store of ``--rows`` rows; the last part builds and sends a state of ``--transfer-rows``
rows of 1,000 bytes. The figures in ``docs/STATE.md`` come from here.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from replog.paxos.ballot import Slot
from replog.state.store import LmdbStateStore

from .state_cases import flush
from .state_transfer import build, measure

READS = 200_000
SCANS = 20_000
FLUSHED_KEYS = 15_000


def show(what: str, figure: float, unit: str) -> None:
    """One line of the table."""
    print(f"| {what} | {figure:.3g} {unit} |", flush=True)


def cost_us(what: str, count: int, work: Callable[[], object]) -> None:
    """Run ``work``, which does something ``count`` times, and show what one of them costs."""
    started_s = time.perf_counter()
    work()
    show(what, (time.perf_counter() - started_s) / count * 1e6, "us")


def reads_and_scans(store: LmdbStateStore, keys: list[bytes]) -> None:
    """Rows that are in the file only, then rows that are in memory only."""
    get, write = store.get, store.write

    def get_all() -> None:
        for key in keys:
            get(key)

    def put_all() -> None:
        for key in keys:
            write({key: b"changed" * 10})

    def scan_all(rows: int) -> None:
        for key in keys[:SCANS]:
            list(islice(store.scan(key, None), rows))

    get_all()
    cost_us("get from the file", len(keys), get_all)
    cost_us("scan of 1 row, from the file", SCANS, lambda: scan_all(1))
    cost_us("scan of 8 rows, from the file", SCANS, lambda: scan_all(8))
    cost_us("scan of 100 rows, from the file", SCANS, lambda: scan_all(100))
    cost_us("whole scan, a row", ROWS_IN_STORE[0], lambda: sum(1 for _row in store.scan(b"", None)))
    cost_us("write of one row", len(keys), put_all)
    cost_us("get from memory", len(keys), get_all)
    scan_all(1)
    cost_us(f"scan of 8 rows over {len(keys)} changed keys", SCANS, lambda: scan_all(8))

    def put_and_scan() -> None:
        for number, key in enumerate(keys[:SCANS]):
            write({b"%b/%d" % (key, number): b"new"})
            list(islice(store.scan(key, None), 8))

    cost_us(f"write of a new row and scan of 8 rows over {len(keys)} changed keys", SCANS, put_and_scan)
    flush(store, 2)


@contextmanager
def busy_thread() -> Iterator[list[float]]:
    """Another thread that never rests; yields the longest it was held up, in seconds."""
    is_over = threading.Event()
    longest_s = [0.0]

    def spin() -> None:
        last_s = time.perf_counter()
        while not is_over.is_set():
            now_s = time.perf_counter()
            longest_s[0] = max(longest_s[0], now_s - last_s)
            last_s = now_s

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield longest_s
    finally:
        is_over.set()
        thread.join()


def flushes(store: LmdbStateStore, chance: random.Random, rows: int) -> None:
    """Flushes of random rows, alone and beside a thread that is always busy."""
    sys.setswitchinterval(0.0005)
    for through in range(3, 9):
        is_busy = through > 5
        for number in chance.sample(range(rows), FLUSHED_KEYS):
            store.write({b"row/%010d" % number: b"%d" % through * 20})
        store.begin_flush(Slot(through))
        started_s = time.perf_counter()
        if is_busy:
            with busy_thread() as longest_s:
                store.flush()
        else:
            store.flush()
        taken_s = time.perf_counter() - started_s
        store.end_flush()
        beside = " beside a busy thread" if is_busy else ""
        show(f"flush of {FLUSHED_KEYS} random keys{beside}, a key", taken_s / FLUSHED_KEYS * 1e6, "us")
        if is_busy:
            show("longest that the busy thread was held up", longest_s[0] * 1e3, "ms")


ROWS_IN_STORE = [0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--transfer-rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to build it; default: a temporary folder")
    options = parser.parse_args()
    chance = random.Random(1)
    ROWS_IN_STORE[0] = options.rows
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = LmdbStateStore.open(Path(folder) / "state")
        cost_us("build, a row of 200 bytes", options.rows, lambda: build(store, options.rows, 200))
        show("file", store.file_bytes / 2**20, "MiB")
        reads_and_scans(store, [b"row/%010d" % chance.randrange(options.rows) for _read in range(READS)])
        flushes(store, chance, options.rows)
        store.close()
        started_s = time.perf_counter()
        store = LmdbStateStore.open(Path(folder) / "state")
        show(f"opening with {options.rows} rows", (time.perf_counter() - started_s) * 1e3, "ms")
        store.close()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = measure(Path(folder), options.transfer_rows, 1000, 2**20)
        show("transfer: snapshot", figures["snapshot_bytes"] / 1e9, "GB")
        show("transfer: growth of memory, both sides", figures["memory_growth_bytes"] / 2**20, "MiB")
        show("transfer: pages of files mapped at most", figures["mapped_file_bytes"] / 2**20, "MiB")
        show("transfer: time, both sides in one thread", figures["transfer_s"], "s")
        show("transfer: prepare_install", figures["prepare_s"] * 1e3, "ms")
        show("transfer: finish_install after it", figures["swap_s"] * 1e3, "ms")


if __name__ == "__main__":
    main()
