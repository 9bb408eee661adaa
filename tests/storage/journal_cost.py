"""What a commit of the log costs with its journal and without: ``python -m tests.storage.journal_cost [FOLDER]``.

Groups of one slot of 200 bytes, one after the other, on a disk that exists (a folder in memory says nothing). Both are
measured in turns, so that a busy machine is as busy for one as for the other. Checkpoints are made when they are due,
as the log's writer makes them; they are in the CPU time and in the time of a hundred commits, not in p50.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from crc32c import crc32c

from replog.directory.layout import format_directory, open_directory
from replog.log.journaled import JournaledLogStore
from replog.log.space import LogLimits
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot

ROUNDS, COMMITS = 8, 400
NODE = NodeId(1)
VALUE = bytes(200)


def measure(store: JournaledLogStore, first: int) -> tuple[list[float], float, float]:
    """Microseconds of each commit, of CPU a commit, and of a commit with its share of checkpoints."""
    ballot, crc = Ballot(1, NODE), crc32c(VALUE)
    took_us = []
    cpu_s, began_s = time.process_time(), time.perf_counter()
    for slot in range(first, first + COMMITS):
        write = LogWrite(None, (AcceptedSlot(Slot(slot), ballot, crc, VALUE),), Slot(slot - 1))
        before_s = time.perf_counter()
        store.write([write])
        now_s = time.perf_counter()
        took_us.append((now_s - before_s) * 1e6)
        if now_s >= store.checkpoint_at_s:
            store.checkpoint()
    all_s = time.perf_counter() - began_s
    return took_us, (time.process_time() - cpu_s) / COMMITS * 1e6, all_s / COMMITS * 1e6


def main(parent: Path) -> None:
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        stores = {}
        for name, is_journaled in (("journal", True), ("LMDB", False)):
            format_directory(folder / name, node=NODE, cluster=bytes(16), membership=Membership(1, (NODE,)))
            stores[name] = open_directory(folder / name).open_log(LogLimits(journal=is_journaled))
            stores[name].recover()
            measure(stores[name], 1)
        found: dict[str, list[tuple[list[float], float, float]]] = {name: [] for name in stores}
        for number in range(1, ROUNDS + 1):
            for name, store in stores.items():
                found[name].append(measure(store, number * COMMITS + 1))
        print(f"{'':<8} {'p50 us':>8} {'p99 us':>8} {'CPU us':>8} {'with checkpoints us':>20}")
        for name, rounds in found.items():
            times = sorted(took for times, _cpu, _all in rounds for took in times)
            cpu, whole = (statistics.median([one[place] for one in rounds]) for place in (1, 2))
            print(
                f"{name:<8} {times[len(times) // 2]:8.0f} {times[len(times) * 99 // 100]:8.0f} {cpu:8.0f} {whole:20.0f}"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/var/tmp"))
