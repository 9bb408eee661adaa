"""Runs seeds: one whole life of a cluster each, judged as it goes and at its end; many of them on all cores.

A failing seed says so in one sentence and with the command that replays it, step by step.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable

import msgspec

from ..errors import ConfigError, Lacking
from ..paxos.ballot import NodeId, Slot
from .checkers import ProtocolChecker, Violation, ViolationFound
from .clients import Client, ClientWeather
from .conditions import HostOptions
from .faults import Faults
from .followers import Follower
from .history import History, judge
from .host import Host
from .log_disk import SimDisk
from .network import Network
from .strangers import Stranger
from .swarm import BUFFER_BYTES, FAR_S, NEAR_S, draw
from .workload import Workload, load_workload
from .world import Trace, World

EPOCH_MS = 1_764_547_200_000
SIMULATED_REPLICAS_MAX = 15
"""A larger cluster takes longer than anybody waits for a seed."""
"""When a simulated life begins, so that clocks can be wrong by years either way."""
PROGRESS_STEPS_MAX = 200_000
"""Events within which the same has to happen: a cluster that only spins makes no progress."""
PROGRESS_LIMIT_S = 20.0
"""Virtual time in which every operation has to end once the faults have."""
REPLAYED_ELSEWHERE_EVERY = 8
"""One seed in so many has its log replayed under other hash seeds."""


class SeedResult(msgspec.Struct):
    """One seed."""

    seed: int
    steps: int
    faults: dict[str, int]
    elections: int
    slots_chosen: int
    commands_applied: int
    commands_failed: int
    reads_linearizable: int
    reads_stale: int
    operations: int
    violation: Violation | None


class SimulationReport(msgspec.Struct):
    """Many seeds together."""

    seeds: int
    steps: int
    faults: dict[str, int]
    elections: int
    slots_chosen: int
    commands_applied: int
    commands_failed: int
    reads_linearizable: int
    reads_stale: int
    operations: int
    violations: list[tuple[int, str, str]]
    """(seed, checker, sentence)"""
    seconds: float


class Simulation:
    """One seed's cluster: what is drawn, built, run and judged."""

    def __init__(
        self,
        seed: int,
        *,
        replicas: int | None,
        workload: Workload,
        steps: int,
        trace: Trace | None,
        state_machine: str | None = None,
        changes: bool = False,
    ) -> None:
        self.world = World(seed, trace, epoch_ms=EPOCH_MS)
        self.workload = workload
        self._state_machine = state_machine
        self._steps = steps
        drawn = draw(self.world, replicas, are_members_changed=changes)
        self.membership = drawn.membership
        self._has_changes = len(drawn.hosts) > len(drawn.membership.members)
        self._is_far = drawn.weather.delay_s >= FAR_S
        self.network = Network(self.world, drawn.weather)
        self.checker = ProtocolChecker(self.membership)
        shared = next(iter(drawn.hosts.values()))
        self.session_options = shared.sessions
        if len(self.membership.voters) > 1 and not self._has_changes:
            self.checker.log_time_ahead_max_ms = shared.paxos.clock_offset_max_s * 1000
        self.history = History()
        self.hosts = {node: self._host(node, options) for node, options in drawn.hosts.items()}
        for host in self.hosts.values():
            host.peers = {node: other for node, other in self.hosts.items() if node != host.node}
        self._gather_clients(drawn.clients)
        self._healed = set(self.hosts)
        self.faults = Faults(self.world, self.network, self.hosts, self.membership)

    def _host(self, node: NodeId, options: HostOptions) -> Host:
        disk = SimDisk(
            b"simulated",
            node,
            b"%d" % node,
            self.membership,
            random=self.world.stream(f"disk {node}"),
            journal_bytes=options.journal_bytes,
        )
        return Host(self.world, self.network, self.checker, self.workload, options, disk)

    def _gather_clients(self, weather: ClientWeather) -> None:
        random = self.world.stream("clients")
        self.clients = [
            Client(number, self.world, self.hosts, self.history, self.workload, weather)
            for number in range(random.randint(2, 4))
        ]
        self.strangers = [
            Stranger(number, self.world, self.hosts, self.history, self.clients, mean_gap_s=0.1)
            for number in range(random.choice((0, 0, 1)))
        ]
        self.followers = [
            Follower(number, self.world, self.hosts, weather.links, self.checker)
            for number in range(random.choice((0, 1, 2)))
        ]

    def run(self) -> None:
        """The whole life; raises at the first violation."""
        for host in self.hosts.values():
            host.start()
        for client in self.clients:
            client.start()
        for stranger in self.strangers:
            stranger.start()
        for follower in self.followers:
            follower.start()
        self.faults.start()
        self.faults.revive()
        self.world.run(60.0, steps_max=self._steps)
        self._progress()
        self._judge()

    def _progress(self) -> None:
        """Once a majority is healed, every operation ends and somebody leads."""
        self._healed = self.faults.end()
        self.network.weather.delay_s = min(self.network.weather.delay_s, NEAR_S)
        self.network.weather.loss = min(self.network.weather.loss, 0.01)
        self.network.weather.piece_loss = 0.0
        for host in self.hosts.values():
            host.options.client_buffer_bytes_max = BUFFER_BYTES
        for client in self.clients:
            client.is_asking = False
        for follower in self.followers:
            follower.reach_only(self._healed.intersection(self._members))
        end_s = self.world.now_s + PROGRESS_LIMIT_S
        self.world.run(end_s, is_done=self._is_settled, steps_max=self.world.steps + PROGRESS_STEPS_MAX)
        if not self._is_idle:
            waiting = [client.number for client in self.clients if not client.is_idle]
            raise ViolationFound(
                Violation("progress", f"clients {waiting} still wait {PROGRESS_LIMIT_S:.0f} s after the faults ended")
            )
        if not self._is_settled():
            raise ViolationFound(
                Violation("progress", f"{PROGRESS_LIMIT_S:.0f} s after the faults ended the replicas still differ")
            )

    @property
    def _is_idle(self) -> bool:
        return all(client.is_idle for client in self.clients)

    @property
    def _members(self) -> frozenset[NodeId]:
        """Who belongs at last; where the members change, nobody has the log of whoever was left behind."""
        return frozenset(self.checker.members.newest.members)

    def _is_settled(self) -> bool:
        members = self._members
        up = [
            host
            for node, host in self.hosts.items()
            if node in self._healed and node in members and host.replica is not None
        ]
        positions = {host.applied_through for host in up if not host.weather.is_state_full}
        leaders = [host for host in up if host.replica is not None and host.replica.is_leading]
        is_one = len(positions) == 1 and len(leaders) == 1 and self._is_fit(leaders[0], up)
        return is_one and self._is_idle and all(one.has_seen(max(positions)) for one in self.followers)

    def _is_fit(self, leader: Host, up: list[Host]) -> bool:
        """A full node does not lead beside a voter that has room."""
        voters = [host for host in up if self.checker.members.newest.is_voter(host.node)]
        return not leader.weather.is_full or all(host.weather.is_full for host in voters)

    def _judge(self) -> None:
        for host in self.hosts.values():
            if host.is_up:
                for sentence in host.violations():
                    raise ViolationFound(Violation("state machine", f"n{host.node}: {sentence}"))
        found = judge(self.history, self.checker, self.workload, self.session_options)
        if found:
            raise ViolationFound(found[0])
        if self.world.seed % REPLAYED_ELSEWHERE_EVERY == 0:
            self._replay_elsewhere()

    def _replay_elsewhere(self) -> None:
        """The same log in other processes, whose sets are in other orders."""
        from .elsewhere import digests_elsewhere  # is a program too, so it must not be imported by its package

        values = [self.checker.chosen[Slot(slot)] for slot in range(1, self.checker.chosen_through + 1)]
        for hash_seed, digests in digests_elsewhere(self._state_machine, self.session_options, values):
            for slot, digest in enumerate(digests, 1):
                if digest != self.checker.digests.get(Slot(slot), (digest, None))[0]:
                    where = f"a replay under PYTHONHASHSEED={hash_seed} differs after slot {slot}"
                    raise ViolationFound(Violation("equal digest", f"{where}: does apply iterate over a set?"))

    def result(self, violation: Violation | None) -> SeedResult:
        faults = self.faults.count + self.network.count
        for host in self.hosts.values():
            faults += host.count
        for client in self.clients:
            faults += client.count
        for stranger in self.strangers:
            faults += stranger.count
        for follower in self.followers:
            faults += follower.count
        faults["clock_skew"] = sum(host.clock_rate != 1.0 for host in self.hosts.values())
        faults["journal_torn"] = sum(host.disk.file.times_torn for host in self.hosts.values())
        faults["journal_damaged"] = sum(host.disk.file.times_damaged for host in self.hosts.values())
        faults["settings_differ"] = len({host.options.node for host in self.hosts.values()}) > 1
        faults["far_apart"] = self._is_far
        return SeedResult(
            seed=self.world.seed,
            steps=self.world.steps,
            faults={kind: number for kind, number in sorted(faults.items()) if number},
            elections=sum(host.elections for host in self.hosts.values()),
            slots_chosen=self.checker.chosen_through,
            commands_applied=sum(host.commands_applied for host in self.hosts.values()),
            commands_failed=sum(host.commands_failed for host in self.hosts.values()),
            reads_linearizable=sum(client.reads_linearizable for client in self.clients),
            reads_stale=sum(client.reads_stale for client in self.clients),
            operations=sum(client.answered for client in self.clients),
            violation=violation,
        )


