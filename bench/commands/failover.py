"""``bench failover``: how long clients wait when the leader is killed, hangs, or is cut off."""

from __future__ import annotations

import trio

from replog.cli_kit import note

from ..errors import BenchError, ChildFailed
from ..gaps import FAULT_KINDS, FaultKind, Strike, gap_rows, missing_fault, strike_in_rounds
from ..load.plan import LoadPlan
from ..peers.catalogue import contestants
from ..progress import progress
from ..report.result_file import write_result
from ..report.tables import print_facts, say_where
from ..run_options import Count, Names, RunOptions


def failover(
    *,
    faults: Names = FAULT_KINDS,
    peers: Names = ("none",),
    clients: Count = 64,
    connections: Count = 16,
    value_bytes: Count = 175,
    options: RunOptions = RunOptions(seconds=4.0),  # noqa: B008 - frozen
) -> int:
    """Hit the leader under load and find the longest time in which no caller was answered.

    Each strike has a fresh cluster. A window is longer than --seconds where a system needs longer to notice.

    Parameters
    ----------
    faults
        kill (kill -9), stop (SIGSTOP), partition (the leader's network cable pulled; needs root).
    peers
        Systems to hit as well: etcd, etcd35, zookeeper, nats-always, nats, rabbitmq, pysyncobj.
    clients
        Commands under way.
    connections
        Client objects that share them.
    value_bytes
        Size of a value.
    """
    kinds = _kinds(faults)
    there = contestants(peers)
    for name, reason in there.missing.items():
        note(f"missing: {name}: {reason}")
    plan = LoadPlan(
        outstanding=clients,
        connections=connections,
        value_bytes=value_bytes,
        seconds=options.seconds,
        warmup_s=options.warmup,
    )
    steps = len(there.present) * len(kinds) * options.rounds
    with options.data_folder() as folder, progress("failover", steps) as step:
        strikes, failures = trio.run(
            lambda: strike_in_rounds(there.present, kinds, plan, folder, rounds=options.rounds, step=step)
        )
        path = write_result(
            "failover",
            results=options.results,
            data=folder,
            settings=options.settings(clients=clients, connections=connections, value_bytes=value_bytes),
            facts=[each.as_json() for each in strikes],
            systems={each.name: each.about() for each in there.present},
            failures=failures,
        )
    show_gaps(strikes, is_json=options.as_json)
    say_where(path)
    return ChildFailed.exit_code if failures else 0


def _kinds(names: Names) -> list[FaultKind]:
    """The faults that can be made here; those that can't are said to be missing."""
    unknown = [name for name in names if name not in FAULT_KINDS]
    if unknown:
        raise BenchError(f"{', '.join(unknown)}: no such fault; there are {', '.join(FAULT_KINDS)}.")
    kinds = [kind for kind in FAULT_KINDS if kind in names]
    for kind in list(kinds):
        if reason := missing_fault(kind):
            note(f"missing: {kind}: {reason}")
            kinds.remove(kind)
    return kinds


def show_gaps(strikes: list[Strike], *, is_json: bool) -> None:
    """A row a system and fault, and a remark if answers did not come back in time."""
    rows = gap_rows(strikes)
    print_facts(rows, is_json=is_json)
    for row in rows:
        if row["not_over"]:
            note(
                f"{row['system']}, {row['fault']}: in {row['not_over']} of {row['strikes']} strikes no answer came "
                "before the window closed; the gap is longer than said. Give more --seconds."
            )
