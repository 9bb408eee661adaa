"""``bench steady``: the same load for minutes. Does leadership stay, does memory, and how well are writes joined?"""

from __future__ import annotations

from typing import Any

import attrs
import psutil  # type: ignore[import-untyped]  # psutil ships no types
import trio

import replog
from replog.cli_kit import Seconds, new_table, print_json, print_table, print_text

from ..load.measurement import Measurement
from ..load.plan import LoadPlan
from ..progress import progress
from ..replog_system import Replog, ReplogCluster
from ..report.result_file import write_result
from ..report.tables import number
from ..run_options import Count, RunOptions
from ..systems import LOOPBACK

_SAMPLES = 10
_ASK_TIMEOUT_S = 5.0


def steady(
    *,
    minutes: Seconds = 10.0,
    clients: Count = 1024,
    connections: Count = 16,
    value_bytes: Count = 175,
    replicas: Count = 3,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
) -> int:
    """Keep the puts coming and look at the replicas now and then.

    Parameters
    ----------
    minutes
        How long.
    clients
        Puts under way.
    connections
        Client objects that share them.
    value_bytes
        Size of a value.
    replicas
        Size of the cluster.
    """
    plan = LoadPlan(
        outstanding=clients,
        connections=connections,
        value_bytes=value_bytes,
        seconds=minutes * 60.0,
        warmup_s=options.warmup,
    )
    run = _Run()
    with options.data_folder() as folder:
        measurement = trio.run(run.measure, plan, replicas, folder)
        path = write_result(
            "steady",
            results=options.results,
            data=folder,
            settings=options.settings(minutes=minutes, clients=clients, connections=connections, replicas=replicas),
            facts=[*(attrs.asdict(sample) for sample in run.samples), run.summary(measurement)],
        )
    if options.as_json:
        print_json(run.summary(measurement), is_line=True)
    else:
        run.show(measurement)
        print_text(f"written to {path}")
    return 0


@attrs.frozen(kw_only=True)
class Sample:
    """All replicas at one moment.

    Parameters
    ----------
    ballots_begun: by anybody, since the cluster started.
    leader_mib, follower_mib: anonymous memory (the mapped files are the kernel's cache); the largest follower's.
    slots, commands, commits: of the leader, since it started.
    """

    after_s: float
    leader: str
    ballots_begun: int
    leader_mib: float
    follower_mib: float
    slots: int
    commands: int
    commits: int


class _Run:
    """Samples of one run."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    async def measure(self, plan: LoadPlan, replicas: int, folder: Any) -> Measurement:
        async with Replog().running(folder, [LOOPBACK] * replicas) as cluster:

            async def during() -> None:
                with progress("steady", _SAMPLES + 1) as step:
                    began_s = trio.current_time()
                    for tenth in range(_SAMPLES + 1):
                        await trio.sleep_until(began_s + tenth * plan.seconds * 0.99 / _SAMPLES)
                        self.samples.append(await _sample(cluster, trio.current_time() - began_s))
                        step(f"{self.samples[-1].commands:,} commands, {self.samples[-1].leader} leads")

            return await cluster.measure(plan, during=during)

    def summary(self, measurement: Measurement) -> dict[str, Any]:
        first, last = self.samples[0], self.samples[-1]
        commits = max(1, last.commits - first.commits)
        return {
            "minutes": measurement.seconds / 60,
            "ops_per_s": measurement.per_s,
            "errors": measurement.errors,
            "elections": last.ballots_begun - first.ballots_begun,
            "commands": last.commands - first.commands,
            "commits_per_slot": commits / max(1, last.slots - first.slots),
            "commands_per_commit": (last.commands - first.commands) / commits,
            "leader_mib_first": first.leader_mib,
            "leader_mib_last": last.leader_mib,
            "leader_mib_highest": max(sample.leader_mib for sample in self.samples),
            "longest_gap_ms": measurement.longest_gap_ms,
        }

    def show(self, measurement: Measurement) -> None:
        columns = ("AFTER", "COMMANDS", "BALLOTS", "LEADER MiB", "FOLLOWER MiB")
        table = new_table("LEADER", *columns, right=columns)
        for sample in self.samples:
            table.add_row(
                sample.leader,
                f"{sample.after_s:.0f} s",
                number(sample.commands),
                number(sample.ballots_begun),
                f"{sample.leader_mib:.1f}",
                f"{sample.follower_mib:.1f}",
            )
        print_table(table)
        found = self.summary(measurement)
        print_text(
            f"{found['ops_per_s']:,.0f} puts/s for {found['minutes']:.1f} minutes, {found['errors']} errors, "
            f"{found['elections']} elections; {found['commits_per_slot']:.2f} commits a slot, "
            f"{found['commands_per_commit']:.0f} commands a commit; longest time without an answer "
            f"{found['longest_gap_ms']:.0f} ms"
        )


async def _sample(cluster: ReplogCluster, after_s: float) -> Sample:
    found: dict[str, replog.NodeStatus] = {}
    for endpoint in cluster.endpoints:
        async with replog.connect([endpoint], name="bench steady") as client:
            status = await client.status(timeout=_ASK_TIMEOUT_S)
            found[status.node] = status
    leader = next(name for name, status in found.items() if status.role == "leader")
    mib = {name: _anonymous_mib(pid) for name, pid in cluster.servers.items()}
    counters = found[leader].counters
    return Sample(
        after_s=after_s,
        leader=leader,
        ballots_begun=sum(status.counters["ballots_begun"] for status in found.values()),
        leader_mib=mib[leader],
        follower_mib=max((size for name, size in mib.items() if name != leader), default=0.0),
        slots=counters["records"],
        commands=counters["commands_applied"],
        commits=counters["commits"],
    )


def _anonymous_mib(pid: int) -> float:
    memory = psutil.Process(pid).memory_info()
    return float(memory.rss - memory.shared) / 2**20
