"""The long run: one load, a kill now and then, and what the replicas look like meanwhile.

Callers count (``load.counting``), so that every answer shows whether a command was lost or done twice. Servers are
killed in turns, the one that leads and one that follows, and started again on their own directories. Every few seconds
all are looked at from outside: memory, files, who leads under which ballot.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import psutil  # type: ignore[import-untyped]  # psutil ships no types
import trio

import replog
from replog.cli_kit import note
from replog.client import ask_status

from .child_process import Child, python_command, started
from .errors import ChildFailed
from .load.counting import FINAL_S_MAX
from .load.plan import LoadPlan
from .progress import Step

MACHINE = "bench.load.count_machine:CountMachine"
SAMPLES = 600
"""Moments that a run is looked at, however long it is; never more often than each second."""
_ASK_TIMEOUT_S = 1.0
_DOWN_S = 1.0
"""How long a killed server stays away."""
_AGREED_S_MAX = 30.0
_STARTING_S_MAX = 60.0
_MIB = 2**20
_BLOCK_BYTES = 512


@attrs.frozen(kw_only=True)
class Sample:
    """All servers at one moment, each by its name; one that is down is not in it.

    Parameters
    ----------
    at_s: after the load began.
    leader: who leads; empty if nobody says so.
    elections: ballots under which somebody was seen leading since the run began, without the first.
    rss_mib: resident memory; the mapped files' pages are in it, which are the kernel's cache.
    own_mib: without what is shared with files.
    log_mib, state_mib: what the files of the two stores take on the disk.
    commands, commits: of the leader since it started.
    """

    at_s: float
    leader: str
    elections: int
    rss_mib: dict[str, float]
    own_mib: dict[str, float]
    log_mib: dict[str, float]
    state_mib: dict[str, float]
    commands: int = 0
    commits: int = 0


@attrs.frozen(kw_only=True)
class Kill:
    """One server that was killed.

    Parameters
    ----------
    back_s: seconds until it answered again, its pause included; None if the run ended before.
    """

    at_s: float
    server: str
    was_leading: bool
    back_s: float | None = None


@attrs.define
class Endurance:
    """One run and what came of it.

    Parameters
    ----------
    kill_every_s: 0 for none.
    intervals: what the load generator said of each, in order.
    result: what it said at the end.
    states_agree: whether all replicas ended with the same digest; None if they did not come to the same slot.
    failures: a sentence for each kill after which nobody led, or the server did not come back in time.
    """

    plan: LoadPlan
    replicas: int
    kill_every_s: float
    samples: list[Sample] = attrs.field(factory=list)
    kills: list[Kill] = attrs.field(factory=list)
    intervals: list[dict[str, Any]] = attrs.field(factory=list)
    result: dict[str, Any] = attrs.field(factory=dict)
    states_agree: bool | None = None
    failures: list[str] = attrs.field(factory=list)
    _ballots: set[str] = attrs.field(factory=set)
    _began_s: float = 0.0

    @property
    def every_s(self) -> float:
        """How often it is looked at."""
        return max(1.0, self.plan.seconds / SAMPLES)

    async def run(self, folder: Path, step: Step) -> None:
        """From a fresh cluster to the digests of the end. Raises ``ChildFailed`` if the generator gave no result."""
        async with replog.local_cluster(
            replicas=self.replicas, state_machine=MACHINE, data_dir=folder / "replicas"
        ) as cluster:
            words = [*self.plan.words(cluster.endpoints), "--every-s", str(self.every_s)]
            command = python_command("bench.load.counting", *words)
            with started(command, log_path=folder / "load.log", has_pipes=True) as child:
                await self._follow(child, cluster, step)
            try:
                await _start_all(cluster)  # one may have been killed when the run ended
            except replog.ReplogError as error:
                self.failures.append(f"after the run: {error}")
            self.states_agree = await _agree(cluster)

    async def _follow(self, child: Child, cluster: replog.LocalCluster, step: Step) -> None:
        limit_s = self.plan.seconds + self.plan.deadline_s + FINAL_S_MAX + _STARTING_S_MAX
        with trio.move_on_after(limit_s):
            async with trio.open_nursery() as nursery:
                async for event in _events(child):
                    match event.pop("event"):
                        case "began":
                            self._began_s = trio.current_time()
                            nursery.start_soon(self._look_again_and_again, cluster, step)
                            nursery.start_soon(self._kill_again_and_again, cluster)
                        case "interval":
                            self.intervals.append(event)
                        case "result":
                            self.result = event
                            nursery.cancel_scope.cancel()
        if not self.result:
            child.check_running()
            raise ChildFailed("the load generator gave no result in time")

    # --- kills ---

    async def _kill_again_and_again(self, cluster: replog.LocalCluster) -> None:
        """The one that leads, then one that follows, and so on; the last one has time to come back."""
        if not self.kill_every_s:
            return
        for number in range(1, math.ceil(self.plan.seconds / self.kill_every_s)):
            await trio.sleep_until(self._began_s + number * self.kill_every_s)
            try:
                await self._kill_one(cluster, number)
            except replog.ReplogError as error:  # the hour before it is not thrown away
                self.failures.append(f"kill {number}: {error}")
                note(f"failed: {self.failures[-1]}")

    async def _kill_one(self, cluster: replog.LocalCluster, number: int) -> None:
        await _start_all(cluster)  # one may not have come back the last time
        leader = await cluster.leader(timeout_s=_STARTING_S_MAX)
        followers = [name for name in cluster.pids if name != leader]
        is_leaders_turn = number % 2 or not followers
        await self._kill(cluster, leader if is_leaders_turn else followers[number // 2 % len(followers)], leader)

    async def _kill(self, cluster: replog.LocalCluster, server: str, leader: str) -> None:
        kill = Kill(at_s=trio.current_time() - self._began_s, server=server, was_leading=server == leader)
        cluster.kill(server)
        self.kills.append(kill)
        await cluster.wait_ended(server)
        await trio.sleep(_DOWN_S)
        await cluster.start(server, timeout_s=_STARTING_S_MAX)
        self.kills[-1] = attrs.evolve(kill, back_s=trio.current_time() - self._began_s - kill.at_s)

    # --- looking ---

    async def _look_again_and_again(self, cluster: replog.LocalCluster, step: Step) -> None:
        for number in range(math.floor(self.plan.seconds / self.every_s) + 1):
            await trio.sleep_until(self._began_s + number * self.every_s)
            self.samples.append(await self._sample(cluster))
            newest = self.samples[-1]
            step(f"{newest.leader or 'nobody'} leads, {newest.elections} elections, {len(self.kills)} kills")

    async def _sample(self, cluster: replog.LocalCluster) -> Sample:
        found: dict[str, replog.NodeStatus] = {}
        async with trio.open_nursery() as nursery:
            for name in cluster.pids:
                nursery.start_soon(_ask, cluster, name, found)
        leading = [status for status in found.values() if status.role == "leader"]
        self._ballots.update(status.ballot for status in leading)
        memory = {name: _memory_mib(pid) for name, pid in sorted(cluster.pids.items())}
        counters = leading[0].counters if leading else {}
        return Sample(
            at_s=trio.current_time() - self._began_s,
            leader=leading[0].node if leading else "",
            elections=max(0, len(self._ballots) - 1),
            rss_mib={name: rss for name, (rss, _own) in memory.items()},
            own_mib={name: own for name, (_rss, own) in memory.items()},
            log_mib={name: _files_mib(cluster.data_dir(name) / "log") for name in cluster.nodes},
            state_mib={name: _files_mib(cluster.data_dir(name) / "state") for name in cluster.nodes},
            commands=counters.get("commands_applied", 0),
            commits=counters.get("commits", 0),
        )

    # --- what came of it ---

    def summary(self) -> dict[str, Any]:
        """The figures of the whole run."""
        own = [mib for sample in self.samples for mib in sample.own_mib.values()]
        disk = [sum(sample.log_mib.values()) + sum(sample.state_mib.values()) for sample in self.samples]
        leaders_killed = sum(kill.was_leading for kill in self.kills)
        elections = self.samples[-1].elections if self.samples else 0
        return {
            "seconds": self.plan.seconds,
            "ops_per_s": self.result["answered_sum"] / self.plan.seconds,
            **{key: self.result[key] for key in ("answered_sum", "unknown", "lost", "doubled", "unread")},
            "failed": sum(interval["failed"] for interval in self.intervals),
            "states_agree": self.states_agree,
            "kills": len(self.kills),
            "kills_failed": len(self.failures),
            "leaders_killed": leaders_killed,
            "elections": elections,
            "elections_unprovoked": max(0, elections - leaders_killed),
            "longest_gap_ms": max((each["longest_gap_ms"] for each in self.intervals), default=None),
            "slowest_return_s": max((kill.back_s for kill in self.kills if kill.back_s is not None), default=None),
            "own_mib_highest": max(own, default=None),
            "disk_mib_last": disk[-1] if disk else None,
            "disk_mib_highest": max(disk, default=None),
            "commands_per_commit": self._commands_per_commit(),
        }

    def _commands_per_commit(self) -> float | None:
        """Over all stretches in which one server led from one sample to the next."""
        commands = commits = 0
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            if before.leader == after.leader and after.commits > before.commits:
                commands += after.commands - before.commands
                commits += after.commits - before.commits
        return commands / commits if commits else None

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost or doubled, all could be read, all servers came back and have the same state."""
        wrong = self.result["lost"] or self.result["doubled"] or self.result["unread"]
        return not wrong and not self.failures and self.states_agree is True


