"""Asks every node of a cluster about itself: the endpoints given, and every member that any of them names.

All are asked at once and each has the same deadline, so a survey takes as long as its slowest node and no longer. A
node is listed once, whatever addresses led to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
import trio

from replog.paxos.ballot import NODE_MAX, NodeId, node_name, parse_node
from replog.wire.asking import Answer, ask
from replog.wire.client_messages import Status, StatusRequest
from replog.wire.codec import FrameError
from replog.wire.status import NodeStatus, decode_status

from .cluster_report import UNNAMED, ClusterReport, MemberReport, judge


async def survey(endpoints: Sequence[str], *, timeout_s: float) -> ClusterReport:
    """What the cluster looks like from here."""
    views: dict[str, _View] = {}

    async def look(address: str) -> None:
        answer = await ask(address, StatusRequest(1), Status, timeout_s=timeout_s)
        view = views[address] = _view(answer)
        begin(view.members.values())

    def begin(addresses: Iterable[str]) -> None:
        for address in addresses:
            if address not in views:
                views[address] = _View(address)
                nursery.start_soon(look, address)

    async with trio.open_nursery() as nursery:
        begin(endpoints)
    return assemble(list(views.values()), asked=len(endpoints))


@attrs.frozen(kw_only=True)
class _View:
    """One address, and what was heard there.

    Parameters
    ----------
    node: who answered, by name; empty if nobody did.
    members: addresses by node, as the one who answered knows them.
    """

    address: str = attrs.field(kw_only=False)
    node: str = ""
    cluster_id: str = ""
    members: dict[str, str] = attrs.field(factory=dict)
    status: NodeStatus | None = None
    problem: str = ""


def _view(answer: Answer[Status]) -> _View:
    status, problem = None, answer.problem
    if answer.reply is not None:
        try:
            status = decode_status(answer.reply.report)
        except FrameError as error:
            problem = str(error)
    welcome = answer.welcome
    if welcome is None:
        return _View(answer.address, problem=problem)
    return _View(
        answer.address,
        node=node_name(NodeId(welcome.node)),
        cluster_id=welcome.cluster.hex(),
        members={node_name(NodeId(node)): address for node, address in welcome.members},
        status=status,
        problem=problem,
    )


def assemble(views: Sequence[_View], *, asked: int) -> ClusterReport:
    """One row a node: by cluster and node where that is known, by address otherwise."""
    newest = max((view.status for view in views if view.status), key=_membership_version, default=None)
    names = {address: node for view in views for node, address in view.members.items()}
    voters = newest.voters if newest else list(dict.fromkeys(names.values()))
    rows: dict[tuple[str, str], MemberReport] = {}
    for view in views:
        name = view.node or names.get(view.address, UNNAMED)
        key = (view.cluster_id, name) if view.node else ("", view.address)
        report = _report(view, name, is_voter=not voters or name in voters)
        if key not in rows or (report.up and not rows[key].up):
            rows[key] = report
    members = sorted(_without_shadows(rows), key=lambda member: (_number(member.node), member.address))
    return judge(members, voter_count=len(voters) or asked)


def _membership_version(status: NodeStatus) -> int:
    return status.membership_version


def _without_shadows(rows: dict[tuple[str, str], MemberReport]) -> list[MemberReport]:
    """Without the addresses of which nothing is known but the name of a node that answered elsewhere."""
    answered = {name for cluster, name in rows if cluster}
    return [row for (cluster, _), row in rows.items() if cluster or row.node not in answered]


def _number(name: str) -> tuple[int, str]:
    """Where a node stands in a list; whatever a stranger calls itself stands behind."""
    try:
        return parse_node(name), ""
    except ValueError:
        return NODE_MAX + 1, name


def _report(view: _View, name: str, *, is_voter: bool) -> MemberReport:
    status = view.status
    if status is None:
        return MemberReport(
            node=name,
            address=view.address,
            up=False,
            is_voter=is_voter,
            cluster_id=view.cluster_id,
            problem=view.problem,
        )
    return MemberReport(
        node=status.node,
        address=view.members.get(status.node, view.address),
        up=True,
        role=status.role,
        ballot=status.ballot,
        leader=status.leader,
        chosen_through=status.chosen_through,
        applied_through=status.applied_through,
        compacted_through=status.compacted_through,
        digest=status.digest,
        is_voter=status.is_voter,
        is_voting=status.is_voting,
        is_storage_full=status.is_storage_full,
        is_contradicted=status.is_contradicted,
        problem=_problem(status),
        is_clock_right=status.is_clock_right,
        clock_offset_ms=status.clock_offset_ms,
        cluster_id=status.cluster_id,
        disk_bytes=status.log_bytes + status.state_bytes,
        sync_p99_ms=status.sync_p99_ms,
        version=status.version,
        uptime_s=status.uptime_s,
        commands_applied=status.counters.get("commands_applied"),
        lacks=tuple(status.lacks),
    )


def _problem(status: NodeStatus) -> str:
    if status.problem:
        return status.problem
    return "disk full" if status.is_storage_full else ""
