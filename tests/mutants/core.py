"""Known bugs of the core, the driver and what drives it, judged by the stories, the roles' tests and the simulator.

Where the core asserts against the very mistake, the assertion is taken out as well: the question is whether somebody
*outside* notices.
"""

from __future__ import annotations

from .planting import Change, Mutant

ACCEPTOR = "paxos/acceptor.py"
PROPOSER = "paxos/proposer.py"
LEARNER = "paxos/learner.py"
ELECTION = "paxos/election.py"
READS = "paxos/reads.py"
REPLICA = "paxos/replica.py"
LEADERSHIP = "paxos/leadership.py"
PROMISES = "paxos/promises.py"
CATCH_UP = "paxos/catch_up.py"
TEACHER = "paxos/teacher.py"
STANDING = "paxos/standing.py"
ROLES = "paxos/roles.py"
MEMBERS = "paxos/membership_change.py"
DIVERGENCE = "paxos/divergence.py"
LOG_TIME = "paxos/log_time.py"
DRIVER = "node/driver.py"
APPLYING = "node/applying.py"
SENDING = "node/sending.py"
THRIFTY = "node/thrifty.py"
STATE_JOBS = "node/state_jobs.py"
SERVING = "node/serving.py"
CLIENTS = "node/clients.py"
FOLLOWERS = "node/followers.py"
SILENCE = "node/silence.py"

_NO_PROMISE_ASSERT = Change(ACCEPTOR, "        assert ballot >= self.promise, (ballot, self.promise)  # P2\n", "")
_NO_HELD_ASSERT = Change(
    ACCEPTOR, "        assert held is None or held.ballot < message.ballot, (held, message.ballot)\n", ""
)
_NO_CRC_ASSERT = Change(
    ACCEPTOR,
    "            assert held.crc == message.crc, (message.slot, message.ballot)  # P5: one value a slot and ballot\n",
    "",
)

