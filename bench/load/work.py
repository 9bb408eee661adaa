"""What one caller of our load generator does, again and again."""

from __future__ import annotations

import functools
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator

import replog
from shop_sm.commands import AdjustStock, PlaceOrder, PutProduct, RegisterCustomer, Wanted, encode_command

from .plan import LoadPlan
from .put_machine import encode_put

Call = Callable[[], Awaitable[object]]
"""One operation; an awaitable of its own each time."""

ORDER_LINES = 3
PRODUCTS = 1000
CUSTOMERS = 1000
_CHUNK = 256
_ENDLESS_STOCK = 10**9
_ONE_READ_IN = 10
"""Of ``mixed``: one write for nine reads, a common mix of web applications."""


def state_machine_for(work: str) -> str:
    """Which state machine the replicas must run for this work."""
    return "shop_sm:Shop" if work == "order" else "bench.load.put_machine:PutMachine"


async def prepare(client: replog.Client, plan: LoadPlan) -> None:
    """Store what the work presupposes: every key that may be read, or a catalogue with stock and customers."""
    if plan.work in ("put", "submit_many"):
        return
    payloads = iter(_shop() if plan.work == "order" else _puts(plan))
    while chunk := list(itertools.islice(payloads, _CHUNK)):
        await client.submit_many(chunk, timeout=60.0)


@functools.cache
def _puts(plan: LoadPlan) -> list[bytes]:
    """One put for every key, shared by all callers: with a list each, every collection walks a million references."""
    value = b"v" * plan.value_bytes
    return [encode_put(key_name(number), value) for number in range(plan.keys)]


@functools.cache
def _keys(plan: LoadPlan) -> list[bytes]:
    return [key_name(number) for number in range(plan.keys)]


def _shop() -> Iterator[bytes]:
    for number in range(PRODUCTS):
        yield encode_command(PutProduct(_sku(number), f"Product {number}", 100 + number, "USD"))
        yield encode_command(AdjustStock(_sku(number), _ENDLESS_STOCK, f"delivery-{number}"))
    for number in range(CUSTOMERS):
        yield encode_command(RegisterCustomer(f"c-{number:04d}", f"Customer {number}"))


def key_name(number: int) -> bytes:
    """The key of this number, as everybody's load writes it."""
    return b"key-%06d" % number


def _sku(number: int) -> str:
    return f"sku-{number:06d}"


def caller(client: replog.Client, plan: LoadPlan, number: int) -> Call:
    """The operation that caller ``number`` repeats."""
    chosen = random.Random(number)
    match plan.work:
        case "put":
            return _put(client, plan, chosen)
        case "submit_many":
            return _submit_many(client, plan, chosen)
        case "order":
            return _order(client, plan, chosen, number)
        case "linearizable" | "stale":
            return _read(client, plan, chosen)
        case "mixed":
            return _mixed(client, plan, chosen)
    raise ValueError(f"no such work: {plan.work}")


def _put(client: replog.Client, plan: LoadPlan, chosen: random.Random) -> Call:
    payloads, timeout, choice = _puts(plan), plan.deadline_s, chosen.choice
    return lambda: client.submit(choice(payloads), timeout=timeout)


def _submit_many(client: replog.Client, plan: LoadPlan, chosen: random.Random) -> Call:
    payloads, timeout = chosen.choices(_puts(plan), k=plan.batch), plan.deadline_s
    return lambda: client.submit_many(payloads, timeout=timeout)


def _read(client: replog.Client, plan: LoadPlan, chosen: random.Random) -> Call:
    keys, consistency, timeout, choice = _keys(plan), plan.work, plan.deadline_s, chosen.choice
    if consistency == "stale":
        return lambda: client.query(choice(keys), consistency="stale", timeout=timeout)
    return lambda: client.query(choice(keys), timeout=timeout)


def _mixed(client: replog.Client, plan: LoadPlan, chosen: random.Random) -> Call:
    write, read = _put(client, plan, chosen), _read(client, plan, chosen)
    return lambda: write() if chosen.randrange(_ONE_READ_IN) == 0 else read()


def _order(client: replog.Client, plan: LoadPlan, chosen: random.Random, number: int) -> Call:
    """Orders of three lines under ids nobody else uses, ascending as the shop advises."""
    run = f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}"
    numbers = itertools.count()
    timeout = plan.deadline_s

    def call() -> Awaitable[object]:
        lines = [Wanted(_sku(product), 1) for product in chosen.sample(range(PRODUCTS), ORDER_LINES)]
        order = f"{run}-{next(numbers):07d}-{number}"
        command = PlaceOrder(order, f"c-{chosen.randrange(CUSTOMERS):04d}", lines)
        return client.submit(encode_command(command), timeout=timeout)

    return call
