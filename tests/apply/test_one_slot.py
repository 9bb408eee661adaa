"""What one slot does, whatever is in it: nobody's session is touched by others, and everything has its limit."""

from __future__ import annotations

import msgspec
import pytest

from replog.apply import applier as applier_module
from replog.apply import command_loop
from replog.apply.applier import Applier
from replog.apply.limits import FAILURE_BYTES_MAX, REPLIES_KEPT_BYTES_MAX, REPLIES_PIECE_BYTES, REPLY_BYTES_MAX
from replog.apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from replog.apply.sessions import SessionOptions
from replog.apply.submissions import CloseSession, Commands, OpenSession, Submission
from replog.paxos.ballot import Slot
from replog.paxos.values import Batch, encode_value
from replog.state.memory import MemoryStateStore
from replog.state_machine import Command, State, StateMachine, StateView

MINE, THEIRS = b"m" * 16, b"t" * 16


class Talker(StateMachine):
    """Answers with as many bytes as it is asked for; ``!`` and a number fails with a text of that length."""

    def __init__(self, excuse: str = "x") -> None:
        self._excuse = excuse

    def apply(self, state: State, command: Command) -> bytes:
        state.put(b"last", command.payload)
        if command.payload.startswith(b"!"):
            raise ValueError(self._excuse * int(command.payload[1:]))
        return bytes(int(command.payload or b"0"))

    def query(self, view: StateView, request: bytes) -> bytes:
        return view.get(b"last", b"")


class Log:
    """Submissions given slots."""

    def __init__(self, machine: StateMachine | None = None, options: SessionOptions | None = None) -> None:
        self.store = MemoryStateStore()
        self.applier = Applier(machine or Talker(), self.store, options)
        self.slot = 0

    def put(self, *submissions: Submission | bytes) -> list[tuple[bytes, object]]:
        """One slot; who was told what."""
        encoded = [one if isinstance(one, bytes) else msgspec.msgpack.encode(one) for one in submissions]
        return self.put_value(encode_value(Batch(0, encoded)))

    def put_value(self, value: bytes) -> list[tuple[bytes, object]]:
        self.slot += 1
        return [(key, message) for key, message, _ in self.applier.apply(Slot(self.slot), value)]

    def open(self, key: bytes) -> int:
        ((told, message),) = self.put(OpenSession(key))
        assert told == key
        assert isinstance(message, SessionOpened)
        return message.session


def replies_in(told: list[tuple[bytes, object]]) -> list[Replies]:
    return [message for _, message in told if isinstance(message, Replies)]


# --- strangers ---


def test_a_strangers_command_takes_no_number_of_the_victims() -> None:
    """It is told that there is no such session of its own, and the victim goes on as if nothing had been."""
    log = Log()
    session = log.open(MINE)
    log.put(Commands(session, 1, 1, [b"1"], MINE))
    assert log.put(Commands(session, 2, 1, [b"2"], THEIRS)) == [(THEIRS, SessionGone(session))]
    assert log.applier.query(b"") == b"1"
    ((key, message),) = log.put(Commands(session, 2, 2, [b"3"], MINE))
    assert key == MINE
    assert isinstance(message, Replies)
    assert message.replies == [bytes(3)]


def test_a_stranger_gets_no_reply_of_the_victims() -> None:
    """A repeat under another key is not answered from what is kept, and acknowledges nothing."""
    log = Log()
    session = log.open(MINE)
    first = log.put(Commands(session, 1, 1, [b"1"], MINE))
    log.put(Commands(session, 1, 2, [b"1"], THEIRS))
    assert log.put(Commands(session, 1, 1, [b"1"], MINE)) == first


def test_a_stranger_closes_nobodys_session() -> None:
    """Only who has the key ends the session."""
    log = Log()
    session = log.open(MINE)
    log.put(CloseSession(session, THEIRS))
    assert log.applier.sessions_open == 1
    log.put(CloseSession(session, MINE))
    assert log.applier.sessions_open == 0


def test_a_key_opens_one_session() -> None:
    """A repeated opening is answered with the session, and a new one is another number."""
    log = Log()
    session = log.open(MINE)
    assert log.open(MINE) == session
    assert log.open(THEIRS) != session


# --- what a slot can hold ---


@pytest.mark.parametrize(
    "value", [b"", b"\xc1", b"\x94\x01\x00\x90" + b"\x91" * 100_000 + b"\xc0", b"\x93\x01\xff\x90"]
)
def test_a_value_that_is_none_is_skipped(value: bytes) -> None:
    """Every replica counts it and goes on; all of them hold it."""
    log, other = Log(), Log()
    for one in (log, other):
        assert one.put_value(value) == []
        one.open(MINE)
    assert log.applier.slots_malformed == 1
    assert log.applier.applied_through == 2
    assert log.applier.digest == other.applier.digest


def test_a_poisoned_submission_is_skipped() -> None:
    """A log may hold what no node would propose; what stands beside it is run."""
    log = Log()
    session = log.open(MINE)
    poison = b"\x97" + msgspec.msgpack.encode(Commands(session, 1, 1, [b"9"], MINE))[1:] + b"\x91" * 100_000 + b"\xc0"
    told = log.put(poison, Commands(session, 1, 1, [b"1"], MINE))
    assert [message.replies for message in replies_in(told)] == [[bytes(1)]]
    assert log.applier.submissions_malformed == 1


