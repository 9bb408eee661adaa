"""What a cluster's nodes said about themselves, judged: is it healthy, what still works, what to do next.

Pure: a list of ``MemberReport`` in, one ``ClusterReport`` out. The judgement never says "healthy" while a voter is
missing, because a cluster of three with one node down is one failure away from standing still.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

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
    next_steps: what a person should do; empty when nothing.
    """

    cluster_id: str
    verdict: Verdict
    summary: str
    can_write: bool
    leader: str | None
    members: tuple[MemberReport, ...]
    next_steps: tuple[str, ...]


@attrs.frozen
class _Count:
    """Voters by what can be expected of them."""

    total: int
    up: int
    quorum: int

    @property
    def spare(self) -> int:
        """How many more may fail before writes stop."""
        return self.up - self.quorum


def judge(members: Sequence[MemberReport], *, voter_count: int) -> ClusterReport:
    """Judge a cluster by what its nodes said.

    Parameters
    ----------
    members: every known member, up or not, once each.
    voter_count: voters of the newest membership that any node reported, or the number of endpoints asked.
    """
    count = _Count(voter_count, sum(_counts(member) for member in members), voter_count // 2 + 1)
    leader = _leader(members) if count.spare >= 0 else None
    doubts, troubles = _doubts(members), _troubles(members)
    can_write = leader is not None and count.spare >= 0 and not leader.is_storage_full
    return ClusterReport(
        cluster_id=next((member.cluster_id for member in members if member.cluster_id), ""),
        verdict=_verdict(count, doubts, troubles, can_write=can_write),
        summary=_summary(count, leader, doubts, troubles, answers=any(member.up for member in members)),
        can_write=can_write,
        leader=leader.node if leader else None,
        members=tuple(members),
        next_steps=tuple(_next_steps(members, count, leader)),
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


def _ballot_key(ballot: str) -> tuple[int, int]:
    ballot_round, _, node = ballot.partition(".n")
    return (int(ballot_round or 0), int(node or 0))


def _verdict(count: _Count, doubts: list[str], troubles: list[str], *, can_write: bool) -> Verdict:
    if count.spare < 0:
        return "no_quorum"
    if doubts:
        return "contradicted"
    return "healthy" if can_write and count.up == count.total and not troubles else "degraded"


def _summary(
    count: _Count, leader: MemberReport | None, doubts: list[str], troubles: list[str], *, answers: bool
) -> str:
    voters = f"{count.up} of {count.total} {_plural(count.total, 'voter')} up"
    if count.spare < 0:
        stopped = "writes and linearizable reads stop, stale reads still answer" if answers else "nothing answers"
        return ", ".join([f"{voters}, {count.quorum} needed: {stopped}", *doubts])
    parts = [voters, _what_works(leader), _what_is_left(count)]
    return ", ".join([*(part for part in parts if part), *doubts, *troubles])


def _what_works(leader: MemberReport | None) -> str:
    if leader is None:
        return "electing a leader, writes wait"
    if leader.is_storage_full:
        return f"{leader.node} leads, its disk is full: writes refused, reads OK"
    return f"{leader.node} leads, writes OK"


def _what_is_left(count: _Count) -> str:
    if count.total == 1:
        return "a lone voter survives no failure"
    if count.spare == 0:
        return "one more failure stops writes"
    return f"survives {count.spare} {_plural(count.spare, 'failure')}"


def _troubles(members: Sequence[MemberReport]) -> list[str]:
    """What keeps a cluster whose voters are all up from being healthy."""
    up = [member for member in members if member.up]
    silent = [f"{member.node} does not vote" for member in up if member.is_voter and not member.is_voting]
    late = [
        f"{member.node} is {lag:,} slots behind" for member in up if (lag := lag_of(member, members)) > LAG_SLOTS_MAX
    ]
    full = [f"{member.node}'s disk is full" for member in up if member.is_storage_full and member.role != "leader"]
    learners = [f"learner {member.node} down" for member in members if not member.up and _is_learner(member)]
    clocks = [f"{member.node}: {member.problem}" for member in up if not member.is_clock_right]
    return [*silent, *late, *full, *learners, *_divergences(up), *clocks, *_strangers(up), *_nobodies(members)]


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


def _strangers(up: Sequence[MemberReport]) -> list[str]:
    clusters = {member.cluster_id for member in up if member.cluster_id}
    return [] if len(clusters) < 2 else [f"the endpoints belong to {len(clusters)} different clusters"]


def _is_learner(member: MemberReport) -> bool:
    return not member.is_voter and member.node != UNNAMED


def _nobodies(members: Sequence[MemberReport]) -> list[str]:
    """Addresses that do not answer and that the nodes that do answer do not know."""
    if all(member.node == UNNAMED for member in members):
        return []
    return [f"{member.address} is no member's address" for member in members if member.node == UNNAMED]


def lag_of(member: MemberReport, members: Sequence[MemberReport]) -> int:
    """Slots between what is known chosen anywhere and what this node has applied."""
    newest = max((other.chosen_through or 0 for other in members), default=0)
    return max(0, newest - (member.applied_through or 0))


def _next_steps(members: Sequence[MemberReport], count: _Count, leader: MemberReport | None) -> list[str]:
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
    if not all(member.is_clock_right for member in members):
        steps.append('set the clocks right (chrony, ntpd) and see "a clock is wrong" in docs/OPERATING.md.')
    if leader is None and count.spare >= 0:
        steps.append("an election takes well under a second; if this stays, nodes can't reach each other.")
    if any(member.is_storage_full for member in members):
        steps.append("make room on the disk; the node goes on by itself then.")
    steps += [f"{member.node}: {lack}" for member in members for lack in member.lacks]
    if len({member.cluster_id for member in members if member.cluster_id}) > 1:
        steps.append("ask the endpoints of one cluster only.")
    return steps


def _label(member: MemberReport) -> str:
    return member.address if member.node == UNNAMED else member.node


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
