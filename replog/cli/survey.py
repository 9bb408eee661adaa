"""Asks every node of a cluster about itself: the endpoints given, and every member that any of them names.

All are asked at once and each has the same deadline, so a survey takes as long as its slowest node; where one is
behind, a second look shows whether it moves. A node is listed once, whatever addresses led to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import trio

from replog.paxos.ballot import NODE_MAX, NodeId, node_name, parse_node
from replog.wire.asking import Answer, ask
from replog.wire.client_messages import Status, StatusRequest
from replog.wire.codec import FrameError
from replog.wire.status import NodeStatus, decode_status

from .cluster_report import UNNAMED, ClusterReport, MemberReport, judge, lag_of, own_cluster

SECOND_LOOK_AFTER_S = 0.3
"""Where a node is behind: so much later it is seen whether it moves; a follower learns what is chosen sooner."""


async def survey(endpoints: Sequence[str], *, timeout_s: float) -> ClusterReport:
    """What the cluster looks like from here."""
    views = await _look(endpoints, timeout_s)
    first = assemble(views, asked=len(endpoints))
    if not any(member.up and lag_of(member, first.members) for member in first.members):
        return first
    await trio.sleep(SECOND_LOOK_AFTER_S)
    views = await _look(endpoints, timeout_s)
    return assemble(views, asked=len(endpoints), earlier=first)


async def _look(endpoints: Sequence[str], timeout_s: float) -> list[_View]:
    """All endpoints, and all members that are named by whoever answers, in the order in which they were named."""
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
    return list(views.values())


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


def assemble(views: Sequence[_View], *, asked: int, earlier: ClusterReport | None = None) -> ClusterReport:
    """One row a node: by cluster and node where that is known, by address otherwise.

    Parameters
    ----------
    views: those asked first come first.
    asked: how many of them.
    earlier: an earlier look, to see who moves.
    """
    known = _known(views, asked)
    rows: dict[tuple[str, str], MemberReport] = {}
    for number, view in enumerate(views):
        if known.own and number >= asked and view not in known.own and view.address not in known.names:
            continue  # only another cluster's nodes know it
        key = (view.cluster_id, view.node) if view.node else ("", view.address)
        report = _report(view, known)
        if key not in rows or (report.up and not rows[key].up):
            rows[key] = report
    rows |= {("", row.address): row for view in views for row in _absent(view, known)}
    found = [_compared(row, earlier) for row in _without_shadows(rows, known)]
    members = sorted(found, key=lambda member: (_number(member.node), member.address))
    return judge(members, voter_count=len(known.voters) or asked, cluster_id=known.cluster_id)


@attrs.frozen
class _Known:
    """What those who answered know together: the cluster that is meant, and its members.

    Parameters
    ----------
    own: what was heard from nodes of that cluster.
    names: its members by address.
    """

    cluster_id: str
    own: Sequence[_View]
    names: dict[str, str]
    voters: Sequence[str]

    def is_voter(self, view: _View, name: str) -> bool:
        return view.cluster_id in ("", self.cluster_id) and (not self.voters or name in self.voters)

    def has_answered(self, name: str) -> bool:
        return any(view.node == name for view in self.own)


def _known(views: Sequence[_View], asked: int) -> _Known:
    """Whoever was asked says which cluster is meant; those that are only named by others may be strangers."""
    cluster_ids = [view.cluster_id for view in views]
    cluster_id = own_cluster(cluster_ids[:asked]) or own_cluster(cluster_ids)
    own = [view for view in views if view.node and view.cluster_id == cluster_id]
    names = {address: node for view in own for node, address in view.members.items()}
    newest = max(
        (view.status for view in own if view.status), key=lambda status: status.membership_version, default=None
    )
    return _Known(cluster_id, own, names, newest.voters if newest else list(dict.fromkeys(names.values())))


def _absent(view: _View, known: _Known) -> Iterator[MemberReport]:
    """The member at whose address another node answers, if it did not answer elsewhere."""
    name = known.names.get(view.address, "")
    if not view.node or not name or known.has_answered(name):
        return
    who = view.node if view in known.own else f"{view.node} of another cluster"
    yield MemberReport(
        node=name,
        address=view.address,
        up=False,
        is_voter=name in known.voters,
        problem=f"{who} answers at its address",
    )


def _compared(row: MemberReport, earlier: ClusterReport | None) -> MemberReport:
    """With what an earlier look tells beside it."""
    before = [
        member.applied_through
        for member in (earlier.members if earlier else ())
        if (member.cluster_id, member.node) == (row.cluster_id, row.node)
        and earlier
        and lag_of(member, earlier.members)
    ]
    return attrs.evolve(row, is_stuck=row.up and row.applied_through in before)


def _without_shadows(rows: dict[tuple[str, str], MemberReport], known: _Known) -> list[MemberReport]:
    """Without the addresses of which nothing is known but the name of a node that answered elsewhere."""
    return [row for (cluster, _), row in rows.items() if cluster or not known.has_answered(row.node)]


def _number(name: str) -> tuple[int, str]:
    """Where a node stands in a list; whatever a stranger calls itself stands behind."""
    try:
        return parse_node(name), ""
    except ValueError:
        return NODE_MAX + 1, name


def _report(view: _View, known: _Known) -> MemberReport:
    status, name = view.status, view.node or known.names.get(view.address, UNNAMED)
    if status is None:
        return MemberReport(
            node=name,
            address=view.address,
            up=False,
            is_voter=known.is_voter(view, name),
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
        links=status.links,
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
