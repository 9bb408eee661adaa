"""How long clients wait when the leader fails: a load, a fault in the middle of it, the longest silence.

Each fault strikes a cluster of its own that has just settled, so that one sample owes nothing to the one before.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
import trio

from replog import ReplogError
from replog.cli_kit import note

from .errors import ChildFailed
from .load.measurement import Measurement
from .load.plan import LoadPlan
from .network import Network, missing_namespaces, private_network
from .progress import Step
from .stage import wait_until_settled
from .systems import LOOPBACK, Cluster, System

FaultKind = Literal["kill", "stop", "partition"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
FAULT_TITLES = {"kill": "kill -9", "stop": "SIGSTOP", "partition": "partition"}

STRIKES_AFTER_S = 1.0
"""From the opening of the window: the timeline shows what was before."""
STEP_S = 0.01
REPLICAS = 3
_LATE_S_MAX = 0.5


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


async def strike(
    system: System, kind: FaultKind, plan: LoadPlan, folder: Path, *, network: Network | None = None
) -> Strike:
    """Start a cluster, load it, hit its leader, and follow the load to its end.

    Parameters
    ----------
    network: where its servers live; needed for a partition.

    Raises
    ------
    ChildFailed: a process ended, the fault came late, or nobody was answered before it.
    """
    hosts = network.hosts if network else [LOOPBACK] * REPLICAS
    async with system.running(folder, hosts) as cluster:
        await wait_until_settled(cluster, system.settles_s)
        hit = _Hit(cluster, kind, network)
        try:
            measured = await cluster.measure(_plan_for(system, kind, plan), during=hit)
            if hit.failure is not None:
                raise hit.failure
            await cluster.leader(without=hit.struck)  # raises if it was not hit: then nobody else leads
        finally:
            hit.undo()
    found = Strike(kind=kind, struck_at_s=hit.struck_at_s, measurement=measured)
    _check(found)
    return found


def _check(found: Strike) -> None:
    """A gap means something only if the fault caused it."""
    if found.struck_at_s > STRIKES_AFTER_S + _LATE_S_MAX:
        raise ChildFailed(f"the fault took {found.struck_at_s - STRIKES_AFTER_S:.1f} s to make")
    at = int(found.struck_at_s / STEP_S)
    if not sum(found.measurement.answers_per_10_ms[at // 2 : at]):
        raise ChildFailed("nobody was answered before the fault")


def _plan_for(system: System, kind: FaultKind, plan: LoadPlan) -> LoadPlan:
    seconds = plan.seconds if kind == "kill" else max(plan.seconds, system.stop_gap_s_max)
    return attrs.evolve(plan, seconds=seconds + STRIKES_AFTER_S, has_timeline=True)


class _Hit:
    """The fault, made when it is called."""

    def __init__(self, cluster: Cluster, kind: FaultKind, network: Network | None) -> None:
        self._cluster = cluster
        self._kind = kind
        self._network = network
        self.struck = ""
        self.struck_at_s = 0.0
        self.failure: ChildFailed | None = None

    async def __call__(self) -> None:
        began_s = trio.current_time()
        await trio.sleep(STRIKES_AFTER_S)
        try:
            leader = await self._cluster.leader()  # under load it may be another than before
        except ChildFailed as error:
            self.failure = error  # the load goes on to its end, and then it is raised
            return
        self._strike(leader)
        self.struck = leader
        self.struck_at_s = trio.current_time() - began_s

    def _strike(self, leader: str) -> None:
        match self._kind:
            case "kill":
                self._cluster.kill(leader)
            case "stop":
                self._cluster.stop(leader)
            case "partition":
                assert self._network is not None
                self._network.pull(self._network.hosts[list(self._cluster.servers).index(leader)])

    def undo(self) -> None:
        """Let the next cluster find the network whole."""
        if self._network is not None:
            for host in self._network.hosts:
                self._network.plug(host)


async def strike_in_rounds(
    systems: Sequence[System], kinds: Sequence[FaultKind], plan: LoadPlan, folder: Path, *, rounds: int, step: Step
) -> tuple[list[Strike], list[str]]:
    """Every system and fault once, then all again; returns the strikes and a sentence for each that failed."""
    strikes: list[Strike] = []
    failures: list[str] = []
    with private_network(REPLICAS) if "partition" in kinds else nullcontext() as network:
        for number, kind, system in itertools.product(range(1, rounds + 1), kinds, systems):
            title = f"{system.name}, {FAULT_TITLES[kind]}, round {number}"
            step(title)
            place = folder / f"{system.name}-{kind}-{number}"
            try:
                where = network if kind == "partition" else None
                strikes.append(await _strike_or_again(system, kind, plan, place, where))
            except ReplogError as error:
                failures.append(f"{title}: {error}")
                note(f"failed: {failures[-1]}")
    return strikes, failures


async def _strike_or_again(
    system: System, kind: FaultKind, plan: LoadPlan, place: Path, network: Network | None
) -> Strike:
    """A strike that shows nothing is tried once more, on another fresh cluster."""
    try:
        return await strike(system, kind, plan, _made(place), network=network)
    except ChildFailed as error:
        note(f"once more: {system.name}, {FAULT_TITLES[kind]}: {error}")
    return await strike(system, kind, plan, _made(place.with_name(f"{place.name}-again")), network=network)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


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
