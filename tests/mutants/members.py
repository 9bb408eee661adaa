"""Known bugs of a change of members, judged by stories, the roles' tests and simulated lives whose members change."""

from __future__ import annotations

from .planting import Change, Mutant

ACCEPTOR = "paxos/acceptor.py"
PROPOSER = "paxos/proposer.py"
ELECTION = "paxos/election.py"
REPLICA = "paxos/replica.py"
LEADERSHIP = "paxos/leadership.py"
PROMISES = "paxos/promises.py"
STANDING = "paxos/standing.py"
ROLES = "paxos/roles.py"
MEMBERS = "paxos/membership_change.py"
DRIVER = "node/driver.py"

MUTANTS = (
    Mutant(
        "a leader goes on at its ballot after the change, and the newest set counts its votes",
        0,
        (
            Change(
                MEMBERS,
                "        if is_own or role in (Role.PREPARING, Role.CATCHING_UP):\n",
                "        if is_own:\n"
                "            self._proposer.stop_slot = BEFORE_LOG\n"
                "        elif role in (Role.PREPARING, Role.CATCHING_UP):\n",
            ),
            Change(
                ACCEPTOR,
                "        self.promise = max(self.promise, floor_of_era(self._standing.membership.era))\n",
                "        pass\n",
            ),
        ),
    ),
    Mutant(
        "of two changes with one version both have an effect",
        0,
        (
            Change(
                "paxos/membership.py",
                "return self.version == other.version + 1",
                "return self.version >= other.version and self != other",
            ),
            Change(
                STANDING,
                "        assert membership.version > self.membership.version, (membership, self.membership)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "what is reported above a change is adopted",
        0,
        (
            Change(
                PROMISES,
                "                    return Plan([*values, record], True, len(found))\n",
                "                    values.append(record)\n                    continue\n",
            ),
        ),
    ),
    Mutant(
        "a change is adopted below a value of a higher ballot",
        0,
        (
            Change(
                PROMISES,
                "if all(later.ballot <= record.ballot for slot, later in found.items() if slot > number):",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "reads are served after the stop",
        0,
        (
            Change(REPLICA, "        if self._proposer.is_stopped:\n            self._leadership.on_stopped()\n", ""),
            Change(ROLES, " or self._proposer.is_stopped:  # M5", ":"),
        ),
    ),
    Mutant(
        "commands are proposed above an open change",
        0,
        (
            Change(PROPOSER, "            and not self.stop_slot\n", ""),
            Change(
                PROPOSER,
                "            assert self._next_slot == self.stop_slot + 1, (self._next_slot, self.stop_slot)  # M2\n",
                "            pass\n",
            ),
        ),
    ),
    Mutant(
        "a candidate takes a later era, and acceptors vote in one they have not learned",
        0,
        (
            Change(ELECTION, " and ballot.round < self._standing.rounds_end:", ":"),
            Change(ACCEPTOR, "            return ballot.round < standing.rounds_end\n", "            return True\n"),
            Change(
                LEADERSHIP,
                "        assert above.era == self._standing.membership.era, (above, self._standing.membership)  # M3\n",
                "",
            ),
        ),
    ),
    Mutant(
        "any change that is asked for is proposed",
        0,
        (
            Change(
                MEMBERS,
                "        if refusal is not None or is_dry_run:\n",
                "        if is_dry_run:\n",
            ),
            Change(
                PROPOSER,
                "        assert self.can_change_members, "
                "(self.role, self.stop_slot, self.chosen_through, self.barrier_slot)  # M1\n",
                "",
            ),
        ),
    ),
    Mutant(
        "a learner that abstains becomes a voter",
        0,
        (Change(MEMBERS, "        if abstaining:\n", "        if False:\n"),),
    ),
    Mutant(
        "a directory that the members do not know has a vote",
        0,
        (Change(STANDING, "self._damaged_reason or self._foreign_reason", "self._damaged_reason"),),
    ),
    Mutant(
        "links do not follow the members",
        0,
        (
            Change(
                "node/following.py", "        self.reach.follow(self._replica.membership)\n        self._tell()\n", ""
            ),
        ),
    ),
    Mutant(
        "a change forgets where the others are",
        0,
        (Change(MEMBERS, "joined(current.described, told, ", "joined((), told, "),),
    ),
    Mutant(
        "who receives a state does not hear who votes there",
        0,
        (
            Change(
                DRIVER,
                "on_state_installed(event.through, self.applier.membership)",
                "on_state_installed(event.through)",
            ),
        ),
    ),
    Mutant(
        "nobody teaches who is no member",
        0,
        (
            Change(
                MEMBERS, "                    return self._guest(sender, now_s)\n", "                    return None\n"
            ),
        ),
    ),
    Mutant(
        "a candidate and a leader stop for good at a change",
        0,
        (Change(MEMBERS, "            self._ended = self._ended or role\n", ""),),
    ),
)
