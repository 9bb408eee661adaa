"""``bench reads``: how many reads a second, and how stale they may be for it."""

from __future__ import annotations

from ..load.plan import LoadPlan
from ..replog_system import Replog
from ..report.tables import number
from ..rounds import Cell
from ..run_options import Count, Numbers, RunOptions
from ..stage import Setup
from ..under_load import measure_and_show

_LABELS = {
    "linearizable": "linearizable read",
    "stale": "stale read",
    "mixed": "mixed: 1 put, 9 linearizable reads",
}


def reads(
    *,
    clients: Numbers = (1, 64, 256),
    connections: Count = 16,
    value_bytes: Count = 175,
    replicas: Count = 3,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> int:
    """Read linearizably, read whatever a node has, and mix reads with writes.

    Parameters
    ----------
    clients
        Reads under way, each waited for by a caller of its own.
    connections
        Client objects that the callers share.
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
                outstanding=outstanding,
                connections=connections,
                work=work,
                value_bytes=value_bytes,
                seconds=options.seconds,
                warmup_s=options.warmup,
            ),
            label=label,
        )
        for work, label in _LABELS.items()
        for outstanding in clients
    ]
    columns = [("LOAD", lambda each: each.label), ("CLIENTS", lambda each: number(each.plan.outstanding))]
    return measure_and_show("reads", cells, options, columns=columns)