def test_no_two_sessions_get_one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot has so many places; what finds none is not run and has to be sent again."""
    for module in (applier_module, command_loop):
        monkeypatch.setattr(module, "SLOT_COMMANDS_MAX", 8)
    log = Log()
    session = log.open(MINE)
    told = log.put(
        Commands(session, 1, 1, [b"0"] * 5, MINE), Commands(session, 6, 1, [b"0"] * 5, MINE), *map(OpenSession, KEYS)
    )
    assert told[1] == (MINE, SequenceGap(session, 6, 1))
    opened = [message.session for _, message in told if isinstance(message, SessionOpened)]
    assert opened == [2 << 20 | 5, 2 << 20 | 6, 2 << 20 | 7]
    assert [message.code for _, message in told if isinstance(message, SubmissionRefused)] == ["overloaded"] * 2
    assert log.applier.commands_applied == 5


KEYS = [bytes([number]) * 16 for number in range(5)]

# --- what is answered ---


def test_a_reply_that_is_too_long_is_its_commands_error() -> None:
    """Its writes are undone, and what stands behind it is run."""
    log = Log()
    session = log.open(MINE)
    told = log.put(Commands(session, 1, 1, [b"7", b"%d" % (REPLY_BYTES_MAX + 1), b"%d" % REPLY_BYTES_MAX], MINE))
    (message,) = replies_in(told)
    assert message.failed == [1]
    assert b"8,388,608" in message.replies[1]
    assert [len(reply) for position, reply in enumerate(message.replies) if position != 1] == [7, REPLY_BYTES_MAX]


def test_replies_are_told_in_pieces() -> None:
    """Each ends when it has grown to a MiB; together they say everything once, in order."""
    log = Log()
    session = log.open(MINE)
    told = replies_in(log.put(Commands(session, 1, 1, [b"300000"] * 10 + [b"!5"] + [b"300000"] * 10, MINE)))
    assert [message.first_sequence for message in told] == [1, 5, 9, 14, 18]
    assert [message.first_offset for message in told] == [0, 4, 8, 13, 17]
    assert [message.failed for message in told] == [[], [], [2], [], []]
    assert all(sum(map(len, message.replies)) < REPLIES_PIECE_BYTES + 300_000 for message in told)
    again = replies_in(log.put(Commands(session, 1, 1, [b"300000"] * 21, MINE)))
    assert again == told


def test_no_more_is_run_than_is_kept() -> None:
    """What is unacknowledged is bounded in bytes; the rest is run when the client sends it again and acknowledges."""
    log = Log()
    session = log.open(MINE)
    wanted, first, slots = 40, 1, 0
    while first <= wanted:
        told = log.put(Commands(session, first, first, [b"%d" % 2**20] * (wanted - first + 1), MINE))
        replies = replies_in(told)
        assert sum(len(reply) for message in replies for reply in message.replies) <= REPLIES_KEPT_BYTES_MAX
        first = replies[-1].first_sequence + len(replies[-1].replies)
        assert [message for _, message in told if isinstance(message, SequenceGap)] == (
            [SequenceGap(session, first, replies[0].first_sequence)] if first <= wanted else []
        )
        slots += 1
    assert slots == 3
    assert log.applier.commands_applied == wanted


def test_nothing_unacknowledged_is_forgotten() -> None:
    """However few are kept: a retry of everything is answered as the first time."""
    log = Log(options=SessionOptions(replies_kept_max=2))
    session = log.open(MINE)
    submission = Commands(session, 1, 1, [b"1", b"2", b"3"], MINE)
    first = log.put(submission)
    assert [message.replies for message in replies_in(first)] == [[bytes(1), bytes(2)]]
    assert first[-1] == (MINE, SequenceGap(session, 3, 1))
    assert log.put(submission) == first
    assert [message.replies for message in replies_in(log.put(Commands(session, 3, 3, [b"3"], MINE)))] == [[bytes(3)]]


def test_one_slot_answers_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whosever the commands are; the others are asked to send again, repeats too."""
    monkeypatch.setattr(command_loop, "SLOT_REPLIES_BYTES_MAX", 5 * 2**20)
    log = Log()
    mine, theirs = log.open(MINE), log.open(THEIRS)
    many = [b"%d" % 2**20] * 4
    told = log.put(
        Commands(mine, 1, 1, many, MINE), Commands(theirs, 1, 1, many, THEIRS), Commands(mine, 1, 1, many, MINE)
    )
    assert len(replies_in(told)) == 5
    assert told[-2:] == [(THEIRS, SequenceGap(theirs, 2, 1)), (MINE, SequenceGap(mine, 1, 1))]


def test_an_errors_text_decides_nothing() -> None:
    """Texts differ between replicas: the digest, the pieces and what is kept must not."""
    logs = [Log(Talker("x")), Log(Talker("a long excuse "))]
    for log in logs:
        session = log.open(MINE)
        told = log.put(Commands(session, 1, 1, [b"!100", b"5", b"!200000"] * 6_000, MINE))
        assert all(len(reply) <= FAILURE_BYTES_MAX for message in replies_in(told) for reply in message.replies)
        log.put(Commands(session, 1, 1, [b"!100"], MINE))
    first, second = logs
    assert first.applier.digest == second.applier.digest
    assert first.applier.commands_applied == second.applier.commands_applied


def test_what_is_kept_comes_back_after_a_restart() -> None:
    """The row holds all of it, its weight too: a restarted replica stops where the others do."""
    log, other = Log(), Log()
    for one in (log, other):
        session = one.open(MINE)
        one.put(Commands(session, 1, 1, [b"%d" % 2**20] * 10 + [b"!5"], MINE))
    log.applier.begin_flush()
    log.applier.flush()
    log.applier.end_flush()
    log.applier = Applier(Talker(), log.store)
    more = Commands(session, 12, 1, [b"%d" % 2**20] * 10, MINE)
    assert log.put(more) == other.put(more)
    assert log.applier.digest == other.applier.digest
