"""Runs the commands of one submission: everything that is done per command is done here.

An exception out of ``apply``, whichever it is, is a reply like any other: the command's writes are dropped and its text
goes back. Only what is this process's own trouble is passed on: memory that is gone for everybody.

Never: let an exception out of a command reach the node; let how many are run at a time change what comes of it.
"""

from __future__ import annotations

from typing import NoReturn

from ..errors import error_text
from ..paxos.ballot import Slot
from ..state.contract import StateStore
from ..state_machine import WRITES_BYTES_MAX, Command, StateMachine
from .digest import RunningDigest
from .limits import (
    FAILURE_BYTES_MAX,
    REPLIES_PIECE_BYTES,
    REPLY_BYTES_MAX,
    SLOT_COMMANDS_MAX,
    SLOT_REPLIES_BYTES_MAX,
)
from .outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from .sessions import Kept, Session
from .state_access import StagedState

Told = Replies | SessionOpened | SessionGone | SequenceGap | SubmissionRefused
Outcome = tuple[bytes, Told, int]
"""What applying a slot told whoever submitted under a key: key, message, and at least the bytes of its replies."""


class SlotRun:
    """What one slot has run and told so far; it has room for so much and no more (``limits``)."""

    __slots__ = ("digest", "failed", "is_full", "offset", "outcomes", "replies", "replies_bytes", "slot", "weight")

    def __init__(self, slot: Slot, digest: RunningDigest) -> None:
        self.slot = slot
        self.offset = 0
        self.replies_bytes = 0
        self.outcomes: list[Outcome] = []
        self.replies: list[bytes] = []
        """Of one session, not told yet, with the positions of those that failed and what they weigh."""
        self.failed: list[int] = []
        self.weight = 0
        self.digest = digest
        self.is_full = False
        """With replies, whosever they are."""

    @property
    def room(self) -> int:
        """How many commands may still be run; an opened session takes a place, too."""
        return 0 if self.is_full else SLOT_COMMANDS_MAX - self.offset

    def tell(self, key: bytes, message: Told, weight: int = 0) -> None:
        self.outcomes.append((key, message, weight))
        self.digest.tell(key, message)
        self.add(weight)

    def add(self, weight: int) -> None:
        """So much more is told."""
        self.replies_bytes += weight
        self.is_full = self.replies_bytes >= SLOT_REPLIES_BYTES_MAX


def _refuse_reply(reply: bytes) -> NoReturn:
    """Raises ``TypeError`` or ``ValueError`` for what ``apply`` returned and is no reply."""
    if type(reply) is not bytes:
        raise TypeError(f"apply must return bytes, not {type(reply).__name__}")
    raise ValueError(f"a reply has at most {REPLY_BYTES_MAX:,} bytes, not {len(reply):,}")


def _has_memory() -> bool:
    """Whether the process can have as much memory as a command may write; it is asked for and not touched."""
    try:
        bytes(WRITES_BYTES_MAX)
    except MemoryError:
        return False
    return True


class CommandLoop:
    """The hot loop, and what it counts.

    Parameters
    ----------
    replies_kept_max: see ``SessionOptions``.
    """

    def __init__(
        self,
        machine: StateMachine,
        store: StateStore,
        state: StagedState,
        digest: RunningDigest,
        replies_kept_max: int,
    ) -> None:
        self._machine = machine
        self._store = store
        self._state = state
        self._digest = digest
        self._replies_kept_max = replies_kept_max
        self.commands_applied = 0
        self.commands_failed = 0

    def run(self, session: Session, payloads: list[bytes], run: SlotRun, time_ms: int) -> bool:
        """Run some commands of a submission, in order; ``finish`` follows its last ones.

        Returns whether there is room for more; if not, it has ended early.
        """
        apply, state, staged = self._machine.apply, self._state, self._state.staged
        store_write, log_writes = self._store.write, self._digest.writes.extend
        slot, number, offset = run.slot, session.number, run.offset + len(run.replies)
        replies, failed, weight = run.replies, run.failed, run.weight
        for payload in payloads:
            try:
                reply = apply(state, Command(payload, slot, offset, number, time_ms))
                if type(reply) is not bytes or (size := len(reply)) > REPLY_BYTES_MAX:
                    _refuse_reply(reply)
            except BaseException as error:
                staged.clear()
                failure: BaseException | None = error
                if isinstance(error, MemoryError) and self._may_run_again(error):
                    try:
                        reply = apply(state, Command(payload, slot, offset, number, time_ms))  # from the same depth
                        if type(reply) is not bytes or (size := len(reply)) > REPLY_BYTES_MAX:
                            _refuse_reply(reply)
                        failure = None
                    except BaseException as again:
                        staged.clear()
                        failure = again
                if failure is not None:
                    reply = error_text(failure, FAILURE_BYTES_MAX)
                    size = FAILURE_BYTES_MAX
                    failed.append(len(replies))
            if staged:
                log_writes(staged.items())
                store_write(staged)
                staged.clear()
            if state.is_untidy:
                state.forget()
            replies.append(reply)
            offset += 1
            weight += size
            if weight >= REPLIES_PIECE_BYTES:
                run.weight = weight
                self.finish(session, run)
                if not run.room or session.room(self._replies_kept_max) <= 0:
                    return False
                replies, failed, weight = run.replies, run.failed, 0
        run.weight = weight
        return True

    def finish(self, session: Session, run: SlotRun) -> None:
        """Keep and tell the replies since the last time."""
        replies, failed, weight = run.replies, run.failed, run.weight
        if not replies:
            return
        run.replies, run.failed, run.weight = [], [], 0
        slot, offset, first_sequence, count = run.slot, run.offset, session.last_sequence + 1, len(replies)
        session.keep(Kept(first_sequence, slot, offset, replies, failed, weight))
        message = Replies(session.number, first_sequence, slot, offset, replies, failed)
        run.outcomes.append((session.key, message, weight))
        self._digest.tell_replies(message)
        run.add(weight)
        run.offset = offset + count
        self.commands_applied += count
        if failed:
            self.commands_failed += len(failed)

    def _may_run_again(self, error: MemoryError) -> bool:
        """A lack of memory may have been the moment's: run again, the command succeeds as it does on the other
        replicas. If it asks for more than there is, it fails again, as it does there.

        Raises ``error`` if the process itself has no memory left, which is no fault of the command.
        """
        if not _has_memory():
            raise error
        self._state.forget()
        return True
