"""A client's place in the log, without I/O, clock or event loop: numbers for commands, what is under way, what to send
again and when.

Whoever drives it, says what happens and when (``on_connected``, ``on_message``, ``on_disconnected``, each with the
time), asks what may be sent after everything that happened and again at ``deadline_s`` (``take_submissions``), and now
and then ends the calls whose time is over (``end_overdue``).

Rules protected. A command gets its sequence number when it is first sent and keeps it for ever: sent again after a
change of leader it can't run twice. Numbers have no gaps, so a command whose caller gave up is still sent until it is
answered; one that was never sent is simply dropped. A number is given to another command only in a new session.

Doubt. A command is *doubtful* when somebody else than the leader that was asked last may have it: it was sent on an
earlier connection, or the leader has stepped down since. All the others were sent once, to one leader that has led ever
since; its answers come in the order of the log, so what it says is the whole truth about them.

Refusals. A leader that refuses a submission has not put it into the log, and since numbers have no gaps nothing behind
it can run either. If none of it is doubtful, it and everything behind it was definitely not done: the session is closed
as soon as what came before it is answered, and the rest moves to a new one. A call of which a part was taken does not
move, since that part would run twice. What is doubtful keeps its numbers and is sent again, unless nobody waits for any
of it: then it is left to itself, and the session ends with what came before it. A refusal that is a defect of this
client ends the session, since nothing of it can be trusted. Either way the next attempt waits, and goes alone
(``retry``).

Expiry. A session that is gone never comes back, so what was sent in it, is not doubtful and has no answer was
definitely not done: it moves to a new session too. Whether the doubtful was done can't be told. (No answer goes astray
meanwhile: a node sends them to the youngest link that has shown the session's secret, so what it still has to read of
an earlier link of this client does not turn them there.)

The session is whose secret it is (``apply.submissions``); each session has a new one.
"""

from __future__ import annotations

import math
import random as random_module
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ..apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from ..errors import (
    CommandTooLarge,
    OutcomeUnknown,
    Overloaded,
    Refused,
    ReplogError,
    SessionExpired,
    StorageFull,
    Unavailable,
)
from ..paxos.ballot import NodeId
from ..wire.client_messages import NodeMessage, NotLeader, Submit
from .backoff import Backoff
from .call import Call
from .identity import Identity
from .options import ClientOptions
from .pending import Backlog, Pending
from .retry import Retry

_DEFECTS = frozenset({"malformed", "not_yours"})
"""What a sound client is never told."""
_FINAL_REFUSALS: dict[str, type[ReplogError]] = {
    "storage_full": StorageFull,
    "too_large": CommandTooLarge,
    **dict.fromkeys(_DEFECTS, Refused),
}
"""Waiting does not help against these."""
_EXPIRED = (
    "session {} is gone: it was idle for too long, or too many others were opened. Whether its unanswered commands "
    "were done can't be told"
)


