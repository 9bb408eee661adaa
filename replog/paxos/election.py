"""The election: who ought to lead, judged by who can reach a quorum.

It owns the heartbeat rounds and what they said. It does not propose, promise or count votes; nothing it decides can
hurt safety. What it protects is progress and calm: a leader that reaches a quorum stays, one that does not goes.

Ballot leader election after Omni-Paxos (Ng, Haridi, Carbone, EuroSys 2023, section 5). In each round a node asks all
members how they are. A node is *happy* if it leads and a quorum follows its ballot, or hears its leader say that it
is happy. It takes over only if it is unhappy, nobody it reaches is happy, and it reaches a quorum itself. So a node
that merely lost sight of a working leader (chain), or returns with a huge ballot, unseats nobody; and a leader cut
off from its quorum (quorum loss, constrained election) is replaced by any one node that still reaches one.

Differences from the paper: an answer counts in the round in which it comes, if its question is younger than one
election timeout, so a round trip may be longer than a round; the ballot a node follows is its acceptor's promise, not a
copy of its own; a closed link starts a round at once; among candidates that see each other the one with the longest log
goes first and the others wait a little.
"""

from __future__ import annotations

import random as random_module
from collections import deque

from .ballot import BALLOT_ZERO, Ballot, NodeId, Slot
from .effects import NoticeKind
from .messages import Heartbeat, HeartbeatReply
from .options import PaxosOptions
from .outbox import Outbox
from .peers import Peer, Peers
from .standing import Standing

_QUICK = 4
"""So many rounds of a node that is suspicious take as long as one of its ordinary ones."""


