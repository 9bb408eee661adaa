"""A plain script, without async: the blocking client, shared by a few threads.

    python examples/script.py

starts a cluster that runs the counter of ``counter.py`` and counts; with endpoints of a running one it uses that:

    python examples/script.py 127.0.0.1:7101 127.0.0.1:7102 127.0.0.1:7103
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from anyio.from_thread import start_blocking_portal

import replog
import replog.blocking


def main(endpoints: Sequence[str]) -> None:
    with replog.blocking.connect(endpoints, name="script") as log:
        before = int(log.query(b""))
        receipt = log.submit(b"5", timeout=5.0)
        print(f"5 more is {int(receipt.reply) - before} more")

        with ThreadPoolExecutor(8) as threads:  # a web framework with a thread a request looks like this
            replies = [int(receipt.reply) for receipt in threads.map(log.submit, [b"1"] * 100)]
        print(f"100 calls from 8 threads gave {len(set(replies))} different totals")

        log.submit_many([b"-1"] * 100)
        print(f"100 less, and it stands at {int(log.query(b'')) - before} more than before")

        try:
            log.submit(b"five")
        except replog.CommandFailed as error:
            print(f"refused by the state machine on every replica alike: {error}")
        print(f"{log.status().leader} leads")


@contextmanager
def endpoints_of(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Those given, or those of a cluster that lives as long as the block."""
    if words:
        yield words
        return
    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(replog.local_cluster(state_machine="counter:Counter")) as cluster,
    ):
        yield cluster.endpoints


if __name__ == "__main__":
    with endpoints_of(sys.argv[1:]) as endpoints:
        main(endpoints)
