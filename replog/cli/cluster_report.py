"""What a cluster's nodes said about themselves, judged: is it healthy, what still works, what to do next.

Pure: a list of ``MemberReport`` in, one ``ClusterReport`` out. The judgement never says "healthy" while a voter or a
link between two nodes is missing, because such a cluster may be one failure away from standing still. What may fail is
computed over who hears whom (``reachability``); a node counts where others hear it, not where it is reached from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs

from replog.paxos.ballot import BALLOT_ZERO, Ballot, parse_ballot

from .reachability import Gap, Reach, gaps

Verdict = Literal["healthy", "degraded", "contradicted", "no_quorum"]

UNNAMED = "?"
"""An endpoint that did not answer, and that nobody else named."""

LAG_SLOTS_MAX = 10_000
"""A node this far behind the leader is named in the verdict: catching up, or too slow for the load."""


@attrs.frozen(kw_only=True)
class MemberReport:
    """One node as it was seen from here.

    Parameters
    ----------
    node: its name, ``n1``; ``?`` if it could not say and nobody else named it.
    address: where it was asked.
    up: whether it answered.
    role: ``leader``, ``candidate``, ``follower`` or ``learner``; empty if it is not up.
    ballot: the ballot it follows, as text.
    leader: whom it follows, by name.
    digest: running digest of the state at ``applied_through``, in hex.
    is_voting: a voter that keeps silent because it can't trust its disk has False (P9, P10).
    is_contradicted: its state differs from other voters', and no majority is known to hold it.
    problem: why it is not fully at work, in a few words; empty if it is.
    cluster_id: in hex.
    links: of each other member why it does not hear that, empty if it does; empty altogether if it did not say.
    is_stuck: it is behind, and has applied nothing between two looks.
    is_clock_right: its clock is near a quorum's, and log time is not ahead of them.
    clock_offset_ms: how far its clock is ahead of a quorum's.
    lacks: limits of its process that are too small.
    """

    node: str
    address: str
    up: bool
    role: str = ""
    ballot: str = ""
    leader: str = ""
    chosen_through: int | None = None
    applied_through: int | None = None
    compacted_through: int | None = None
    digest: str = ""
    is_voter: bool = True
    is_voting: bool = True
    is_storage_full: bool = False
    is_contradicted: bool = False
    problem: str = ""
    cluster_id: str = ""
    disk_bytes: int | None = None
    sync_p99_ms: float | None = None
    version: str = ""
    uptime_s: float | None = None
    commands_applied: int | None = None
    links: Mapping[str, str] = attrs.field(factory=dict)
    is_stuck: bool = False
    is_clock_right: bool = True
    clock_offset_ms: int | None = None
    lacks: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ClusterReport:
    """The verdict with its reasons; field names are those of ``replog status --json``.

    Parameters
    ----------
    summary: the verdict as a sentence: what is missing and what still works.
    can_write: a leader is there and a quorum follows it.
    failures_survived: how many voters may fail, whichever, before writes stop; -1: they stand still.
    gaps: pairs of nodes that are up and do not hear each other.
    next_steps: what a person should do; empty when nothing.
    """

    cluster_id: str
    verdict: Verdict
    summary: str
    can_write: bool
    failures_survived: int
    leader: str | None
    members: tuple[MemberReport, ...]
    gaps: tuple[Gap, ...]
    next_steps: tuple[str, ...]


@attrs.frozen
class _Standing:
    """Of the cluster's own members what can be expected.

    Parameters
    ----------
    total: voters.
    strangers: nodes of other clusters that answered where members were looked for.
    """

    members: Sequence[MemberReport]
    strangers: Sequence[MemberReport]
    total: int
    reach: Reach
    spare: int
    leader: MemberReport | None

    @property
    def up(self) -> int:
        return len(self.reach.voters)

    @property
    def quorum(self) -> int:
        return self.reach.quorum

    def follows(self, member: MemberReport) -> bool:
        """Whether it is the leader, or follows it and hears it."""
        leader = self.leader
        if leader is None or member is leader:
            return leader is not None
        return member.leader == leader.node and self.reach.is_linked(leader.node, member.node)

    @property
    def followers(self) -> int:
        """Voters that help the leader, itself among them."""
        return sum(_counts(member) and self.follows(member) for member in self.members)

    @property
    def can_write(self) -> bool:
        return self.leader is not None and self.followers >= self.quorum and not self.leader.is_storage_full


def judge(members: Sequence[MemberReport], *, voter_count: int, cluster_id: str = "") -> ClusterReport:
    """Judge a cluster by what its nodes said.

    Parameters
    ----------
    members: every known member, up or not, once each.
    voter_count: voters of the newest membership that any node reported, or the number of endpoints asked.
    cluster_id: which cluster is meant; empty: the one that most of them belong to.
    """
    standing = _standing(members, voter_count, cluster_id or own_cluster([member.cluster_id for member in members]))
    doubts, troubles = _doubts(standing.members), _troubles(standing)
    return ClusterReport(
        cluster_id=next((member.cluster_id for member in standing.members if member.cluster_id), ""),
        verdict=_verdict(standing, doubts, troubles),
        summary=_summary(standing, doubts, troubles),
        can_write=standing.can_write,
        failures_survived=standing.spare,
        leader=standing.leader.node if standing.leader else None,
        members=tuple(members),
        gaps=tuple(standing.reach.gaps),
        next_steps=tuple(_next_steps(standing)),
    )


def own_cluster(cluster_ids: Sequence[str]) -> str:
    """Which cluster is meant where nodes of several answered: that of most of them, the first one of several such."""
    counts = Counter(cluster_id for cluster_id in cluster_ids if cluster_id)
    return max(counts, key=lambda cluster_id: counts[cluster_id], default="")


def _standing(members: Sequence[MemberReport], voter_count: int, cluster_id: str) -> _Standing:
    own = [member for member in members if member.cluster_id in ("", cluster_id)]
    up = [member for member in own if member.up]
    reach = Reach(
        voters=[member.node for member in up if _counts(member)],
        gaps=gaps([member.node for member in up], {member.node: member.links for member in up}),
        quorum=voter_count // 2 + 1,
    )
    spare = reach.survives()
    return _Standing(
        members=own,
        strangers=[member for member in members if member.cluster_id not in ("", cluster_id)],
        total=voter_count,
        reach=reach,
        spare=spare,
        leader=_leader(own) if spare >= 0 else None,
    )


def _counts(member: MemberReport) -> bool:
    return member.up and member.is_voter and member.is_voting


def _leader(members: Sequence[MemberReport]) -> MemberReport | None:
    """Of the nodes that call themselves leader the one with the newest ballot: an older one was not told yet."""
    claims = [member for member in members if member.up and member.role == "leader"]
    return max(claims, key=lambda member: _ballot_key(member.ballot), default=None)


def _doubts(members: Sequence[MemberReport]) -> list[str]:
    """Nodes whose states differ while no majority holds one of them: nobody can say whose answers are right."""
    torn = [member.node for member in members if member.is_contradicted]
    return [f"{' and '.join(torn)} can't say whose state is right: no answer can be trusted"] if torn else []


def _ballot_key(ballot: str) -> Ballot:
    """What can't be read is of another release, or of a stranger: it is below all others."""
    try:
        return parse_ballot(ballot)
    except ValueError:
        return BALLOT_ZERO


