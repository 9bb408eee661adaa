"""``bench compare``: the same puts on replog and on the systems people would take instead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio

from replog.cli_kit import WholeNumber, new_table, note, print_json, print_table

from ..errors import ChildFailed
from ..gaps import Strike, gap_rows, strike_in_rounds
from ..interpreter import this_build
from ..load.measurement import Series
from ..load.plan import LoadPlan
from ..peers.catalogue import ALL_PEERS, contestants
from ..peers.pysyncobj import PySyncObj
from ..progress import progress
from ..replog_system import OURS, Replog
from ..report.result_file import finite, write_result
from ..report.tables import milliseconds, number, say_where, series_table
from ..rounds import Cell, Outcome, measure_rounds
from ..run_options import Count, Names, Numbers, RunOptions
from ..stage import Setup
from ..systems import System
from ..under_load import described

_PEER_CONNECTIONS = 16
_GAP_CLIENTS = 64
_GAP_SECONDS = 4.0


def compare(
    *,
    peers: Names = ALL_PEERS,
    clients: Numbers = (1, 16, 64, 256, 1024),
    connections: Numbers = (1, 16),
    value_bytes: Count = 175,
    replicas: Count = 3,
    kills: WholeNumber = 3,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> int:
    """Measure puts on replog and its peers in turns, round by round, and kill each one's leader.

    Everybody runs as shipped, on the same disk, loaded by a client of its own kind over 16 connections: etcd, NATS
    JetStream and RabbitMQ's quorum queues by their Go clients, at their leader; ZooKeeper by its asynchronous C client,
    at all servers; PySyncObj, which writes nothing to disk, by callers inside the leader's process. nats-always is NATS
    told to sync before it answers, which it does not as shipped; replog-journal is ours with [log] journal = true.

    Parameters
    ----------
    peers
        replog-journal, etcd, etcd35, zookeeper, nats-always, nats, rabbitmq, pysyncobj; bench/peers/install.sh
        installs them, and one that is not there is said to be missing.
    clients
        Puts under way, each waited for by a caller of its own.
    connections
        Client objects of ours that the callers share; the peers have 16.
    value_bytes
        Size of a value.
    replicas
        Size of each cluster.
    kills
        How often each leader is killed to measure the gap; 0 leaves that out.
    """
    there = contestants(peers)
    for name, reason in there.missing.items():
        note(f"missing: {name}: {reason}")
    base = LoadPlan(value_bytes=value_bytes, seconds=options.seconds, warmup_s=options.warmup)
    cells = [cell for system in there.present for cell in _cells(system, base, clients, connections, replicas)]
    with options.data_folder() as folder:
        outcome = trio.run(lambda: measure_rounds("compare", cells, rounds=options.rounds, folder=folder))
        strikes, failures = trio.run(_kill_leaders, there.present, base, folder, kills)
        failures = [*outcome.failures, *failures]
        path = write_result(
            "compare",
            results=options.results,
            data=folder,
            settings=options.settings(value_bytes=value_bytes, replicas=replicas, kills=kills, missing=there.missing),
            series=outcome.series,
            facts=[each.as_json() for each in strikes],
            systems=described(cells),
            failures=failures,
        )
    if options.as_json:
        _print_lines(outcome, strikes, described(cells), there.missing)
    else:
        _show(outcome, strikes, there.present, there.missing)
    say_where(path)
    return ChildFailed.exit_code if failures else 0


def _cells(
    system: System, base: LoadPlan, clients: Sequence[int], connections: Sequence[int], replicas: int
) -> Iterator[Cell]:
    setup = Setup(system, replicas)
    for outstanding in clients:
        for count in _connections(system, outstanding, connections):
            yield Cell(setup=setup, plan=attrs.evolve(base, outstanding=outstanding, connections=count))


def _connections(system: System, outstanding: int, connections: Sequence[int]) -> list[int]:
    """Of ours all that are asked for and that the callers can fill; a caller alone has one connection anyway."""
    match system:
        case Replog():
            return [count for count in connections if count <= outstanding] or [outstanding]
        case PySyncObj():
            return [1]
    return [min(_PEER_CONNECTIONS, outstanding)]


async def _kill_leaders(
    systems: Sequence[System], base: LoadPlan, folder: Path, kills: int
) -> tuple[list[Strike], list[str]]:
    plan = attrs.evolve(base, outstanding=_GAP_CLIENTS, seconds=_GAP_SECONDS)
    with progress("kill -9", kills * len(systems)) as step:
        return await strike_in_rounds(systems, ["kill"], plan, folder, rounds=kills, step=step)


def _print_lines(
    outcome: Outcome, strikes: list[Strike], systems: dict[str, dict[str, str]], missing: dict[str, str]
) -> None:
    gaps = _gaps(strikes)
    for each in outcome.series:
        more = {"failover_gap_ms": gaps.get(each.system), **systems[each.system], **_ratios(each, outcome.series)}
        print_json(finite(each.summary() | more), is_line=True)
    for name, reason in missing.items():
        print_json({"system": name, "missing": reason}, is_line=True)


def _gaps(strikes: list[Strike]) -> dict[str, float]:
    return {row["system"]: row["gap_ms"] for row in gap_rows(strikes)}


def _show(outcome: Outcome, strikes: list[Strike], systems: Sequence[System], missing: dict[str, str]) -> None:
    gaps = _gaps(strikes)
    _print_systems(systems, gaps, missing)
    print()
    print_table(series_table(sorted(outcome.series, key=_order), _COLUMNS))
    if any(each.system != Replog.name for each in outcome.series):
        print()
        _print_ratios(outcome.series)


_COLUMNS = [
    ("CLIENTS", lambda each: number(each.plan.outstanding)),
    ("SYSTEM", lambda each: each.system),
    ("CONNECTIONS", lambda each: _where(each)),
]


def _where(series: Series) -> str:
    return "in process" if series.system == PySyncObj.name else str(series.plan.connections)


def _order(series: Series) -> int:
    return series.plan.outstanding


def _print_systems(systems: Sequence[System], gaps: dict[str, float], missing: dict[str, str]) -> None:
    headings = ("SYSTEM", "VERSION", "DURABLE WHEN ANSWERED", "WHO IS ASKED", "GAP AFTER KILL -9, MS")
    table = new_table(*headings, right=headings[-1:], title=f"Python: {this_build().words}")
    for system in systems:
        gap = milliseconds(gaps[system.name]) if system.name in gaps else "-"
        table.add_row(system.name, system.version(), system.durability, system.asked, gap)
    for name, reason in missing.items():
        table.add_row(name, "missing", reason, "-", "-")
    print_table(table)


def _ratios(series: Series, everybody: Sequence[Series]) -> dict[str, Any]:
    """How it stands to ours of the same number of clients, which is the fastest of ours if there are several."""
    ours = _ours(series.plan.outstanding, everybody)
    if ours is None or series.system == Replog.name:
        return {}
    return {
        "ours_ops_ratio": round(ours.per_s / series.per_s, 2) if series.per_s else None,
        "ours_p50_ratio": _share(ours, series, 50),
        "ours_p99_ratio": _share(ours, series, 99),
        "ours_cpu_ratio": round(ours.cpu_us_per_op / series.cpu_us_per_op, 2) if series.cpu_us_per_op else None,
    }


def _share(ours: Series, theirs: Series, percent: float) -> float:
    return round(ours.latencies.percentile_ms(percent) / theirs.latencies.percentile_ms(percent), 2)


def _ours(outstanding: int, everybody: Sequence[Series]) -> Series | None:
    ours = [each for each in everybody if each.system == Replog.name and each.plan.outstanding == outstanding]
    return max(ours, key=lambda each: each.plan.connections, default=None)


def _print_ratios(everybody: Sequence[Series]) -> None:
    """A row for each of ours beside each peer, since 1 and 16 connections are different promises."""
    headings = ("CLIENTS", "OURS", "AGAINST", "OPS/S", "P50", "P99", "CPU/OP")
    table = new_table(*headings, right=["CLIENTS", *headings[3:]], title="replog against its peers (1x: the same)")
    for theirs in sorted((each for each in everybody if each.system != Replog.name), key=_order):
        for ours in everybody:
            if _is_pair(ours, theirs):
                table.add_row(*_ratio_row(ours, theirs))
    print_table(table)


def _is_pair(ours: Series, theirs: Series) -> bool:
    """Two of ours stand beside each other where they have the same connections."""
    if ours.system not in OURS or ours.plan.outstanding != theirs.plan.outstanding or ours.system == theirs.system:
        return False
    return theirs.system not in OURS or ours.plan.connections == theirs.plan.connections


def _ratio_row(ours: Series, theirs: Series) -> list[str]:
    connections = ours.plan.connections
    return [
        number(theirs.plan.outstanding),
        f"{ours.system}, {connections} {'connection' if connections == 1 else 'connections'}",
        theirs.system,
        _times(ours.per_s, theirs.per_s),
        *(_times(ours.latencies.percentile_ms(p), theirs.latencies.percentile_ms(p)) for p in (50, 99)),
        _times(ours.cpu_us_per_op, theirs.cpu_us_per_op),
    ]


def _times(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}x" if theirs and math.isfinite(ours / theirs) else "-"