def run_seed(
    seed: int,
    *,
    replicas: int | None = None,
    state_machine: str | None = None,
    steps: int = 2_500,
    trace: Trace | None = None,
    changes: bool = False,
) -> SeedResult:
    """Run one seed.

    Parameters
    ----------
    seed: decides everything.
    replicas: cluster size; None lets the seed choose 1, 3 or 5.
    state_machine: ``module:Class``; None is the simulator's own.
    steps: events before the faults end.
    trace: called with every line of the story.
    changes: whether the members change, to any one to five of seven nodes; not in every such life does the cluster
        go on yet (``docs/SIMULATOR.md``).

    Raises
    ------
    ConfigError: there is no such cluster, or the state machine can't be loaded.
    """
    _check_sizes(replicas, steps)
    simulation = Simulation(
        seed,
        replicas=replicas,
        workload=load_workload(state_machine),
        steps=steps,
        trace=trace,
        state_machine=state_machine,
        changes=changes,
    )
    try:
        simulation.run()
    except ViolationFound as found:
        return simulation.result(found.violation)
    except Lacking:
        raise  # what this machine lacks is nothing that a cluster did
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        sentence = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
        return simulation.result(Violation("assertion", sentence))
    return simulation.result(None)


def _check_sizes(replicas: int | None, steps: int) -> None:
    if replicas is not None and not 1 <= replicas <= SIMULATED_REPLICAS_MAX:
        raise ConfigError(f"--replicas {replicas}: choose 1 to {SIMULATED_REPLICAS_MAX}, or leave it to the seeds.")
    if steps < 1:
        raise ConfigError(f"--steps {steps}: a seed has at least one.")