class Election:
    """Runs rounds, judges them, and says when to take over, to rise above a stray ballot, or to step down."""

    def __init__(
        self,
        options: PaxosOptions,
        outbox: Outbox,
        standing: Standing,
        peers: Peers,
        random: random_module.Random,
        now_s: float,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._standing = standing
        self._peers = peers
        self._random = random
        self.round = 0
        self.is_happy = False
        self.leader: NodeId | None = None
        """Which other node this one last heard leading."""
        self.round_at_s = now_s + random.uniform(0.0, options.heartbeat_interval_s)
        self.take_over_at_s: float | None = None
        self.highest_seen = BALLOT_ZERO
        self.astray: frozenset[NodeId] = frozenset()
        """Whose clocks are far from a quorum's: they lead only if nobody else can (P11)."""
        self._asked_at_s: deque[float] = deque(maxlen=_QUICK * options.election_rounds)
        """When the rounds began whose answers count."""
        self._suspicious_from = 0
        """Answers to earlier questions say nothing about what is suspected."""
        self._is_excused = False
        """It was held up, and its round has been put off for that."""
        self._unhappy_rounds = 0
        self._is_suspicious = False
        self._judged_round = 0
        self._heard_round = -1
        self._stray_rounds = 0

    # --- rounds ---

    def begin_round(self, leading: Ballot, chosen_through: Slot, now_s: float) -> None:
        """Ask every member how it is."""
        interval_s = self._options.heartbeat_interval_s
        self.round += 1
        self.round_at_s = now_s + (interval_s / _QUICK if self._is_suspicious else interval_s)
        self._asked_at_s.append(now_s)
        while self._asked_at_s[0] < now_s - self._options.election_timeout_s:
            self._asked_at_s.popleft()
        heartbeat = Heartbeat(self.round, leading, chosen_through)
        for peer in self._peers:
            self._outbox.send(peer, heartbeat)

    def has_been_held_up(self, now_s: float) -> bool:
        """Whether this process is so late for the end of the round that what others say has not been read yet.

        Then the round ends a moment later, once: by then it has been.
        """
        interval_s = self._options.heartbeat_interval_s
        if self._is_excused or now_s < self.round_at_s + interval_s / 4:
            self._is_excused = False
            return False
        self._is_excused = True
        self.round_at_s = now_s + interval_s / 16
        return True

    def note_ballot(self, ballot: Ballot) -> None:
        """A ballot of this node's own has to be above every one it has seen in its era.

        One of a later era is a reason to learn, never to rise: its membership decides who may stand there (M3).
        """
        if ballot > self.highest_seen and ballot.round < self._standing.rounds_end:
            self.highest_seen = ballot

    def on_reply(self, peer: Peer, message: HeartbeatReply) -> bool:
        """Whether the answer counts: its question is not too old, no later one is answered, and the link is open."""
        peer.silent_quarters = 0
        if message.is_voting:
            self.note_ballot(message.promise)  # a promise that nobody keeps stands in no ballot's way (P9)
        first = max(self.round - len(self._asked_at_s) + 1, self._suspicious_from)
        is_newest = peer.reply is None or message.round > peer.reply.round
        if not (first <= message.round <= self.round and is_newest) or peer.is_link_closed:
            return False
        peer.reply = message
        peer.heard_round = self.round
        return True

    def on_asked(self, peer: Peer) -> None:
        """Its heartbeat came; what it said of itself is nothing to go by here."""
        peer.silent_quarters = 0

    def count_silence(self) -> None:
        """At the end of a round: tell who was silent all through it, however that round was cut short by suspicion.

        Rounds count, which this node began itself: being held up or frozen is no reason to think others dead.
        """
        quarters = 1 if self._is_suspicious else _QUICK
        for peer in self._peers.values():
            if peer.is_link_closed:
                continue
            peer.silent_quarters += quarters
            rounds = peer.silent_quarters // _QUICK - 1  # but for the one in which it was heard last
            if rounds > 0:
                self._outbox.notice(NoticeKind.PEER_SILENT, peer=peer.node, rounds=rounds)

    def _replies(self, *, since: int) -> dict[NodeId, HeartbeatReply]:
        """What was heard in round ``since`` and later."""
        return {
            peer.node: peer.reply
            for peer in self._peers.values()
            if peer.reply is not None and peer.heard_round >= since
        }

    @property
    def is_ready_to_judge(self) -> bool:
        """Under suspicion a round ends as soon as every member whose link is not known closed has answered."""
        if not self._is_suspicious or self._judged_round == self.round:
            return False
        return all(peer.heard_round == self.round or peer.is_link_closed for peer in self._peers.values())

    def judge(self, promise: Ballot, *, is_leading: bool) -> None:
        """Decide from this round's replies whether this node is happy, and with whom; once a round."""
        if self._judged_round == self.round:
            return
        self._judged_round = self.round
        replies = self._replies(since=self.round)
        if is_leading:
            followers = [n for n, reply in replies.items() if reply.promise == promise and reply.is_voting]
            self.is_happy = self._is_quorum(followers)
            self._stray_rounds = self._stray_rounds + 1 if self._is_voter_astray(promise, replies) else 0
        else:
            leaders = [n for n, reply in replies.items() if reply.is_leading and self._is_happy(reply)]
            self.is_happy = bool(leaders)
            best = max(leaders, key=lambda n: replies[n].promise, default=None)
            if best is not None:
                if self.leader is None or replies[best].promise >= promise:
                    self.leader = best  # an answer from before this node's own promise names nobody new
            elif self._unhappy_rounds >= self._options.election_rounds and self._heard_round < self.round - 1:
                self.leader = None
        if self.is_happy:
            self._calm_down()
        else:
            self._unhappy_rounds += 1
            if self._unhappy_rounds > _QUICK * self._options.election_rounds:
                self._is_suspicious = False  # only this node's own link is gone: back to the ordinary pace

    def _is_happy(self, reply: HeartbeatReply) -> bool:
        """Whoever is happy with a leader of a membership that is over has not heard of it yet."""
        return reply.is_happy and reply.promise.round >= self._standing.rounds_begin

    def _is_quorum(self, others: list[NodeId]) -> bool:
        return self._standing.membership.is_quorum([*others, self._standing.node])

    def _calm_down(self) -> None:
        self._unhappy_rounds = 0
        self._is_suspicious = False
        self.take_over_at_s = None

    # --- suspicion ---

    def on_link_closed(self, peer: Peer, now_s: float, *, is_leading: bool) -> None:
        """A closed link to the leader is suspicion at once: start a round now, don't wait for silence."""
        if is_leading or peer.node != self.leader:
            return
        self.is_happy = False
        self.leader = None
        self._is_suspicious = True
        self._suspicious_from = self.round + 1
        self.round_at_s = now_s

    def on_promised(self, ballot: Ballot, now_s: float) -> None:
        """The own acceptor promised somebody's ballot: give that candidate its time."""
        self.note_ballot(ballot)
        self._calm_down()
        if ballot.node != self._standing.node:
            self.leader = None
            self.is_happy = False
            self._heard_round = -1
            self.round_at_s = min(self.round_at_s, now_s + self._options.heartbeat_interval_s)

    def on_leader_heard(self, leader: NodeId) -> None:
        """A message came from the proposer of the promised ballot: that is who leads."""
        assert leader != self._standing.node, leader
        self.leader = leader
        self._heard_round = self.round

    @property
    def is_led(self) -> bool:
        """Whether the proposer of the promised ballot was heard in this round or the one before."""
        return self._heard_round >= max(0, self.round - 1)

    def on_leading(self) -> None:
        """Nobody else leads: should this node step down, it knows of no leader until it hears one."""
        self.leader = None
        self.is_happy = True
        self._stray_rounds = 0
        self._calm_down()

    def on_quorum_promised(self) -> None:
        """This node has just led a quorum through phase 1: it reaches one, and may learn what it lacks."""
        self._calm_down()

    def on_abandoned(self) -> None:
        """The own ballot came to nothing: be patient before the next one."""
        self._calm_down()
        self.is_happy = False
        self._unhappy_rounds = self._options.election_rounds - 1

    # --- what follows from it ---

    def should_step_down(self, rounds: int) -> bool:
        """Who has reached no quorum for so many rounds can't lead."""
        return self._unhappy_rounds >= rounds

    def should_rise(self) -> bool:
        """A voter is stuck above the leader's ballot and nobody leads there: the leader takes a higher one.

        Whoever leads there may be out of this node's hearing. The voter hears it and says so; else two who can't hear
        each other would unseat each other for ever.
        """
        return self._stray_rounds >= 2

    def _is_voter_astray(self, ballot: Ballot, replies: dict[NodeId, HeartbeatReply]) -> bool:
        rounds_end = self._standing.rounds_end  # beyond it no ballot of this era stands in anybody's way
        above = [reply for reply in replies.values() if reply.promise > ballot and reply.promise.round < rounds_end]
        is_led = any(reply.is_leading or reply.is_led for reply in above)
        return any(reply.is_voting for reply in above) and not is_led

    def can_take_over(self, chosen_through: Slot) -> bool:
        """Unhappy, nobody reached is happy, and a voting quorum is reached (EuroSys 2023, section 5.2).

        A node far behind a peer it reaches learns first: until then it could not lead anyway (P4).
        """
        replies = self._fresh_replies()
        if self.is_happy or any(self._is_happy(reply) for reply in replies.values()):
            return False
        if any(
            reply.chosen_through > chosen_through + self._options.accept_ahead_slots_max for reply in replies.values()
        ):
            return False
        return self._is_quorum([node for node, reply in replies.items() if reply.is_voting])

    def consider(self, accepted_through: Slot, chosen_through: Slot, now_s: float, *, is_able: bool = True) -> None:
        """Set the moment to take over, if the time for it has come; who ranks highest goes first.

        A node that ought not to lead gives those who could another election timeout, and no more than that: they may
        be kept from it by something that nobody sees from here.
        """
        if self.take_over_at_s is not None or not self.can_take_over(chosen_through):
            return
        rounds = self._options.election_rounds
        if not is_able and self.best_successor() is not None:
            has_waited = self._unhappy_rounds >= 2 * rounds
        else:
            has_waited = self._is_suspicious or self._unhappy_rounds >= rounds
        if not has_waited:
            return
        own = self._rank(self._standing.node, accepted_through, is_able=is_able)
        ahead = sum(
            reply.is_voting and self._rank(node, reply.accepted_through, is_able=not reply.is_full) > own
            for node, reply in self._fresh_replies().items()
        )
        self.take_over_at_s = now_s + ahead * self._options.patience_max_s * self._random.uniform(0.5, 1.0)

    def best_successor(self) -> NodeId | None:
        """The reachable voter that could lead and ought to first."""
        membership, replies = self._standing.membership, self._fresh_replies()
        able = [node for node in replies if self.is_able(node) and membership.is_voter(node)]
        return max(able, key=lambda node: self._rank(node, replies[node].accepted_through, is_able=True), default=None)

    def _rank(self, node: NodeId, accepted_through: Slot, *, is_able: bool) -> tuple[bool, bool, Slot, NodeId]:
        """Who could serve goes first, then whose clock is true, then who has the longest log."""
        return (is_able, node not in self.astray, accepted_through, node)

    def is_reachable(self, node: NodeId) -> bool:
        return node in self._fresh_replies()

    def is_heard(self, peer: Peer) -> bool:
        """Whether it answered within an election's rounds, over the link that is open; nothing is decided by it."""
        return peer.reply is not None and peer.heard_round >= self.round - self._options.election_rounds

    def is_able(self, node: NodeId) -> bool:
        """Whether it could lead, by what it last said of itself."""
        reply = self._peers[node].reply
        return reply is not None and reply.is_voting and not reply.is_full

    def _fresh_replies(self) -> dict[NodeId, HeartbeatReply]:
        """What was heard in this round or the one before; nothing of whom a closed link hides."""
        return self._replies(since=self.round - 1)

    def check_invariants(self, *, is_leading: bool) -> None:
        """What holds between two inputs."""
        assert self.leader is None or self.leader in self._peers, self.leader
        assert not (is_leading and self.leader is not None), self.leader
        assert self.take_over_at_s is None or not self.is_happy, self.take_over_at_s
        for peer in self._peers.values():
            assert peer.heard_round <= self.round, (peer.node, peer.heard_round, self.round)
            assert not (peer.is_link_closed and peer.reply is not None), peer.node
