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

from typing import NoReturn

import msgspec
import structlog

from ..errors import StorageError, error_text
from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.values import Batch, MalformedValue, NoOp, SlotValue, decode_value
from ..state.contract import StateStore
from ..state_machine import WRITES_BYTES_MAX, Command, StateMachine
from .digest import RunningDigest
from .fixed_stack import call_on_fixed_stack, is_raising_warnings, warnings_never_raised
from .limits import (
    FAILURE_BYTES_MAX,
    REPLIES_PIECE_BYTES,
    REPLY_BYTES_MAX,
    SLOT_COMMANDS_MAX,
    SLOT_REPLIES_BYTES_MAX,
)
from .outcomes import Refused, Replies, SequenceGap, SessionExpired, SessionOpened
from .sessions import Kept, Session, SessionOptions, Sessions
from .state_access import Reader, StagedState
from .submissions import CloseSession, Commands, MalformedSubmission, OpenSession, decode_submission

_META = b"meta"
_SESSION = b"session/"

log = structlog.get_logger(__name__)

_encoder = msgspec.msgpack.Encoder()

Told = Replies | SessionOpened | SessionExpired | SequenceGap | Refused
Outcome = tuple[bytes, Told, int]
"""What applying a slot told whoever submitted under a key: key, message, and at least the bytes of its replies."""


class _SlotRun:
    """What one slot has run and told so far; it has room for so much and no more (``limits``)."""

    __slots__ = ("_digest", "offset", "outcomes", "replies_bytes", "slot")

    def __init__(self, slot: Slot, digest: RunningDigest) -> None:
        self.slot = slot
        self.offset = 0
        self.replies_bytes = 0
        self.outcomes: list[Outcome] = []
        self._digest = digest

    @property
    def room(self) -> int:
        """How many commands may still be run; an opened session takes a place, too."""
        return SLOT_COMMANDS_MAX - self.offset if self.replies_bytes < SLOT_REPLIES_BYTES_MAX else 0

    def tell(self, key: bytes, message: Told, weight: int = 0) -> None:
        self.outcomes.append((key, message, weight))
        self.replies_bytes += weight
        self._digest.tell(key, message)


class _Meta(msgspec.Struct, array_like=True):
    """Where the state stands."""

    applied_through: Slot
    log_time_ms: int
    digest: bytes
    checkpoint_slot: Slot
    checkpoint_digest: bytes


_meta_decoder = msgspec.msgpack.Decoder(_Meta)


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


