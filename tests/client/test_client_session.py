"""The pure session: a number is given once, repeated as it was, and what is refused never runs twice."""

from __future__ import annotations

import pytest

from replog.apply.outcomes import Refused, Replies
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import OpenSession
from replog.client.session import (
    IN_FLIGHT_COMMANDS_MAX,
    PIECE_COMMANDS_MAX,
    WAITING_COMMANDS_MAX,
    Call,
    ClientSession,
    Receipt,
)
from replog.errors import CommandFailed, CommandTooLarge, OutcomeUnknown, Overloaded, SessionExpired, StorageFull

from .sessions import Bench, commands, decoded, is_closing


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
    assert bench.reconnect() == []
    (second,) = bench.take()
    assert first == second
    bench.order(first, second)
    bench.answer()
    assert bench.applier.sessions_open == 1


def test_another_clients_opening_is_ignored(bench: Bench) -> None:
    """Only the answer to the own key opens the session."""
    bench.call(b"a")
    bench.take()
    bench.session.on_opened(b"another", 99)
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
    assert call.receipts == [Receipt(b"a=1", opened.slot, 0), Receipt(b"b=1", opened.slot, 1)]
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
    assert [receipt.reply.split(b"=")[0] for receipt in call.receipts if receipt] == list(call.payloads)


def test_a_command_of_the_largest_size_fits(opened: Bench) -> None:
    """The envelope that is allowed for is enough for the largest numbers."""
    opened.session.submission_bytes_max = 70_000
    opened.session.number = 2**63
    opened.session.next_sequence = 2**50
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
        opened.call(*[b""] * IN_FLIGHT_COMMANDS_MAX)
    messages = opened.take()
    assert opened.session.commands_in_flight == IN_FLIGHT_COMMANDS_MAX
    assert opened.take() == []
    opened.order(*messages)
    opened.answer()
    opened.take()
    assert opened.session.commands_in_flight == IN_FLIGHT_COMMANDS_MAX


def test_too_many_waiting_are_refused_at_once() -> None:
    """A program that produces faster than the cluster takes hears of it."""
    session = ClientSession(lambda _call: None, lambda: b"")
    session.add(Call([b""] * WAITING_COMMANDS_MAX, 0.0))
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
    assert call.receipts == [Receipt(b"a=1", opened.slot - 1, 0)]
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
    assert call.receipts[0] is not None
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


def test_a_session_that_a_node_calls_malformed_is_given_up(opened: Bench) -> None:
    """What waits for an answer is unknown, since it may be in the log; what comes next has another secret."""
    call, secret = opened.call(b"a"), opened.sent[0].secret
    (message,) = opened.take()
    opened.session.on_refused(Refused(message.session, 0, "malformed", "because"))
    assert isinstance(call.error, OutcomeUnknown)
    opened.call(b"b")
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
    opened.call(b"a").leave()
    opened.call(b"b")
    (message,) = opened.take()
    assert (commands(message).first_sequence, commands(message).payloads) == (2, [b"b"])
    assert not opened.woken[1:]


def test_an_abandoned_call_that_was_sent_keeps_its_number(opened: Bench) -> None:
    """The log has no gaps: it is repeated like any other until it is answered."""
    opened.call(b"a").leave()
    call = opened.call(b"b")
    call.leave()
    call.is_over = False
    (message,) = opened.take()
    call.leave()
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


def test_an_expired_session_ends_what_was_sent_and_opens_anew() -> None:
    """Whether sent commands ran can't be told; those that waited run in a new session."""
    bench = Bench(SessionOptions(session_idle_max_s=1))
    bench.call(b"first")
    bench.open()
    bench.run()
    sent = bench.call(b"a")
    (message,) = bench.take()
    waiting = bench.call(b"b")
    bench.time_ms += 5_000
    bench.order(message)
    bench.answer()
    assert isinstance(sent.error, SessionExpired)
    assert waiting.error is None
    bench.run()
    assert waiting.receipts[0] is not None
    assert (bench.count(b"a"), bench.count(b"b")) == (0, 1)


def test_anothers_expiry_is_ignored(opened: Bench) -> None:
    """Only the own session's end matters."""
    call = opened.call(b"a")
    opened.take()
    opened.session.on_expired(opened.session.number + 1)
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
    assert call.receipts[0] is not None
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
    assert taken.receipts[0] is not None
    opened.run()
    assert refused.receipts[0] is not None
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
    assert after.receipts[0] is not None
    assert opened.count(b"a") == 0


def test_a_refused_opening_is_sent_again(bench: Bench) -> None:
    """Overload goes by; the commands wait for it."""
    call = bench.call(b"a")
    (opening,) = bench.take()
    bench.refuse(opening)
    bench.answer()
    bench.run()
    assert call.receipts[0] is not None


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
    assert call.receipts == [Receipt(b"a=1", opened.slot - 1, 0)]
    assert opened.count(b"a") == 1


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
    assert old.receipts[0] is not None
    assert new.receipts[0] is not None
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
    assert call.receipts[0] is not None


def test_a_call_that_nobody_waits_for_is_not_moved(opened: Bench) -> None:
    """Refused and abandoned: it was definitely not done, and nobody wants it done."""
    call = opened.call(b"a")
    (message,) = opened.take()
    call.leave()
    opened.refuse(message)
    opened.answer()
    opened.run()
    assert opened.count(b"a") == 0
