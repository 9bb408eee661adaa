"""``bench throughput``: how many commands a second, with a fixed number of them under way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ..load.plan import LoadPlan
from ..load.work import state_machine_for
from ..replog_system import Replog
from ..report.tables import number
from ..rounds import Cell
from ..run_options import Numbers, RunOptions
from ..stage import Setup
from ..under_load import measure_and_show

_BATCH_CALLERS = 4
_BASE_OUTSTANDING = 256


def throughput(
    *,
    clients: Numbers = (1, 16, 64, 256, 1024),
    connections: Numbers = (1, 16),
    value_bytes: Numbers = (175, 16, 1024, 16_384),
    replicas: Numbers = (3, 1, 5),
    batches: Numbers = (16, 256),
    orders: bool = True,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> int:
    """Keep a fixed number of commands under way and count the answers.

    Clients and connections are combined with each other; the other lists are varied one at a time from their first
    entry, at 256 outstanding (or the largest number of clients, if that is smaller).

    Parameters
    ----------
    clients
        Commands under way, each waited for by a caller of its own.
    connections
        Client objects that the callers share.
    value_bytes
        Sizes of a value.
    replicas
        Sizes of the cluster.
    batches
        Commands in one `submit_many`, from 4 callers over one connection.
    orders
        Measure the shop's orders of three lines, too.
    """
    base = LoadPlan(
        seconds=options.seconds,
        warmup_s=options.warmup,
        value_bytes=value_bytes[0],
        outstanding=min(_BASE_OUTSTANDING, max(clients)),
        connections=max(connections),
    )
    setups = {count: Setup(Replog(), count) for count in replicas}
    usual = setups[replicas[0]]
    cells = [
        *_puts(usual, base, clients, connections),
        *_sizes(usual, base, value_bytes[1:]),
        *_replicas(setups, base, replicas[1:]),
        *_batches(usual, base, batches),
        *(_orders(base, replicas[0], connections) if orders else []),
    ]
    return measure_and_show(
        "throughput",
        cells,
        options,
        columns=[
            ("LOAD", lambda each: each.label),
            ("CLIENTS", lambda each: number(each.plan.outstanding)),
            ("CONNECTIONS", lambda each: number(min(each.plan.connections, each.plan.outstanding))),
        ],
    )


def _puts(setup: Setup, base: LoadPlan, clients: Sequence[int], connections: Sequence[int]) -> Iterator[Cell]:
    for count in connections:
        for outstanding in clients:
            if count <= outstanding or count == min(connections):
                plan = attrs.evolve(base, outstanding=outstanding, connections=count)
                yield Cell(setup=setup, plan=plan, label="put")


def _sizes(setup: Setup, base: LoadPlan, sizes: Sequence[int]) -> list[Cell]:
    return [
        Cell(setup=setup, plan=attrs.evolve(base, value_bytes=size), label=f"put of {size:,} bytes") for size in sizes
    ]


def _replicas(setups: dict[int, Setup], base: LoadPlan, counts: Sequence[int]) -> list[Cell]:
    return [
        Cell(setup=setups[count], plan=base, label=f"put, {count} {'replica' if count == 1 else 'replicas'}")
        for count in counts
    ]


def _batches(setup: Setup, base: LoadPlan, batches: Sequence[int]) -> list[Cell]:
    one = attrs.evolve(base, work="submit_many", connections=1, outstanding=_BATCH_CALLERS)
    return [
        Cell(setup=setup, plan=attrs.evolve(one, batch=batch), label=f"submit_many of {batch}") for batch in batches
    ]


def _orders(base: LoadPlan, replicas: int, connections: Sequence[int]) -> list[Cell]:
    setup = Setup(Replog(state_machine_for("order")), replicas)
    return [
        Cell(setup=setup, plan=attrs.evolve(base, work="order", connections=count), label="shop order, 3 lines")
        for count in connections
    ]
