"""How long clients wait when the leader fails: a load, a fault in the middle of it, the longest silence.

Each fault strikes a cluster of its own that has just settled, so that one sample owes nothing to the one before.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
import trio

from replog.cli import note

from .errors import ChildFailed
from .measurement import Measurement
from .network import Network, missing_namespaces, private_network
from .plan import LoadPlan
from .progress import Step
from .stage import wait_until_settled
from .systems import LOOPBACK, Cluster, System

FaultKind = Literal["kill", "stop", "partition"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
FAULT_TITLES = {"kill": "kill -9", "stop": "SIGSTOP", "partition": "partition"}

STRIKES_AFTER_S = 1.0
"""From the opening of the window: the timeline shows what was before."""
STEP_S = 0.01


@attrs.frozen(kw_only=True)
class Strike:
    """One fault and what clients saw of it.

    Parameters
    ----------
    struck_at_s: seconds after the window opened.
    """

    kind: FaultKind
    struck_at_s: float
    measurement: Measurement

    @property
    def gap_ms(self) -> float:
        """The longest time in which nobody was answered."""
        return self.measurement.longest_gap_ms

    @property
    def worst_wait_ms(self) -> float:
        """The longest that one caller waited for an answer."""
        return self.measurement.latencies.max_ms

    @property
    def is_over(self) -> bool:
        """Whether answers came again before the window closed."""
        measured = self.measurement
        return measured.longest_gap_from_s + self.gap_ms / 1e3 < measured.seconds - 2 * STEP_S

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "struck_at_s": self.struck_at_s,
            "gap_ms": self.gap_ms,
            "worst_wait_ms": self.worst_wait_ms,
            "is_over": self.is_over,
            **self.measurement.as_json(),
        }


def missing_fault(kind: FaultKind) -> str | None:
    """Why a fault can't be made here, or None."""
    return missing_namespaces() if kind == "partition" else None


async def strike(system: System, kind: FaultKind, plan: LoadPlan, folder: Path, *, replicas: int = 3) -> Strike:
    """Start a cluster, load it, hit its leader, and follow the load to its end."""
    with ExitStack() as stack:
        network = stack.enter_context(private_network(replicas)) if kind == "partition" else None
        hosts = network.hosts if network else [LOOPBACK] * replicas
        async with system.running(folder, hosts) as cluster:
            await wait_until_settled(cluster)
            leader = await cluster.leader()
            struck_at_s: list[float] = []
            hit = partial(_hit, cluster, leader, kind, network, struck_at_s)
            measured = await cluster.measure(_plan_for(system, kind, plan), during=hit)
        return Strike(kind=kind, struck_at_s=struck_at_s[0], measurement=measured)


def _plan_for(system: System, kind: FaultKind, plan: LoadPlan) -> LoadPlan:
    seconds = plan.seconds if kind == "kill" else max(plan.seconds, system.stop_gap_s_max)
    return attrs.evolve(plan, seconds=seconds + STRIKES_AFTER_S, has_timeline=True)


async def _hit(
    cluster: Cluster, leader: str, kind: FaultKind, network: Network | None, struck_at_s: list[float]
) -> None:
    began_s = trio.current_time()
    await trio.sleep(STRIKES_AFTER_S)
    match kind:
        case "kill":
            cluster.kill(leader)
        case "stop":
            cluster.stop(leader)
        case "partition":
            assert network is not None
            network.pull(network.hosts[list(cluster.servers).index(leader)])
    struck_at_s.append(trio.current_time() - began_s)


async def strike_in_rounds(
    systems: Sequence[System], kinds: Sequence[FaultKind], plan: LoadPlan, folder: Path, *, rounds: int, step: Step
) -> tuple[list[Strike], list[str]]:
    """Every system and fault once, then all again; returns the strikes and a sentence for each that failed."""
    strikes: list[Strike] = []
    failures: list[str] = []
    for number in range(1, rounds + 1):
        for kind in kinds:
            for system in systems:
                title = f"{system.name}, {FAULT_TITLES[kind]}, round {number}"
                step(title)
                place = folder / f"{system.name}-{kind}-{number}"
                place.mkdir()
                try:
                    strikes.append(await strike(system, kind, plan, place))
                except ChildFailed as error:
                    failures.append(f"{title}: {error}")
                    note(f"failed: {failures[-1]}")
    return strikes, failures


def gap_rows(strikes: Sequence[Strike]) -> list[dict[str, Any]]:
    """One row a system and fault: median and range of the gap, and the longest that any caller waited."""
    groups: dict[tuple[str, FaultKind], list[Strike]] = {}
    for each in strikes:
        groups.setdefault((each.measurement.system, each.kind), []).append(each)
    return [_row(system, kind, group) for (system, kind), group in groups.items()]


def _row(system: str, kind: FaultKind, group: Sequence[Strike]) -> dict[str, Any]:
    gaps = [each.gap_ms for each in group]
    return {
        "system": system,
        "fault": FAULT_TITLES[kind],
        "strikes": len(group),
        "gap_ms": round(statistics.median(gaps), 1),
        "shortest_ms": round(min(gaps), 1),
        "longest_ms": round(max(gaps), 1),
        "worst_wait_ms": round(max(each.worst_wait_ms for each in group), 1),
        "errors": sum(each.measurement.errors for each in group),
        "not_over": sum(not each.is_over for each in group),
    }
