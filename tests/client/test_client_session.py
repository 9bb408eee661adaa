"""The pure session: a number is given once, repeated as it was, and what is refused never runs twice."""

from __future__ import annotations

import pytest

from replog.apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import OpenSession
from replog.client.call import Call, Receipt
from replog.client.identity import PIECE_COMMANDS_MAX
from replog.client.options import ClientOptions
from replog.client.session import ClientSession
from replog.errors import (
    CommandFailed,
    CommandTooLarge,
    OutcomeUnknown,
    Overloaded,
    SessionExpired,
    StorageFull,
    Unavailable,
)
from replog.paxos.ballot import NodeId, Slot
from replog.wire.client_messages import NotLeader

from .sessions import NODE, Bench, commands, decoded, is_closing

OPTIONS = ClientOptions()


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def opened() -> Bench:
    """A bench whose session is open, with nothing under way."""
    bench = Bench()
    bench.call(b"first")
    bench.open()
    bench.run()
    return bench


# --- opening and numbering ---


def test_nothing_is_sent_for_nobody(bench: Bench) -> None:
    """A session is opened when the first command waits, not before."""
    assert bench.take() == []
    assert not bench.session.has_work


def test_one_opening_is_sent_however_often_it_is_asked(bench: Bench) -> None:
    """Everything waits for the session; it is opened once."""
    bench.call(b"a")
    (opening,) = bench.take()
    assert isinstance(decoded(opening), OpenSession)
    bench.call(b"b")
    assert bench.take() == []


def test_a_lost_opening_is_repeated_with_its_key(bench: Bench) -> None:
    """A new connection asks for the same session again, so that it is opened once."""
    bench.call(b"a")
    (first,) = bench.take()
    (second,) = bench.reconnect()
    assert first == second
    bench.order(first, second)
    bench.answer()
    assert bench.applier.sessions_open == 1


def test_another_clients_opening_is_ignored(bench: Bench) -> None:
    """Only the answer to the own key opens the session."""
    bench.call(b"a")
    bench.take()
    bench.session.on_message(SessionOpened(b"another", 99), 0.0)
    assert bench.session.number == 0


def test_what_waits_together_leaves_as_one_submission(opened: Bench) -> None:
    """Numbers are consecutive, in the order of the calls, and say what was acknowledged."""
    opened.call(b"a")
    opened.call(b"b", b"c")
    (message,) = opened.take()
    sent = commands(message)
    assert (sent.first_sequence, sent.payloads, sent.acknowledged_below) == (2, [b"a", b"b", b"c"], 2)
    assert message.session == sent.session == opened.session.number


def test_receipts_name_the_place_in_the_log(opened: Bench) -> None:
    """Each command gets its own reply, slot and offset."""
    call = opened.call(b"a", b"b")
    opened.run()
    assert call.results == [Receipt(b"a=1", opened.slot, 0), Receipt(b"b=1", opened.slot, 1)]
    assert call.left == 0
    assert opened.woken[-1] is call


def test_acknowledgement_never_passes_what_is_unanswered(opened: Bench) -> None:
    """The log keeps every reply that the client does not have."""
    opened.call(b"a")
    (first,) = opened.take()
    opened.call(b"b")
    (second,) = opened.take()
    assert commands(second).acknowledged_below == commands(first).first_sequence
    opened.order(first, second)
    opened.answer()
    opened.call(b"c")
    (third,) = opened.take()
    assert commands(third).acknowledged_below == commands(third).first_sequence


# --- cutting ---


def test_submissions_are_cut_by_bytes(opened: Bench) -> None:
    """No submission is above what the leader said it takes."""
    opened.session.submission_bytes_max = 1_000
    call = opened.call(*(b"%03d" % number * 100 for number in range(10)))
    messages = opened.take()
    assert all(len(message.submission) <= 1_000 for message in messages)
    assert [len(commands(message).payloads) for message in messages] == [3, 3, 3, 1]
    assert [commands(message).first_sequence for message in messages] == [2, 5, 8, 11]
    opened.order(*messages)
    opened.answer()
    assert [receipt.reply.split(b"=")[0] for receipt in call.results if isinstance(receipt, Receipt)] == list(
        call.payloads
    )


