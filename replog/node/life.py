"""How a driver and its core begin: alike in production, in the simulator and when a recorded life is lived again.

Never: draw what a life depends on; it is given, so that the life can be begun once more.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Mapping

import attrs
import crc32c

from ..paxos.ballot import NodeId
from ..paxos.options import PaxosOptions
from ..paxos.recovered import Recovered
from ..paxos.replica import Replica
from .driver import Driver
from .fence import Around
from .recording import Recorder
from .settings import NodeOptions


@attrs.frozen(kw_only=True)
class Origin:
    """What a life follows from, beside what comes in later.

    Parameters
    ----------
    seeds: addresses from the configuration: of members, and of nodes to ask first.
    paxos, options: limits of the core and of the driver.
    recovered: what the log remembers.
    seed: of the core's randomness.
    now_s, time_ms: of both clocks when it begins.
    """

    node: NodeId
    seeds: Mapping[NodeId, str]
    paxos: PaxosOptions
    options: NodeOptions
    recovered: Recovered
    seed: int
    now_s: float
    time_ms: int


def begin_life(
    origin: Origin,
    around: Around,
    recorder: Recorder | None = None,
    new_replica: Callable[..., Replica] = Replica,
) -> tuple[Driver, Driver | Recorder]:
    """A driver, and what its events and turns go through: itself, or what records them.

    Parameters
    ----------
    around: what the driver calls.
    new_replica: makes the core.
    """
    driver = Driver(
        seeds=origin.seeds,
        options=origin.options,
        replica=new_replica(
            node=origin.node,
            options=origin.paxos,
            recovered=origin.recovered,
            random=random_module.Random(origin.seed),
            checksum=crc32c.crc32c,
            now_s=origin.now_s,
            time_ms=origin.time_ms,
        ),
        now_s=origin.now_s,
        **(around if recorder is None else recorder.around(origin.node, around)),
    )
    if recorder is None:
        return driver, driver
    recorder.begin(driver, recovered=origin.recovered, seed=origin.seed, now_s=origin.now_s, time_ms=origin.time_ms)
    return driver, recorder
