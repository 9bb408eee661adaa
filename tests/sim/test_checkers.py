"""A checker is believed when it has caught something: each one is told a history that is known to be wrong."""

from __future__ import annotations

from collections.abc import Callable

import crc32c
import msgspec
import pytest

from replog.apply.applier import Applier
from replog.apply.outcomes import Replies
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import Commands, OpenSession, Submission
from replog.client.call import Call, Receipt
from replog.client.reads import Read
from replog.errors import (
    CommandTooLarge,
    OutcomeUnknown,
    Overloaded,
    Refused,
    ReplogError,
    SessionExpired,
    StorageFull,
    Unavailable,
)
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import LogWrite
from replog.paxos.membership import Membership
from replog.paxos.messages import Accept, Accepted, AcceptedSlot, Confirmed, Learn, Message, Prepare, Promise
from replog.paxos.outbox import Size
from replog.paxos.values import NO_OP, Batch, encode_value
from replog.sim.checkers import MESSAGES_BURST, MESSAGES_PER_S, ProtocolChecker, ViolationFound
from replog.sim.disk import SimLogStore
from replog.sim.history import ATTEMPTS_PER_S_MAX, LATE_S_MAX, Acknowledged, Answered, History, judge
from replog.sim.workload import RegisterWorkload
from replog.state.memory import MemoryStateStore

N1, N2, N3 = (NodeId(n) for n in (1, 2, 3))
THREE = Membership(1, (N1, N2, N3))
LOW, HIGH = Ballot(1, N1), Ballot(2, N2)


def disk(node: NodeId = N1) -> SimLogStore:
    return SimLogStore(b"test", node, b"%d" % node, THREE)


def record(slot: int, ballot: Ballot, value: bytes = NO_OP) -> AcceptedSlot:
    return AcceptedSlot(Slot(slot), ballot, crc32c.crc32c(value), value)


def holding(checker: ProtocolChecker, node: NodeId, *records: AcceptedSlot) -> SimLogStore:
    """A node was asked to accept ``records`` and has done so durably."""
    store = disk(node)
    write = LogWrite(max(one.ballot for one in records), records, None)
    for one in records:
        checker.on_accept_arrived(node, one.ballot.node, Accept(one.ballot, one.slot, one.crc, one.value, Slot(0)))
    checker.on_durable(node, store.promise, write)
    store.write([write])
    return store


def caught(act: Callable[[], object]) -> str:
    """The name of the checker that ``act`` offends."""
    with pytest.raises(ViolationFound) as found:
        act()
    return found.value.violation.checker


# --- what is sent ---


def test_an_acceptance_that_is_not_on_disk_is_not_answered() -> None:
    """P1: Accepted before the write, and at a ballot above what the disk holds."""
    checker = ProtocolChecker(THREE)
    empty = disk()
    assert caught(lambda: checker.on_sent(N1, 1, empty, Accepted(LOW, Slot(1), Slot(1)))) == "durable acceptance"
    old = holding(checker, N1, record(1, LOW))
    checker.on_sent(N1, 1, old, Accepted(LOW, Slot(1), Slot(1)))
    assert caught(lambda: checker.on_sent(N1, 1, old, Accepted(HIGH, Slot(1), Slot(1)))) == "durable acceptance"


def test_a_promise_that_is_not_on_disk_is_not_answered() -> None:
    """P1."""
    checker = ProtocolChecker(THREE)
    promise = Promise(LOW, Slot(0), Slot(0), 0, 1, ())
    assert caught(lambda: checker.on_sent(N2, 1, disk(N2), promise)) == "durable promise"


def test_a_ballot_that_is_not_on_disk_is_not_begun() -> None:
    """P1, for one's own ballot."""
    checker = ProtocolChecker(THREE)
    assert caught(lambda: checker.on_sent(N1, 1, disk(), Prepare(LOW, Slot(1)))) == "durable ballot"


def test_a_ballot_is_begun_by_one_life_of_one_node() -> None:
    """A Prepare may be repeated, but not by a restarted process."""
    checker = ProtocolChecker(THREE)
    store = disk()
    store.write([LogWrite(LOW, (), None)])
    checker.on_sent(N1, 1, store, Prepare(LOW, Slot(1)))
    checker.on_sent(N1, 1, store, Prepare(LOW, Slot(1)))
    assert caught(lambda: checker.on_sent(N1, 2, store, Prepare(LOW, Slot(1)))) == "one ballot once"