def test_a_command_of_the_largest_size_fits(opened: Bench) -> None:
    """The envelope that is allowed for is enough for the largest numbers."""
    opened.session.submission_bytes_max = 70_000
    opened.session._identity.number = 2**63
    opened.session._pending.next_sequence = 2**50
    opened.call(b"x" * (70_000 - 64))
    (message,) = opened.take()
    assert len(message.submission) <= 70_000


def test_submissions_are_cut_by_count(opened: Bench) -> None:
    """One submission never makes a turn of a replica long."""
    opened.call(*[b""] * (PIECE_COMMANDS_MAX + 1))
    assert [len(commands(message).payloads) for message in opened.take()] == [PIECE_COMMANDS_MAX, 1]


def test_the_window_bounds_what_is_under_way(opened: Bench) -> None:
    """What is beyond it waits until answers come."""
    for _ in range(3):
        opened.call(*[b""] * OPTIONS.in_flight_commands_max)
    messages = opened.take()
    assert opened.session.commands_in_flight == OPTIONS.in_flight_commands_max
    assert opened.take() == []
    opened.order(*messages)
    opened.answer()
    opened.take()
    assert opened.session.commands_in_flight == OPTIONS.in_flight_commands_max


def test_too_many_waiting_are_refused_at_once() -> None:
    """A program that produces faster than the cluster takes hears of it."""
    session = ClientSession(lambda _call: None, lambda: b"")
    session.add(Call([b""] * OPTIONS.waiting_commands_max, 0.0))
    with pytest.raises(Overloaded):
        session.add(Call([b""], 0.0))


# --- again ---


def test_a_new_connection_repeats_the_same_numbers(opened: Bench) -> None:
    """What was lost is sent again and runs once, and the reply is the first one's."""
    call = opened.call(b"a")
    (message,) = opened.take()
    opened.order(message)
    (again,) = opened.reconnect()
    assert commands(again).first_sequence == commands(message).first_sequence
    opened.order(again)
    opened.answer()
    assert call.results == [Receipt(b"a=1", opened.slot - 1, 0)]
    assert opened.count(b"a") == 1


def test_only_the_unanswered_is_repeated(opened: Bench) -> None:
    """Holes in what is unanswered are holes in what is sent again."""
    calls = [opened.call(payload) for payload in (b"a", b"b", b"c")]
    session = opened.session
    opened.take()
    session.on_replies(Replies(session.number, 3, opened.slot, 0, [b"reply of b"]))  # type: ignore[arg-type]
    assert [(commands(m).first_sequence, commands(m).payloads) for m in opened.reconnect()] == [
        (2, [b"a"]),
        (4, [b"c"]),
    ]
    assert [call.left for call in calls] == [1, 0, 1]


def test_a_gap_is_closed_by_sending_from_there(opened: Bench) -> None:
    """A submission that was lost on the way is found missing by the log."""
    opened.call(b"a")
    opened.take()
    call = opened.call(b"b")
    (second,) = opened.take()
    opened.order(second)
    opened.order(second)
    opened.answer()
    (again,) = opened.take()
    assert commands(again).payloads == [b"a", b"b"]
    opened.order(again)
    opened.answer()
    assert call.results[0] is not None
    assert (opened.count(b"a"), opened.count(b"b")) == (1, 1)


def test_a_gap_told_about_an_older_copy_calls_for_none() -> None:
    """Each copy on its way is answered with a gap; if each of these called for another copy, it would never end."""
    bench = Bench(SessionOptions(replies_kept_max=1))
    call = bench.call(b"a", b"b", b"c")
    bench.open()
    (first,) = bench.take()
    for _ in range(10):
        bench.order(first)
    while bench.answers:
        bench.answer_one()
        for message in bench.take():
            bench.order(message)
    assert bench.session.commands_repeated == 2 + 1
    assert [bench.count(payload) for payload in call.payloads] == [1, 1, 1]
    assert call.error is None
    assert call.left == 0


