"""A replicated counter, embedded: the replicas run inside the program that uses them.

    python examples/counter.py

Three replicas share one event loop here, which is short to show; three programs on three machines, each with one
``open_replica``, are the same code. One of them is closed on the way and comes back on its own directory.
"""

from __future__ import annotations

import logging
import socket
import tempfile
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import structlog
import trio

import replog


class Counter(replog.StateMachine):
    """A command is a number to add; the reply is the total after it."""

    def apply(self, state: replog.State, command: replog.Command) -> bytes:
        total = int(state.get(b"total", b"0")) + int(command.payload)
        state.put(b"total", b"%d" % total)
        return b"%d" % total

    def query(self, view: replog.StateView, request: bytes) -> bytes:
        return view.get(b"total", b"0")


async def main() -> None:
    # The library logs with structlog and leaves it to the program what is shown, and where.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        members = {node: f"127.0.0.1:{free_port()}" for node in ("n1", "n2", "n3")}
        configs = [
            replog.ReplicaConfig(data_dir=formatted(Path(folder), node, members), members=members) for node in members
        ]
        await count(*configs)


async def count(*configs: replog.ReplicaConfig) -> None:
    first, second, third = configs
    async with replog.open_replica(first, Counter()) as one, replog.open_replica(second, Counter()) as two:
        async with replog.open_replica(third, Counter()) as three:
            receipt = await three.submit(b"5")
            print(f"5 makes {receipt.reply.decode()}, in slot {receipt.slot} of the log")
            receipts = await one.submit_many([b"1", b"2", b"3"])
            print(f"1, 2 and 3 make {', '.join(receipt.reply.decode() for receipt in receipts)}")
        print("n3 is closed; two of three are a quorum")
        receipt = await two.submit(b"100")
        print(f"100 makes {receipt.reply.decode()}")

        async with replog.open_replica(third, Counter()) as three:
            while three.status().applied_through < receipt.slot:  # noqa: ASYNC110 - it learns what it missed
                await trio.sleep(0.01)
            own = await three.query(b"", consistency="stale")  # what this very replica has applied
            print(f"n3 is back and shows {own.decode()}")
            total = await three.query(b"")  # linearizable: everything acknowledged to anybody before
            print(f"the counter is at {total.decode()}")
            async with aclosing(three.follow(from_slot=1)) as log:
                async for entry in log:
                    if entry.slot == receipt.slot:
                        break
            print(f"the log can be read from slot 1 to {entry.slot}")


def formatted(folder: Path, node: str, members: Mapping[str, str]) -> Path:
    """A data directory, formatted once in a node's life."""
    replog.format_directory(folder / node, node=node, members=members, cluster="counters")
    return folder / node


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    trio.run(main)