class Applier:
    """Runs one state machine over one store; belongs to the task that owns the replica."""

    def __init__(self, machine: StateMachine, store: StateStore, options: SessionOptions | None = None) -> None:
        self._machine = machine
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
        self._sessions = Sessions(
            self._options,
            ((int.from_bytes(key[len(_SESSION) :], "big"), data) for key, data in store.scan_records(_SESSION)),
        )
        self.commands_applied = 0
        self.commands_failed = 0
        self.commands_repeated = 0
        self.submissions_malformed = 0
        self.slots_malformed = 0
        self._is_flushing = False
        self._failure: BaseException | None = None

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
        """Run one chosen slot; returns what to tell whom, in order.

        Raises
        ------
        StorageError, MemoryError: the store failed, or the process has no memory left. The slot is then half applied in
            memory, which nothing may be read from or made durable any more: the process must end.
        """
        self._refuse_after_failure()
        assert slot == self.applied_through + 1, (slot, self.applied_through)  # P7
        try:
            if is_raising_warnings():
                with warnings_never_raised():
                    return call_on_fixed_stack(self._apply, slot, value)
            return call_on_fixed_stack(self._apply, slot, value)
        except BaseException as error:
            self._failure = error
            raise

    def _apply(self, slot: Slot, value: bytes) -> list[Outcome]:
        decoded = self._decode(slot, value)
        run = _SlotRun(slot, self._digest)
        if isinstance(decoded, Batch):
            self.log_time_ms = max(self.log_time_ms, decoded.time_ms)
            self._sessions.expire(self.log_time_ms)
            self._state.begin()
            for submission in decoded.submissions:
                self._apply_submission(submission, run)
            self._state.end()
            if self._state.failure is not None:
                raise self._state.failure  # whatever the state machine made of it: its answers rest on a failed read
        self.applied_through = slot
        digest = self._digest.close(slot)
        if slot % self._options.digest_interval_slots == 0:
            self._checkpoint = (slot, digest)
        return run.outcomes

    def _decode(self, slot: Slot, value: bytes) -> SlotValue:
        """Bytes that are no value fill their slot and do nothing, on every replica alike: they are chosen, and no
        replica may end over what all of them hold."""
        try:
            return decode_value(value)
        except MalformedValue as error:
            self.slots_malformed += 1
            log.warning("slot_malformed", slot=slot, bytes=len(value), reason=str(error))
            return NoOp()

    def _apply_submission(self, data: bytes, run: _SlotRun) -> None:
        """Run one submission. Bytes that are none are skipped, everywhere alike: an older log may hold them."""
        try:
            submission = decode_submission(data)
        except MalformedSubmission:
            self.submissions_malformed += 1
            return
        match submission:
            case Commands():
                self._apply_commands(submission, run)
            case OpenSession(key):
                self._open(key, run)
            case CloseSession(number, key):
                if self._sessions.find(number, key) is not None:
                    self._sessions.close(number)
                run.tell(key, SessionExpired(number))

    def _open(self, key: bytes, run: _SlotRun) -> None:
        """A session's id is its place, so without a place there is none."""
        if not run.room:
            run.tell(key, Refused(0, 0, "overloaded", "the slot has no room for another session; ask again"))
            return
        session = self._sessions.open(key, run.slot, run.offset, self.log_time_ms)
        run.tell(key, SessionOpened(key, session.number))
        run.offset += 1

    def _apply_commands(self, submission: Commands, run: _SlotRun) -> None:
        """Answer what ran before, run what comes next, and say from where on the client has to send again."""
        key, first, payloads = submission.key, submission.first_sequence, submission.payloads
        session = self._sessions.find(submission.session, key)
        if session is None:
            run.tell(key, SessionExpired(submission.session))
            return
        expected = session.last_sequence + 1
        count = len(payloads)
        if first > expected or count > run.room:
            run.tell(key, SequenceGap(session.number, min(first, expected), submission.acknowledged_below))
            return
        if first < expected:
            repeated = min(expected - first, count)
            self.commands_repeated += repeated
            for replies, weight in session.replies(first, first + repeated - 1):
                run.tell(key, replies, weight)
            payloads = payloads[repeated:]
        session.forget_below(min(submission.acknowledged_below, expected))
        room = session.room(self._options.replies_kept_max)
        if len(payloads) > room:
            payloads = payloads[: max(0, room)]
        if payloads:
            self._run(session, payloads, run)
        if session.last_sequence + 1 < first + count:
            gap = SequenceGap(session.number, session.last_sequence + 1, submission.acknowledged_below)
            run.tell(key, gap)
        self._sessions.touch(session, run.slot, self.log_time_ms)

    def _run(self, session: Session, payloads: list[bytes], run: _SlotRun) -> None:
        """The hot loop: everything that is done per command is done here. Ends early when there is no room left."""
        apply, state, staged = self._machine.apply, self._state, self._state.staged
        store_write, log_writes = self._store.write, self._digest.writes.extend
        slot, number, time_ms = run.slot, session.number, self.log_time_ms
        replies: list[bytes] = []
        failed: list[int] = []
        weight = 0
        offset = run.offset
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
                self._tell(session, run, replies, failed, weight)
                replies, failed, weight = [], [], 0
                if not run.room or session.room(self._options.replies_kept_max) <= 0:
                    break
        if replies:
            self._tell(session, run, replies, failed, weight)

    def _tell(self, session: Session, run: _SlotRun, replies: list[bytes], failed: list[int], weight: int) -> None:
        """Keep and tell one piece of replies."""
        first_sequence = session.last_sequence + 1
        session.keep(Kept(first_sequence, run.slot, run.offset, replies, failed, weight))
        run.tell(session.key, Replies(session.number, first_sequence, run.slot, run.offset, replies, failed), weight)
        run.offset += len(replies)
        self.commands_applied += len(replies)
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

    # --- reads ---

    @property
    def misuse(self) -> str:
        """Empty, or the first call of the state machine that no state takes: a mistake in its code."""
        return self._state.misuse or self._view.misuse

    def query(self, request: bytes) -> bytes:
        """Answer a read from the state as it stands; what the state machine raises goes to the asker."""
        self._refuse_after_failure()
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
        """Set everything applied so far aside to be made durable; False while an earlier flush is under way.

        Raises ``StorageError`` if a slot is half applied: no part of it may become durable.
        """
        self._refuse_after_failure()
        if self._is_flushing:
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