def _verdict(standing: _Standing, doubts: list[str], troubles: list[str]) -> Verdict:
    if standing.spare < 0:
        return "no_quorum"
    if doubts:
        return "contradicted"
    is_whole = standing.can_write and standing.up == standing.total
    return "healthy" if is_whole and not troubles else "degraded"


def _summary(standing: _Standing, doubts: list[str], troubles: list[str]) -> str:
    voters = f"{standing.up} of {standing.total} {_plural(standing.total, 'voter')} up"
    if standing.spare < 0:
        answers = any(member.up for member in standing.members)
        stopped = "writes and linearizable reads stop, stale reads still answer" if answers else "nothing answers"
        needed = f"{standing.quorum} needed"
        if standing.up >= standing.quorum:
            needed = f"none of which hears {'another' if standing.quorum == 2 else f'{standing.quorum - 1} others'}"
        cut = [what for what, _ in _lost_links(standing)]
        return ", ".join([f"{voters}, {needed}: {stopped}", *doubts, *cut, *_strangers(standing)])
    parts = [voters, _what_works(standing), _what_is_left(standing)]
    return ", ".join([*(part for part in parts if part), *doubts, *troubles])


def _what_works(standing: _Standing) -> str:
    leader = standing.leader
    if leader is None:
        return "electing a leader, writes wait"
    if standing.followers < standing.quorum:
        return f"{leader.node} leads, but {standing.followers} of {standing.quorum} needed follow it: writes wait"
    if leader.is_storage_full:
        return f"{leader.node} leads, its disk is full: writes refused, reads OK"
    return f"{leader.node} leads, writes OK"


def _what_is_left(standing: _Standing) -> str:
    if standing.total == 1:
        return "a lone voter survives no failure"
    if standing.spare == 0:
        return "one more failure stops writes"
    return f"survives {standing.spare} {_plural(standing.spare, 'failure')}"


def _troubles(standing: _Standing) -> list[str]:
    """What keeps a cluster whose voters are all up from being healthy."""
    members = standing.members
    up = [member for member in members if member.up]
    silent = [f"{member.node} does not vote" for member in up if member.is_voter and not member.is_voting]
    late = [why for member in up if (why := _why_late(member, members))]
    full = [f"{member.node}'s disk is full" for member in up if member.is_storage_full and member.role != "leader"]
    learners = [f"learner {member.node} down" for member in members if not member.up and _is_learner(member)]
    clocks = [f"{member.node}: {member.problem}" for member in up if not member.is_clock_right]
    lost = [*(what for what, _ in _lost_links(standing)), *_astray(standing)]
    others = [*_divergences(up), *clocks, *_strangers(standing), *_nobodies(members)]
    return [*silent, *lost, *late, *full, *learners, *others]


