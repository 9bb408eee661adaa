"""The stage a story is played on: simulated hosts with the real core and Applier, and a network that obeys.

Delays and write times are constant, nothing is lost by chance, and the simulator's checkers watch every step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import attrs
import msgspec
from crc32c import crc32c

from replog.apply.sessions import SessionOptions
from replog.apply.submissions import Commands, Submission, decode_submission
from replog.node.events import PeerMessages
from replog.node.settings import NodeOptions
from replog.paxos import messages as message_types
from replog.paxos.ballot import ERA_ROUNDS, Ballot, NodeId, Slot, node_name
from replog.paxos.describe import describe_message
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Member, Membership
from replog.paxos.messages import AcceptedSlot, Message, TransferLeadership
from replog.paxos.options import PaxosOptions
from replog.paxos.values import Batch, NoOp, decode_value, encode_value
from replog.sim.checkers import ProtocolChecker
from replog.sim.conditions import DiskWeather, HostOptions
from replog.sim.host import Host, address_of
from replog.sim.log_disk import SimDisk
from replog.sim.network import Network, Weather
from replog.sim.world import World
from replog.wire.client_messages import Submit

from .client import StageClient
from .notebook import NotebookWorkload

Pair = tuple[NodeId, NodeId]
UNTIL_MAX_S = 20.0
WRITE_S = 0.001


class StageNetwork(Network):
    """Carries messages in a millisecond, unless a story says otherwise."""

    def __init__(self, world: World) -> None:
        super().__init__(world, Weather(delay_s=0.001))
        self.lost: set[tuple[str, Pair]] = set()
        self.holding: set[tuple[str, Pair]] = set()
        self.held: list[tuple[Pair, Message]] = []
        self.kinds: list[str] = []
        """What was sent since the last command, by name."""

    def delays(self, sender: NodeId, target: NodeId, message: Message) -> list[float]:
        pair, kind = (sender, target), type(message).__name__
        self.kinds.append(kind)
        if self.is_cut(*pair) or self.lost & {(kind, pair), ("all", pair)}:
            return []
        if self.holding & {(kind, pair), ("all", pair)}:
            self.held.append((pair, message))
            return []
        return [self.weather.delay_s]

    def say_sent(self, sender: NodeId, target: NodeId, message: Message, *, is_lost: bool) -> None:
        is_held = bool(self.held) and self.held[-1][1] is message and self.held[-1][0] == (sender, target)
        fate = "   (held)" if is_held else "   (lost)" if is_lost else ""
        self._world.say(describe_message(sender, target, message) + fate)


class StageChecker(ProtocolChecker):
    """Looks away from the state of nodes that a story makes differ."""

    def __init__(self, membership: Membership) -> None:
        super().__init__(membership)
        self.differing: set[NodeId] = set()

    def on_applied(self, node: NodeId, slot: Slot, digest: bytes) -> None:
        if node not in self.differing:
            super().on_applied(node, slot, digest)


class Stage:
    """Plays one command after the other: ``play("crash n1")`` calls ``do_crash(["n1"])``."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._is_brief = False
        self._began_s = 0.0
        self._clients: dict[str, StageClient] = {}

    def play(self, command: str) -> list[str]:
        """Carry out one command; returns what was said meanwhile."""
        self._said = []
        self._is_brief = False
        verb, *words = command.split()
        if verb not in ("cluster", "leading", "expect"):
            self.network.kinds.clear()
        getattr(self, f"do_{verb}")(words)
        return self._said

    def _hear(self, line: str) -> None:
        words = line.split(" ms  ", 1)[1]
        is_routine = " Heartbeat" in words
        is_detail = " -> " in words or " writes " in words
        if not is_routine and not (self._is_brief and is_detail):
            self._say(words.removeprefix("-- "))

    def _say(self, words: str) -> None:
        milliseconds = (self.world.now_s - self._began_s) * 1000
        self._said.append(f"{milliseconds:6.0f} ms  {words}")

    # --- building ---

    def do_cluster(self, words: list[str]) -> None:
        """``cluster 3 [option=value ...]``: started, nobody leads; ``epoch_s`` is the wall clocks' time by then.

        ``nodes=6``: n4 to n6 are there as well, and no members.
        """
        settings = {name: _number(name, value) for name, _, value in (word.partition("=") for word in words[1:])}
        self.world = World(1, self._hear, epoch_ms=int(settings.pop("epoch_s", 0)) * 1000)
        self.network = StageNetwork(self.world)
        self.membership = Membership(1, tuple(NodeId(n) for n in range(1, int(words[0]) + 1)))
        self.checker = StageChecker(self.membership)
        nodes = tuple(NodeId(n) for n in range(1, int(settings.pop("nodes", words[0])) + 1))
        options = _options(settings)
        self.workloads = {node: NotebookWorkload() for node in nodes}
        self.hosts = {
            node: Host(
                self.world,
                self.network,
                self.checker,
                self.workloads[node],
                options,
                SimDisk(b"staged", node, b"%d" % node, self.membership, random=self.world.stream(f"disk {node}")),
            )
            for node in nodes
        }
        for host in self.hosts.values():
            host.peers = {node: other for node, other in self.hosts.items() if node != host.node}
            host.weather = DiskWeather(write_s=WRITE_S)
            host.start()
        self._run(0.004)
        self._said.clear()

    def do_leading(self, words: list[str]) -> None:
        """``leading n1 of 3 [option=value ...]``: a cluster that n1 leads; client c has a session; nothing is told."""
        self.do_cluster(words[2:])
        self.do_elect(words[:1])
        self.do_session(["c", words[0]])
        self._run(0.3)
        self._began_s = self.world.now_s
        self._said.clear()

    def do_elect(self, words: list[str]) -> None:
        """``elect n1``: it is asked to take over, and does."""
        self.do_ask(words)
        self._until(["leader", words[0]])

    def do_ask(self, words: list[str]) -> None:
        """``ask n1``: it is asked to take over, as a leader that hands over asks."""
        (node,) = self._nodes(words[0])
        host = self._host(words[0])
        asker = next(other for other in self.membership.members if other != node or len(self.hosts) == 1)
        assert host.replica is not None
        host.put(PeerMessages(asker, [TransferLeadership(host.replica.promise)]))

    # --- time ---

    def do_run(self, words: list[str]) -> None:
        """``run 5 ms``: everything is told but heartbeats."""
        self._run(_seconds(words))

    def do_wait(self, words: list[str]) -> None:
        """``wait 5 s``: only what nodes notice and clients hear is told."""
        self._is_brief = True
        self._run(_seconds(words))

    def do_until(self, words: list[str]) -> None:
        """``until leader n2``: waits for what ``expect`` expects."""
        self._is_brief = True
        self._until(words)

    def _run(self, seconds: float) -> None:
        self.world.run(self.world.now_s + seconds)

    def _until(self, words: list[str]) -> None:
        end_s = self.world.now_s + UNTIL_MAX_S
        while not self._holds(words):
            assert self.world.now_s < end_s, f"not within {UNTIL_MAX_S:.0f} s; {self._roles()}"
            self._run(0.001)

    # --- clients ---

    def do_session(self, words: list[str]) -> None:
        """``session c n1``: client c opens a session at n1; the command it wanted that for is given up meanwhile."""
        name = words[0]
        client = self._clients.setdefault(name, self._client(name))
        client.go_to(self._host(words[1]))
        client.submit([b""]).abandon()
        self._until(["session", name])

    def _client(self, name: str) -> StageClient:
        return StageClient(len(self._clients), self.world, lambda words: self._say(f"{name} {words}"))

    def do_submit(self, words: list[str]) -> None:
        """``submit n1 a b [by d]``: commands a and b, as one submission."""
        client, words = self._by(words)
        client.go_to(self._host(words[0]))
        client.submit([word.encode() for word in words[1:]])

    def do_again(self, words: list[str]) -> None:
        """``again n2 [by d]``: it connects there, or anew; what has no answer is sent once more, under its numbers."""
        client, words = self._by(words)
        client.connect(self._host(words[0]))
        client.flush()

    def do_repeat(self, words: list[str]) -> None:
        """``repeat n2 1``: number 1 of client c is sent once more, although it was answered."""
        client, words = self._by(words)
        client.go_to(self._host(words[0]))
        client.forge([_numbered(client, int(words[1]))])

    def do_tear(self, words: list[str]) -> None:
        """``tear c``: its link breaks, and the node does not know yet."""
        self._clients[words[0]].tear()

    def do_late(self, words: list[str]) -> None:
        """``late c 1``: the node reads number 1 of client c only now, of the link that broke."""
        client = self._clients[words[0]]
        client.forge([_numbered(client, int(words[1]))], is_late=True)

    def do_intrude(self, words: list[str]) -> None:
        """``intrude n1 2 x by d``: d submits x as number 2 of client c's session, under its own key, then under c's."""
        stranger, words = self._by(words)
        stranger.go_to(self._host(words[0]))
        victim = self._clients["c"]
        for key in (stranger.key, victim.key):
            forged = Commands(victim.session.number, int(words[1]), 1, [words[2].encode()], key)
            stranger.forge([_submit(stranger, forged)])

    def do_read(self, words: list[str]) -> None:
        """``read n1``: a linearizable read of everything."""
        client, words = self._by(words)
        client.answer = b""
        client.go_to(self._host(words[0]))
        client.read(b"line/", is_stale=False)

    def do_stale(self, words: list[str]) -> None:
        """``stale n3``: a read of what that node has applied."""
        client, words = self._by(words)
        client.go_to(self._host(words[0]))
        client.read(b"line/", is_stale=True)

    def do_follow(self, words: list[str]) -> None:
        """``follow f n2 1 64``: client f is told slots from 1 on, 64 at most."""
        client = self._clients.setdefault(words[0], self._client(words[0]))
        client.follow(self._host(words[1]), int(words[2]), int(words[3]))

    def do_leave(self, words: list[str]) -> None:
        """``leave n1 [by d]``: client c closes its link."""
        client, words = self._by(words)
        client.leave()

    def _by(self, words: list[str]) -> tuple[StageClient, list[str]]:
        return (self._clients[words[-1]], words[:-2]) if "by" in words else (self._clients["c"], words)

    # --- processes and disks ---

    def do_crash(self, words: list[str]) -> None:
        """``crash n1 [losing|keeping|tearing its write]``: of one under way, nothing, all or a part is found later."""
        for node in self._nodes(words[0]):
            host = self.hosts[node]
            host.weather.unheard_rate = float("keeping" in words)
            host.weather.tear_rate = float("tearing" in words)
            host.crash("killed")

    def do_start(self, words: list[str]) -> None:
        """``start n1``; ``start n1 cut``: the power goes before anything of that is durable."""
        for node in self._nodes(words[0]):
            host = self.hosts[node]
            host.weather = DiskWeather(write_s=WRITE_S)
            if "cut" in words:
                host.disk.cut_after(0)
            host.start()

    def do_stop(self, words: list[str]) -> None:
        """``stop n1``: in order; ``stop n1 cut``: until the first thing that would be durable."""
        for node in self._nodes(words[0]):
            self.hosts[node].stop(0 if "cut" in words else math.inf)

    def do_journal(self, words: list[str]) -> None:
        """``journal n1 off``, ``journal n1 on``: whether its next process writes one."""
        host = self._host(words[0])
        host.options = attrs.evolve(host.options, journal_rate=float(words[1] == "on"))

    def do_freeze(self, words: list[str]) -> None:
        self._host(words[0]).pause()

    def do_thaw(self, words: list[str]) -> None:
        self._host(words[0]).resume()

    def do_stall(self, words: list[str]) -> None:
        """``stall n1 800 ms``: each write begun from here on takes that long."""
        self._host(words[0]).weather = DiskWeather(write_s=_seconds(words[1:]))

    def do_calm(self, words: list[str]) -> None:
        """``calm n1``: its disk is quick again and has room."""
        self._host(words[0]).weather = DiskWeather(write_s=WRITE_S)

    def do_full(self, words: list[str]) -> None:
        """``full n1``: its log's disk; ``full n1 state``, ``full n1 both``."""
        what = words[1] if len(words) > 1 else "log"
        self._host(words[0]).weather = DiskWeather(
            write_s=WRITE_S, is_full=what != "state", is_state_full=what in ("state", "both")
        )

    def do_fill(self, words: list[str]) -> None:
        """``fill n1``: no acceptance finds room on its log's disk any more, until ``calm``."""
        self._host(words[0]).weather = DiskWeather(write_s=WRITE_S, is_full=True, has_no_room=True)

    def do_kill(self, words: list[str]) -> None:
        """``kill n3 after StoreChunk``: at its next such job; ``kill n3 before any``: at the next job at all."""
        when = words[1] if words[2] == "any" else f"{words[1]} {words[2]}"
        self._host(words[0]).weather = DiskWeather(write_s=WRITE_S, crash_at_job=when)

    def do_hang(self, words: list[str]) -> None:
        """``hang n1``: its state can't be flushed, so nothing more is applied."""
        self._host(words[0]).weather = DiskWeather(write_s=WRITE_S, is_state_hanging=True)

    def do_fail(self, words: list[str]) -> None:
        """``fail n1``: its next write fails."""
        self._host(words[0]).disk.fail_next_write()

    def do_damage(self, words: list[str]) -> None:
        """``damage n1 promise`` or ``damage n1 3``: a bit of that record flips."""
        disk = self._host(words[0]).disk
        if words[1] == "promise":
            disk.damage_promise()
        else:
            disk.damage(Slot(int(words[1])))

    def do_wipe(self, words: list[str]) -> None:
        """``wipe n1``: an empty disk under the old id."""
        self._host(words[0]).replace_disk(b"wiped")

    def do_promise(self, words: list[str]) -> None:
        """``promise n3 900.n3``: while it is down, its disk comes to hold that promise."""
        self._host(words[0]).disk.write([LogWrite(_ballot(words[1]), (), None)])

    def do_members(self, words: list[str]) -> None:
        """``members n1 3 1.n1 2``: while it is down, its disk comes to hold version 2 of them, accepted in slot 3."""
        value = encode_value(msgspec.structs.replace(self.membership, version=int(words[3])))
        record = AcceptedSlot(Slot(int(words[1])), _ballot(words[2]), crc32c(value), value)
        self._host(words[0]).disk.write([LogWrite(None, (record,), None)])

    def do_clock(self, words: list[str]) -> None:
        """``clock n1 -3600 s``: its wall clock jumps."""
        for node in self._nodes(words[0]):
            self.hosts[node].wall_skew_ms += int(float(words[1]) * 1000)

    def do_differ(self, words: list[str]) -> None:
        """``differ n2,n3 [as x]``: from here on their state machines write what no other does, each its own or x."""
        for node in self._nodes(words[0]):
            self.workloads[node].hand = (words[2] if "as" in words else node_name(node)).encode()
            self.checker.differing.add(node)

    def do_transfer(self, words: list[str]) -> None:
        """``transfer n1 [n2]``: the leader is asked to hand over."""
        target = self._nodes(words[1])[0] if len(words) > 1 else None
        host = self._host(words[0])
        assert host.replica is not None
        refusal = host.replica.transfer_leadership(target)
        self._said += [f"refused: {refusal.reason}"] if refusal else []
        host.wake()

    def do_change(self, words: list[str]) -> None:
        """``change n1 n1,n2 [n3,n4] [if 2]``: n1 is asked for these voters and learners."""
        host = self._host(words[0])
        assert host.replica is not None
        if_version = int(words[words.index("if") + 1]) if "if" in words else None
        sets = [self._nodes(names) for names in (words[: words.index("if")] if "if" in words else words)[1:]]
        described = [Member(node, address_of(node)) for node in sorted({node for nodes in sets for node in nodes})]
        refusal = host.replica.change_members(sets[0], sets[1] if len(sets) > 1 else (), if_version, described)
        self._said += [f"refused: {refusal.reason}"] if refusal else []
        host.wake()

    # --- links ---

    def do_cut(self, words: list[str]) -> None:
        """``cut n1 > n2`` in one direction, ``cut n1,n2 - n3`` in both."""
        for pair in self._pairs(words):
            self.network.cut(*pair)

    def do_swallow(self, words: list[str]) -> None:
        """``swallow n1 - n3``, ``swallow n1 > n3``: over the link that there is nothing arrives, and nobody is told."""
        for sender, target in self._pairs(words):
            self.network.swallow(sender, target)

    def do_heal(self, words: list[str]) -> None:
        """``heal`` everything, or ``heal n1 - n2``."""
        if not words:
            self.network.heal_all()
        for pair in self._pairs(words) if words else ():
            self.network.heal(*pair)

    def do_reset(self, words: list[str]) -> None:
        """``reset n1 - n3``: the connection breaks and is made again at once."""
        for one, other in self._pairs(words):
            self.hosts[one].reset_link(other)

    def do_lose(self, words: list[str]) -> None:
        """``lose Accept n1 > n2``: these are lost from here on (``all``: every kind)."""
        self.network.lost |= {(words[0], pair) for pair in self._pairs(words[1:])}

    def do_hold(self, words: list[str]) -> None:
        """``hold Accepted n2 > n1``: these wait on the way."""
        self.network.holding |= {(words[0], pair) for pair in self._pairs(words[1:])}

    def do_pass(self, words: list[str]) -> None:
        """Nothing is lost or held any more; what is held goes on being held until ``release``."""
        self.network.lost.clear()
        self.network.holding.clear()

    def do_release(self, words: list[str]) -> None:
        """``release``: what was held arrives, in the order it was sent; ``release Promise 1``: the first such one."""
        for (sender, target), message in self._let_go(words):
            self._arrive(sender, target, message)

    def do_forget(self, words: list[str]) -> None:
        """``forget``, ``forget Promise 1``: what was held is lost."""
        self._let_go(words)

    def _let_go(self, words: list[str]) -> list[tuple[Pair, Message]]:
        held = self.network.held
        if words:
            held = [one for one in held if type(one[1]).__name__ == words[0]][: int(words[1])]
            assert len(held) == int(words[1]), (words, self.network.held)
        self.network.held = [one for one in self.network.held if one not in held]
        return held

    def do_inject(self, words: list[str]) -> None:
        """``inject n2 > n1 Nack ballot=1.n1 promise=9.n2``: a message out of nowhere, as after a long delay."""
        ((sender, target),) = self._pairs(words[:3])
        fields = {name: _value(value) for name, _, value in (word.partition("=") for word in words[4:])}
        self._arrive(sender, target, getattr(message_types, words[3])(**fields))

    def _arrive(self, sender: NodeId, target: NodeId, message: Message) -> None:
        host = self.hosts[target]
        self.world.say(f"{describe_message(sender, target, message)}   (arrives)")
        host.receive(host.life, sender, self.hosts[sender].disk.identity.incarnation, message)

    # --- what has to hold ---

    def do_show(self, words: list[str]) -> None:
        """``show``: where every node stands; ``show log n1``: its log."""
        self._said += [f"{words[1]}: {self._log(words[1])}"] if words else self._roles()

    def is_contradicted(self, words: list[str]) -> bool:
        """``contradicted n1,n2``: just these say that nobody can say who is right."""
        up = {node: host.replica for node, host in self.hosts.items() if host.replica is not None}
        return {node for node, replica in up.items() if replica.contradiction} == set(self._nodes(words[0]))

    def is_ahead(self, words: list[str]) -> bool:
        """``ahead 3600 s``: the newest batch's log time against the true time, to a second."""
        return abs(self.checker.stamp_ms - self.world.true_ms - _seconds(words) * 1000) < 1000

    def do_expect(self, words: list[str]) -> None:
        """``expect leader n2``, ``expect not done a``: fails the story if it does not hold."""
        assert self._holds(words), f"{self._roles()} logs {[self._log(node_name(node)) for node in self.hosts]}"

    def _holds(self, words: list[str]) -> bool:
        if words[0] == "not":
            return not self._holds(words[1:])
        question, *words = words
        return bool(getattr(self, f"is_{question}")(words))

    def is_leader(self, words: list[str]) -> bool:
        """``leader n2``: it leads, nobody else does; ``leader nobody``; ``leader any``: exactly one."""
        leaders = [node_name(n) for n, host in self.hosts.items() if host.replica and host.replica.is_leading]
        return len(leaders) == 1 if words == ["any"] else leaders == [word for word in words if word != "nobody"]

    def is_following(self, words: list[str]) -> bool:
        """``following n3 n1``: n3 knows that n1 leads."""
        replica = self._host(words[0]).replica
        return replica is not None and replica.leader == self._nodes(words[1])[0]

    def is_session(self, words: list[str]) -> bool:
        return self._clients[words[0]].session.number > 0

    def is_done(self, words: list[str]) -> bool:
        """``done a b``: client c has been answered."""
        client, words = self._by(words)
        return all(word.encode() in client.done for word in words)

    def is_answer(self, words: list[str]) -> bool:
        """``answer a b``: that is what client c read last."""
        client, words = self._by(words)
        return client.answer.decode().split() == words

    def is_log(self, words: list[str]) -> bool:
        """``log n1 members open a b``: what it knows chosen, slot by slot."""
        return self._log(words[0]).split() == words[1:]

    def is_chosen(self, words: list[str]) -> bool:
        """``chosen n1 4``."""
        replica = self._host(words[0]).replica
        return replica is not None and replica.chosen_through == int(words[1])

    def is_applied(self, words: list[str]) -> bool:
        """``applied n1 4``: at least."""
        return self._host(words[0]).applied_through >= int(words[1])

    def is_followed(self, words: list[str]) -> bool:
        """``followed 5 by f``: it was told slots up to 5, each after the one before."""
        client, words = self._by(words)
        return client.followed_through == int(words[0])

    def is_full(self, words: list[str]) -> bool:
        """``full n1``: the core takes nothing new, for want of room."""
        replica = self._host(words[0]).replica
        return replica is not None and replica.is_storage_full

    def is_stored(self, words: list[str]) -> bool:
        """``stored n3 2``: so many pieces of states has this life of it stored, at least."""
        return self._host(words[0]).driver.jobs.chunks_stored >= int(words[1])

    def is_durable(self, words: list[str]) -> bool:
        """``durable n1 4``: its state would stand there after a crash, at least."""
        return self._host(words[0]).durable_through >= int(words[1])

    def is_accepted(self, words: list[str]) -> bool:
        """``accepted n3 4``: its disk has an acceptance of slot 4, in the log or in the journal."""
        return Slot(int(words[1])) in self._host(words[0]).disk.slots

    def is_floor(self, words: list[str]) -> bool:
        """``floor n1 4``: at least that much of its log is compacted away."""
        return self._host(words[0]).disk.compacted_through >= int(words[1])

    def is_equal(self, words: list[str]) -> bool:
        """``equal``: every node that is up stands at one slot (that the states agree, the checkers hold)."""
        return len({host.applied_through for host in self.hosts.values() if host.is_up}) == 1

    def is_promise(self, words: list[str]) -> bool:
        """``promise n3 2.n1``: on its disk."""
        return str(self._host(words[0]).disk.promise) == words[1]

    def is_version(self, words: list[str]) -> bool:
        """``version n1,n2 2``: of the membership that they follow."""
        replicas = [self._host(node_name(node)).replica for node in self._nodes(words[0])]
        return all(replica is not None and replica.membership.version == int(words[1]) for replica in replicas)

    def is_voters(self, words: list[str]) -> bool:
        """``voters n1,n2 n2,n3``: by what n1 and n2 follow, n2 and n3 vote."""
        replicas = [self._host(node_name(node)).replica for node in self._nodes(words[0])]
        wanted = tuple(self._nodes(words[1]))
        return all(replica is not None and replica.membership.voters == wanted for replica in replicas)

    def is_elections(self, words: list[str]) -> bool:
        """``elections 2``: so many times in all somebody began to lead."""
        return sum(host.elections for host in self.hosts.values()) == int(words[0])

    def is_sent(self, words: list[str]) -> bool:
        """``sent Nack``: in the last command that was no ``expect``."""
        return words[0] in self.network.kinds

    def is_up(self, words: list[str]) -> bool:
        return self._host(words[0]).is_up

    def is_voting(self, words: list[str]) -> bool:
        replica = self._host(words[0]).replica
        return replica is not None and replica.is_voting

    # --- looking ---

    def _log(self, name: str) -> str:
        disk = self._host(name).disk
        replica = self._host(name).replica
        through = replica.chosen_through if replica is not None else disk.chosen_through
        words = [f"..{disk.compacted_through}"] if disk.compacted_through else []
        for number in range(disk.compacted_through + 1, through + 1):
            record = disk.slots.get(Slot(number))
            is_whole = record is not None and Slot(number) not in disk.damaged
            words.append(_value_words(record.value) if record is not None and is_whole else "damaged")
        return " ".join(words)

    def _roles(self) -> list[str]:
        return [self._role(node, host) for node, host in self.hosts.items()]

    def _role(self, node: NodeId, host: Host) -> str:
        if host.replica is None:
            return f"{node_name(node)} is down, promise {host.disk.promise}"
        return (
            f"{node_name(node)} {host.replica.role.value}, promise {host.replica.promise}, "
            f"chosen through {host.replica.chosen_through}, applied through {host.applied_through}"
        )

    def _host(self, name: str) -> Host:
        return self.hosts[self._nodes(name)[0]]

    def _nodes(self, names: str) -> list[NodeId]:
        if names in ("all", "nobody"):
            return list(self.hosts) if names == "all" else []
        return [NodeId(int(name.removeprefix("n"))) for name in names.split(",")]

    def _pairs(self, words: list[str]) -> Iterable[Pair]:
        left, arrow, right = words
        ones = self._nodes(left)
        others = [node for node in self.hosts if node not in ones] if right == "others" else self._nodes(right)
        pairs = {(one, other) for one in ones for other in others}
        return sorted(pairs | {(other, one) for one, other in pairs} if arrow == "-" else pairs)