MUTANTS = (
    Mutant(
        "accepts below its promise",
        1,
        (
            Change(ACCEPTOR, "if message.ballot < self.promise:  # P2", "if False:"),
            _NO_PROMISE_ASSERT,
            _NO_HELD_ASSERT,
        ),
    ),
    Mutant(
        "quorum one too small",
        2,
        (Change("paxos/membership.py", "return len(self.voters) // 2 + 1", "return max(1, len(self.voters) // 2)"),),
    ),
    Mutant(
        "a repeated Accepted counts twice",
        3,
        (
            Change(
                PROPOSER,
                "            proposal.votes.add(sender)\n",
                "            unheard = [voter for voter in self.membership.voters if voter not in proposal.votes]\n"
                "            proposal.votes.add(unheard[0] if sender in proposal.votes and unheard else sender)\n",
            ),
        ),
    ),
    Mutant(
        "an Accepted of another ballot counts",
        4,
        (
            Change(
                PROPOSER,
                "self.role is not Role.LEADING or message.ballot != self.ballot or not",
                "self.role is not Role.LEADING or not",
            ),
        ),
    ),
    Mutant(
        "the promise is not stored",
        5,
        (Change(ACCEPTOR, "            self._outbox.store_promise(ballot)\n", ""),),
    ),
    Mutant(
        "Promise leaves before the write",
        5,
        (Change(ACCEPTOR, "self._outbox.send_after_write(sender, piece)  # P1", "self._outbox.send(sender, piece)"),),
    ),
    Mutant(
        "Accepted leaves before the write",
        6,
        (
            Change(
                ACCEPTOR,
                "self._outbox.send_after_write(sender, Accepted(ballot, first, last))",
                "self._outbox.send(sender, Accepted(ballot, first, last))",
            ),
        ),
    ),
    Mutant(
        "the acceptance is not stored",
        6,
        (Change(ACCEPTOR, "        self._outbox.store(record)\n", ""),),
    ),
    Mutant(
        "a restarted node resumes its promised ballot",
        7,
        (
            Change(
                LEADERSHIP,
                "self._proposer.begin(above.next_for(self._standing.node), ",
                "resumed = self._acceptor.promise\n"
                "        fits = resumed.node == self._standing.node and resumed > self._proposer.ballot\n"
                "        self._proposer.begin(resumed if fits else above.next_for(self._standing.node), ",
            ),
        ),
    ),
    Mutant(
        "Prepare leaves before the own promise is durable",
        8,
        (
            Change(
                PROPOSER,
                "self._outbox.send_after_write(peer.node, self._prepare)  # P1: the own acceptor has promised it",
                "self._outbox.send(peer.node, self._prepare)",
            ),
        ),
    ),
    Mutant(
        "adopts the lowest reported ballot",
        9,
        (Change(PROMISES, "record.ballot > held.ballot", "record.ballot < held.ballot"),),
    ),
    Mutant(
        "ignores what acceptors report",
        10,
        (
            Change(
                PROPOSER,
                "plan = self._promises.plan(self._standing.membership, above=learned_through)",
                "plan = Promises().plan(self._standing.membership, above=learned_through)",
            ),
        ),
    ),
    Mutant(
        "gaps are not filled",
        11,
        (
            Change(
                PROPOSER,
                "                self._propose(NO_OP, no_op_crc, now_s)\n",
                "                self._next_slot = Slot(self._next_slot + 1)\n",
            ),
            Change(
                PROPOSER,
                "            proposal = self._proposals[Slot(number)]\n",
                "            if Slot(number) not in self._proposals:\n"
                "                continue\n"
                "            proposal = self._proposals[Slot(number)]\n",
            ),
        ),
    ),
    Mutant(
        "a candidate behind leads without learning first",
        12,
        (
            Change(
                PROPOSER,
                "self.catch_up_through = self._promises.chosen_through(complete)",
                "self.catch_up_through = Slot(self._prepare.from_slot - 1)",
            ),
        ),
    ),
    Mutant(
        "chosen_through is believed for any acceptance",
        13,
        (
            Change(
                LEARNER,
                "is_hinted = record.ballot == self._hint_ballot and record.slot <= self._hint_through  # P6",
                "is_hinted = record.slot <= self._hint_through",
            ),
        ),
    ),
    Mutant(
        "releases past a gap",
        14,
        (
            Change(
                LEARNER,
                "while (record := self._durable.get(Slot(through + 1))) is not None:",
                "while (record := self._durable.get(min(self._durable, default=BEFORE_LOG))) is not None:",
            ),
            Change(LEARNER, "            assert record.slot == through + 1, (record.slot, through)  # P7\n", ""),
        ),
    ),
    Mutant(
        "reads are answered without a confirmation",
        17,
        (
            Change(
                READS,
                "        self._ask(self._standing.membership.voters)\n\n    def on_confirmed",
                "        self._outbox.reads.append(ReadReady(self._slot, tuple(self._asked)))\n"
                "        self._asked = []\n\n    def on_confirmed",
            ),
        ),
    ),
    Mutant(
        "a read round's number is used again",
        18,
        (Change(READS, "        self._round += 1\n", "        self._round = 1\n"),),
    ),
    Mutant(
        "takes over without reaching a quorum",
        21,
        (
            Change(
                ELECTION,
                "        return self._is_quorum([node for node, reply in replies.items() if reply.is_voting])\n",
                "        return True\n",
            ),
        ),
    ),
    Mutant(
        "a leader without a quorum keeps its role",
        22,
        (
            Change(
                ELECTION,
                "        return self._unhappy_rounds >= rounds\n",
                "        return False\n",
            ),
        ),
    ),
    Mutant(
        "one stray refusal unseats the leader",
        23,
        (Change(PROPOSER, "if not membership.is_quorum(others):", "if len(others) < len(membership.voters):"),),
    ),
    Mutant(
        "takes over although a neighbour is happy",
        23,
        (
            Change(
                ELECTION,
                "if self.is_happy or any(self._is_happy(reply) for reply in replies.values()):",
                "if self.is_happy:",
            ),
        ),
    ),
    Mutant(
        "the leader counts its own vote before its write",
        6,
        (
            Change(
                "paxos/proposals.py",
                "self._proposals[slot] = _Proposal(accept, set(), now_s)",
                "self._proposals[slot] = _Proposal(accept, {self._node}, now_s)",
            ),
        ),
    ),
    Mutant(
        "half a promise counts",
        0,
        (Change(PROMISES, "return len(self.pieces) == self.piece_count", "return True"),),
    ),
    Mutant(
        "any leader's chosen_through replaces the last one heard",
        13,
        (
            Change(
                LEARNER,
                "            self._hint_through = max(self._hint_through, chosen_through)\n",
                "            self._hint_through = max(self._hint_through, chosen_through)\n"
                "        else:\n"
                "            self._hint_through = max(self._hint_through, chosen_through)\n",
            ),
        ),
        "what an older ballot's leader knew chosen is what every later ballot proposes there (P5), so a record of the "
        "later ballot holds the chosen value all the same",
    ),
    Mutant(
        "an acceptor confirms a deposed leader",
        17,
        (
            Change(
                ACCEPTOR,
                "        if message.ballot < self.promise:\n"
                "            self._outbox.send(sender, Nack(message.ballot, self.promise))\n"
                "        else:\n"
                "            self._outbox.send(sender, Confirmed(message.ballot, message.round))",
                "        self._outbox.send(sender, Confirmed(message.ballot, message.round))",
            ),
        ),
    ),
    Mutant(
        "a new leader reads before its barrier",
        17,
        (
            Change(
                REPLICA,
                "self._reads.begin_round(max(self._proposer.chosen_through, self._proposer.barrier_slot), self._now_s)",
                "self._reads.begin_round(self._proposer.chosen_through, self._now_s)",
            ),
        ),
    ),
    Mutant(
        "a Promise reports only the last acceptance",
        12,
        (
            Change(
                ACCEPTOR,
                "reported = [self.accepted[slot] for slot in sorted(self.accepted) if slot > above]",
                "reported = [self.accepted[slot] for slot in sorted(self.accepted) if slot > above][-1:]",
            ),
        ),
    ),
    Mutant(
        "an Accept does not raise the promise",
        1,
        (
            Change(
                ACCEPTOR,
                "        self._raise_promise(message.ballot)\n        if is_news:",
                "        if is_news:",
            ),
            Change(
                ACCEPTOR, "        assert message.ballot == self.promise, (message.ballot, self.promise)  # P2\n", ""
            ),
            _NO_HELD_ASSERT,
            _NO_CRC_ASSERT,
        ),
    ),
    Mutant(
        "taught slots are taken out of order",
        14,
        (
            Change(
                LEARNER,
                "is_next = record.slot == through + 1\n",
                "is_next = record.slot > through\n",
            ),
        ),
    ),
    Mutant(
        "a restarted acceptor forgets its unchosen tail",
        3,
        (
            Change(
                ACCEPTOR,
                "= {record.slot: record for record in recovered.accepted}",
                "= {}",
            ),
        ),
    ),
    Mutant(
        "a leader that promised another ballot goes on",
        1,
        (
            Change(
                LEADERSHIP,
                '            self.step_down(f"it promised {promise}")\n',
                "            pass\n",
            ),
            Change(
                ACCEPTOR,
                "if message.ballot < self.promise:  # P2",
                "if message.ballot < self.promise and sender != self._standing.node:",
            ),
            _NO_PROMISE_ASSERT,
            _NO_HELD_ASSERT,
        ),
    ),
    Mutant(
        "a proposal is written over a lesson",
        0,
        (
            Change(
                ACCEPTOR,
                "is_news = message.slot > standing.taught_through",
                "is_news = message.slot > standing.chosen_through",
            ),
        ),
    ),
    Mutant(
        "sessions come back in another order",
        15,
        (
            Change(
                "apply/sessions.py",
                "self._last_rank = self._last_rank + 1 if slot == self._last_slot else 0",
                "self._last_rank = 0",
            ),
        ),
    ),
    Mutant(
        "no memory of what a session has done",
        15,
        (Change("apply/applier.py", "        if first < expected:\n", "        if first < expected and False:\n"),),
    ),
    Mutant(
        "a retry beside its first copy is not answered",
        16,
        (
            Change(
                "apply/applier.py",
                "                run.tell(session.key, replies, weight)\n",
                "                pass\n",
            ),
        ),
    ),
    Mutant(
        "a wiped node is let in under its old id",
        19,
        (
            Change(
                "sim/host.py",
                "if self.peers[sender].first_incarnation != incarnation or self.is_foreign:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "the log is compacted before the state is durable",
        20,
        (Change("node/driver.py", "min(self.applier.durable_through,", "min(self.applier.applied_through,"),),
    ),
    Mutant(
        "a diverged state is never told",
        24,
        (Change(DIVERGENCE, "if self._standing.membership.is_quorum(against):", "if False:"),),
    ),
    Mutant(
        "states without a majority are told to nobody",
        24,
        (
            Change(
                DIVERGENCE,
                "        if not against:\n            return None\n",
                "        if True:\n            return None\n",
            ),
        ),
    ),
    Mutant(
        "a minority that agrees hides a contradiction",
        24,
        (
            Change(
                DIVERGENCE,
                "if self._standing.membership.is_quorum([*agreeing, self._standing.node]):",
                "if agreeing:",
            ),
        ),
    ),
    Mutant(
        "an agreement from before a contradiction counts",
        24,
        (Change(DIVERGENCE, "if peer.agreed_at >= first and peer.differs_at is None]", "if peer.agreed_at]"),),
    ),
    Mutant(
        "log time goes backwards with the leader's clock",
        0,
        (
            Change(
                LOG_TIME,
                "        stamp_ms = self._current_ms(self._compared_ms)\n",
                "        stamp_ms = self._own_lead_ms + self._now_s * 1000\n",
            ),
            Change(LOG_TIME, "        assert stamp_ms >= self._stamp_ms, (stamp_ms, self._stamp_ms)  # P11\n", ""),
        ),
    ),
    Mutant(
        "log time believes the leader's clock",
        0,
        (
            Change(
                LOG_TIME,
                "        return known[count - 1] if len(known) >= count else None\n",
                "        return self._own_lead_ms if len(known) >= count else None\n",
            ),
        ),
    ),
    Mutant(
        "log time believes the clock that is furthest ahead",
        0,
        (Change(LOG_TIME, "        return known[count - 1] if", "        return known[0] if"),),
    ),
    Mutant(
        "a new leader's log time begins below the log",
        0,
        (
            Change(REPLICA, "            self._log_time.on_stamp(stamp_of(record.value))\n", ""),
            Change(REPLICA, "        self._log_time.on_stamp(log_time_ms)\n", ""),
        ),
    ),
    Mutant(
        "log time stands still until the clocks arrive",
        0,
        (Change(LOG_TIME, "elapsed_ms * (1 - SLEW), lead_ms", "0, lead_ms"),),
    ),
    Mutant(
        "a peer that fell silent is asked for ever",
        0,
        (Change(CATCH_UP, "        self._question.peer.is_silent = True\n", ""),),
    ),
    Mutant(
        "damage is repaired from logs only",
        0,
        (
            Change(
                CATCH_UP,
                "        if not fresh:\n            if ahead:\n",
                "        if not fresh:\n"
                "            if len(able) < len(ahead) and not any(slot in peer.lacks for peer in ahead):\n",
            ),
        ),
    ),
    Mutant(
        "the Applier does not compare keys",
        0,
        (
            Change(
                "apply/sessions.py",
                "return session if session is not None and session.key == key else None",
                "return session",
            ),
        ),
    ),
    Mutant(
        "the door does not ask for the secret",
        0,
        (Change("wire/client_messages.py", "if session_key(message.secret) != submission.key:", "if False:"),),
    ),
    Mutant(
        "answers go to whoever named the session last",
        0,
        (
            Change(
                "node/clients.py",
                "                self._routes[submission.key] = link\n",
                "                self._routes[submission.key] = link\n"
                '                self._routes[getattr(submission, "session", 0)] = link\n',
            ),
            Change(
                "node/clients.py",
                "            link = routes.get(key)\n",
                '            link = routes.get(getattr(message, "session", None), routes.get(key))\n',
            ),
        ),
    ),
    Mutant(
        "a candidate names the leader that it deposed",
        0,
        (
            Change(
                "paxos/leadership.py",
                "        if role is Role.FOLLOWING:\n            return self._election.leader\n",
                "        if role is not Role.LEADING:\n            return self._election.leader\n",
            ),
        ),
    ),
    Mutant(
        "a link that was left and is read late takes the answers",
        0,
        (
            Change(
                "node/clients.py",
                "routed is not link and link in self._keys and (routed is None or",
                "routed is not link and (True or",
            ),
        ),
    ),
    Mutant(
        "what was answered only in a state that came from a peer is never answered",
        0,
        (Change(DRIVER, "        self.clients.ask_to_repeat()\n", ""),),
    ),
    Mutant(
        "replies are let go before they are acknowledged",
        15,
        (
            Change(
                "apply/sessions.py",
                "return replies_kept_max - self.kept_count if self.kept_bytes < REPLIES_KEPT_BYTES_MAX else 0",
                "return 2**20",
            ),
            Change(
                "apply/sessions.py",
                "        self.kept.append(kept)\n",
                "        self.kept.clear()\n        self.kept.append(kept)\n",
            ),
        ),
    ),
    Mutant(
        "an error's text decides how much is run",
        24,
        (
            Change(
                "apply/command_loop.py",
                "                size = FAILURE_BYTES_MAX\n",
                "                size = len(reply)\n",
            ),
        ),
        tests=("tests/apply/test_one_slot.py",),  # the limits are MiB, and the same in every simulated life
    ),
    Mutant(
        "replicas must agree on an error's text",
        24,
        (Change("apply/digest.py", "        if failed:\n", "        if False:\n"),),
    ),
    Mutant(
        "a restart believes its acceptances below a received state",
        13,
        (Change("node/reconcile.py", "if installed_through > recovered.compacted_through:", "if False:"),),
    ),
    Mutant(
        "an acceptance is written below the floor of a state that is being installed",
        0,
        (
            Change(ACCEPTOR, "if is_news and not is_own and message.slot <= standing.installing_through:", "if False:"),
            Change(
                PROPOSER, "            and self._next_slot > self._standing.installing_through", "            and True"
            ),
        ),
    ),
    Mutant(
        "an install sets back what was taught",
        0,
        (
            Change(
                LEARNER,
                "        self._taught = {slot: record for slot, record in self._taught.items() if slot > "
                "chosen_through}\n",
                "        self._taught.clear()\n",
            ),
            Change(
                STANDING,
                "        self.on_chosen(max(self.chosen_through, through))\n",
                "        self.on_chosen(max(self.chosen_through, through))\n"
                "        self.taught_through = self.chosen_through\n",
            ),
            Change(STANDING, '"chosen_through", "taught_through", ', '"chosen_through", '),
        ),
    ),
    Mutant(
        "teaches what is only accepted",
        13,
        (
            Change(
                TEACHER,
                "                    min(message.through, chosen_through),\n",
                "                    Slot(chosen_through + self._options.accept_ahead_slots_max),\n",
            ),
            Change(TEACHER, "from .effects import", "from .ballot import Slot\nfrom .effects import"),
            Change(
                TEACHER,
                "        assert not slots or slots[-1].slot <= self._standing.chosen_through, slots[-1]  # P8\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a slot is waited for after a state went over it",
        0,
        (
            Change(
                STANDING,
                "            self.damaged = frozenset(slot for slot in self.damaged if slot > through)\n",
                "            pass\n",
            ),
            Change(
                ROLES,
                "        return slot in self._standing.damaged\n",
                "        return any(damaged <= slot for damaged in self._standing.damaged)\n",
            ),
        ),
    ),
    Mutant(
        "a full leader hands over once",
        0,
        (Change(LEADERSHIP, "        self.give_way()\n        self._watch_clock(", "        self._watch_clock("),),
    ),
    Mutant(
        "nobody leads a cluster that is full",
        0,
        (
            Change(
                LEADERSHIP,
                "return self._standing.is_voting and not self._fitness.is_disk_stalled",
                "return self._standing.is_voting and self._fitness.is_able",
            ),
        ),
    ),
    Mutant(
        "a leader that applies nothing keeps its role",
        0,
        (
            Change(
                "paxos/fitness.py",
                "return self._rounds_without_progress >= self._options.apply_stall_rounds",
                "return False",
            ),
        ),
    ),
    Mutant(
        "an abstaining acceptor promises",
        19,
        (
            Change(
                ACCEPTOR,
                'phase 1 b)."""\n        if not self._may_answer(sender, message.ballot):\n',
                'phase 1 b)."""\n        if not self._standing.is_voting and not self._standing.abstain_reason:\n',
            ),
        ),
    ),
    Mutant(
        "an abstaining acceptor accepts",
        19,
        (
            Change(
                ACCEPTOR,
                'overwrite what is chosen.\n        """\n        if not self._may_answer(sender, message.ballot):\n',
                'overwrite what is chosen.\n        """\n'
                "        if not self._standing.is_voting and not self._standing.abstain_reason:\n",
            ),
        ),
    ),
    Mutant(
        "an abstaining acceptor confirms reads",
        19,
        (
            Change(
                ACCEPTOR,
                'promises nothing for later."""\n        if not self._may_answer(sender, message.ballot):\n',
                'promises nothing for later."""\n'
                "        if not self._standing.is_voting and not self._standing.abstain_reason:\n",
            ),
        ),
    ),
    Mutant(
        "pieces of two promises are joined",
        12,
        (Change(PROMISES, "            or reported.chosen_through != message.chosen_through\n", ""),),
    ),
    Mutant(
        "an Accept's checksum is not checked",
        0,
        (Change(ACCEPTOR, "if not is_own and self._checksum(message.value) != message.crc:", "if False:"),),
    ),
    Mutant(
        "a lesson's checksum is not checked",
        0,
        (Change(LEARNER, "if self._checksum(record.value) != record.crc:", "if False:"),),
    ),
    Mutant(
        "a promise's checksums are not checked",
        0,
        (
            Change(
                PROPOSER,
                "if any(self._checksum(record.value) != record.crc for record in message.accepted):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a state piece's checksum is not checked",
        0,
        (Change(CATCH_UP, "if self._checksum(message.data) != message.crc:", "if False:"),),
    ),
    Mutant(
        "refused as full, yet queued",
        0,
        (
            Change(
                "paxos/waiting_submissions.py",
                "        if self.is_full:\n            return Refusal.STORAGE_FULL\n",
                "        if self.is_full:\n"
                "            self._queue.append(submission)\n"
                "            self._bytes += len(submission)\n"
                "            return Refusal.STORAGE_FULL\n",
            ),
        ),
    ),
    Mutant(
        "an answer of an earlier read round counts",
        18,
        (
            Change(
                READS,
                "message.ballot != self._ballot or message.round != self._round or not",
                "message.ballot != self._ballot or not",
            ),
        ),
    ),
    Mutant(
        "a position is forgotten with a turn that writes nothing",
        0,
        (
            Change(
                "paxos/outbox.py",
                "        self.sends: list[Outbound] = []\n",
                "        self.chosen_through = None\n        self.sends: list[Outbound] = []\n",
            ),
        ),
    ),
    Mutant(
        "a chosen membership is followed and not stored",
        0,
        (Change(MEMBERS, "        self._outbox.store_membership(membership)\n", ""),),
    ),
    Mutant(
        "an answer counts in its own round only",
        0,
        (
            Change(
                ELECTION,
                "        first = max(self.round - len(self._asked_at_s) + 1, ",
                "        first = max(self.round, ",
            ),
        ),
    ),
    Mutant(
        "a node that has stepped down calls itself the leader",
        0,
        (
            Change(
                LEADERSHIP,
                "        role = self._proposer.role\n        if role is Role.FOLLOWING:\n",
                "        role = self._proposer.role\n"
                "        if role is Role.FOLLOWING and self._election.leader is None and self.times_leader:\n"
                "            return self._standing.node\n"
                "        if role is Role.FOLLOWING:\n",
            ),
            Change(LEADERSHIP, "        assert self.leader != self._standing.node, self.leader\n", ""),
        ),
    ),
    Mutant(
        "a link that was closed once stays so",
        0,
        (Change(REPLICA, "            self._peers[peer].is_link_closed = False\n", ""),),
    ),
    Mutant(
        "a node that abstains votes",
        19,
        (
            Change(
                STANDING,
                "return self.membership.is_voter(self.node) and not self.abstain_reason",
                "return self.membership.is_voter(self.node)",
            ),
        ),
    ),
    Mutant(
        "what is taught counts as written",
        14,
        (
            Change(
                STANDING,
                "    def on_taught(self, through: Slot) -> None:\n        self.taught_through = through\n",
                "    def on_taught(self, through: Slot) -> None:\n        self.on_chosen(through)\n",
            ),
        ),
    ),
    Mutant(
        "suspicion is calmed by answers to earlier questions",
        0,
        (Change(ELECTION, "        self._suspicious_from = self.round + 1\n", ""),),
    ),
    Mutant(
        "a slot that was interrupted goes on from its beginning",
        0,
        (
            Change(
                "apply/applier.py",
                "                        yield\n",
                "                        yield\n"
                "                        run.replies, run.failed, run.weight = [], [], 0\n",
            ),
        ),
    ),
    Mutant(
        "a flush takes a part of a slot with it",
        20,
        (Change("apply/applier.py", "if self._is_flushing or self._under_way is not None:", "if self._is_flushing:"),),
    ),
    Mutant(
        "a read is answered in the middle of a slot",
        17,
        (
            Change(
                "node/driver.py",
                "if self.clients.has_reads and not self.applier.is_inside_slot:",
                "if self.clients.has_reads:",
            ),
            Change(
                "apply/applier.py",
                '        assert self._under_way is None, "a read inside a slot would see a part of it"\n',
                "",
            ),
        ),
    ),
    Mutant(
        "messages that rest on a write leave beside it",
        6,
        (
            Change(
                SENDING,
                "            self._held.append((effects.ticket, effects.send_after_write))\n",
                "            self.send(effects.send_after_write)\n",
            ),
        ),
    ),
    Mutant(
        "one durable write lets everything go that is held",
        6,
        (
            Change(
                SENDING,
                "        while held and held[0][0] <= ticket:\n",
                "        while held:\n",
            ),
        ),
    ),
    Mutant(
        "slots are applied while a state is swapped in",
        0,
        (Change(APPLYING, "        if jobs.is_installing:\n            return False\n", ""),),
    ),
    Mutant(
        "the core hears of an install before the floor is durable",
        0,
        (
            Change(
                DRIVER,
                "        self._log_port.install_floor(applied_through, newest(",
                "        self.replica.on_state_installed(applied_through)\n"
                "        self._log_port.install_floor(applied_through, newest(",
            ),
        ),
    ),
    Mutant(
        "what was kept for a spared peer is overtaken",
        0,
        (Change(THRIFTY, "        kept = self._kept.pop(peer, None)\n", "        kept = None\n"),),
    ),
    Mutant(
        "what was kept for a spared peer is never sent",
        0,
        (Change(THRIFTY, "            self._send(peer, messages)\n", "            messages.clear()\n"),),
    ),
    Mutant(
        "a snapshot that was cut resumes behind what is here",
        0,
        (
            Change(
                STATE_JOBS,
                "self._owner.on_chunk_stored(chunk.snapshot, received_bytes)",
                "self._owner.on_chunk_stored(chunk.snapshot, received_bytes + 1)",
            ),
        ),
    ),
    Mutant(
        "a peer whose snapshot is gone is given the middle of another one",
        0,
        (
            Change(
                STATE_JOBS,
                "position = asked.position if snapshot.name == asked.snapshot else 0",
                "position = asked.position",
            ),
        ),
    ),
    Mutant(
        "released slots that found no room in memory are skipped",
        0,
        (
            Change(APPLYING, "RELEASED_SLOTS_MAX = 1024", "RELEASED_SLOTS_MAX = 2"),
            Change(APPLYING, "        while released and released[0].slot <= slot:\n", "        while released:\n"),
            Change(APPLYING, "            if record.slot == slot:\n", "            if record.slot >= slot:\n"),
        ),
    ),
    Mutant(
        "reads are answered before their slot is applied",
        17,
        (Change(CLIENTS, "            if ready.slot > self._position.applied_through:\n", "            if False:\n"),),
    ),
    Mutant(
        "the rest of a client's frame is lost when the turn's time is over",
        0,
        (
            Change(
                DRIVER,
                "            self._inbox.appendleft(rest)\n",
                "            self.serving.expect(rest.messages, -1)\n",
            ),
        ),
    ),
    Mutant(
        "the rest of a client's frame waits behind the client's next one",
        0,
        (Change(DRIVER, "            self._inbox.appendleft(rest)\n", "            self._inbox.append(rest)\n"),),
    ),
    Mutant(
        "a turn that takes too long loses the events behind it",
        0,
        (
            Change(
                DRIVER,
                "            if left and clock() >= self._ends_s:\n                break\n",
                "            if left and clock() >= self._ends_s:\n"
                "                inbox.clear()\n"
                "                break\n",
            ),
        ),
    ),
    Mutant(
        "a flush that found the disk full is forgotten",
        0,
        (Change(STATE_JOBS, "            self._is_flush_unfinished = True\n", ""),),
    ),
    Mutant(
        "the log is compacted while a snapshot is being sent",
        0,
        (Change(DRIVER, " and not self.jobs.is_sending:", ":"),),
    ),
    Mutant(
        "the log is compacted past what a flush made durable",
        0,
        (
            Change(
                DRIVER,
                "through = min(self.applier.durable_through, self.replica.chosen_through)",
                "through = self.applied_through",
            ),
        ),
    ),
    Mutant(
        "a client that reads slowly never gets the rest",
        0,
        (
            Change(
                CLIENTS,
                "            if outbox.messages and not link.is_closed:\n"
                "                self._talking[link] = outbox\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a flush that went well says that the log has room",
        0,
        (
            Change(
                DRIVER,
                "        self.jobs.on_done(event.job, event.result, event.error, self.now_s)\n",
                "        self.jobs.on_done(event.job, event.result, event.error, self.now_s)\n"
                "        self._is_log_full = self.jobs.is_full\n",
            ),
        ),
    ),
    Mutant(
        "a full log hides that the state's disk is full",
        0,
        (Change(DRIVER, "is_full = self._is_log_full or self.jobs.is_full", "is_full = self._is_log_full"),),
    ),
    Mutant(
        "a read's number is given again while it waits",
        0,
        (Change(CLIENTS, "        self._next_read_id += 1\n", "        self._next_read_id = len(self._reads)\n"),),
    ),
    Mutant(
        "what a turn took from a client counts as waiting for ever",
        0,
        (Change(SERVING, "        self.expect(event.messages, -1)\n", ""),),
    ),
    Mutant(
        "a follower of the log is told what is not applied",
        0,
        (
            Change(
                FOLLOWERS,
                "Slot(min(self._position.applied_through, following.next_slot + following.credit - 1))",
                "Slot(following.next_slot + following.credit - 1)",
            ),
        ),
    ),
    Mutant(
        "a follower of the log is told more than it asked for",
        0,
        (Change(FOLLOWERS, "        following.credit -= len(records)\n", ""),),
    ),
    Mutant(
        "a follower of the log is not told what did not fit into a piece",
        0,
        (
            Change(
                FOLLOWERS,
                "        following.next_slot = Slot(records[-1].slot + 1)\n",
                "        following.next_slot = Slot(last + 1)\n",
            ),
        ),
    ),
    Mutant(
        "the Applier goes on over a state that was replaced",
        0,
        (
            Change(
                APPLYING,
                "        self.applier = self._make_applier()\n        self._released.clear()\n",
                "        self._released.clear()\n",
            ),
        ),
    ),
    Mutant(
        "a transfer waits for ever on a full disk",
        0,
        (
            Change(
                STATE_JOBS,
                "        self._chunk_at_s = now_s + self._options.storage_check_interval_s\n"
                "        if isinstance(job, PrepareInstall):\n"
                "            self._next = job\n",
                "",
            ),
        ),
    ),
    Mutant(
        "an answer whose client has gone goes to another one",
        0,
        (
            Change(
                CLIENTS,
                "            link = routes.get(key)\n            if link is not None:\n",
                "            link = routes.get(key) or next(iter(self._keys), None)\n"
                "            if link is not None:\n",
            ),
        ),
    ),
    Mutant(
        "after the first flush nobody begins another one",
        0,
        (
            Change(
                STATE_JOBS,
                "        if not self.is_full:\n            self.hurry()\n        return True",
                "        return self._job is None or True",
            ),
            Change(
                STATE_JOBS,
                "        self._flush_at_s = now_s + self._options.flush_interval_s\n"
                "        self._owner.applier.end_flush()",
                "        self._flush_at_s = math.inf\n        self._owner.applier.end_flush()",
            ),
        ),
    ),
    Mutant(
        "a follower of the log is told what lies below a floor that is missing",
        0,
        (
            Change(
                DRIVER, "        if is_whole and self.clients.followers.feed", "        if self.clients.followers.feed"
            ),
        ),
    ),
    Mutant(
        "a damaged slot is read for a follower again and again",
        0,
        (Change(DRIVER, "        if self.replica.is_damaged(first):\n            return []\n", ""),),
    ),
    Mutant(
        "a client that finds no leader asks again at once",
        0,
        (Change("client/connection.py", "        return self._backoff.next_s()\n", "        return 0.0005\n"),),
    ),
    Mutant(
        "a client says of what it sent that it is not done",
        0,
        (Change("client/session.py", "    if call.is_sent:\n", "    if False:\n"),),
    ),
    Mutant(
        "a client forgets a gap behind one that was closed meanwhile",
        0,
        (Change("client/session.py", " if is_still_due else expected\n", "\n"),),
    ),
    Mutant(
        "a client waits for a node that hangs",
        0,
        (
            Change(
                "client/silence.py",
                "return Verdict.LEAVE if is_hung else Verdict.WAIT",
                "return Verdict.WAIT",
            ),
        ),
    ),
    Mutant(
        "a client forgets its reads with their link",
        0,
        (Change("client/reads.py", "        for read in sent.values():\n            self.add(read)\n", ""),),
    ),
    Mutant(
        "what may have run moves to a new session when the old one is gone",
        0,
        (
            Change(
                "client/session.py",
                "if self._pending.is_whole_and_certain(call):",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "a held batch waits until something else happens",
        0,
        (
            Change(
                ROLES,
                "if held_until_s is not None and held_until_s < deadline_s and self._proposer.can_propose:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "a held batch that has no room calls for turn after turn",
        0,
        (
            Change(
                ROLES,
                " and held_until_s < deadline_s and self._proposer.can_propose:",
                " and held_until_s < deadline_s:",
            ),
        ),
    ),
    Mutant(
        "a held batch waits for ever",
        0,
        (
            Change(
                "paxos/waiting_submissions.py",
                "        if now_s < self.held_until_s:\n            return False\n",
                "        if now_s >= 0:\n            return False\n",
            ),
        ),
    ),
    Mutant(
        "a silent link is never closed",
        0,
        (Change(SILENCE, "        elif rounds - since >= self._rounds_max:\n", "        elif False:\n"),),
    ),
    Mutant(
        "silence is never counted",
        0,
        (Change(ELECTION, "            peer.silent_quarters += quarters\n", ""),),
    ),
    Mutant(
        "a link that brings bytes is closed",
        0,
        (Change(SILENCE, "if rounds == 1 or received != before:", "if rounds == 1:"),),
    ),
    Mutant(
        "a silent link is closed too early",
        0,
        (Change(SILENCE, "rounds - since >= self._rounds_max", "rounds - since >= 1"),),
    ),
    Mutant(
        "quick rounds of suspicion count in full",
        0,
        (Change(ELECTION, "        quarters = 1 if self._is_suspicious else _QUICK\n", "        quarters = _QUICK\n"),),
    ),
)
