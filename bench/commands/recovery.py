"""``bench recovery``: how long until a replica that was away is back, against what it has to make up for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
import trio

import replog

from ..child_process import cpu_s
from ..errors import BenchError
from ..filling import fill_commands, wait_until_applied
from ..progress import Step, progress
from ..replog_system import Replog
from ..report.result_file import write_result
from ..report.tables import print_facts, say_where
from ..run_options import Count, Names, Numbers, RunOptions

Kind = Literal["restart", "crash", "catch_up", "state_transfer"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TITLES = {
    "restart": "stopped and started",
    "crash": "killed and started",
    "catch_up": "was away, log caught up",
    "state_transfer": "was away, state fetched",
}
_MACHINE = "bench.load.put_machine:PutMachine"
_COMPACTED_S_MAX = 60.0
_SMALL_TAIL = 1


@attrs.frozen(kw_only=True)
class _Task:
    kind: Kind
    commands: int
    value_bytes: int
    round: int

    @property
    def is_away(self) -> bool:
        """Whether the replica misses the commands."""
        return self.kind in ("catch_up", "state_transfer")


def recovery(
    *,
    kinds: Names = KINDS,
    sizes: Numbers = (10_000, 100_000, 1_000_000),
    value_bytes: Count = 175,
    options: RunOptions = RunOptions(rounds=3),  # noqa: B008 - frozen
) -> int:
    """Stop a follower, start it again, and time it until it has applied everything the leader has.

    The time begins when the process is started and so has Python's own start in it, about 0.3 s. --seconds and
    --warmup mean nothing here.

    Parameters
    ----------
    kinds
        restart (after SIGTERM), crash (after kill -9), catch_up (from the log), state_transfer (of the whole state,
        since the log it missed is compacted).
    sizes
        Commands that ran, each on a key of its own; what the replica holds, or what it missed.
    value_bytes
        Size of a value.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise BenchError(f"{', '.join(unknown)}: no such kind; there are {', '.join(KINDS)}.")
    tasks = [
        _Task(kind=kind, commands=commands, value_bytes=value_bytes, round=number)
        for number in range(1, options.rounds + 1)
        for kind in KINDS
        if kind in kinds
        for commands in sizes
    ]
    with options.data_folder() as folder, progress("recovery", len(tasks)) as step:
        facts = trio.run(_measure_all, tasks, folder, step)
        path = write_result(
            "recovery",
            results=options.results,
            data=folder,
            settings=options.settings(value_bytes=value_bytes, sizes=sizes),
            facts=facts,
            systems={Replog.name: Replog().about()},
        )
    print_facts(_rows(facts), is_json=options.as_json)
    say_where(path)
    return 0


async def _measure_all(tasks: Sequence[_Task], folder: Path, step: Step) -> list[dict[str, Any]]:
    facts = []
    for number, task in enumerate(tasks):
        step(f"round {task.round}, {_TITLES[task.kind]}, {task.commands:,} commands")
        facts.append(await _measure(task, folder / str(number)))
    return facts


async def _measure(task: _Task, folder: Path) -> dict[str, Any]:
    async with _cluster(task, folder) as cluster:
        leader = await cluster.leader()
        away = next(name for name in cluster.nodes if name != leader)
        others = [cluster.endpoint(name) for name in cluster.nodes if name != away]
        if task.is_away:
            await cluster.stop(away)
        await fill_commands(others, task.commands, keys=task.commands, value_bytes=task.value_bytes)
        target = await _leaders_status(cluster, leader)
        if task.kind == "state_transfer":
            await _wait_until_compacted(cluster, leader)
        if not task.is_away:
            await wait_until_applied(cluster.endpoint(away), target.applied_through)
            await _end(cluster, away, task.kind)
        return await _time_return(task, cluster, away, target)


@asynccontextmanager
async def _cluster(task: _Task, folder: Path) -> AsyncIterator[replog.LocalCluster]:
    settings = {"node": {"log_tail_slots": _SMALL_TAIL}} if task.kind == "state_transfer" else {}
    async with replog.local_cluster(state_machine=_MACHINE, data_dir=folder, settings=settings) as cluster:
        yield cluster


async def _end(cluster: replog.LocalCluster, name: str, kind: Kind) -> None:
    if kind == "restart":
        await cluster.stop(name)
    else:
        cluster.kill(name)
        await cluster.wait_ended(name)


async def _leaders_status(cluster: replog.LocalCluster, leader: str) -> replog.NodeStatus:
    async with replog.connect([cluster.endpoint(leader)]) as client:
        return await client.status()


async def _wait_until_compacted(cluster: replog.LocalCluster, leader: str) -> None:
    """Until no peer can give the replica all of the log it missed. Compaction follows the flushes of the state."""
    with trio.move_on_after(_COMPACTED_S_MAX):
        while True:
            status = await _leaders_status(cluster, leader)
            if status.compacted_through >= status.applied_through - _SMALL_TAIL - 1:
                return
            await trio.sleep(0.05)
    raise BenchError(f"the log was not compacted within {_COMPACTED_S_MAX:.0f} s, so no state would be fetched.")


async def _time_return(
    task: _Task, cluster: replog.LocalCluster, name: str, target: replog.NodeStatus
) -> dict[str, Any]:
    began_s = trio.current_time()
    await cluster.start(name)
    answered_s = trio.current_time() - began_s
    status = await wait_until_applied(cluster.endpoint(name), target.applied_through)
    return {
        "kind": task.kind,
        "commands": task.commands,
        "state_mib": max(target.state_bytes, status.state_bytes) / 2**20,
        "log_mib": target.log_bytes / 2**20,
        "answers_after_s": answered_s,
        "complete_after_s": trio.current_time() - began_s,
        "cpu_s": cpu_s(cluster.pids[name]),
        "applied_through": status.applied_through,
        "counters": status.counters,
    }


def _rows(facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over rounds, one row a kind and size."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for fact in facts:
        groups.setdefault((fact["kind"], fact["commands"]), []).append(fact)
    return [_row(kind, commands, group) for (kind, commands), group in groups.items()]


def _row(kind: str, commands: int, group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def median(key: str) -> float:
        return float(sorted(fact[key] for fact in group)[len(group) // 2])

    complete_s = median("complete_after_s")
    return {
        "replica": _TITLES[kind],
        "commands": commands,
        "state_mib": round(median("state_mib"), 1),
        "answers_s": round(median("answers_after_s"), 2),
        "complete_s": round(complete_s, 2),
        "range_s": "-".join(f"{pick(fact['complete_after_s'] for fact in group):.2f}" for pick in (min, max)),
        "commands_per_s": round(commands / complete_s),
        "cpu_s": round(median("cpu_s"), 2),
    }