def _number(name: str, value: str) -> float | int:
    return float(value) if name.endswith(("_s", "_s_max", "_rate")) else int(value)


def _options(settings: dict[str, Any]) -> HostOptions:
    """Settings of the core, the driver or the simulated process by their names, but for those taken here."""
    sessions = SessionOptions(sessions_max=settings.pop("sessions", 1000), digest_interval_slots=1)
    node = {
        "flush_interval_s": settings.pop("flush_s", 0.02),
        "log_tail_slots": settings.pop("tail", 1000),
        "state_piece_bytes": 4096,
        "image_idle_max_s": 0.5,
        "scrub_interval_s": 3600.0,
        "storage_check_interval_s": 0.05,
        "thrift_s": 0.0,
    }
    host: dict[str, Any] = {"flush_s": settings.pop("flush_takes_s", 0.001)}
    for name in list(settings):
        if name in attrs.fields_dict(NodeOptions):
            node[name] = settings.pop(name)
        elif name in attrs.fields_dict(HostOptions):
            host[name] = settings.pop(name)
    return HostOptions(paxos=PaxosOptions(**settings), sessions=sessions, node=NodeOptions(**node), **host)


def _seconds(words: list[str]) -> float:
    number, unit = words
    return float(number) * {"ms": 0.001, "s": 1.0}[unit]


