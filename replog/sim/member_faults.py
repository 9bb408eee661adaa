"""What is done to the membership: any set of one to five voters out of all nodes, by way of learners.

Never: ask for what an operator could not ask for.
"""

from __future__ import annotations

from ..node.events import ChangeMembers
from ..paxos.ballot import NodeId, node_name
from ..paxos.membership import Member, Membership
from .disk_faults import DiskFaults
from .ground import Ground

VOTERS_MAX = 5


class MemberFaults:
    """Strikes beside all other faults, at a pace of its own."""

    def __init__(self, ground: Ground, disks: DiskFaults) -> None:
        self._ground = ground
        self._disks = disks
        self._random = ground.world.stream("members")
        self._target: set[NodeId] = set()
        """Who is to vote, once all of them are learners that have caught up."""
        self._tries_left = 0
        self._mean_gap_s = self._random.choice((0.03, 0.1, 0.3))

    def start(self) -> None:
        self._ground.after(self._random.expovariate(1 / self._mean_gap_s), self._strike)

    def _strike(self) -> None:
        self._ground.count["change_members"] += self._change_members()
        self.start()

    def _change_members(self) -> bool:
        """Ask whoever leads, or thinks so, for the next step to the target; it may be refused, and asked again."""
        leading = self._ground.leading()
        if not leading:
            return False
        leader = self._random.choice(leading)
        assert leader.replica is not None
        current = leader.replica.membership
        lost = self._target.intersection(self._disks.lost)
        is_over = not self._tries_left or self._target == set(current.voters)
        if is_over or not self._can_join(current, self._target) or lost - leader.replica.peers_abstaining:
            self._draw_target(current)  # of a disk that was lost this moment no leader can know (M10)
        self._tries_left -= 1
        newcomers = self._target.difference(current.members)
        if newcomers:
            voters, learners = set(current.voters), newcomers.union(current.learners)
        else:
            rest = set(current.members) - self._target
            voters = self._target
            learners = {node for node in rest if node not in self._disks.lost and self._random.random() < 0.8}
        if_version = self._random.choice((None, current.version, current.version - 1))
        described = tuple(self._described(node) for node in sorted(newcomers))
        asked = ChangeMembers(tuple(sorted(voters)), tuple(sorted(learners)), if_version, described)
        self._ground.world.say(f"-- {node_name(leader.node)} is asked for the voters {asked.voters}, {asked.learners}")
        self._ground.on_asked(voters)
        leader.put(asked)
        return True

    def _described(self, node: NodeId) -> Member:
        host = self._ground.hosts[node]
        return Member(node, host.address, host.first_incarnation)

    def _can_join(self, current: Membership, nodes: set[NodeId]) -> bool:
        return all(node >= current.unused_from for node in nodes.difference(current.members))

    def _draw_target(self, current: Membership) -> None:
        able = [node for node in self._ground.hosts if node not in self._disks.lost and self._can_join(current, {node})]
        count = min(len(able), self._random.randint(1, VOTERS_MAX))
        self._target = set(self._random.sample(able, count))
        self._tries_left = 8
