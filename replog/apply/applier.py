"""The Applier: runs chosen slots through the state machine, in order, exactly once.

It owns the position in the log, the log time, the sessions and the running digest, and stores them with the state
machine's data in one flush, so they can't disagree (P7, PITFALLS 25). It does not know how a slot came to be chosen.

An exception out of ``apply``, whichever it is, is a reply like any other: the command's writes are dropped and its
text goes back. Only what is this process's own trouble is passed on: a store that could not be read, or memory that is
gone for everybody. Then a slot is half applied in memory, and the Applier refuses everything that would make that last.

What ``apply`` answers must come from the log alone. So it always has the same stack below it (``fixed_stack``),
warnings never raise, and the text of an exception, which may name an address or follow a library's version, decides
nothing.

Never: read a clock; let an exception out of a command reach the node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog

from ..errors import StorageError
from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.membership import Membership
from ..paxos.values import Batch, MalformedValue, NoOp, SlotValue, decode_membership, decode_value, encode_value
from ..state.contract import StateStore
from ..state_machine import StateMachine
from .command_loop import CommandLoop, Outcome, SlotRun
from .digest import RunningDigest
from .fixed_stack import call_on_fixed_stack, is_raising_warnings, warnings_never_raised
from .limits import REPLIES_KEPT_BYTES_MAX, SLOT_COMMANDS_MAX
from .outcomes import SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from .sessions import Session, SessionOptions, Sessions
from .state_access import Reader, StagedState
from .submissions import CloseSession, Commands, MalformedSubmission, OpenSession, decode_submission

STEP_COMMANDS = 32
"""At most so many are run between two looks at the clock: fewer behind commands that took long."""
_META = b"meta"
_SESSION = b"session/"
_MEMBERSHIP = b"membership"

log = structlog.get_logger(__name__)

_encoder = msgspec.msgpack.Encoder()


class _Meta(msgspec.Struct, array_like=True):
    """Where the state stands."""

    applied_through: Slot
    log_time_ms: int
    digest: bytes
    checkpoint_slot: Slot
    checkpoint_digest: bytes


_meta_decoder = msgspec.msgpack.Decoder(_Meta)


def _never() -> bool:
    return False


def _is_done(steps: Iterator[None]) -> bool:
    """Whether the last step was made."""
    for _ in steps:
        return False
    return True


class Applier:
    """Runs one state machine over one store; belongs to the task that owns the replica."""

    def __init__(
        self,
        machine: StateMachine,
        store: StateStore,
        options: SessionOptions | None = None,
        *,
        node_log: Any = log,
    ) -> None:
        self._machine = machine
        self._log = node_log
        self._store = store
        self._options = options or SessionOptions()
        self._state = StagedState(store)
        self._view = Reader(store)
        stored = store.get_record(_META)
        meta = _meta_decoder.decode(stored) if stored else _Meta(BEFORE_LOG, 0, b"", BEFORE_LOG, b"")
        self.applied_through = meta.applied_through
        self.log_time_ms = meta.log_time_ms
        self._digest = RunningDigest(meta.digest)
        self._checkpoint = (meta.checkpoint_slot, meta.checkpoint_digest)
        members = store.get_record(_MEMBERSHIP)
        self.membership: Membership | None = decode_membership(members) if members else None
        """The one in force where the state stands, if there has been a change: whoever receives this state has not read
        the slot that it stands in (M12)."""
        self._sessions = Sessions(
            self._options,
            ((int.from_bytes(key[len(_SESSION) :], "big"), data) for key, data in store.scan_records(_SESSION)),
        )
        self._loop = CommandLoop(machine, store, self._state, self._digest, self._options.replies_kept_max)
        self.commands_repeated = 0
        self.submissions_malformed = 0
        self.slots_malformed = 0
        self._is_flushing = False
        self._failure: BaseException | None = None
        self._under_way: Iterator[None] | None = None
        self.is_inside_slot = False
        """Whether a slot has been begun and not run to its end: nothing may be read or made durable meanwhile."""
        self._is_over: Callable[[], bool] = _never
        self._step_commands = STEP_COMMANDS
        self._step = 1
        """Commands until the next look at the clock: twice as many while there is time, up to ``_step_commands``."""
        self._outcomes: list[Outcome] = []

    @property
    def failure(self) -> StorageError | None:
        """Why this state must neither be computed with nor be made durable any more."""
        if self._failure is not None:
            return StorageError(
                f"slot {self.applied_through + 1} is half applied in memory since applying it failed "
                f"({self._failure}); this process must end, and applies it again from the log when it starts"
            )
        return self._view.failure

    def _refuse_after_failure(self) -> None:
        if (failure := self.failure) is not None:
            raise failure from self._failure

    # --- slots ---

    def apply(self, slot: Slot, value: bytes) -> list[Outcome]:
        """Run one chosen slot to its end; returns what to tell whom, in order.

        Raises what ``run`` raises.
        """
        self.begin(slot, value)
        outcomes = self.run(_never)
        assert outcomes is not None
        return outcomes

    def begin(self, slot: Slot, value: bytes) -> None:
        """Take in the next chosen slot; ``run`` runs it."""
        if self._failure is not None or self._view.failure is not None:
            self._refuse_after_failure()
        assert slot == self.applied_through + 1, (slot, self.applied_through)  # P7
        assert self._under_way is None, slot
        self._under_way = self._steps(slot, value)
        self.is_inside_slot = True

    def run(self, is_over: Callable[[], bool]) -> list[Outcome] | None:
        """Go on with the slot that was begun, until it is done or ``is_over`` says that the caller's time is.

        Returns what to tell whom, in order; None if the slot is not done, and ``run`` has to be called again. Where it
        is interrupted changes nothing that comes of it.

        Raises
        ------
        StorageError, MemoryError: the store failed, or the process has no memory left. The slot is then half applied in
            memory, which nothing may be read from or made durable any more: the process must end.
        """
        if self._failure is not None or self._view.failure is not None:
            self._refuse_after_failure()
        steps = self._under_way
        assert steps is not None
        self._is_over = is_over
        try:
            if is_raising_warnings():
                with warnings_never_raised():
                    is_done = call_on_fixed_stack(_is_done, steps)
            else:
                is_done = call_on_fixed_stack(_is_done, steps)
        except BaseException as error:
            self._failure = error
            raise
        if not is_done:
            return None
        self._under_way = None
        self.is_inside_slot = False
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _steps(self, slot: Slot, value: bytes) -> Iterator[None]:
        """All of a slot; each step is some commands, and between two of them others may have their turn."""
        decoded = self._decode(slot, value)
        run = SlotRun(slot, self._digest)
        if isinstance(decoded, Batch):
            time_ms = self.log_time_ms = max(self.log_time_ms, decoded.time_ms)
            sessions, loop = self._sessions, self._loop
            sessions.expire(time_ms)
            self._state.begin()
            left = self._step
            for data in decoded.submissions:
                try:
                    submission = decode_submission(data)
                except MalformedSubmission:  # skipped, everywhere alike; an older log may hold such bytes
                    self.submissions_malformed += 1
                    continue
                if not isinstance(submission, Commands):
                    self._apply_session(submission, run)
                    continue
                session = sessions.find(submission.session, submission.key)
                if session is None:
                    run.tell(submission.key, SessionGone(submission.session))
                    continue
                payloads = self._admitted(submission, session, run)
                if payloads is None:
                    continue
                while len(payloads) > left and loop.run(session, payloads[:left], run, time_ms):
                    payloads = payloads[left:]
                    if self._is_over():
                        self._step = 1
                        self._state.end()
                        yield
                        self._state.begin()
                    else:
                        self._step = min(2 * self._step, self._step_commands)
                    left = self._step
                if len(payloads) <= left:
                    loop.run(session, payloads, run, time_ms)
                    left -= len(payloads)
                loop.finish(session, run)
                if session.last_sequence + 1 < submission.first_sequence + len(submission.payloads):
                    self._tell_gap(submission, session, run)
                sessions.touch(session, slot, time_ms)
            self._state.end()
            if self._state.failure is not None:
                raise self._state.failure  # whatever the state machine made of it: its answers rest on a failed read
        elif isinstance(decoded, Membership):
            self._follow(decoded)
        self.applied_through = slot
        digest = self._digest.close(slot)
        if slot % self._options.digest_interval_slots == 0:
            self._checkpoint = (slot, digest)
        self._outcomes = run.outcomes

    def _follow(self, membership: Membership) -> None:
        """A barrier, or a change that came second, has no effect."""
        if membership.version == (self.membership.version if self.membership else 1) + 1:
            self.membership = membership
            self._store.put_record(_MEMBERSHIP, encode_value(membership))

    def _decode(self, slot: Slot, value: bytes) -> SlotValue:
        """Bytes that are no value fill their slot and do nothing, on every replica alike: they are chosen, and no
        replica may end over what all of them hold."""
        try:
            return decode_value(value)
        except MalformedValue as error:
            self.slots_malformed += 1
            self._log.warning("slot_malformed", slot=slot, bytes=len(value), reason=str(error))
            return NoOp()

    def _apply_session(self, submission: OpenSession | CloseSession, run: SlotRun) -> None:
        match submission:
            case OpenSession(key):
                self._open(key, run)
            case CloseSession(number, key):
                if self._sessions.find(number, key) is not None:
                    self._sessions.close(number)
                run.tell(key, SessionGone(number))

    def _open(self, key: bytes, run: SlotRun) -> None:
        """A session's id is its place, so without a place there is none."""
        if not run.room:
            run.tell(key, SubmissionRefused(0, 0, "overloaded", "the slot has no room for another session; ask again"))
            return
        session = self._sessions.open(key, run.slot, run.offset, self.log_time_ms)
        run.tell(key, SessionOpened(key, session.number))
        run.offset += 1

    def _admitted(self, submission: Commands, session: Session, run: SlotRun) -> list[bytes] | None:
        """Answer what ran before; returns what comes next, or None if nothing may be run of it."""
        first, payloads = submission.first_sequence, submission.payloads
        expected = session.last_sequence + 1
        count = len(payloads)
        if first > expected or run.offset + count > SLOT_COMMANDS_MAX or run.is_full:
            run.tell(session.key, SequenceGap(session.number, min(first, expected), submission.acknowledged_below))
            return None
        if first < expected:
            repeated = min(expected - first, count)
            self.commands_repeated += repeated
            for replies, weight in session.replies(first, first + repeated - 1):
                run.tell(session.key, replies, weight)
            payloads = payloads[repeated:]
        session.forget_below(min(submission.acknowledged_below, expected))
        kept_max = self._options.replies_kept_max
        if session.kept_count + len(payloads) > kept_max or session.kept_bytes >= REPLIES_KEPT_BYTES_MAX:
            payloads = payloads[: max(0, session.room(kept_max))]
        return payloads

    def _tell_gap(self, submission: Commands, session: Session, run: SlotRun) -> None:
        """From where on the client has to send again."""
        run.tell(session.key, SequenceGap(session.number, session.last_sequence + 1, submission.acknowledged_below))

    @property
    def commands_applied(self) -> int:
        return self._loop.commands_applied

    @property
    def commands_failed(self) -> int:
        return self._loop.commands_failed

    # --- reads ---

    @property
    def misuse(self) -> str:
        """Empty, or the first call of the state machine that no state takes: a mistake in its code."""
        return self._state.misuse or self._view.misuse

    def query(self, request: bytes) -> bytes:
        """Answer a read from the state as it stands; what the state machine raises goes to the asker."""
        self._refuse_after_failure()
        assert self._under_way is None, "a read inside a slot would see a part of it"
        return self._machine.query(self._view, request)

    def violations(self) -> list[str]:
        """What must never be and is, as the state machine sees it."""
        return list(self._machine.violations(self._view))

    @property
    def digest(self) -> bytes:
        """The running digest at ``applied_through``."""
        return self._digest.value

    def checkpoint(self) -> tuple[Slot, bytes]:
        """The newest slot at which digests are compared, and the digest there."""
        return self._checkpoint

    @property
    def sessions_open(self) -> int:
        return len(self._sessions)

    # --- flush ---

    @property
    def unflushed_keys(self) -> int:
        """Changed keys that no flush has set aside yet."""
        return self._store.unflushed_keys

    def begin_flush(self) -> bool:
        """Set everything applied so far aside to be made durable; False while an earlier flush or a slot is under way.

        Raises ``StorageError`` if a slot is half applied: no part of it may become durable.
        """
        self._refuse_after_failure()
        if self._is_flushing or self._under_way is not None:
            return False
        for number, data in self._sessions.take_changes():
            self._store.put_record(_SESSION + number.to_bytes(8, "big"), data)
        meta = _Meta(self.applied_through, self.log_time_ms, self.digest, *self._checkpoint)
        self._store.put_record(_META, _encoder.encode(meta))
        self._is_flushing = self._store.begin_flush(self.applied_through)
        return self._is_flushing

    def flush(self) -> None:
        """Make what was set aside durable; may run in another thread beside applying and reading."""
        self._store.flush()

    def end_flush(self) -> None:
        """The flush is done; on the owner's thread."""
        self._store.end_flush()
        self._is_flushing = False

    @property
    def durable_through(self) -> Slot:
        """Where the state would stand after a crash now."""
        return self._store.durable_through