def _numbered(client: StageClient, number: int) -> Submit:
    """A command of this client that was sent before."""
    return _submit(client, Commands(client.session.number, number, 1, [client.sent[number]], client.key))


def _submit(client: StageClient, submission: Submission) -> Submit:
    return Submit(client.session.number, msgspec.msgpack.encode(submission), client.secret)


def _ballot(text: str) -> Ballot:
    era, _, ballot = text.rpartition("/")
    round_, node = ballot.split(".n")
    return Ballot(int(round_) + (int(era.removeprefix("v")) - 1 if era else 0) * ERA_ROUNDS, NodeId(int(node)))


def _value(text: str) -> object:
    if re.fullmatch(r"(v\d+/)?\d+\.n\d+", text):
        return _ballot(text)
    return int(text) if text.isdigit() else text.encode()


def _value_words(value: bytes) -> str:
    """``members``, ``no-op``, or what a batch holds: ``open``, ``a``, ``a+b``."""
    decoded = decode_value(value)
    if isinstance(decoded, NoOp):
        return "no-op"
    if not isinstance(decoded, Batch):
        return "members"
    submissions = [decode_submission(data) for data in decoded.submissions]
    return "+".join(b"+".join(one.payloads).decode() if isinstance(one, Commands) else "open" for one in submissions)
