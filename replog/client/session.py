"""A client's place in the log, without I/O: numbers for commands, what is under way, and what to send again.

Rules protected. A command gets its sequence number when it is first sent and keeps it for ever: sent again after a
change of leader it can't run twice. Numbers have no gaps, so a command whose caller gave up is still sent until it is
answered; one that was never sent is simply dropped. A number is given to another command only in a new session.

Refusals. A leader that refuses a submission has not put it into the log, and since numbers have no gaps nothing behind
it can run either. If it had never been sent anywhere else, it and everything behind it was definitely not done: the
session is closed as soon as what came before it is answered, and the rest moves to a new one. A call of which a part
was taken does not move, since that part would run twice. What had been sent elsewhere keeps its numbers and is sent
again after a pause. A refusal that is a defect of this client ends the session, since nothing of it can be trusted.

The session is whose secret it is (``apply.submissions``); each session has a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from trio.lowlevel import Abort

from .. import errors
from ..apply.outcomes import Refused, Replies, SequenceGap
from ..apply.submissions import ENVELOPE_BYTES, CloseSession, Commands, OpenSession, Submission, session_key
from ..errors import (
    CommandFailed,
    CommandTooLarge,
    OutcomeUnknown,
    Overloaded,
    ReplogError,
    SessionExpired,
    StorageFull,
)
from ..wire.client_messages import Submit
from .waiting import Parked

IN_FLIGHT_COMMANDS_MAX = 16_384
IN_FLIGHT_BYTES_MAX = 8 * 2**20
WAITING_COMMANDS_MAX = 262_144
PIECE_COMMANDS_MAX = 4_096
"""Larger calls travel as several submissions of this many commands."""
_PAYLOAD_OVERHEAD_BYTES = 5

_DEFECTS = frozenset({"malformed", "not_yours"})
"""What a sound client is never told."""
_FINAL_REFUSALS: dict[str, type[ReplogError]] = {
    "storage_full": StorageFull,
    "too_large": CommandTooLarge,
    **dict.fromkeys(_DEFECTS, errors.Refused),
}
"""Waiting does not help against these."""

_encoder = msgspec.msgpack.Encoder()


class Receipt(NamedTuple):
    """What came of a command.

    Parameters
    ----------
    reply: what the state machine's ``apply`` returned.
    slot, offset: where the command stands in the log.
    """

    reply: bytes
    slot: int
    offset: int


class Call(Parked):
    """Commands of one caller, who waits for all of their receipts."""

    __slots__ = ("deadline_s", "error", "first_sequence", "is_over", "left", "payloads", "receipts")

    def __init__(self, payloads: Sequence[bytes], deadline_s: float) -> None:
        self.waiter = None
        self.payloads = payloads
        self.deadline_s = deadline_s
        self.first_sequence = 0
        self.receipts: list[Receipt | None] = [None] * len(payloads)
        self.left = len(payloads)
        self.error: ReplogError | None = None
        self.is_over = False

    def leave(self, raise_cancel: object = None) -> Abort:
        """Nobody waits for this call any more. What was sent of it is still brought to its end."""
        self.is_over = True
        return super().leave(raise_cancel)

    @property
    def is_sent(self) -> bool:
        """Whether any of it may have reached a leader."""
        return self.first_sequence > 0


class ClientSession:
    """Commands waiting and under way.

    Parameters
    ----------
    wake: called with each call that is over.
    new_secret: makes 16 random bytes.
    """

    def __init__(self, wake: Callable[[Call], None], new_secret: Callable[[], bytes]) -> None:
        self._wake = wake
        self._new_secret = new_secret
        self._waiting: deque[Call] = deque()
        self._waiting_commands = 0
        self._pending: dict[int, Call] = {}
        self._pending_bytes = 0
        self._sent_before: set[int] = set()
        self._resend_from = 0
        self._resent_from = 0
        self._resent_at = 0
        """What was acknowledged below when something was last sent again."""
        self._secret = b""
        self._key = b""
        self._is_opening = False
        self._is_rolling_over = False
        self.number = 0
        """The session's id; 0 while there is none."""
        self.next_sequence = 1
        self.submission_bytes_max = 2**20
        self.sessions_opened = 0
        self.commands_repeated = 0

    # --- calls ---

    @property
    def has_work(self) -> bool:
        """Whether an answer or a chance to send is waited for."""
        return bool(self._pending) or bool(self._waiting)

    @property
    def commands_in_flight(self) -> int:
        return len(self._pending)

    def add(self, call: Call) -> None:
        """Take a call in. Raises ``Overloaded`` if too many wait already."""
        if self._waiting_commands >= WAITING_COMMANDS_MAX:
            raise Overloaded(f"{self._waiting_commands} commands wait in this client; the newest was not taken")
        self._waiting.append(call)
        self._waiting_commands += len(call.payloads)

    # --- what to send ---

    def take_submissions(self) -> Iterator[Submit]:
        """What may be sent now: an opening, or commands that wait, as far as the window allows."""
        if self._resend_from:
            yield from self._resend_gap()
        if self._is_rolling_over and not self._pending:
            yield self.closing()
            self._forget_session()
        if not self._waiting or self._is_rolling_over:
            return
        if not self.number:
            if not self._is_opening:
                yield self._opening()
            return
        acknowledged_below = next(iter(self._pending), self.next_sequence)
        first = self.next_sequence
        payloads: list[bytes] = []
        waiting, pending = self._waiting, self._pending
        while waiting and len(pending) < IN_FLIGHT_COMMANDS_MAX and self._pending_bytes < IN_FLIGHT_BYTES_MAX:
            call = waiting.popleft()
            self._waiting_commands -= len(call.payloads)
            if call.is_over:
                continue
            sequence = call.first_sequence = self.next_sequence
            for payload in call.payloads:
                pending[sequence] = call
                self._pending_bytes += len(payload)
                sequence += 1
            self.next_sequence = sequence
            payloads += call.payloads
        yield from self._submissions(first, payloads, acknowledged_below)

    def _resend_gap(self) -> Iterator[Submit]:
        """What a node asked for, unless it has been answered by now: then what came behind it was as well, or is asked
        for again."""
        gap, self._resend_from = self._resend_from, 0
        if gap in self._pending:
            self._resent_from = gap
            yield from self.resend(gap)

    def resend(self, from_sequence: int = 0) -> Iterator[Submit]:
        """Everything unanswered (from a number on), under its old numbers; or the opening once more."""
        self._is_opening = False
        self._resend_from = 0
        if not self._pending:
            return
        first = self._resent_at = next(iter(self._pending))
        run_first, run, expected = 0, list[bytes](), 0
        for sequence, call in self._pending.items():
            if sequence < from_sequence:
                continue
            if sequence != expected and run:
                yield from self._submissions(run_first, run, first)
                run = []
            if not run:
                run_first = sequence
            run.append(call.payloads[sequence - call.first_sequence])
            expected = sequence + 1
            self._sent_before.add(sequence)
        self.commands_repeated += len(run)
        if run:
            yield from self._submissions(run_first, run, first)

    def closing(self) -> Submit:
        """Ends the session, so that the log need not remember it."""
        return Submit(0, _encoder.encode(CloseSession(self.number, self._key)), self._secret)

    def _opening(self) -> Submit:
        self._is_opening = True
        if not self._secret:
            self._secret = self._new_secret()
            self._key = session_key(self._secret)
        return Submit(0, _encoder.encode(OpenSession(self._key)), self._secret)

    def _submissions(self, first: int, payloads: list[bytes], acknowledged_below: int) -> Iterator[Submit]:
        """Cut into submissions that a leader takes."""
        limit = self.submission_bytes_max - ENVELOPE_BYTES
        if len(payloads) <= PIECE_COMMANDS_MAX and (
            sum(map(len, payloads)) + _PAYLOAD_OVERHEAD_BYTES * len(payloads) <= limit
        ):
            if payloads:
                yield self._submission(first, payloads, acknowledged_below)
            return
        piece: list[bytes] = []
        size = 0
        for payload in payloads:
            weight = len(payload) + _PAYLOAD_OVERHEAD_BYTES
            if piece and (size + weight > limit or len(piece) >= PIECE_COMMANDS_MAX):
                yield self._submission(first, piece, acknowledged_below)
                first += len(piece)
                piece, size = [], 0
            piece.append(payload)
            size += weight
        yield self._submission(first, piece, acknowledged_below)

    def _submission(self, first: int, payloads: list[bytes], acknowledged_below: int) -> Submit:
        submission: Submission = Commands(self.number, first, acknowledged_below, payloads, self._key)
        return Submit(self.number, _encoder.encode(submission), self._secret)

    # --- what comes back ---

    def on_opened(self, key: bytes, number: int) -> None:
        if key == self._key and not self.number:
            self.number = number
            self.next_sequence = 1
            self.sessions_opened += 1
            self._is_opening = False

    def on_replies(self, message: Replies) -> None:
        """The hot loop of a client: everything that is done per reply is done here."""
        if message.session != self.number:
            return
        pending, wake = self._pending, self._wake
        sequence, slot, offset = message.first_sequence, message.slot, message.first_offset
        failed = frozenset(message.failed)
        for position, reply in enumerate(message.replies):
            call = pending.pop(sequence, None)
            if call is not None:
                index = sequence - call.first_sequence
                self._pending_bytes -= len(call.payloads[index])
                call.receipts[index] = Receipt(reply, slot, offset)
                if position in failed and call.error is None:
                    call.error = CommandFailed(_failure(reply, index, len(call.payloads), slot))
                call.left -= 1
                if not call.left:
                    wake(call)
            sequence += 1
            offset += 1
        if self._sent_before:
            self._sent_before = {number for number in self._sent_before if number in pending}

    def on_gap(self, message: SequenceGap) -> bool:
        """Something sent was not run, for want of what came before it or of room: it is sent again.

        Once for all that is told about what left before; each copy answered by another one would never end. True: the
        same was sent again before, so there is still no room for it, and a pause comes first.
        """
        expected = message.expected
        if message.session != self.number or expected not in self._pending:
            return False
        if message.acknowledged_below < self._resent_at:
            return False
        self._resend_from = min(self._resend_from or expected, expected)
        return expected == self._resent_from

    def on_expired(self, number: int) -> None:
        """The log has forgotten the session: what was sent in it has an unknown outcome, the rest is sent anew."""
        if number != self.number:
            return
        error = (
            f"session {number} is gone: it was idle for too long, or too many others were opened. Whether its "
            "unanswered commands were done can't be told"
        )
        self._end_pending(lambda: SessionExpired(error))
        self._forget_session()

    def on_refused(self, message: Refused) -> bool:
        """A submission was not taken. True: it has to be sent again, after a pause, from its first number on."""
        if not message.session:
            self._is_opening = False
            self._end_waiting(message)
            return True
        if message.session != self.number:
            return False
        if message.code in _DEFECTS:
            self._end_pending(lambda: OutcomeUnknown(f"a node did not take the session's commands: {message.reason}"))
            self._forget_session()
            return True
        refused = [sequence for sequence in self._pending if sequence >= message.first_sequence]
        if any(sequence in self._sent_before for sequence in refused):
            self._resend_from = min(self._resend_from or refused[0], refused[0])
        elif refused:
            self._move_to_new_session(refused, message)
        return bool(refused)

    def _move_to_new_session(self, refused: list[int], message: Refused) -> None:
        """See "Refusals" above. Whoever can't be helped by waiting is told at once."""
        calls: dict[int, Call] = {}
        for sequence in refused:
            call = self._pending.pop(sequence)
            self._pending_bytes -= len(call.payloads[sequence - call.first_sequence])
            calls.setdefault(call.first_sequence, call)
        self._is_rolling_over = True
        for call in reversed(calls.values()):
            if call.first_sequence >= refused[0]:
                self._return(call, message)
            else:
                call.error = call.error or OutcomeUnknown(
                    f"the first of these commands were taken, the others were not: {message.reason}"
                )
                self._finish(call)

    def _return(self, call: Call, message: Refused) -> None:
        if call.is_over:
            return
        final = _FINAL_REFUSALS.get(message.code)
        if final is not None:
            call.error = final(message.reason)
            self._finish(call)
            return
        call.first_sequence = 0
        self._waiting.appendleft(call)
        self._waiting_commands += len(call.payloads)

    def _end_waiting(self, message: Refused) -> None:
        """No session can be opened: tell everybody, if waiting does not help."""
        final = _FINAL_REFUSALS.get(message.code)
        while final is not None and self._waiting:
            call = self._waiting.popleft()
            self._waiting_commands -= len(call.payloads)
            if not call.is_over:
                call.error = final(message.reason)
                self._finish(call)

    # --- ends ---

    def _forget_session(self) -> None:
        self.number = 0
        self.next_sequence = 1
        self._secret = b""
        self._key = b""
        self._is_opening = False
        self._is_rolling_over = False
        self._resend_from = 0
        self._resent_from = self._resent_at = 0
        self._sent_before.clear()

    def _end_pending(self, error: Callable[[], ReplogError]) -> None:
        calls = {call.first_sequence: call for call in self._pending.values()}
        self._pending.clear()
        self._pending_bytes = 0
        for call in calls.values():
            call.error = call.error or error()
            self._finish(call)

    def _finish(self, call: Call) -> None:
        call.left = 0
        self._wake(call)

    def calls(self) -> Iterator[Call]:
        """Everybody who waits, sent or not."""
        yield from self._pending.values()
        yield from self._waiting


def _failure(reply: bytes, index: int, count: int, slot: int) -> str:
    which = f"command {index + 1} of {count}" if count > 1 else "the command"
    return f"{which} failed in the state machine, its writes undone (slot {slot}): {reply.decode(errors='replace')}"