def test_a_gap_behind_one_that_was_closed_meanwhile_is_closed_too(opened: Bench) -> None:
    """What was asked for first has been answered by a copy that was under way; what is asked for next is sent."""
    call = opened.call(b"a", b"b")
    (message,) = opened.take()
    number, first = opened.session.number, commands(message).first_sequence
    no_room = SequenceGap(number, first, first)
    opened.session.on_message(no_room, opened.now_s)
    assert [commands(message).first_sequence for message in opened.take()] == [first]
    opened.session.on_message(no_room, opened.now_s)
    opened.session.on_message(Replies(number, first, Slot(9), 0, [b"reply"]), opened.now_s)
    opened.session.on_message(SequenceGap(number, first + 1, first), opened.now_s)
    opened.rest()
    assert [commands(message).first_sequence for message in opened.take()] == [first + 1]
    assert call.left == 1


def test_a_session_that_a_node_calls_malformed_is_given_up(opened: Bench) -> None:
    """What waits for an answer is unknown, since it may be in the log; what comes next has another secret."""
    call, secret = opened.call(b"a"), opened.sent[0].secret
    (message,) = opened.take()
    opened.session.on_message(SubmissionRefused(message.session, 0, "malformed", "because"), 0.0)
    assert isinstance(call.error, OutcomeUnknown)
    opened.call(b"b")
    opened.rest()
    (opening,) = opened.take()
    assert isinstance(decoded(opening), OpenSession)
    assert opening.secret != secret


def test_replies_that_come_twice_wake_once(opened: Bench) -> None:
    """A repeated reply finds nobody waiting."""
    call = opened.call(b"a")
    (message,) = opened.take()
    opened.order(message)
    opened.order(message)
    opened.answer()
    assert opened.woken.count(call) == 1


def test_replies_of_another_session_are_nobodys(opened: Bench) -> None:
    """A late reply to an earlier session's number is not taken for this one's."""
    call = opened.call(b"a")
    opened.take()
    opened.session.on_replies(Replies(opened.session.number + 1, 2, opened.slot, 0, [b"x"]))  # type: ignore[arg-type]
    assert call.left == 1


# --- abandoned calls ---


def test_an_abandoned_call_that_was_never_sent_is_dropped(opened: Bench) -> None:
    """It takes no number, so it can't leave a gap."""
    opened.call(b"a").abandon()
    opened.call(b"b")
    (message,) = opened.take()
    assert (commands(message).first_sequence, commands(message).payloads) == (2, [b"b"])
    assert not opened.woken[1:]


def test_an_abandoned_call_that_was_sent_keeps_its_number(opened: Bench) -> None:
    """The log has no gaps: it is repeated like any other until it is answered."""
    opened.call(b"a").abandon()
    call = opened.call(b"b")
    call.abandon()
    call.is_abandoned = False
    (message,) = opened.take()
    call.abandon()
    (again,) = opened.reconnect()
    assert commands(again).payloads == commands(message).payloads == [b"b"]
    opened.run()
    opened.order(again)
    opened.answer()
    assert opened.session.commands_in_flight == 0
    assert opened.count(b"b") == 1


# --- failures ---


def test_a_command_that_raises_fails_its_own_call_alone(opened: Bench) -> None:
    """Its neighbours in the same submission have their replies."""
    bad, good = opened.call(b"!no"), opened.call(b"a")
    opened.run()
    assert isinstance(bad.error, CommandFailed)
    assert "!no" in str(bad.error)
    assert good.error is None


def test_the_one_of_many_that_raised_is_named(opened: Bench) -> None:
    """A call of several ends when all have run, with the first failure."""
    call = opened.call(b"a", b"!no", b"b", b"!again")
    opened.run()
    assert isinstance(call.error, CommandFailed)
    assert "command 2 of 4" in str(call.error)
    assert opened.count(b"b") == 1


