"""``bench latency``: how long a command takes when they arrive at a given rate, whatever happens."""

from __future__ import annotations

from ..load.plan import LoadPlan
from ..replog_system import Replog
from ..report.tables import number
from ..rounds import Cell
from ..run_options import Count, Numbers, RunOptions
from ..stage import Setup
from ..under_load import measure_and_show


def latency(
    *,
    rates: Numbers = (500, 1_000, 2_000, 5_000, 10_000, 15_000),
    connections: Count = 16,
    outstanding_max: Count = 4_096,
    value_bytes: Count = 175,
    replicas: Count = 3,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> int:
    """Submit at fixed rates and time each command from the moment it was due (no coordinated omission).

    Commands that were due and could not even begin when the window closed count as errors: a rate with many of them
    is above what the cluster can do.

    Parameters
    ----------
    rates
        Commands a second.
    connections
        Client objects that share them.
    outstanding_max
        Commands that may be under way at once.
    value_bytes
        Size of a value.
    replicas
        Size of the cluster.
    """
    setup = Setup(Replog(), replicas)
    cells = [
        Cell(
            setup=setup,
            plan=LoadPlan(
                outstanding=outstanding_max,
                connections=connections,
                rate_per_s=float(rate),
                value_bytes=value_bytes,
                seconds=options.seconds,
                warmup_s=options.warmup,
            ),
            label=f"{rate:,}/s",
        )
        for rate in rates
    ]
    return measure_and_show("latency", cells, options, columns=[("RATE/S", lambda each: number(each.plan.rate_per_s))])
