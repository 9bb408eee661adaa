"""``bench all``: every measurement one after the other, then the pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import attrs
from cyclopts import Parameter

from replog.cli_kit import note

from ..errors import ChildFailed
from ..peers.catalogue import ALL_PEERS
from ..run_options import Names, RunOptions
from .codec import codec
from .compare import compare
from .cost import cost
from .failover import failover
from .latency import latency
from .plot import plot
from .reads import reads
from .recovery import recovery
from .scale import scale
from .steady import steady
from .storage import storage
from .throughput import throughput

_SMOKE_SECONDS = 0.4
_SMOKE_WARMUP = 0.2
_SMOKE_FAILOVER_SECONDS = 1.5
_SMOKE_STEADY_SECONDS = 3.0
_SMOKE_COST_SECONDS = 1.0
_SMOKE_CODEC_SECONDS = 0.01
_STEADY_SECONDS = 600.0
"""Of the hour that it takes by itself."""


def everything(
    *,
    peers: Names = ALL_PEERS,
    figures: Path | None = None,
    smoke: Annotated[bool, Parameter(negative=())] = False,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> int:
    """Run every measurement with its usual settings, about two hours and a half, and draw the results.

    Parameters
    ----------
    peers
        Systems to measure beside ours, those that are installed; none for ours alone.
    figures
        Folder for the pictures; beside the result files if left out.
    smoke
        Only see that everything works: tiny sizes, one short round. The figures mean nothing.
    """
    codes = []
    measurements = _smoke(peers, options) if smoke else _usual(peers, options)
    for number, (name, measure) in enumerate(measurements.items(), start=1):
        note((f"{number} of {len(measurements)}: {name}", "bold"))
        codes.append(measure() or 0)
    plot(results=options.results, figures=figures)
    return ChildFailed.exit_code if any(codes) else 0


def _usual(peers: Names, options: RunOptions) -> dict[str, Callable[[], int]]:
    return {
        "codec": lambda: codec(options=attrs.evolve(options, seconds=0.3, rounds=3)),
        "storage": lambda: storage(options=attrs.evolve(options, seconds=2.0, rounds=3)),
        "cost": lambda: cost(options=attrs.evolve(options, seconds=4.0)),
        "throughput": lambda: throughput(options=options),
        "latency": lambda: latency(options=options),
        "reads": lambda: reads(options=options),
        "scale": lambda: scale(options=attrs.evolve(options, rounds=min(3, options.rounds))),
        "recovery": lambda: recovery(options=attrs.evolve(options, rounds=min(3, options.rounds))),
        "steady": lambda: steady(options=attrs.evolve(options, seconds=_STEADY_SECONDS)),
        "failover": lambda: failover(peers=peers, options=attrs.evolve(options, seconds=4.0)),
        "compare": lambda: compare(peers=peers, options=options),
    }


def _smoke(peers: Names, options: RunOptions) -> dict[str, Callable[[], int]]:
    tiny = attrs.evolve(options, rounds=1, seconds=_SMOKE_SECONDS, warmup=_SMOKE_WARMUP)
    return {
        "codec": lambda: codec(commands=(1, 4), options=attrs.evolve(tiny, seconds=_SMOKE_CODEC_SECONDS)),
        "storage": lambda: storage(records=(1, 4), changed=(100,), options=tiny),
        "cost": lambda: cost(options=attrs.evolve(tiny, seconds=_SMOKE_COST_SECONDS)),
        "throughput": lambda: throughput(
            clients=(4,), connections=(2,), value_bytes=(175,), replicas=(3,), batches=(4,), options=tiny
        ),
        "latency": lambda: latency(rates=(200,), connections=2, outstanding_max=64, options=tiny),
        "reads": lambda: reads(clients=(4,), connections=2, options=tiny),
        "scale": lambda: scale(
            log=(500,), sessions=(3,), state=(500,), replicas=(1,), clients=4, connections=2, options=tiny
        ),
        "recovery": lambda: recovery(sizes=(500,), options=tiny),
        "steady": lambda: steady(
            kill_every=1.0, clients=4, connections=2, options=attrs.evolve(tiny, seconds=_SMOKE_STEADY_SECONDS)
        ),
        "failover": lambda: failover(
            peers=peers,
            clients=4,
            connections=2,
            options=attrs.evolve(tiny, seconds=_SMOKE_FAILOVER_SECONDS),
        ),
        "compare": lambda: compare(peers=peers, clients=(4,), connections=(2,), kills=1, options=tiny),
    }