def idle_too_long() -> Bench:
    """A session that the log forgets with whatever comes next."""
    bench = Bench(SessionOptions(session_idle_max_s=1))
    bench.call(b"first")
    bench.open()
    bench.run()
    return bench


def test_what_was_sent_once_runs_in_a_new_session_when_the_old_one_is_gone() -> None:
    """The first command after a long pause was surely not done, so nobody need hear of the expired session."""
    bench = idle_too_long()
    old = bench.session.number
    sent = bench.call(b"a", b"b")
    (message,) = bench.take()
    waiting = bench.call(b"c")
    bench.time_ms += 5_000
    bench.order(message)
    bench.answer()
    bench.run()
    assert (sent.error, waiting.error) == (None, None)
    assert [bench.count(payload) for payload in (b"a", b"b", b"c")] == [1, 1, 1]
    assert bench.session.number != old


def test_what_was_sent_twice_has_an_unknown_outcome_when_the_session_is_gone() -> None:
    """An earlier leader may have run it before the session went; what was not sent with it runs in a new session."""
    bench = idle_too_long()
    sent = bench.call(b"a")
    bench.take()
    (again,) = bench.reconnect()
    waiting = bench.call(b"b")
    bench.time_ms += 5_000
    bench.order(again)
    bench.answer()
    assert isinstance(sent.error, SessionExpired)
    bench.run()
    assert (bench.count(b"a"), bench.count(b"b")) == (0, 1)
    assert waiting.results[0] is not None


def test_what_a_deposed_leader_was_sent_has_an_unknown_outcome_when_the_session_is_gone() -> None:
    """It may have come into the log elsewhere since, and its answer went to nobody."""
    bench = idle_too_long()
    sent = bench.call(b"a")
    (message,) = bench.take()
    bench.session.on_message(NotLeader(NodeId(0), ""), 0.0)
    bench.time_ms += 5_000
    bench.order(message)
    bench.answer()
    assert isinstance(sent.error, SessionExpired)


def test_an_earlier_link_on_which_all_was_answered_does_no_harm() -> None:
    """An idle client whose link was closed meanwhile comes back, and its command runs in a new session."""
    bench = idle_too_long()
    assert bench.reconnect() == []
    sent = bench.call(b"a")
    (message,) = bench.take()
    bench.time_ms += 5_000
    bench.order(message)
    bench.run()
    assert sent.error is None
    assert bench.count(b"a") == 1


def test_a_session_that_is_gone_again_and_again_is_not_a_hot_loop() -> None:
    """The first time the commands move at once; where that is in vain, they pause."""
    bench = idle_too_long()
    call = bench.call(b"a")
    bench.take()
    bench.session.on_message(SessionGone(bench.session.number), 0.0)
    bench.open()
    bench.take()
    bench.session.on_message(SessionGone(bench.session.number), 0.0)
    assert bench.take() == []
    assert bench.session.deadline_s > 0.0
    bench.run()
    assert call.results[0] is not None


def test_anothers_expiry_is_ignored(opened: Bench) -> None:
    """Only the own session's end matters."""
    call = opened.call(b"a")
    opened.take()
    opened.session.on_message(SessionGone(opened.session.number + 1), 0.0)
    assert call.error is None


# --- refusals ---


def test_a_refused_command_moves_to_a_new_session(opened: Bench) -> None:
    """It was definitely not done: it gets a number in a new session, the old one is closed in the log."""
    old = opened.session.number
    call = opened.call(b"a")
    (message,) = opened.take()
    opened.refuse(message)
    opened.answer()
    assert call.error is None
    opened.run()
    assert opened.session.number != old
    assert call.results[0] is not None
    assert opened.count(b"a") == 1
    assert any(is_closing(sent) for sent in opened.sent)
    assert opened.applier.sessions_open == 1


