"""What a seed draws for one life: limits, delays and weather (swarm testing: Groce et al., ISSTA 2012).

Each concern draws from a stream of its own, so that what is added to one leaves the others as they were.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..apply.sessions import SessionOptions
from ..client.options import ClientOptions
from ..node.settings import NodeOptions
from ..paxos.ballot import NodeId
from ..paxos.membership import Membership
from ..paxos.options import PaxosOptions
from .client_links import LinkWeather
from .clients import ClientWeather
from .conditions import HostOptions
from .log_disk import JOURNAL_BYTES_LARGE, JOURNAL_BYTES_SMALL
from .network import Weather
from .world import World

FAR_S = 0.07
"""One way; there and back is longer than a heartbeat's interval, so nobody is sure of its leader for long."""
NEAR_S = 0.005
"""What leaves an election time enough."""
BUFFER_BYTES = 2**26
"""What no client of a simulation fills."""


NODES_WITH_CHANGES = 7
"""Where the members change, so many nodes are there to choose from."""


class Drawn(NamedTuple):
    """One life's conditions; ``hosts``: of the members, and of those who may become some."""

    membership: Membership
    hosts: dict[NodeId, HostOptions]
    weather: Weather
    clients: ClientWeather


def draw(world: World, replicas: int | None, *, are_members_changed: bool) -> Drawn:
    """Everything but the faults.

    Parameters
    ----------
    replicas: how many voters; None draws it too.
    are_members_changed: whether there are nodes to change them for.
    """
    membership = _draw_membership(world, replicas)
    spares = range(len(membership.members) + 1, NODES_WITH_CHANGES + 1) if are_members_changed else ()
    nodes = (*membership.members, *map(NodeId, spares))
    paxos, sessions = _draw_paxos(world), _draw_sessions(world)
    weather = _draw_weather(world)
    return Drawn(
        membership,
        {node: _draw_host(world, node, paxos, sessions) for node in nodes},
        weather,
        _draw_clients(world, paxos),
    )


def _draw_membership(world: World, replicas: int | None) -> Membership:
    draw = world.stream("membership")
    count = replicas or draw.choices((3, 5, 1), (55, 40, 5))[0]
    voters = tuple(NodeId(n) for n in range(1, count + 1))
    return Membership(1, voters, (NodeId(count + 1),) if draw.random() < 0.15 else ())


def _draw_paxos(world: World) -> PaxosOptions:
    """The same on every member."""
    draw = world.stream("paxos")
    window = draw.choice((1, 4, 64))
    return PaxosOptions(
        window_slots=window,
        accept_ahead_slots_max=max(window, draw.choice((8, 256))),
        undurable_slots_max=draw.choice((1, 1, 4)),
        batch_submissions_max=draw.choice((1, 3, 4096)),
        queue_submissions_max=draw.choice((2, 16, 16384)),
        queue_bytes_max=draw.choice((200, 2**25, 2**25)),
        reads_waiting_max=draw.choice((1, 16384, 16384)),
        piece_slots_max=draw.choice((1, 2, 64)),
        piece_bytes_max=draw.choice((64, 4096, 2**20)),
        peer_in_flight_bytes_max=draw.choice((256, 2**20)),
        resend_interval_s=draw.choice((0.05, 0.25)),
        disk_stall_s=draw.choice((0.3, 1.0)),
        are_invariants_checked=True,
        hold_s=draw.choice((0.0, 0.001, 0.03)),
    )


def _draw_sessions(world: World) -> SessionOptions:
    """The same on every member."""
    draw = world.stream("sessions")
    return SessionOptions(
        sessions_max=draw.choice((3, 6, 1000)),
        session_idle_max_s=draw.choice((1, 60, 3600)),
        replies_kept_max=draw.choice((1, 3, 65_536)),
        digest_interval_slots=draw.choice((1, 16)),
    )


