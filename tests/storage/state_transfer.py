"""Sends a state to another store in one process and prints what it cost: ``python -m tests.storage.state_transfer``.

Anonymous memory is what counts: the pages of the file that LMDB maps are the kernel's cache, which it takes back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from replog.paxos.ballot import Slot
from replog.state.store import LmdbStateStore

from .state_cases import chunks

ROWS_PER_FLUSH = 20_000


def memory_bytes(field: str) -> int:
    """A field of this process's memory account, such as ``RssAnon`` or ``RssFile``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def build(store: LmdbStateStore, rows: int, value_bytes: int) -> None:
    """Fill ``store`` with ``rows`` rows, in flushes of bounded size."""
    for first in range(0, rows, ROWS_PER_FLUSH):
        for number in range(first, min(rows, first + ROWS_PER_FLUSH)):
            store.write({b"row/%010d" % number: (b"%010d" % number) * (value_bytes // 10)})
        store.put_record(b"meta", b"%d" % first)
        assert store.begin_flush(Slot(first + 1))
        store.flush()
        store.end_flush()


def measure(folder: Path, rows: int, value_bytes: int, chunk_bytes: int) -> dict[str, float]:
    """Build, send and install; returns sizes in bytes and seconds.

    Another process builds, so that this one has no memory left over from it that a transfer could use unseen.
    """
    command = [sys.executable, "-m", __spec__.name, "--build-only", "--folder", str(folder)]
    subprocess.run([*command, "--rows", str(rows), "--value-bytes", str(value_bytes)], check=True)
    sender = LmdbStateStore.open(folder / "sender")
    receiver = LmdbStateStore.open(folder / "receiver")
    before = memory_bytes("RssAnon")
    highest = highest_file = size = 0
    started_s = time.perf_counter()
    snapshot = sender.open_snapshot()
    receiver.begin_install(snapshot.name)
    for position, data in chunks(snapshot, chunk_bytes):
        receiver.install_chunk(position, data)
        size = position + len(data)
        highest = max(highest, memory_bytes("RssAnon"))
        highest_file = max(highest_file, memory_bytes("RssFile"))
    sent_s = time.perf_counter()
    receiver.prepare_install(snapshot.applied_through)
    prepared_s = time.perf_counter()
    receiver.finish_install(snapshot.applied_through)
    done_s = time.perf_counter()
    highest = max(highest, memory_bytes("RssAnon"))
    snapshot.close()
    found = sum(1 for _row in receiver.scan(b"", None))
    sender.close()
    receiver.close()
    return {
        "rows": found,
        "snapshot_bytes": size,
        "memory_growth_bytes": highest - before,
        "mapped_file_bytes": highest_file,
        "transfer_s": round(sent_s - started_s, 3),
        "prepare_s": round(prepared_s - sent_s, 4),
        "swap_s": round(done_s - prepared_s, 4),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=1000)
    parser.add_argument("--chunk-bytes", type=int, default=2**20)
    parser.add_argument("--folder", type=Path, default=None, help="where to build it; default: a temporary folder")
    parser.add_argument("--build-only", action="store_true")
    options = parser.parse_args()
    if options.build_only:
        store = LmdbStateStore.open(options.folder / "sender")
        build(store, options.rows, options.value_bytes)
        store.close()
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(measure(Path(folder), options.rows, options.value_bytes, options.chunk_bytes)))


if __name__ == "__main__":
    main()