class ClientSession:
    """Commands waiting and under way.

    Parameters
    ----------
    wake: called with each call that is over, once.
    new_secret: makes 16 random bytes.
    random: of the pauses between attempts.
    """

    def __init__(
        self,
        wake: Callable[[Call], None],
        new_secret: Callable[[], bytes],
        options: ClientOptions | None = None,
        random: random_module.Random | None = None,
    ) -> None:
        self._wake = wake
        self._new_secret = new_secret
        self._options = options = options or ClientOptions()
        self._backlog = Backlog()
        self._pending = Pending()
        self._resend_from = 0
        self._is_held_back = False
        """Something is pending that the connected node has not been sent, or has refused."""
        self._resent_from = self._resent_at = 0
        """Where what was last sent again began, and what was acknowledged below then."""
        self._retry = Retry(Backoff(options.retry_first_s, options.retry_max_s, random or random_module.Random()))
        self._last_refusal = ""
        self._identity = Identity(new_secret())
        self._is_rolling_over = False
        self._node = NodeId(0)
        self.is_accepting = False
        """Whether the connected node is believed to take commands."""
        self.submission_bytes_max = 2**20
        """What a leader takes as one submission."""
        self.sessions_opened = 0
        self.commands_repeated = 0

    # --- calls ---

    @property
    def has_work(self) -> bool:
        """Whether an answer or a chance to send is waited for."""
        return bool(self._pending.calls) or bool(self._backlog.calls)

    @property
    def is_ready(self) -> bool:
        """Whether a command that comes now leaves at once, with nothing else under way."""
        return self.is_accepting and self.number > 0 and not self._pending.calls and not self._retry.is_troubled

    @property
    def number(self) -> int:
        """The session's id; 0 while there is none."""
        return self._identity.number

    @property
    def unanswered_from(self) -> int:
        """Every number below it has been answered."""
        return self._pending.first

    @property
    def commands_in_flight(self) -> int:
        return len(self._pending.calls)

    @property
    def deadline_s(self) -> float:
        """When there will be something to send although nothing happens before; infinite if never."""
        return self._retry.at_s if self.is_accepting and self.has_work else math.inf

    def add(self, call: Call) -> None:
        """Take a call in. Raises ``Overloaded`` if too many wait already."""
        backlog = self._backlog
        if backlog.commands >= self._options.waiting_commands_max:
            backlog.drop_unwanted()
            if backlog.commands >= self._options.waiting_commands_max:
                raise Overloaded(f"{backlog.commands} commands wait in this client; the newest was not taken")
        backlog.calls.append(call)
        backlog.commands += len(call.payloads)

    # --- what to send ---

    def take_submissions(self, now_s: float) -> list[Submit]:
        """What may be sent now: what is sent again, an opening, or commands that wait, as far as the window allows."""
        retry, pending = self._retry, self._pending
        if not self.is_accepting or (retry.is_troubled and not retry.may_send(now_s)):
            return []
        submissions = self._resend() if self._resend_from else []
        if self._is_rolling_over and not pending.calls:
            submissions.append(self._identity.closing())
            self._forget_session()
        if not self._backlog.calls or self._is_rolling_over or (retry.is_probing and pending.calls):
            return submissions
        identity = self._identity
        if not identity.number:
            return submissions if identity.is_opening else [*submissions, identity.opening()]
        first, acknowledged_below = pending.next_sequence, pending.first
        commands_max = 1 if retry.is_probing else self._options.in_flight_commands_max
        payloads = self._backlog.number(pending, commands_max, self._options.in_flight_bytes_max)
        pieces = identity.submissions(first, payloads, acknowledged_below, self.submission_bytes_max)
        if retry.is_probing:
            retry.probe = first
            self._is_held_back = len(pieces) > 1
            return submissions + pieces[:1]
        return submissions + pieces

    def _resend(self) -> list[Submit]:
        """What a node asked for, or has not been sent, under its old numbers. What it asked for and has answered by now
        needs nothing: what came behind it was answered as well, or is asked for again."""
        pending, retry = self._pending, self._retry
        again = pending.from_number(self._resend_from)
        is_needless = not again or (again[0] != self._resend_from and not self._is_held_back)
        self._resend_from, self._is_held_back = 0, retry.is_probing
        if is_needless:
            return []
        first = again[0]
        if retry.is_probing and not any(pending.calls[sequence].is_waited_for for sequence in again):
            pending.take_back(again)  # nobody waits for it: see "Refusals" above
            self._is_rolling_over = True
            return []
        self._resent_from = first
        self._resent_at = pending.first
        pending.doubtful.update(again)
        pieces: list[Submit] = []
        for start, payloads in pending.runs(again):
            pieces += self._identity.submissions(start, payloads, pending.first, self.submission_bytes_max)
        if retry.is_probing:
            retry.probe = first
            return pieces[:1]
        self.commands_repeated += len(again)
        return pieces

    def closing(self) -> Submit | None:
        """Ends the session, so that the log need not remember it; None if there is none, or something is under way."""
        return self._identity.closing() if self.number and not self._pending.calls else None

    # --- the connection ---

    def on_connected(self, node: int) -> None:
        """A link to this node: what has no answer is sent again, since it knows of nothing before it."""
        self.on_disconnected()
        self._node = NodeId(node)
        self.is_accepting = True
        self._retry.at_s = math.inf  # the pause was another node's, or the link's
        self._send_again()

    def on_disconnected(self) -> None:
        """The link has ended: nothing can be sent."""
        self.is_accepting = False

    def _send_again(self) -> None:
        """Everything unanswered, which is doubtful from here on."""
        self._identity.is_opening = False
        self._retry.probe = 0
        self._pending.doubt_all()
        self._is_held_back = True
        self._resend_from = self._pending.first if self._pending.calls else 0

    # --- what comes back ---

    def on_message(self, message: NodeMessage, now_s: float) -> None:
        """What a node said. What is no session's matter is left to others."""
        match message:
            case Replies():
                self.on_replies(message)
            case SessionOpened():
                self.sessions_opened += self._identity.on_opened(message)
            case SessionGone():
                self._on_expired(message.session, now_s)
            case SequenceGap():
                self._on_gap(message, now_s)
            case SubmissionRefused():
                self._on_refused(message, now_s)
            case NotLeader():
                self._on_not_leader(message, now_s)

    def on_replies(self, message: Replies) -> None:
        """Replies to consecutive commands; those of an earlier session are nobody's."""
        if message.session == self._identity.number:
            self._pending.settle(message, self._wake)
            if self._retry.is_troubled:
                self._on_taken(message.first_sequence, message.first_sequence + len(message.replies))

    def _on_taken(self, first: int, end: int) -> None:
        """A leader has taken these numbers: it has room, at last for the probe if one is out."""
        if self._retry.is_probing and not first <= self._retry.probe < end:
            return
        self._last_refusal = ""
        self._retry.succeed()
        if self._is_held_back and self._pending.calls:
            self._resend_from = self._pending.first

    def _on_not_leader(self, message: NotLeader, now_s: float) -> None:
        """The connected node does not lead: what it was sent is doubtful. If it says that it leads, it is asked anew;
        one that says so and takes nothing all the same is asked less and less."""
        self._send_again()
        self.is_accepting = message.leader > 0 and message.leader == self._node
        if self.is_accepting:
            self._retry.hurry(now_s)

    def _on_gap(self, message: SequenceGap, now_s: float) -> None:
        """Something sent was not run, for want of what came before it or of room: it is sent again.

        Once for all that is told about what left before; each copy answered by another one would never end. Where the
        same was sent again before, there is still no room for it, and a pause comes first.
        """
        is_news = message.session == self.number and message.acknowledged_below >= self._resent_at
        if is_news and (expected := message.expected) in self._pending.calls:
            is_still_due = self._is_held_back or self._resend_from in self._pending.calls
            self._resend_from = min(self._resend_from or expected, expected) if is_still_due else expected
            if expected == self._resent_from:
                self._retry.pause(now_s)

    def _on_expired(self, number: int, now_s: float) -> None:
        """The log has forgotten the session. See "Expiry" above."""
        if number != self.number:
            return
        for call in reversed(self._pending.calls_of(self._pending.calls)):
            if self._pending.is_whole_and_certain(call):
                self._backlog.put_back(call)
            else:
                self._end(call, SessionExpired(_EXPIRED.format(number)))
        self._forget_session()
        self._retry.hurry(now_s)

    def _on_refused(self, message: SubmissionRefused, now_s: float) -> None:
        """A submission was not taken: what was in it waits, moves or ends. See "Refusals" above."""
        if message.session not in (0, self.number):
            return
        self._last_refusal = message.reason
        if not message.session:
            self._identity.is_opening = False
            if final := _FINAL_REFUSALS.get(message.code):  # nobody is helped by waiting until a session can be opened
                for call in self._backlog.clear():
                    self._end(call, final(message.reason))
        elif message.code in _DEFECTS:
            for call in self._pending.calls_of(self._pending.calls):
                self._end(call, OutcomeUnknown(f"a node did not take the session's commands: {message.reason}"))
            self._forget_session()
        elif refused := self._pending.from_number(message.first_sequence):
            # Where the refused one was a repetition that is settled by now, what was sent behind it leaves no gap.
            is_gap_behind = refused[0] == message.first_sequence
            if is_gap_behind and self._pending.doubtful.isdisjoint(refused):
                self._move_to_new_session(refused, message)
            else:
                self._resend_from = min(self._resend_from or refused[0], refused[0])
                self._is_held_back = True
            self._retry.begin_probing()
        else:
            return
        self._retry.pause(now_s)

    def _move_to_new_session(self, refused: list[int], message: SubmissionRefused) -> None:
        """Whoever can't be helped by waiting is told at once."""
        final = _FINAL_REFUSALS.get(message.code)
        calls = self._pending.calls_of(refused)
        self._pending.take_back(refused)
        self._is_rolling_over = True
        for call in reversed(calls):
            if call.first_sequence < refused[0] or call.left < len(call.payloads):
                self._end(call, OutcomeUnknown(f"some of these commands were taken, the others not: {message.reason}"))
            elif final is not None:
                self._end(call, final(message.reason))
            else:
                self._backlog.put_back(call)

    def _forget_session(self) -> None:
        self._identity = Identity(self._new_secret())
        self._is_rolling_over = self._is_held_back = False
        self._resend_from = self._resent_from = self._resent_at = 0
        self._retry.probe = 0
        self._pending.restart()

    # --- ends ---

    def end_overdue(self, now_s: float, situation: Callable[[], str] = str) -> None:
        """End the calls whose deadline has passed; ``situation`` says why nothing came, for a person."""
        overdue = [call for call in self._calls() if call.deadline_s <= now_s and call.is_waited_for]
        if overdue:
            self._give_up(overdue, f"in time. {situation()}")

    def end_all(self, why: str) -> None:
        """End every call: nobody drives this session any more."""
        self._give_up(list(self._calls()), f"because {why}.")

    def _calls(self) -> Iterator[Call]:
        return chain(self._pending.calls.values(), self._backlog.calls)

    def _give_up(self, calls: Iterable[Call], why: str) -> None:
        for call in calls:
            self._end(call, _gave_up(call, self._last_refusal, why))
        self._backlog.drop_unwanted()

    def _end(self, call: Call, error: ReplogError) -> None:
        if call.is_waited_for:
            call.error = error
            call.left = 0
            self._wake(call)


def _gave_up(call: Call, last_refusal: str, why: str) -> ReplogError:
    """Whether any of it was sent decides what may be said. What was sent is still brought to its end."""
    if call.is_sent:
        return OutcomeUnknown(f"sent, so it may be done, now or later, and not answered {why}")
    if last_refusal:
        return Overloaded(f"definitely not done: {last_refusal}; not sent {why}")
    return Unavailable(f"definitely not done, since it was not sent {why}")
