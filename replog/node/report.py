"""What a node says of itself when it is asked: its position, its health, its counts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ..paxos.ballot import node_name
from ..paxos.proposer import Role
from ..process.resources import losses, small_limits
from ..wire.status import NodeStatus, format_span

if TYPE_CHECKING:
    from ..paxos.replica import Replica
    from .server import Node

_ROLE_NAMES = {
    Role.FOLLOWING: "follower",
    Role.PREPARING: "candidate",
    Role.CATCHING_UP: "candidate",
    Role.LEADING: "leader",
}


def _installed_version() -> str:
    """Of the program; empty in a tree that is not installed."""
    try:
        return version("replog")
    except PackageNotFoundError:
        return ""


RELEASE = _installed_version()
"""Looked up once, at import: in a turn nothing may depend on files that come and go."""


def report(node: Node) -> NodeStatus:
    """The node as it stands."""
    driver = node.driver
    replica, applier, membership = driver.replica, driver.applier, driver.replica.membership
    leader, leader_address = driver.leader_address()
    commits = node.log_port.statistics()
    checkpoint_slot, checkpoint_digest = applier.checkpoint()
    is_voter = membership.is_voter(node.node)
    return NodeStatus(
        node=node_name(node.node),
        cluster_id=node.identity.cluster.hex(),
        incarnation=node.identity.incarnation.hex(),
        role=_ROLE_NAMES[replica.role] if is_voter else "learner",
        ballot=str(replica.promise),
        leader=node_name(leader) if leader else "",
        leader_address=leader_address,
        chosen_through=replica.chosen_through,
        applied_through=applier.applied_through,
        compacted_through=replica.compacted_through,
        durable_through=applier.durable_through,
        digest=applier.digest.hex(),
        checkpoint_slot=checkpoint_slot,
        checkpoint_digest=checkpoint_digest.hex(),
        is_voter=is_voter,
        is_voting=replica.is_voting,
        is_storage_full=replica.is_storage_full,
        is_contradicted=replica.contradiction is not None,
        is_clock_right=not replica.is_clock_astray and not replica.log_time_ahead_ms,
        problem="; ".join(_problems(replica)),
        clock_offset_ms=replica.clock_offset_ms,
        log_time_ms=applier.log_time_ms,
        log_bytes=node.log_store.file_bytes,
        state_bytes=node.state_store.file_bytes,
        sync_p50_ms=commits.latency_us(0.5) / 1000 if commits.commits else None,
        sync_p99_ms=commits.latency_us(0.99) / 1000 if commits.commits else None,
        version=RELEASE,
        uptime_s=round(node.uptime_s, 3),
        membership_version=membership.version,
        members={node_name(member): address for member, address in driver.following.reach.addresses.items()},
        voters=[node_name(member) for member in membership.voters],
        learners=[node_name(member) for member in membership.learners],
        next_node=node_name(membership.unused_from),
        incarnations={node_name(one.node): one.incarnation.hex() for one in membership.described if one.incarnation},
        abstaining=sorted(map(node_name, replica.peers_abstaining)),
        links=_links(node),
        sessions_open=applier.sessions_open,
        lacks=[*node.transport.places.count.lacks(), *small_limits(), *filter(None, [node.log_store.lack])],
        counters=_counters(node),
    )


def _links(node: Node) -> dict[str, str]:
    replica, transport = node.replica, node.transport
    heard = replica.peers_heard
    return {
        node_name(peer): "" if peer in heard else transport.problem_with(peer)
        for peer in replica.membership.members
        if peer != node.node
    }


def _problems(replica: Replica) -> Iterator[str]:
    """Each for as long as it is true."""
    if replica.problem:
        yield replica.problem
    contradiction = replica.contradiction
    if contradiction is not None:
        others = ", ".join(f"{node_name(node)}'s" for node in contradiction.against)
        yield f"its state differs from {others} at slot {contradiction.slot:,}"
    offset_ms = replica.clock_offset_ms
    if replica.is_clock_astray and offset_ms is not None:
        yield f"its clock is {format_span(offset_ms)} {'ahead' if offset_ms > 0 else 'behind'}"
    if replica.log_time_ahead_ms:
        yield f"log time is {format_span(replica.log_time_ahead_ms)} ahead"


def _counters(node: Node) -> dict[str, int]:
    """Plain counts since the node started."""
    driver = node.driver
    applier, commits, replica = driver.applier, node.log_port.statistics(), driver.replica.statistics()
    return {
        "turns": driver.turns,
        "submissions": driver.serving.submissions,
        "submissions_refused": driver.serving.submissions_refused,
        "submissions_malformed": applier.submissions_malformed,
        "slots_malformed": applier.slots_malformed,
        "commands_applied": applier.commands_applied,
        "commands_failed": applier.commands_failed,
        "commands_repeated": applier.commands_repeated,
        "commits": commits.commits,
        "writes": commits.writes,
        "records": commits.records,
        "record_bytes": commits.record_bytes,
        "compactions": commits.compactions,
        "journal_checkpoints": commits.checkpoints,
        "waits_for_room": commits.waits_for_space,
        "flushes": driver.jobs.flushes,
        "chunks_sent": driver.jobs.chunks_sent,
        "chunks_stored": driver.jobs.chunks_stored,
        "links_open": len(node.transport.places),
        "links_held_bytes": node.transport.budget.held_bytes,
        "links_closed_for_memory": node.transport.budget.links_closed,
        "ballots_begun": replica.ballots_begun,
        "times_leader": replica.times_leader,
        "damaged_received": replica.damaged_received,
        **losses,
        **{f"link_{name}": count for name, count in sorted(node.transport.counts.items())},
    }