@pytest.mark.parametrize("damage", [SimLogStore.damage_promise, lambda store: store.damage(Slot(1))])
@pytest.mark.parametrize(
    "message",
    [
        Promise(HIGH, Slot(0), Slot(0), 0, 1, ()),
        Accepted(HIGH, Slot(1), Slot(1)),
        Prepare(HIGH, Slot(1)),
        Confirmed(HIGH, 1),
    ],
)
def test_a_node_that_lost_what_it_promised_says_nothing_that_counts(
    damage: Callable[[SimLogStore], None], message: Message
) -> None:
    """P9, P10: no promise, acceptance, ballot or confirmation, however much of it is on the disk since."""
    checker = ProtocolChecker(THREE)
    store = holding(checker, N1, record(1, LOW))
    checker.on_sent(N1, 1, store, Confirmed(LOW, 1))
    damage(store)
    assert store.recover().damaged_reason
    store.write([LogWrite(HIGH, (record(1, HIGH),), None)])
    assert caught(lambda: checker.on_sent(N1, 1, store, message)) == "abstaining is silent"


# --- what is written ---


def test_nothing_is_accepted_below_a_promise() -> None:
    """P2: a record at a ballot below the promise that was durable before."""
    checker = ProtocolChecker(THREE)
    checker.on_accept_arrived(N1, N1, Accept(LOW, Slot(1), 0, NO_OP, Slot(0)))
    assert caught(lambda: checker.on_durable(N1, HIGH, LogWrite(None, (record(1, LOW),), None))) == "promise kept"


def test_a_lesson_is_not_taken_for_a_vote() -> None:
    """What was taught may be stored below the promise, and makes no quorum."""
    checker = ProtocolChecker(THREE)
    one = record(1, LOW)
    store = holding(checker, N1, one)
    checker.on_learn_arrived(N2, N1, Learn(Slot(1), (one,)))
    checker.on_durable(N2, HIGH, LogWrite(None, (one,), None))
    assert caught(lambda: checker.on_released(N1, one, store)) == "chosen by a quorum"


# --- log time ---


def stamped(slot: int, time_ms: int) -> AcceptedSlot:
    return record(slot, LOW, encode_value(Batch(time_ms, [])))


def test_log_time_never_falls_along_the_log() -> None:
    """P11: whoever stamped; what is no batch says nothing, and a slot counts once."""
    checker = ProtocolChecker(THREE)
    for one in (stamped(1, 700), record(2, LOW), stamped(3, 700), stamped(1, 600)):
        checker.on_stamped(one, 0.0)
    assert caught(lambda: checker.on_stamped(stamped(4, 699), 0.0)) == "log time never falls"


def test_what_an_older_ballot_left_may_be_older() -> None:
    """P4: it has to be adopted as it is, above slots that a ballot between has stamped."""
    checker = ProtocolChecker(THREE)
    late = record(1, HIGH, encode_value(Batch(700, [])))
    holding(checker, N1, stamped(2, 600))
    holding(checker, N2, late)
    checker.on_stamped(late, 0.0)
    checker.on_stamped(record(2, Ballot(3, N3), stamped(2, 600).value), 0.0)
    assert checker.stamp_ms == 700


def test_log_time_does_not_run_ahead() -> None:
    """P11: where the clocks of a quorum are right."""
    checker = ProtocolChecker(THREE)
    checker.on_stamped(stamped(1, 9_000), 1_000.0)
    checker.log_time_ahead_max_ms = 5_000
    checker.on_stamped(stamped(2, 9_000), 4_000.0)
    assert caught(lambda: checker.on_stamped(stamped(3, 9_001), 4_000.0)) == "log time is true"


def test_what_is_taught_is_chosen() -> None:
    """P8: not merely accepted, and not what lost."""
    checker = ProtocolChecker(THREE)
    one = record(1, LOW)
    store = holding(checker, N1, one)
    assert caught(lambda: checker.on_sent(N1, 1, store, Learn(Slot(1), (one,)))) == "taught is chosen"
    holding(checker, N2, one)
    checker.on_released(N1, one, store)
    checker.on_sent(N1, 1, store, Learn(Slot(1), (one,)))
    lost = record(1, HIGH, encode_value(Batch(7, [])))
    assert caught(lambda: checker.on_sent(N3, 1, disk(N3), Learn(Slot(1), (lost,)))) == "taught is chosen"