def _why_late(member: MemberReport, members: Sequence[MemberReport]) -> str:
    lag = lag_of(member, members)
    if member.is_stuck and lag:
        return f"{member.node} is {lag:,} {_plural(lag, 'slot')} behind and does not move"
    return f"{member.node} is {lag:,} slots behind" if lag > LAG_SLOTS_MAX else ""


def _astray(standing: _Standing) -> Iterator[str]:
    """Members that hear the leader, and follow somebody else or nobody."""
    leader = standing.leader
    if leader is None:
        return
    for member in standing.members:
        is_linked = standing.reach.is_linked(leader.node, member.node)
        if member.up and is_linked and not standing.follows(member):
            yield f"{member.node} follows {member.leader or 'nobody'}"


def _lost_links(standing: _Standing) -> Iterator[tuple[str, str]]:
    """Who does not hear whom, and why: a node that lacks all its links by itself, the others pair by pair."""
    up = [member.node for member in standing.members if member.up]
    lost = standing.reach.gaps
    cut_off = [node for node in up if sum(gap.concerns(node) for gap in lost) == len(up) - 1 > 1]
    if len(cut_off) == len(up):
        cut_off = []
    for node in cut_off:
        own = [gap for gap in lost if gap.concerns(node)]
        yield f"{node} is cut off from {' and '.join(other for other in up if other != node)}", _reasons(own)
    for gap in lost:
        if not any(map(gap.concerns, cut_off)):
            yield str(gap), _reasons([gap])


def _reasons(lost: Sequence[Gap]) -> str:
    """Each reason once."""
    return "; ".join(dict.fromkeys(why.rstrip(".") for gap in lost for why in gap.deaf.values()))


def _divergences(up: Sequence[MemberReport]) -> list[str]:
    """Nodes that stand at the same slot must have the same digest."""
    digests: dict[int, dict[str, str]] = {}
    for member in up:
        if member.applied_through is not None and member.digest:
            digests.setdefault(member.applied_through, {}).setdefault(member.digest, member.node)
    return [
        f"{' and '.join(sorted(nodes.values()))} have different states at slot {slot:,}"
        for slot, nodes in sorted(digests.items())
        if len(nodes) > 1
    ]


def _strangers(standing: _Standing) -> list[str]:
    """Nodes of other clusters; they are no help to this one, whatever they are called."""
    if not standing.strangers:
        return []
    clusters = 1 + len({member.cluster_id for member in standing.strangers})
    where = ", ".join(member.address for member in standing.strangers)
    return [f"another cluster answers at {where}: the addresses belong to {clusters} different clusters"]


def _is_learner(member: MemberReport) -> bool:
    return not member.is_voter and member.node != UNNAMED


def _nobodies(members: Sequence[MemberReport]) -> list[str]:
    """Addresses that do not answer and that the nodes that do answer do not know."""
    if all(member.node == UNNAMED for member in members):
        return []
    return [f"{member.address} is no member's address" for member in members if member.node == UNNAMED]


def lag_of(member: MemberReport, members: Sequence[MemberReport]) -> int:
    """Slots between what is known chosen anywhere and what this node has applied."""
    own = (other for other in members if other.cluster_id == member.cluster_id)
    newest = max((other.chosen_through or 0 for other in own), default=0)
    return max(0, newest - (member.applied_through or 0))


def _next_steps(standing: _Standing) -> list[str]:
    members = standing.members
    down = [member for member in members if not member.up]
    steps = []
    if _doubts(members):
        steps.append(
            "let clients wait, keep every data directory, "
            'and see "the replicas contradict each other" in docs/OPERATING.md.'
        )
    if not any(member.up for member in members):
        steps.append("nobody answered: check the endpoints (--endpoints, REPLOG_ENDPOINTS) and start the nodes.")
    elif down:
        steps.append(
            f"check {', '.join(f'{_label(member)} ({member.problem})' for member in down)}. If a disk is lost, see "
            '"replace a dead node" in docs/OPERATING.md; never `replog init` a node again.'
        )
    for member in members:
        if member.up and not member.is_voting and member.is_voter:
            steps.append(
                f"{member.node} keeps silent: {member.problem or 'its disk is not trusted'}; run `replog verify`."
            )
    for what, why in _lost_links(standing):
        steps.append(f'{what}: {why}; see "a link is missing" in docs/OPERATING.md.')
    if not all(member.is_clock_right for member in members):
        steps.append('set the clocks right (chrony, ntpd) and see "a clock is wrong" in docs/OPERATING.md.')
    if standing.leader is None and standing.spare >= 0:
        steps.append("an election takes well under a second; if this stays, nodes can't reach each other.")
    if any(member.is_storage_full for member in members):
        steps.append("make room on the disk; the node goes on by itself then.")
    steps += [f"{member.node}: {lack}" for member in members for lack in member.lacks]
    if standing.strangers:
        steps.append("ask the endpoints of one cluster only; if they are, an address among the members is wrong.")
    return steps


def _label(member: MemberReport) -> str:
    return member.address if member.node == UNNAMED else member.node


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