def replay(seed: int, say: Trace, **options: object) -> SeedResult:
    """Run one seed again and tell its story line by line."""
    return run_seed(seed, trace=say, **options)  # type: ignore[arg-type]


def _work(task: tuple[int, int | None, str | None, int]) -> SeedResult:
    seed, replicas, state_machine, steps = task
    return run_seed(seed, replicas=replicas, state_machine=state_machine, steps=steps)


def run_seeds(
    seeds: range,
    *,
    replicas: int | None = None,
    state_machine: str | None = None,
    steps: int = 2_500,
    processes: int | None = None,
    on_seed: Callable[[SeedResult], None] | None = None,
    violations_max: int = 10,
) -> SimulationReport:
    """Run many seeds, on all cores unless ``processes`` says otherwise; stops after ``violations_max`` violations.

    Raises
    ------
    ConfigError: there are no seeds, no such cluster, no such number of processes, or the state machine can't be loaded.
    """
    _check_sizes(replicas, steps)
    if processes is not None and processes < 1:
        raise ConfigError(f"{processes} processes run nothing; choose 1 or more, or leave it out.")
    if not seeds:
        raise ConfigError("there is no seed in that range; write --seeds A:B with A below B")
    load_workload(state_machine)
    began_s = time.monotonic()
    report = SimulationReport(0, 0, {}, 0, 0, 0, 0, 0, 0, 0, [], 0.0)
    faults: Counter[str] = Counter()
    tasks = [(seed, replicas, state_machine, steps) for seed in seeds]
    count = processes or os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(min(count, len(tasks))) if count > 1 and len(tasks) > 1 else None
    try:
        results = map(_work, tasks) if pool is None else pool.imap_unordered(_work, tasks, chunksize=4)
        for result in results:
            report.seeds += 1
            report.steps += result.steps
            report.elections += result.elections
            report.slots_chosen += result.slots_chosen
            report.commands_applied += result.commands_applied
            report.commands_failed += result.commands_failed
            report.reads_linearizable += result.reads_linearizable
            report.reads_stale += result.reads_stale
            report.operations += result.operations
            faults.update(result.faults)
            if result.violation is not None:
                report.violations.append((result.seed, *result.violation))
            if on_seed is not None:
                on_seed(result)
            if len(report.violations) >= violations_max:
                break
    finally:
        if pool is not None:
            pool.terminate()
            pool.join()
    report.violations.sort()
    report.faults = dict(sorted(faults.items()))
    report.seconds = round(time.monotonic() - began_s, 3)
    return report
