"""``bench cost``: what a slot, a client's frame and a command cost, each for itself."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import attrs
import trio

import replog
from replog.cli_kit import note, print_json, print_text
from replog.client import ask_status

from ..cost_model import Load, Prices, fit
from ..errors import ChildFailed
from ..load.plan import LoadPlan
from ..progress import Step, progress
from ..replog_system import Replog, ReplogCluster
from ..report.result_file import write_result
from ..report.tables import print_facts, say_where
from ..run_options import Count, RunOptions
from ..systems import LOOPBACK

_KINDS: tuple[tuple[str, int, int, int], ...] = (
    ("put", 1, 1, 1),
    ("put", 16, 1, 1),
    ("put", 16, 16, 1),
    ("put", 64, 1, 1),
    ("put", 64, 16, 1),
    ("put", 256, 1, 1),
    ("put", 256, 16, 1),
    ("put", 1024, 1, 1),
    ("put", 1024, 16, 1),
    ("submit_many", 4, 1, 256),
)
"""Work, callers, connections, commands a call: together they set slots and frames apart."""
_ROWS_MIN = 5
_LOOKS = 2
_ENDS_EARLY_S = 0.2
"""The second look at the counters is taken before the window closes."""


def cost(
    *,
    value_bytes: Count = 175,
    replicas: Count = 3,
    options: RunOptions = RunOptions(seconds=4.0),  # noqa: B008 - frozen
) -> int:
    """Measure ten loads and find the three prices that explain what a command costs in each of them.

    A slot's price is paid once for all commands in it, a frame's once for all that a client sent together. How many
    there were is counted by the leader. Read the prices beside the column MODEL: they are worth as much as it agrees.

    Parameters
    ----------
    value_bytes
        Size of a value.
    replicas
        Size of the cluster.
    """
    with options.data_folder() as folder, progress("cost", options.rounds * len(_KINDS)) as step:
        rows = trio.run(_measure_all, value_bytes, replicas, options, folder, step)
        prices = fit([_load(row) for row in rows])
        rows = [row | {"model_us": prices.of(_load(row))} for row in rows]
        path = write_result(
            "cost",
            results=options.results,
            data=folder,
            settings=options.settings(value_bytes=value_bytes, replicas=replicas),
            facts=[*rows, attrs.asdict(prices)],
            systems={Replog.name: Replog().about()},
        )
    print_facts(rows, is_json=options.as_json)
    _show(prices, is_json=options.as_json)
    say_where(path)
    return 0


def _show(prices: Prices, *, is_json: bool) -> None:
    if is_json:
        print_json(attrs.asdict(prices), is_line=True)
        return
    print_text(
        f"A slot costs {prices.slot_us:,.0f} us of CPU, a client's frame {prices.frame_us:,.1f}, a command "
        f"{prices.command_us:,.1f}, all replicas and the client together."
    )


def _load(row: dict[str, Any]) -> Load:
    return Load(slots=1 / row["commands_a_slot"], frames=1 / row["commands_a_frame"], cpu_us=row["cpu_us"])


async def _measure_all(
    value_bytes: int, replicas: int, options: RunOptions, folder: Path, step: Step
) -> list[dict[str, Any]]:
    """Medians over the rounds, a row for each kind of load."""
    found: dict[tuple[str, int, int, int], list[dict[str, Any]]] = {kind: [] for kind in _KINDS}
    async with Replog().running(folder, [LOOPBACK] * replicas) as cluster:
        for number in range(1, options.rounds + 1):
            for kind in _KINDS:
                step(f"round {number}, {kind[0]}, {kind[1]} callers over {kind[2]}")
                try:
                    found[kind].append(await _measure(cluster, kind, value_bytes, options))
                except replog.ReplogError as error:
                    note(f"failed: round {number}, {kind[1]} callers over {kind[2]}: {error}")
    rows = [_median(kind, rows) for kind, rows in found.items() if rows]
    if len(rows) < _ROWS_MIN:
        raise ChildFailed(f"{len(rows)} of {len(_KINDS)} loads gave a result, too few to take a cost apart.")
    return rows


async def _measure(
    cluster: ReplogCluster, kind: tuple[str, int, int, int], value_bytes: int, options: RunOptions
) -> dict[str, Any]:
    work, outstanding, connections, batch = kind
    plan = LoadPlan(
        work=work,
        outstanding=outstanding,
        connections=connections,
        batch=batch,
        value_bytes=value_bytes,
        seconds=options.seconds,
        warmup_s=options.warmup,
    )
    counted: list[dict[str, int]] = []

    async def look_twice() -> None:
        counted.append(await _leaders_counters(cluster))
        await trio.sleep(max(0.0, plan.seconds - _ENDS_EARLY_S))
        counted.append(await _leaders_counters(cluster))

    measured = await cluster.measure(plan, during=look_twice)
    if len(counted) < _LOOKS:
        raise ChildFailed("the leader did not answer twice within the window; give more --seconds.")
    first, last = counted
    commands = last["commands_applied"] - first["commands_applied"]
    if commands <= 0 or not measured.operations:
        raise ChildFailed("no command was counted, or the leader changed; give more --seconds.")
    return {
        "commands_a_slot": commands / max(1, last["records"] - first["records"]),
        "commands_a_frame": commands / max(1, last["submissions"] - first["submissions"]),
        "commands_per_s": measured.per_s,
        "cpu_us": measured.cpu_us_per_op,
    }


async def _leaders_counters(cluster: ReplogCluster) -> dict[str, int]:
    for endpoint in cluster.endpoints:
        status = await ask_status(endpoint)
        if status.role == "leader":
            return status.counters
    raise replog.Unavailable("no replica leads, so nothing is counted")


def _median(kind: tuple[str, int, int, int], rows: list[dict[str, Any]]) -> dict[str, Any]:
    work, outstanding, connections, batch = kind
    what = {"work": work if batch == 1 else f"{work} of {batch}", "clients": outstanding, "connections": connections}
    return what | {key: statistics.median(row[key] for row in rows) for key in rows[0]}