def test_what_was_taken_before_a_refusal_is_waited_for(opened: Bench) -> None:
    """The old session lives until everything it still has is answered."""
    taken = opened.call(b"a")
    (first,) = opened.take()
    refused = opened.call(b"b")
    (second,) = opened.take()
    opened.refuse(second)
    opened.answer()
    assert opened.take() == []
    opened.order(first)
    opened.answer()
    assert taken.results[0] is not None
    opened.run()
    assert refused.results[0] is not None
    assert (opened.count(b"a"), opened.count(b"b")) == (1, 1)


def test_everything_behind_a_refused_one_moves_with_it(opened: Bench) -> None:
    """What the leader took behind it meets a gap and never runs under its old number."""
    opened.call(b"a")
    (first,) = opened.take()
    opened.call(b"b")
    (second,) = opened.take()
    opened.refuse(first)
    opened.order(second)
    opened.run()
    assert (opened.count(b"a"), opened.count(b"b")) == (1, 1)


def test_a_call_of_which_a_part_was_taken_never_runs_again(opened: Bench) -> None:
    """Its first part is in the log: sending the whole of it anew would run that part twice."""
    opened.session.submission_bytes_max = 1_000
    call = opened.call(*(b"%03d" % number * 100 for number in range(6)))
    first, second = opened.take()
    opened.order(first)
    answers, opened.answers = opened.answers, type(opened.answers)()
    opened.refuse(second)
    opened.answer()
    opened.answers += answers
    opened.run()
    assert isinstance(call.error, OutcomeUnknown)
    assert [opened.count(payload) for payload in call.payloads] == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("code", "error"), [("storage_full", StorageFull), ("too_large", CommandTooLarge)])
def test_a_refusal_that_waiting_does_not_help_ends_the_call(opened: Bench, code: str, error: type[Exception]) -> None:
    """The caller hears at once, and the next command goes through."""
    call = opened.call(b"a")
    (message,) = opened.take()
    opened.refuse(message, code)
    opened.answer()
    assert isinstance(call.error, error)
    after = opened.call(b"b")
    opened.run()
    assert after.results[0] is not None
    assert opened.count(b"a") == 0


def test_a_refused_opening_is_sent_again(bench: Bench) -> None:
    """Overload goes by; the commands wait for it."""
    call = bench.call(b"a")
    (opening,) = bench.take()
    bench.refuse(opening)
    bench.answer()
    bench.run()
    assert call.results[0] is not None


def test_an_opening_that_a_full_disk_refuses_ends_those_who_wait(bench: Bench) -> None:
    """A client that comes to a full cluster hears why at once, not at its deadline."""
    call = bench.call(b"a")
    (opening,) = bench.take()
    bench.refuse(opening, "storage_full")
    bench.answer()
    assert isinstance(call.error, StorageFull)


def test_a_refused_repetition_is_repeated_later(opened: Bench) -> None:
    """It may be in the log already, so it keeps its number, and is not forgotten either."""
    call = opened.call(b"a")
    (message,) = opened.take()
    opened.order(message)
    (again,) = opened.reconnect()
    opened.refuse(again)
    opened.answer()
    opened.run()
    assert call.results == [Receipt(b"a=1", opened.slot - 1, 0)]
    assert opened.count(b"a") == 1


def test_a_refused_repetition_that_is_settled_says_nothing_of_what_was_sent_behind_it(opened: Bench) -> None:
    """The log has the first copy, so the leader that refused the second one takes what comes next: it leaves no gap."""
    old = opened.call(b"a")
    (message,) = opened.take()
    (again,) = opened.reconnect()
    opened.order(message)
    opened.answer()
    assert old.results[0] is not None
    new = opened.call(b"b")
    (behind,) = opened.take()
    opened.refuse(again)
    opened.answer()
    opened.order(behind)
    opened.run()
    assert new.results[0] is not None
    assert (opened.count(b"a"), opened.count(b"b")) == (1, 1)