def test_a_log_keeps_what_it_calls_chosen() -> None:
    """P7: neither a late acceptance nor a restart puts another value there."""
    checker = ProtocolChecker(THREE)
    one, other = record(1, LOW), record(1, HIGH, encode_value(Batch(7, [])))
    store = holding(checker, N1, one)
    holding(checker, N2, one)
    checker.on_released(N1, one, store)
    checker.on_durable(N3, LOW, LogWrite(None, (one,), Slot(1)))
    write = LogWrite(HIGH, (other,), None)
    assert caught(lambda: checker.on_durable(N3, LOW, write, Slot(1))) == "the log keeps what is chosen"
    astray = holding(checker, N3, other)
    astray.write([LogWrite(None, (), Slot(1))])
    assert caught(lambda: checker.on_recovered(N3, disk(N3), astray)) == "the log keeps what is chosen"


@pytest.mark.parametrize(
    "forgotten",
    [
        LogWrite(HIGH, (), None),
        LogWrite(None, (record(2, LOW),), None),
        LogWrite(None, (record(1, HIGH),), None),
        LogWrite(None, (), Slot(1)),
        LogWrite(None, (), None, Membership(2, (N1, N2))),
    ],
    ids=["promise", "acceptance", "newer acceptance", "position", "members"],
)
def test_what_was_durable_is_there_at_the_next_start(forgotten: LogWrite) -> None:
    """P1: whatever became of the process, unless the node abstains for it; and nothing else is there."""
    checker = ProtocolChecker(THREE)
    before, found = holding(checker, N1, record(1, LOW)), holding(checker, N1, record(1, LOW))
    checker.on_recovered(N1, before, found)
    before.write([forgotten])
    assert caught(lambda: checker.on_recovered(N1, before, found)) == "durable stays"
    found.distrust_if("its journal is damaged")
    checker.on_recovered(N1, before, found)


def test_what_was_never_durable_is_not_there_at_the_next_start() -> None:
    """P1: a torn record is an end."""
    checker = ProtocolChecker(THREE)
    found = holding(checker, N1, record(1, LOW))
    assert caught(lambda: checker.on_recovered(N1, disk(N1), found)) == "durable stays"


def test_a_node_reads_what_is_on_its_disk() -> None:
    """And nothing where nothing is, or damage."""
    checker = ProtocolChecker(THREE)
    store = holding(checker, N1, record(1, LOW), record(2, LOW))
    store.damage(Slot(2))
    checker.on_read(N1, store, Slot(1), [record(1, LOW)])
    checker.on_read(N1, store, Slot(2), [])
    checker.on_read(N1, store, Slot(3), [])
    assert caught(lambda: checker.on_read(N1, store, Slot(1), [])) == "durable is read"
    assert caught(lambda: checker.on_read(N1, store, Slot(1), [record(1, HIGH)])) == "durable is read"
    assert caught(lambda: checker.on_read(N1, store, Slot(3), [record(3, LOW)])) == "durable is read"


def test_positions_rise_as_long_as_a_process_lives() -> None:
    """A restart may begin lower: what was applied and not flushed is applied again."""
    checker = ProtocolChecker(THREE)
    checker.on_positions(N1, 1, (Slot(5), Slot(4)))
    checker.on_positions(N1, 2, (Slot(5), Slot(3)))
    assert caught(lambda: checker.on_positions(N1, 2, (Slot(6), Slot(2)))) == "positions rise"


# --- what is released and applied ---


def test_chosen_needs_a_quorum_at_one_ballot() -> None:
    """P5: two nodes hold the slot, but not at the same ballot."""
    checker = ProtocolChecker(THREE)
    store = holding(checker, N1, record(1, LOW))
    holding(checker, N2, record(1, HIGH))
    assert caught(lambda: checker.on_released(N1, record(1, LOW), store)) == "chosen by a quorum"
    holding(checker, N3, record(1, LOW))
    checker.on_released(N1, record(1, LOW), store)


def test_a_slot_has_one_value() -> None:
    """P5: another node takes another value, which it does hold."""
    checker = ProtocolChecker(THREE)
    other = encode_value(Batch(7, []))
    store = holding(checker, N1, record(1, LOW))
    holding(checker, N2, record(1, LOW))
    checker.on_released(N1, record(1, LOW), store)
    astray = holding(checker, N3, record(1, HIGH, other))
    assert caught(lambda: checker.on_released(N3, record(1, HIGH, other), astray)) == "one value a slot"


