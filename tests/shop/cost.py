"""What applying and asking costs: CPU time of one process, with a shop of the size that ``docs/SHOP.md`` names.

    python -m tests.shop.cost [--orders 1000000] [--products 100000]

``measure`` is what a benchmark calls. The commands go through the real Applier, in slots of 64, as in a replica.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from replog.applier import Applier, SessionOptions
from replog.memory_state_store import MemoryStateStore
from replog.paxos.ballot import Slot
from replog.paxos.values import Batch as SlotBatch
from replog.paxos.values import encode_value
from replog.requests import Commands, OpenSession, SessionOpened
from replog.storage import StateStore
from shop_sm import Shop
from shop_sm.commands import AdjustStock, Command, PlaceOrder, PutProduct, RegisterCustomer, Wanted, encode_command
from shop_sm.queries import OrderQuery, ProductQuery, Query, encode_query

SLOT_COMMANDS = 64
START_MS = 1_700_000_000_000


class Replica:
    """An Applier fed with whole slots; the slots are encoded before the clock runs."""

    def __init__(self, store: StateStore) -> None:
        self.applier = Applier(Shop(), store, SessionOptions())
        self.slot = 0
        self.sequence = 1
        self.spent_s = 0.0
        opened = self.apply_slot(OpenSession(nonce=bytes(16)))[0]
        assert isinstance(opened, SessionOpened)
        self.session = opened.session

    def apply_slot(self, submission: OpenSession | Commands) -> list[object]:
        self.slot += 1
        value = encode_value(SlotBatch(START_MS + self.slot, [msgspec.msgpack.encode(submission)]))
        begun_s = time.process_time()
        outcomes = self.applier.apply(Slot(self.slot), value)
        self.spent_s += time.process_time() - begun_s
        return list(outcomes)

    def run(self, commands: Iterable[Command]) -> float:
        """Applies them; microseconds of CPU a command."""
        self.spent_s = 0.0
        count = 0
        for payloads in slots(commands):
            self.apply_slot(Commands(self.session, self.sequence, self.sequence, payloads))
            self.sequence += len(payloads)
            count += len(payloads)
        return self.spent_s / count * 1e6

    def ask(self, queries: list[Query]) -> float:
        """Microseconds of CPU a query."""
        requests = [encode_query(query) for query in queries]
        query = self.applier.query
        begun_s = time.process_time()
        for request in requests:
            query(request)
        return (time.process_time() - begun_s) / len(requests) * 1e6


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


def measure(
    products: int, stored_orders: int, measured: int = 20_000, open_store: Callable[[], StateStore] = MemoryStateStore
) -> dict[str, float]:
    """Microseconds of CPU: an order of three lines, a product query, an order query; and what the machine is worth.

    ``hundred_additions_us`` is a loop of a hundred additions, to compare figures of different machines and moments.
    """
    rng = random.Random(1)
    replica = Replica(open_store())
    replica.run(catalogue(products))
    replica.run(RegisterCustomer(f"c-{number}", f"Customer {number}") for number in range(1_000))
    replica.run(orders(0, stored_orders, products, 1_000, rng))
    gc.collect()
    return {
        "hundred_additions_us": hundred_additions_us(),
        "order_of_3_lines_us": replica.run(orders(stored_orders, measured, products, 1_000, rng)),
        "product_query_us": replica.ask([ProductQuery(sku(rng.randrange(products))) for _ in range(measured)]),
        "order_query_us": replica.ask([OrderQuery(f"o-{rng.randrange(measured):09}") for _ in range(measured)]),
    }


def hundred_additions_us() -> float:
    begun_s = time.process_time()
    for _ in range(10_000):
        total = 0
        for number in range(100):
            total += number
    return (time.process_time() - begun_s) * 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--orders", type=int, default=100_000)
    arguments = parser.parse_args()
    for name, value in measure(arguments.products, arguments.orders).items():
        print(f"{name:24} {value:8.2f}")


if __name__ == "__main__":
    main()
