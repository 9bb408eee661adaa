"""What the shop costs, alone, in CPU: ``python -m tests.shop.cost [--products N] [--orders N] [--store lmdb]``.

Not a test, because a test never asserts a time; the figures are kept in docs/SHOP.md. Everything runs through the
real Applier, in slots of 64 commands, as in a replica. With ``--store lmdb`` it runs over a data directory as a
replica has it: the state is flushed by a thread every quarter of a second, the log is written, and at the end a real
replica is started on the directory and timed until it leads, then killed under load and timed again. The time of an
apply is that of its own thread.
"""

from __future__ import annotations

import argparse
import gc
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import crc32c
import msgspec
import trio

from replog import Client, LocalCluster, local_cluster
from replog.apply.applier import Applier
from replog.apply.outcomes import SessionOpened
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import Commands, OpenSession
from replog.config import NodeOptions
from replog.directory.layout import DataDirectory, format_directory, open_directory
from replog.log.contract import LogStore
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import AcceptedSlot
from replog.paxos.values import Batch as SlotBatch
from replog.paxos.values import encode_value
from replog.state.contract import StateStore
from replog.state.memory import MemoryStateStore
from replog.state.store import LmdbStateStore
from shop_sm import Shop, ShopClient
from shop_sm.commands import AdjustStock, Command, PlaceOrder, PutProduct, RegisterCustomer, Wanted, encode_command
from shop_sm.queries import OrderQuery, ProductQuery, Query, encode_query

SLOT_COMMANDS = 64
LOG_SLOTS = 64
ORDERS_AT_ONCE = 1_024
BALLOT = Ballot(1, NodeId(1))
START_MS = 1_700_000_000_000


class Replica:
    """An Applier fed with whole slots; the slots are encoded before the clock runs.

    Parameters
    ----------
    store: flushed every quarter of a second beside the work, as the node does.
    log: every slot is written to it first; None: there is no log.
    """

    def __init__(self, store: StateStore, log: LogStore | None = None) -> None:
        self._store = store
        self.applier = Applier(Shop(), store, SessionOptions())
        self.slot = 0
        self.sequence = 1
        self.spent_s = 0.0
        self.flushes = 0
        self._log = log
        self._unlogged: list[AcceptedSlot] = []
        self._thread = ThreadPoolExecutor(1)
        self._flush: Future[None] | None = None
        self._flushed_at_s = time.perf_counter()
        opened = self.apply_slot(OpenSession(bytes(16)))[0]
        assert isinstance(opened, SessionOpened)
        self.session = opened.session

    def apply_slot(self, submission: OpenSession | Commands) -> list[object]:
        self.slot += 1
        value = encode_value(SlotBatch(START_MS + self.slot, [msgspec.msgpack.encode(submission)]))
        self._write(value)
        begun_s = time.thread_time()
        outcomes = self.applier.apply(Slot(self.slot), value)
        self.spent_s += time.thread_time() - begun_s
        if self.applier.unflushed_keys >= NodeOptions().unflushed_keys_max and self._flush is not None:
            self._flush.result()
            self._begin_flush()
        elif time.perf_counter() - self._flushed_at_s > NodeOptions().flush_interval_s:
            self._begin_flush()
        return [message for _, message, _ in outcomes]

    def _write(self, value: bytes) -> None:
        if self._log is None:
            return
        self._unlogged.append(AcceptedSlot(Slot(self.slot), BALLOT, crc32c.crc32c(value), value))
        if len(self._unlogged) == LOG_SLOTS:
            self._write_log()

    def _write_log(self) -> None:
        if self._log is not None and self._unlogged:
            self._log.write([LogWrite(BALLOT, tuple(self._unlogged), self._unlogged[-1].slot)])
            self._unlogged = []

    def _begin_flush(self) -> None:
        if self._flush is not None:
            if not self._flush.done():
                return
            self._flush.result()
            self.applier.end_flush()
        self._flushed_at_s = time.perf_counter()
        self.applier.begin_flush()
        self._flush = self._thread.submit(self.applier.flush)
        self.flushes += 1

    def settle(self) -> None:
        """Everything so far is on the disk."""
        self._write_log()
        if self._flush is not None:
            self._flush.result()
            self.applier.end_flush()
            self._flush = None
        self.applier.begin_flush()
        self.applier.flush()
        self.applier.end_flush()

    def close(self) -> None:
        self.settle()
        self._thread.shutdown()
        self._store.close()

    def run(self, commands: Iterable[Command]) -> float:
        """Applies them; microseconds of CPU a command."""
        self.spent_s = 0.0
        count = 0
        for payloads in slots(commands):
            self.apply_slot(Commands(self.session, self.sequence, self.sequence, payloads, bytes(16)))
            self.sequence += len(payloads)
            count += len(payloads)
        return self.spent_s / count * 1e6

    def ask(self, queries: list[Query]) -> float:
        """Microseconds of CPU a query."""
        requests = [encode_query(query) for query in queries]
        query = self.applier.query
        begun_s = time.thread_time()
        for request in requests:
            query(request)
        return (time.thread_time() - begun_s) / len(requests) * 1e6


def slots(commands: Iterable[Command]) -> Iterator[list[bytes]]:
    payloads: list[bytes] = []
    for command in commands:
        payloads.append(encode_command(command))
        if len(payloads) == SLOT_COMMANDS:
            yield payloads
            payloads = []
    if payloads:
        yield payloads


def sku(number: int) -> str:
    return f"sku-{number:06}"


def catalogue(products: int) -> Iterator[Command]:
    for number in range(products):
        yield PutProduct(
            sku(number), f"Product {number}", 1_000 + number % 999, "USD", f"https://shop.example/{number}"
        )
        yield AdjustStock(sku(number), 10**8, "delivery-1")