def test_a_repetition_is_repeated_though_something_behind_it_moves(opened: Bench) -> None:
    """A full leader refuses the old and the new; when it has room, the old is still sent, then the new session."""
    old = opened.call(b"a")
    opened.take()
    (again,) = opened.reconnect()
    new = opened.call(b"b")
    (message,) = opened.take()
    opened.refuse(message)
    opened.refuse(again)
    opened.answer()
    opened.run()
    assert old.results[0] is not None
    assert new.results[0] is not None
    assert (opened.count(b"a"), opened.count(b"b")) == (1, 1)


def test_a_refusal_for_a_session_that_is_gone_is_ignored(opened: Bench) -> None:
    """A late word about an old session moves nobody."""
    call = opened.call(b"a")
    (message,) = opened.take()
    opened.refuse(message)
    opened.refuse(message)
    opened.answer()
    opened.run()
    opened.refuse(message)
    opened.answer()
    assert call.results[0] is not None


def test_a_call_that_nobody_waits_for_is_not_moved(opened: Bench) -> None:
    """Refused and abandoned: it was definitely not done, and nobody wants it done."""
    call = opened.call(b"a")
    (message,) = opened.take()
    call.abandon()
    opened.refuse(message)
    opened.answer()
    opened.run()
    assert opened.count(b"a") == 0


# --- asking less and less ---


def refused_for_long(bench: Bench, *, times: int) -> list[int]:
    """How many commands were sent with each attempt while a leader refuses everything."""
    counts = []
    for _ in range(times):
        bench.rest()
        messages = bench.take()
        counts.append(sum(len(commands(message).payloads) for message in messages))
        for message in messages:
            bench.refuse(message)
        bench.answer()
    return counts


def test_what_is_refused_again_goes_alone_and_less_and_less_often(opened: Bench) -> None:
    """A leader that has no room is not sent the whole window each time."""
    opened.session.submission_bytes_max = 1_000
    for number in range(100):
        opened.call(b"%03d" % number * 100)
    opened.take()
    for message in opened.reconnect():
        opened.refuse(message)
    opened.answer()
    began_s = opened.now_s
    assert refused_for_long(opened, times=10) == [3] * 10
    assert opened.now_s - began_s > 3.0
    opened.run()
    assert all(opened.count(b"%03d" % number * 100) == 1 for number in range(100))


def test_what_was_never_taken_goes_alone_into_its_new_session(opened: Bench) -> None:
    """The new session begins with one call, and the others follow when it is answered."""
    calls = [opened.call(b"%03d" % number) for number in range(100)]
    (message,) = opened.take()
    opened.refuse(message)
    opened.answer()
    opened.rest()
    closing, opening = opened.take()
    assert is_closing(closing)
    opened.order(closing, opening)
    opened.answer()
    (probe,) = opened.take()
    assert commands(probe).payloads == [b"000"]
    assert opened.take() == []
    opened.order(probe)
    opened.answer()
    (rest,) = opened.take()
    assert len(commands(rest).payloads) == 99
    opened.order(rest)
    opened.answer()
    assert all(call.results[0] is not None for call in calls)


def test_what_is_refused_and_wanted_by_nobody_is_forgotten(opened: Bench) -> None:
    """Its callers have given up, so the session ends instead of sending it for ever; what comes next has another."""
    old = opened.session.number
    for number in range(10):
        opened.call(b"%03d" % number).deadline_s = 1.0
    opened.take()
    for message in opened.reconnect():
        opened.refuse(message)
    opened.answer()
    opened.session.end_overdue(2.0)
    opened.rest()
    (closing,) = opened.take()
    assert is_closing(closing)
    assert opened.session.commands_in_flight == 0
    call = opened.call(b"next")
    opened.run()
    assert call.results[0] is not None
    assert opened.session.number != old