def test_what_is_released_is_in_the_nodes_own_log() -> None:
    """P7: chosen by the others is not enough."""
    checker = ProtocolChecker(THREE)
    holding(checker, N1, record(1, LOW))
    holding(checker, N2, record(1, LOW))
    assert caught(lambda: checker.on_released(N3, record(1, LOW), disk(N3))) == "released is durable"
    floored = disk(N3)
    floored.install_floor(Slot(1), THREE)
    checker.on_released(N3, record(1, LOW), floored)  # a received state holds it


def test_states_do_not_differ() -> None:
    """Two replicas stand at one slot with two digests."""
    checker = ProtocolChecker(THREE)
    checker.on_applied(N1, Slot(3), b"one")
    checker.on_applied(N2, Slot(3), b"one")
    assert caught(lambda: checker.on_applied(N3, Slot(3), b"other")) == "equal digest"


def test_a_damaged_value_is_not_chosen() -> None:
    """P10: a quorum may hold it, and it is still not what its first leader made."""
    checker = ProtocolChecker(THREE)
    damaged = AcceptedSlot(Slot(1), LOW, crc32c.crc32c(NO_OP) ^ 1, NO_OP)
    store = holding(checker, N1, damaged)
    holding(checker, N2, damaged)
    assert caught(lambda: checker.on_released(N1, damaged, store)) == "damage is not chosen"


# --- what a new leader proposes ---


class PhaseOne:
    """n2 asks for promises at the ballot ``HIGH``; others hold what they hold."""

    def __init__(self, **held: AcceptedSlot) -> None:
        self.checker = ProtocolChecker(THREE)
        own = disk(N2)
        own.write([LogWrite(HIGH, (), None)])
        self.checker.on_sent(N2, 1, own, Prepare(HIGH, Slot(1)))
        for name, one in held.items():
            node = NodeId(int(name[1:]))
            store = disk(node)
            store.write([LogWrite(HIGH, (one,), None)])
            promise = Promise(HIGH, Slot(0), Slot(0), 0, 1, (one,))
            self.checker.on_sent(node, 1, store, promise)
            self.checker.arrivals[Promise](N2, node, promise)

    def propose(self, *records: AcceptedSlot) -> None:
        for one in records:
            self.checker.on_sent(N2, 1, disk(N2), Accept(HIGH, one.slot, one.crc, one.value, Slot(0)))


def test_a_leader_proposes_what_the_disks_of_its_promises_held() -> None:
    """P3, P4: neither overlooked nor replaced; above it everything is free."""
    held, new = record(2, LOW, encode_value(Batch(1, []))), encode_value(Batch(2, []))
    PhaseOne(n1=held).propose(record(1, HIGH), held, record(3, HIGH, new))
    assert caught(lambda: PhaseOne(n1=held).propose(record(1, HIGH), record(2, HIGH, new))) == "phase 1 is followed"
    PhaseOne(n1=held, n3=record(2, Ballot(1, N3), new)).propose(record(1, HIGH), record(2, HIGH, new))


def test_a_leader_need_not_go_by_every_promise() -> None:
    """One that came too late counts for nothing; but the same quorum has to explain every proposal."""
    one, other = (record(slot, LOW, encode_value(Batch(slot, []))) for slot in (1, 2))
    PhaseOne(n1=one, n3=other).propose(one, record(2, HIGH))
    PhaseOne(n1=one, n3=other).propose(record(1, HIGH), other)
    assert caught(lambda: PhaseOne(n1=one, n3=other).propose(record(1, HIGH), record(2, HIGH))) == "phase 1 is followed"


# --- what clients were told, in real time ---


def acknowledged(place: tuple[int, int], *, reply: bytes = b" 1 @0", payload: bytes = b"r=a") -> Acknowledged:
    return Acknowledged(1 << 20, 1, payload, place, reply, is_failed=False)


def ended(*payloads: bytes, results: list[Receipt | None] | None = None, error: ReplogError | None = None) -> Call:
    """A call with a deadline of one second."""
    call = Call(payloads, 1.0)
    call.results = list(results or call.results)
    call.first_sequence = 1
    call.error = error
    return call


def test_a_command_that_began_later_stands_later() -> None:
    """Real time order: it was asked when place (5, 0) had been told, and ended at or below it."""
    history = History()
    history.on_acknowledged(acknowledged((5, 0)), (0, 0))
    assert history.floor == (5, 0)
    assert caught(lambda: history.on_acknowledged(acknowledged((4, 1)), history.floor)) == "real time order"