def orders(first: int, count: int, products: int, customers: int, rng: random.Random) -> Iterator[Command]:
    for number in range(first, first + count):
        lines = [Wanted(sku(one), rng.randrange(1, 5)) for one in rng.sample(range(products), 3)]
        yield PlaceOrder(f"o-{number:09}", f"c-{rng.randrange(customers)}", lines)


def measure(products: int, stored_orders: int, measured: int = 20_000) -> dict[str, float]:
    """Over a store in memory; see ``costs_of``."""
    return costs_of(Replica(MemoryStateStore()), products, stored_orders, measured)


def no_bytes() -> int:
    return 0


def costs_of(
    replica: Replica,
    products: int,
    stored_orders: int,
    measured: int = 20_000,
    state_bytes: Callable[[], int] = no_bytes,
) -> dict[str, float]:
    """An order of three lines, a product query, an order query, in us of CPU; bytes; and what the machine is worth.

    ``hundred_additions_us`` is a loop of a hundred additions, to compare figures of different machines and moments.
    """
    rng = random.Random(1)
    replica.run(catalogue(products))
    replica.run(RegisterCustomer(f"c-{number}", f"Customer {number}") for number in range(1_000))
    replica.settle()
    before_bytes = state_bytes()
    replica.run(orders(0, stored_orders, products, 1_000, rng))
    replica.settle()
    gc.collect()
    additions_us = hundred_additions_us()
    costs = {
        "hundred_additions_us": additions_us,
        "order_of_3_lines_us": replica.run(orders(stored_orders, measured, products, 1_000, rng)),
        "product_query_us": replica.ask([ProductQuery(sku(rng.randrange(products))) for _ in range(measured)]),
        "order_query_us": replica.ask([OrderQuery(f"o-{rng.randrange(measured):09}") for _ in range(measured)]),
        "anonymous_mib": anonymous_bytes() / 2**20,
    }
    if before_bytes:
        replica.settle()
        costs["state_bytes_per_order"] = (state_bytes() - before_bytes) / (stored_orders + measured)
        costs["state_mib"] = state_bytes() / 2**20
    return costs


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind: what it needs whatever the page cache holds."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def hundred_additions_us() -> float:
    begun_s = time.process_time()
    for _ in range(10_000):
        total = 0
        for number in range(100):
            total += number
    return (time.process_time() - begun_s) * 100


def measure_directory(folder: Path, products: int, stored_orders: int, measured: int = 20_000) -> dict[str, float]:
    """The same over a replica's own data directory, and how long a real replica needs to lead on it."""
    format_directory(folder / "n1", node=NodeId(1), cluster=bytes(16), membership=Membership(1, (NodeId(1),)))
    directory = open_directory(folder / "n1")
    replica, log = opened(directory)
    state_path = directory.state_path
    costs = costs_of(replica, products, stored_orders, measured, lambda: live_bytes(state_path))
    replica.close()
    log.close()
    directory.close()
    return {**costs, **trio.run(restarts, folder, stored_orders + measured, products)}


def live_bytes(state_path: Path) -> int:
    """Pages in use; asked of another process, because LMDB opens a file once in one."""
    command = "import sys; from pathlib import Path; from replog.state.report import look_at_state as look; "
    command += "print(look(Path(sys.argv[1])).live_bytes)"
    return int(subprocess.run([sys.executable, "-c", command, state_path], check=True, capture_output=True).stdout)


def opened(directory: DataDirectory) -> tuple[Replica, LogStore]:
    log = directory.open_log()
    log.recover()
    return Replica(LmdbStateStore.open(directory.state_path), log), log


async def restarts(folder: Path, order_count: int, products: int) -> dict[str, float]:
    """From the start of a replica's process until it leads and serves, in seconds; Python's own start is in it.

    First on what was closed cleanly; then after kill -9 in the middle of orders.
    """
    begun_s = time.perf_counter()
    async with local_cluster(replicas=1, state_machine="shop_sm:Shop", data_dir=folder) as cluster:
        costs = {"restart_s": time.perf_counter() - begun_s}
        async with cluster.client() as log:
            placed = await _place_until_killed(cluster, log, order_count, products)
            begun_s = time.perf_counter()
            await cluster.start("n1")
            costs["restart_after_kill_s"] = time.perf_counter() - begun_s
            totals = await ShopClient(log).totals()
    found = sum(row.orders for row in totals.currencies)
    assert order_count + placed <= found <= order_count + placed + ORDERS_AT_ONCE, totals
    return costs


async def _place_until_killed(cluster: LocalCluster, log: Client, first: int, products: int) -> int:
    """Place orders for two seconds, then kill the replica; returns how many were answered."""
    rng, placed = random.Random(2), 0
    until_s = time.perf_counter() + 2.0
    while time.perf_counter() < until_s:
        some = orders(first + placed, ORDERS_AT_ONCE, products, 1_000, rng)
        await log.submit_many([encode_command(order) for order in some])
        placed += ORDERS_AT_ONCE
    cluster.kill("n1")
    await cluster.wait_ended("n1")
    return placed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--store", choices=("memory", "lmdb"), default="memory")
    arguments = parser.parse_args()
    sys.setswitchinterval(NodeOptions().switch_interval_s)
    if arguments.store == "memory":
        costs = measure(arguments.products, arguments.orders)
    else:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            costs = measure_directory(Path(folder), arguments.products, arguments.orders)
    for name, value in costs.items():
        print(f"{name:24} {value:10.2f}")


if __name__ == "__main__":
    main()
