"""``bench scale``: does a command cost more when there is more of everything?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from ..filling import fill_commands, fill_sessions
from ..load.plan import LoadPlan
from ..replog_system import Replog, ReplogCluster
from ..report.tables import number
from ..rounds import Cell
from ..run_options import Count, Numbers, RunOptions
from ..stage import Prepare, Setup
from ..systems import Cluster
from ..under_load import measure_and_show

_FEW_KEYS = 1_000


def scale(
    *,
    log: Numbers = (100_000, 1_000_000),
    sessions: Numbers = (1_000, 5_000),
    state: Numbers = (100_000, 1_000_000),
    replicas: Numbers = (1, 5),
    clients: Count = 256,
    connections: Count = 16,
    value_bytes: Count = 175,
    options: RunOptions = RunOptions(rounds=3),  # noqa: B008 - frozen
) -> int:
    """Fill clusters to different sizes, then measure the same puts on all of them in turns.

    The first row is a cluster of three as it starts: nothing in its log, no sessions, a thousand keys.

    Parameters
    ----------
    log
        Commands that ran before, over a thousand keys.
    sessions
        Open sessions of clients that are gone.
    state
        Keys in the state, all of which the puts then touch.
    replicas
        Sizes of the cluster.
    clients
        Puts under way.
    connections
        Client objects that share them.
    value_bytes
        Size of a value.
    """
    base = LoadPlan(
        outstanding=clients,
        connections=connections,
        value_bytes=value_bytes,
        keys=_FEW_KEYS,
        seconds=options.seconds,
        warmup_s=options.warmup,
    )
    cells = [
        Cell(setup=Setup(Replog()), plan=base, label="3 replicas, empty"),
        *(_filled(base, f"log of {count:,} commands", _commands(count, base)) for count in log),
        *(_filled(base, f"{count:,} sessions", _sessions(count)) for count in sessions),
        *_states(base, state),
        *(
            Cell(setup=Setup(Replog(), count), plan=base, label=f"{count} {'replica' if count == 1 else 'replicas'}")
            for count in replicas
        ),
    ]
    columns = [("LOAD", lambda each: each.label), ("KEYS", lambda each: number(each.plan.keys))]
    return measure_and_show("scale", cells, options, columns=columns)


def _filled(plan: LoadPlan, label: str, prepare: Prepare) -> Cell:
    return Cell(setup=Setup(Replog(), prepare=prepare), plan=plan, label=label)


def _commands(count: int, plan: LoadPlan) -> Prepare:
    async def prepare(cluster: Cluster) -> None:
        assert isinstance(cluster, ReplogCluster)
        await fill_commands(cluster.endpoints, count, keys=plan.keys, value_bytes=plan.value_bytes)

    return prepare


def _sessions(count: int) -> Prepare:
    async def prepare(cluster: Cluster) -> None:
        assert isinstance(cluster, ReplogCluster)
        await fill_sessions(cluster.endpoints, count, cluster.folder / "sessions.log")

    return prepare


def _states(base: LoadPlan, sizes: Sequence[int]) -> Iterator[Cell]:
    for count in sizes:
        plan = attrs.evolve(base, keys=count)
        yield _filled(plan, f"state of {count:,} keys", _commands(count, plan))