def _draw_host(world: World, node: NodeId, paxos: PaxosOptions, sessions: SessionOptions) -> HostOptions:
    """Each node's own: nobody may rely on another's settings, speed or clients."""
    draw, journal = world.stream(f"options {node}"), world.stream(f"journal {node}")
    return HostOptions(
        paxos=paxos,
        sessions=sessions,
        node=NodeOptions(
            flush_interval_s=draw.choice((0.02, 0.2)),
            log_tail_slots=draw.choice((0, 2, 20, 1000)),
            state_piece_bytes=draw.choice((64, 4096)),
            image_idle_max_s=0.5,
            scrub_interval_s=0.5,
            storage_check_interval_s=0.05,
            unflushed_keys_max=draw.choice((1, 5, 250_000)),
            apply_slots_max=draw.choice((1, 4, 64)),
            thrift_s=draw.choice((0.0, 0.005)),
            inbox_submissions_max=draw.choice((1, 10, 65_536)),
            follow_credit_max=draw.choice((1, 5, 1024)),
            turn_s_max=0.02,
            silent_rounds_max=world.stream(f"silence {node}").choice((3, 10, 10)),
        ),
        flush_s=draw.choice((0.001, 0.05)),
        install_s=draw.choice((0.0005, 0.02, 0.3)),
        turn_delay_s=draw.choice((0.0, 0.0, 0.0005)),
        apply_s=draw.choice((0.0, 0.0, 0.001, 0.015)),
        cut_rate=draw.choice((0.0, 0.1)),
        submit_s=draw.choice((0.0, 0.0, 0.0, 0.025)),
        durable_here_rate=draw.choice((0.0, 0.5)),
        slow_reader_s=draw.choice((0.0, 0.0, 0.01)),
        client_buffer_bytes_max=draw.choice((BUFFER_BYTES, BUFFER_BYTES, 1000)),
        client_flip_rate=draw.choice((0.0, 0.0, 0.02)),
        pings_max=draw.choice((0, 0, 20)),
        memory_lack_rate=draw.choice((0.0, 0.0, 0.02)),
        clock_rate=draw.choice((1.0, 1.0, 0.95, 1.05)),
        install_crash_rate=draw.choice((0.0, 0.5)),
        journal_rate=journal.choice((0.0, 0.5, 0.9)),
        journal_bytes=journal.choice((JOURNAL_BYTES_SMALL, JOURNAL_BYTES_LARGE)),
        start_cut_rate=journal.choice((0.0, 0.3)),
    )


def _draw_weather(world: World) -> Weather:
    draw = world.stream("weather")
    return Weather(
        loss=draw.choice((0.0, 0.0, 0.01, 0.1)),
        duplication=draw.choice((0.0, 0.0, 0.05)),
        delay_s=draw.choice((0.0002, 0.0002, 0.001, 0.001, 0.005, 0.005, FAR_S)),
        queue_s=draw.choice((0.0, 0.0, 0.0, 0.001)),
        straggler_rate=draw.choice((0.0, 0.0, 0.02)),
        is_ordered=draw.random() < 0.6,
        piece_loss=draw.choice((0.0, 0.0, 0.4)),
        flip_rate=draw.choice((0.0, 0.0, 0.005, 0.05)),
    )


def _draw_clients(world: World, paxos: PaxosOptions) -> ClientWeather:
    draw = world.stream("client weather")
    submission_bytes_max = draw.choice((100, 2**20, 2**20))
    return ClientWeather(
        links=LinkWeather(
            break_rate=draw.choice((0.0, 0.0, 0.01, 0.05)),
            stall_rate=draw.choice((0.0, 0.0, 0.005)),
        ),
        options=ClientOptions(
            in_flight_commands_max=draw.choice((2, 16_384, 16_384)),
            waiting_commands_max=draw.choice((4, 262_144, 262_144)),
        ),
        think_s=draw.choice((0.01, 0.03, 0.1)),
        burst_max=draw.choice((1, 4)),
        timeouts_s=draw.choice(((math.inf,), (0.1, 0.5, 3.0, math.inf))),
        abandon_rate=draw.choice((0.0, 0.0, 0.05)),
        submission_bytes_max=min(submission_bytes_max, paxos.queue_bytes_max // 2),  # a longer one never finds room
        restart_rate=draw.choice((0.0, 0.0, 0.05)),
    )
