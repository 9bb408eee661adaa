"""``make edges``: the whole matrix, each row with its exit code and sentence; ends with 1 if one of them is wrong."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import trio

from replog.cli_kit import print_line
from replog.cli_kit.shown import shown
from replog.local_cluster import local_cluster

from .rows import Row, every_row
from .stage import Ended, run_row, template


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.edges", description=__doc__)
    parser.add_argument("words", nargs="*", help="only rows in whose area or text all of these are")
    parser.add_argument("--faults", action="store_true", help="print only rows that are wrong")
    chosen = parser.parse_args()
    rows = [row for row in every_row() if all(word in f"{row.area} {row.what}" for word in chosen.words)]
    wrong = trio.run(partial(_run, rows, is_brief=chosen.faults))
    print_line(f"{len(rows) - wrong:,} rows right, {wrong:,} wrong")
    return 1 if wrong else 0


async def _run(rows: list[Row], *, is_brief: bool) -> int:
    """Run them beside a shop, and print each as it ends; returns how many were wrong."""

    def run_all() -> int:
        wrong = 0
        for ended in _ended(rows, cluster.endpoints[0]):
            wrong += bool(ended.fault)
            if ended.fault or not is_brief:
                print_line(_line(ended))
        return wrong

    async with local_cluster(replicas=1, state_machine="shop_sm:Shop") as cluster:
        return await trio.to_thread.run_sync(run_all)


def _ended(rows: list[Row], served: str) -> Iterator[Ended]:
    with tempfile.TemporaryDirectory(prefix="replog-edges-") as name:
        templates = template(Path(name))

        def run_one(row: Row) -> Ended:
            with tempfile.TemporaryDirectory(prefix="replog-edge-", ignore_cleanup_errors=True) as folder:
                return run_row(row, templates, Path(folder), served)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(run_one, rows)


def _line(ended: Ended) -> str:
    said = shown((ended.fault and f"WRONG: {ended.fault}: {ended.sentence}") or ended.sentence)
    return f"{ended.code:>4}  {ended.row.area:<11}  {shown(ended.row.what)[:90]:<90}  {said[:140]}"


if __name__ == "__main__":
    sys.exit(main())