def test_a_linearizable_read_sees_what_was_told_before_it_began() -> None:
    """A stale one need not."""
    history = History()
    history.on_acknowledged(acknowledged((5, 0)), (0, 0))
    history.on_answered(Answered(b"r", Slot(4), b""), None)
    assert caught(lambda: history.on_answered(Answered(b"r", Slot(4), b""), (5, 0))) == "linearizable read"


def test_two_reads_do_not_go_back_in_time() -> None:
    """The second linearizable read began when the first had been answered, from a later state."""
    history = History()
    history.on_answered(Answered(b"r", Slot(6), b""), (0, 0))
    assert caught(lambda: history.on_answered(Answered(b"r", Slot(5), b""), history.floor)) == "linearizable read"


# --- what clients were told, against the log ---


class Log:
    """Three chosen slots: a session, and two commands of it; and what a client was rightly told."""

    def __init__(self, *submissions: Submission) -> None:
        chosen = submissions or (
            OpenSession(b"n" * 16),
            Commands(1 << 20, 1, 1, [b"r=a"], b"n" * 16),
            Commands(1 << 20, 2, 1, [b"r=b"], b"n" * 16),
        )
        self.checker = ProtocolChecker(THREE)
        self.history = History()
        self.replies: list[Replies] = []
        applier = Applier(RegisterWorkload().machine(), MemoryStateStore(), SessionOptions())
        for number, submission in enumerate(chosen, start=1):
            encoded = msgspec.msgpack.encode(submission)
            self.checker.taken[encoded] += 1
            value = encode_value(Batch(0, [encoded]))
            store = holding(self.checker, N1, record(number, LOW, value))
            holding(self.checker, N2, record(number, LOW, value))
            self.checker.on_released(N1, record(number, LOW, value), store)
            self.replies += [told for _, told, _ in applier.apply(Slot(number), value) if isinstance(told, Replies)]
            self.checker.on_applied(N1, Slot(number), applier.digest)

    def judge(self) -> list[str]:
        found = judge(self.history, self.checker, RegisterWorkload(), SessionOptions())
        return [violation.checker for violation in found]


def test_a_true_history_is_clean() -> None:
    """What really happened offends nobody."""
    log = Log()
    for replies, payload in zip(log.replies, (b"r=a", b"r=b"), strict=True):
        log.history.acknowledged.append(
            Acknowledged(
                replies.session,
                replies.first_sequence,
                payload,
                (replies.slot, replies.first_offset),
                replies.replies[0],
                is_failed=False,
            )
        )
    log.history.answered.append(Answered(b"r", Slot(3), b"r=b"))
    assert len(log.replies) == 2
    assert log.judge() == []


def test_an_answered_command_is_in_the_log() -> None:
    """Nothing acknowledged is lost: the place is empty, or the reply was another one."""
    log = Log()
    log.history.acknowledged.append(acknowledged((9, 0)))
    assert log.judge() == ["nothing acknowledged is lost"]
    log = Log()
    log.history.acknowledged.append(acknowledged((2, 0), reply=b"made up"))
    assert log.judge() == ["nothing acknowledged is lost"]


def test_an_answer_is_that_of_its_own_command() -> None:
    """Nothing acknowledged is lost: the reply is the log's at that place, where another command stands."""
    log = Log()
    reply = log.replies[1].replies[0]
    log.history.acknowledged.append(acknowledged((3, 0), reply=reply, payload=b"r=a"))
    assert log.judge() == ["nothing acknowledged is lost"]


@pytest.mark.parametrize("error", [Unavailable, Overloaded, StorageFull, CommandTooLarge])
def test_what_a_caller_was_told_is_not_done_never_runs(error: type[ReplogError]) -> None:
    """The whole call: none of it is in the log, now or later."""
    log = Log()
    log.history.on_call_ended(ended(b"r=other", b"r=b", error=error("no")), 1, (0, 0), 0.0)
    assert log.judge() == ["not done is not done"]


@pytest.mark.parametrize("error", [OutcomeUnknown, SessionExpired])
def test_what_may_have_been_done_may_run_or_not(error: type[ReplogError]) -> None:
    """Its caller was told that nobody knows; what comes of it later must be true all the same."""
    log = Log()
    call = ended(b"r=other", b"r=b", error=error("who knows"))
    log.history.on_call_ended(call, 1 << 20, (0, 0), 0.0)
    assert log.judge() == []
    call.results[1] = Receipt(b"made up", 3, 0)
    assert log.judge() == ["nothing acknowledged is lost"]