async def _events(child: Child) -> AsyncIterator[dict[str, Any]]:
    async for line in child.lines():
        yield json.loads(line)


async def _start_all(cluster: replog.LocalCluster) -> None:
    for server in sorted(set(cluster.nodes) - set(cluster.pids)):
        await cluster.start(server, timeout_s=_STARTING_S_MAX)


async def _ask(cluster: replog.LocalCluster, name: str, found: dict[str, replog.NodeStatus]) -> None:
    try:
        found[name] = await ask_status(cluster.endpoint(name), timeout=_ASK_TIMEOUT_S)
    except replog.ReplogError:
        return


def _memory_mib(pid: int) -> tuple[float, float]:
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return math.nan, math.nan
    return memory.rss / _MIB, (memory.rss - memory.shared) / _MIB


def _files_mib(folder: Path) -> float:
    """What all files below a folder take on the disk; one may go away while it is looked at."""
    blocks = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            blocks += path.stat().st_blocks
    return blocks * _BLOCK_BYTES / _MIB


async def _agree(cluster: replog.LocalCluster) -> bool | None:
    """Whether all replicas have the same digest at the same slot, once nothing is under way any more."""
    with trio.move_on_after(_AGREED_S_MAX):
        while True:
            found: dict[str, replog.NodeStatus] = {}
            for name in cluster.nodes:
                await _ask(cluster, name, found)
            if len(found) == len(cluster.nodes) and len({each.applied_through for each in found.values()}) == 1:
                return len({each.digest for each in found.values()}) == 1
            await trio.sleep(0.1)
    return None