def test_a_node_that_names_itself_and_takes_nothing_is_asked_less_and_less(opened: Bench) -> None:
    """A leader that stepped down may name itself for a while: everything is sent again once, then a probe."""
    for number in range(100):
        opened.call(b"%03d" % number)
    opened.take()
    counts = []
    while opened.now_s < 5.0:
        opened.session.on_message(NotLeader(NodeId(NODE), "here"), opened.now_s)
        opened.rest()
        counts.append(sum(len(commands(message).payloads) for message in opened.take()))
    assert counts[0] == 100
    assert len(counts) < 20
    opened.session.on_connected(NODE)
    opened.run()
    assert opened.session.commands_in_flight == 0
    assert [opened.count(b"%03d" % number) for number in (0, 50, 99)] == [1, 1, 1]


def test_a_node_that_leads_after_all_is_sent_everything_at_once(opened: Bench) -> None:
    """It did not know who leads, and now does: nobody waits longer than for that."""
    opened.call(b"a")
    opened.take()
    opened.session.on_message(NotLeader(NodeId(0), ""), 0.0)
    assert opened.take() == []
    opened.session.on_message(NotLeader(NodeId(NODE), "here"), 0.0)
    (again,) = opened.take()
    assert commands(again).payloads == [b"a"]


# --- deadlines ---


def test_whether_a_call_was_sent_decides_what_it_is_told(opened: Bench) -> None:
    """Maybe done, or definitely not; and each caller is woken once, though its command is answered later."""
    sent, late = opened.call(b"a"), opened.call(b"b")
    sent.deadline_s = late.deadline_s = 1.0
    (message,) = opened.take()
    opened.session.on_disconnected()
    waiting = opened.call(b"c")
    waiting.deadline_s = 1.0
    opened.session.end_overdue(1.5, lambda: "Nobody is there.")
    assert isinstance(sent.error, OutcomeUnknown)
    assert isinstance(waiting.error, Unavailable)
    assert "Nobody is there." in str(waiting.error)
    opened.session.on_connected(NODE)
    opened.order(message)
    opened.answer()
    assert opened.woken.count(late) == 1
    opened.run()
    assert (opened.count(b"a"), opened.count(b"c")) == (1, 0)


def test_a_call_that_waited_behind_a_refusal_is_told_of_it(opened: Bench) -> None:
    """It was not sent because the leader has no room: slow down, then retry."""
    opened.call(b"a")
    (message,) = opened.take()
    opened.refuse(message)
    opened.answer()
    call = opened.call(b"b")
    call.deadline_s = 1.0
    opened.session.end_overdue(2.0)
    assert isinstance(call.error, Overloaded)


def test_whoever_drives_it_no_longer_ends_every_call(opened: Bench) -> None:
    """Sent or not, nobody waits for ever."""
    sent = opened.call(b"a")
    opened.take()
    waiting = opened.call(b"b")
    opened.session.end_all("it was left")
    assert isinstance(sent.error, OutcomeUnknown)
    assert isinstance(waiting.error, Unavailable)


def test_what_nobody_waits_for_takes_no_place(opened: Bench) -> None:
    """Callers that gave up without being sent do not fill the queue."""
    opened.session.on_disconnected()
    for _ in range(4):
        opened.call(*[b""] * (OPTIONS.waiting_commands_max // 4)).abandon()
    call = opened.call(b"a")
    opened.session.on_connected(NODE)
    opened.run()
    assert call.results == [Receipt(b"a=1", opened.slot, 0)]
    assert opened.count(b"") == 0


# --- what came of each command ---


def test_a_command_that_fails_leaves_the_results_of_the_others(opened: Bench) -> None:
    """Each has its own: a receipt, or an error that says where it stands and what was raised."""
    call = opened.call(b"a", b"!no", b"b")
    opened.run()
    first, failed, last = call.results
    assert (first, last) == (Receipt(b"a=1", opened.slot, 0), Receipt(b"b=1", opened.slot, 2))
    assert isinstance(failed, CommandFailed)
    assert (failed.slot, failed.offset, failed.text) == (opened.slot, 1, "ValueError: !no")