def test_a_call_is_answered_whole_in_order_and_in_time() -> None:
    """Every command has a result unless an error says why not, behind those before it, by the deadline."""
    history = History()
    done = Receipt(b"", 5, 1)

    def told(call: Call, now_s: float = 0.0) -> str:
        return caught(lambda: history.on_call_ended(call, 1, (0, 0), now_s))

    assert told(ended(b"a", b"b", results=[done, None])) == "whole answers"
    assert told(ended(b"c", results=[done], error=Unavailable("no"))) == "whole answers"
    assert told(ended(b"d", error=Refused("a sound client is not"))) == "whole answers"
    assert told(ended(b"e", b"f", results=[done, Receipt(b"", 5, 0)])) == "real time order"
    assert told(ended(b"g", error=OutcomeUnknown("no")), 1.0 + 2 * LATE_S_MAX) == "deadlines"


def test_a_read_ends_with_an_answer_or_without_one_in_time() -> None:
    """What came of it is an answer, or that there was none."""
    history = History()
    read = Read(b"r", 1.0, is_stale=True)
    read.error = OutcomeUnknown("a read has none")
    assert caught(lambda: history.on_read_ended(read, (0, 0), 0.0)) == "whole answers"
    read.error = Unavailable("nobody")
    assert caught(lambda: history.on_read_ended(read, (0, 0), 1.0 + 2 * LATE_S_MAX)) == "deadlines"


def test_a_command_is_answered_at_one_place() -> None:
    """Exactly once: the same number of the same session stands twice."""
    log = Log()
    first, second = (Acknowledged(1 << 20, 1, b"r=a", (r.slot, 0), r.replies[0], is_failed=False) for r in log.replies)
    log.history.acknowledged += [first, second]
    assert log.judge() == ["nothing acknowledged is lost", "exactly once"]


def test_a_command_runs_once() -> None:
    """Exactly once: two sessions, or a broken memory of one, run the same command."""
    log = Log(
        OpenSession(b"n" * 16),
        Commands(1 << 20, 1, 1, [b"r=a"], b"n" * 16),
        Commands(1 << 20, 2, 1, [b"r=a"], b"n" * 16),
    )
    assert log.judge() == ["exactly once"]


def test_a_read_agrees_with_the_log() -> None:
    """The answer is not what the state was at the slot it is said to be from."""
    log = Log()
    log.history.answered.append(Answered(b"r", Slot(2), b"r=b"))
    assert log.judge() == ["read agrees with the log"]


def test_what_was_refused_is_not_in_the_log() -> None:
    """A refusal says "surely not done": nothing stands in the log more often than some node took it."""
    log = Log()
    submission = next(iter(log.checker.taken))
    log.checker.taken[submission] += 1  # taken again, and never proposed
    assert log.judge() == []
    log.checker.taken[submission] = 0
    assert log.judge() == ["refused is not done"]


def test_the_log_has_no_gaps() -> None:
    """A slot below one that was released was never released."""
    log = Log()
    del log.checker.chosen[Slot(2)]
    assert log.judge() == ["no gaps"]


def test_a_replay_of_the_log_gives_the_replicas_state() -> None:
    """All replicas may agree with each other and still be wrong."""
    log = Log()
    log.checker.digests[Slot(2)] = (b"other", N1)
    assert log.judge() == ["equal digest"]


def test_what_the_state_machine_says_of_itself_counts() -> None:
    """A state machine's own invariants are asked at the end."""
    log = Log(OpenSession(b"n" * 16), Commands(1 << 20, 1, 1, [b"spoiled=a"], b"n" * 16))
    assert log.judge() == ["state machine"]


# --- what it costs ---


def test_what_a_node_keeps_and_sends_has_bounds() -> None:
    """One entry too many, or one message."""
    checker = ProtocolChecker(THREE)
    burst = MESSAGES_BURST + MESSAGES_PER_S
    checker.on_measured(N1, [Size("proposals", 3, 3)], burst, 1.0)
    assert caught(lambda: checker.on_measured(N1, [Size("proposals", 4, 3)], 0, 1.0)) == "bounded memory"
    assert caught(lambda: checker.on_measured(N1, [], burst + 1, 1.0)) == "bounded messages"


def test_a_client_sends_again_in_measure() -> None:
    """So many times a second, whatever it is told; another second and another client count for themselves."""
    history = History()
    for _ in range(ATTEMPTS_PER_S_MAX):
        history.on_again(1, 7.5)
    history.on_again(1, 8.0)
    history.on_again(2, 7.5)
    assert caught(lambda: history.on_again(1, 7.9)) == "bounded retries"
