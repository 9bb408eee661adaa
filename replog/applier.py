"""The Applier: runs chosen slots through the state machine, in order, exactly once.

It owns the position in the log, the log time, the sessions and the running digest, and stores them with the state
machine's data in one flush, so they can't disagree (P7, PITFALLS 25). It does not know how a slot came to be chosen.

An exception out of ``apply`` is a reply like any other: the command's writes are dropped and its text goes back, the
same on every replica. Only what is this process's own trouble (no memory, a failing disk) is passed on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import overload

import msgspec
import structlog

from .errors import StorageError
from .limits import (
    FAILURE_BYTES_MAX,
    REPLIES_PIECE_BYTES,
    REPLY_BYTES_MAX,
    SLOT_COMMANDS_MAX,
    SLOT_REPLIES_BYTES_MAX,
)
from .paxos.ballot import BEFORE_LOG, Slot
from .paxos.values import Batch, MalformedValue, NoOp, SlotValue, decode_value
from .requests import (
    CloseSession,
    Commands,
    MalformedSubmission,
    OpenSession,
    Refused,
    Replies,
    SequenceGap,
    SessionExpired,
    SessionOpened,
    decode_submission,
)
from .sessions import Kept, Session, SessionOptions, Sessions
from .state_machine import Command, StateMachine
from .storage import StateStore

KEY_BYTES_MAX = 500
_META = b"meta"
_SESSION = b"session/"

log = structlog.get_logger(__name__)

_encoder = msgspec.msgpack.Encoder()


Told = Replies | SessionOpened | SessionExpired | SequenceGap | Refused
Outcome = tuple[bytes, Told, int]
"""What applying a slot told whoever submitted under a key: key, message, and at least the bytes of its replies."""


class _SlotRun:
    """What one slot has run and told so far; it has room for so much and no more (``limits``)."""

    __slots__ = ("has_failures", "offset", "outcomes", "replies_bytes", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.offset = 0
        self.replies_bytes = 0
        self.has_failures = False
        self.outcomes: list[Outcome] = []

    def has_room(self, places: int) -> bool:
        return self.offset + places <= SLOT_COMMANDS_MAX and self.replies_bytes < SLOT_REPLIES_BYTES_MAX

    def tell(self, key: bytes, message: Told, weight: int = 0) -> None:
        self.outcomes.append((key, message, weight))
        self.replies_bytes += weight


class _Meta(msgspec.Struct, array_like=True):
    """Where the state stands."""

    applied_through: Slot
    log_time_ms: int
    digest: bytes
    checkpoint_slot: Slot
    checkpoint_digest: bytes


_meta_decoder = msgspec.msgpack.Decoder(_Meta)


class Reader:
    """A StateView over a store."""

    __slots__ = ("_store",)

    def __init__(self, store: StateStore) -> None:
        self._store = store

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        value = self._store.get(key)
        return default if value is None else value

    def scan(
        self,
        prefix: bytes = b"",
        *,
        start: bytes | None = None,
        stop: bytes | None = None,
        is_reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        first, last = scan_range(prefix, start, stop)
        return self._store.scan(first, last, is_reverse=is_reverse)


class StagedState:
    """A State whose writes wait until their command has succeeded."""

    __slots__ = ("_store", "staged")

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.staged: dict[bytes, bytes | None] = {}

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        value = self.staged[key] if key in self.staged else self._store.get(key)
        return default if value is None else value

    def put(self, key: bytes, value: bytes) -> None:
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise ValueError(f"a key has 1 to {KEY_BYTES_MAX} bytes, not {len(key)}")
        self.staged[key] = value

    def delete(self, key: bytes) -> None:
        self.staged[key] = None

    def scan(
        self,
        prefix: bytes = b"",
        *,
        start: bytes | None = None,
        stop: bytes | None = None,
        is_reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        first, last = scan_range(prefix, start, stop)
        stored = self._store.scan(first, last, is_reverse=is_reverse)
        if not self.staged:
            return stored
        own = {key: value for key, value in self.staged.items() if key >= first and (last is None or key < last)}
        return _merge(stored, own, is_reverse=is_reverse)


def scan_range(prefix: bytes, start: bytes | None, stop: bytes | None) -> tuple[bytes, bytes | None]:
    """The half-open key range that a scan's arguments mean together."""
    last = _after_prefix(prefix)
    if stop is not None and (last is None or stop < last):
        last = stop
    return max(prefix, start or b""), last


def _after_prefix(prefix: bytes) -> bytes | None:
    """The first key that is above every key under ``prefix``; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _merge(
    stored: Iterator[tuple[bytes, bytes]], own: dict[bytes, bytes | None], *, is_reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Stored pairs with ``own`` laid over them, in key order."""
    keys = sorted(own, reverse=not is_reverse)
    for key, value in stored:
        while keys and (keys[-1] > key if is_reverse else keys[-1] < key):
            ahead = keys.pop()
            if (staged := own[ahead]) is not None:
                yield ahead, staged
        if keys and keys[-1] == key:
            keys.pop()
            if (staged := own[key]) is not None:
                yield key, staged
        else:
            yield key, value
    while keys:
        ahead = keys.pop()
        if (staged := own[ahead]) is not None:
            yield ahead, staged


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
        self.digest = meta.digest
        self._checkpoint = (meta.checkpoint_slot, meta.checkpoint_digest)
        self._sessions = Sessions(
            self._options,
            ((int.from_bytes(key[len(_SESSION) :], "big"), data) for key, data in store.scan_records(_SESSION)),
        )
        self._writes: list[tuple[bytes, bytes | None]] = []
        self.commands_applied = 0
        self.commands_failed = 0
        self.commands_repeated = 0
        self.submissions_malformed = 0
        self.slots_malformed = 0
        self._is_flushing = False

    # --- slots ---

    def apply(self, slot: Slot, value: bytes) -> list[Outcome]:
        """Run one chosen slot; returns what to tell whom, in order.

        Raises ``StorageError`` if the store failed; the slot is then half applied in memory and the process must end.
        """
        assert slot == self.applied_through + 1, (slot, self.applied_through)  # P7
        decoded = self._decode(slot, value)
        run = _SlotRun(slot)
        if isinstance(decoded, Batch):
            self.log_time_ms = max(self.log_time_ms, decoded.time_ms)
            self._sessions.expire(self.log_time_ms)
            for submission in decoded.submissions:
                self._apply_submission(submission, run)
        self.applied_through = slot
        self._digest_slot(slot, [_comparable(one) for one in run.outcomes] if run.has_failures else run.outcomes)
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

    def _digest_slot(self, slot: Slot, outcomes: list[Outcome]) -> None:
        """Chain the slot's writes and replies into the running digest."""
        told = _encoder.encode((slot, self._writes, outcomes))
        self.digest = hashlib.blake2b(told, digest_size=16, key=self.digest).digest()
        self._writes.clear()
        if slot % self._options.digest_interval_slots == 0:
            self._checkpoint = (slot, self.digest)

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
        if not run.has_room(1):
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
        if first > expected or not run.has_room(len(payloads)):
            run.tell(key, SequenceGap(session.number, min(first, expected), submission.acknowledged_below))
            return
        behind = first + len(payloads)
        if first < expected:
            repeated = min(expected - first, len(payloads))
            self.commands_repeated += repeated
            for replies, weight in session.replies(first, first + repeated - 1):
                run.tell(key, replies, weight)
                run.has_failures = run.has_failures or bool(replies.failed)
            payloads = payloads[repeated:]
        session.forget_below(min(submission.acknowledged_below, expected))
        room = session.room(self._options.replies_kept_max)
        if len(payloads) > room:
            payloads = payloads[:room]
        if payloads:
            self._run(session, payloads, run)
        if session.last_sequence + 1 < behind:
            gap = SequenceGap(session.number, session.last_sequence + 1, submission.acknowledged_below)
            run.tell(key, gap)
        self._sessions.touch(session, run.slot, self.log_time_ms)

    def _run(self, session: Session, payloads: list[bytes], run: _SlotRun) -> None:
        """The hot loop: everything that is done per command is done here. Ends early when there is no room left."""
        apply, state, staged = self._machine.apply, self._state, self._state.staged
        store_put, store_delete, log_write = self._store.put, self._store.delete, self._writes.append
        slot, number, time_ms = run.slot, session.number, self.log_time_ms
        replies: list[bytes] = []
        failed: list[int] = []
        weight = 0
        offset = run.offset
        for payload in payloads:
            try:
                reply = apply(state, Command(payload, slot, offset, number, time_ms))
                if type(reply) is not bytes:
                    raise TypeError(f"apply must return bytes, not {type(reply).__name__}")
                size = len(reply)
                if size > REPLY_BYTES_MAX:
                    raise ValueError(f"a reply has at most {REPLY_BYTES_MAX:,} bytes, not {size:,}")
            except (MemoryError, StorageError):
                raise
            except Exception as error:
                reply = f"{type(error).__name__}: {error}".encode()[:FAILURE_BYTES_MAX]
                size = FAILURE_BYTES_MAX
                failed.append(len(replies))
            else:
                for key, value in staged.items():
                    log_write((key, value))
                    if value is None:
                        store_delete(key)
                    else:
                        store_put(key, value)
            staged.clear()
            replies.append(reply)
            offset += 1
            weight += size
            if weight >= REPLIES_PIECE_BYTES:
                self._tell(session, run, replies, failed, weight)
                replies, failed, weight = [], [], 0
                if not run.has_room(1) or not session.room(self._options.replies_kept_max):
                    return
        if replies:
            self._tell(session, run, replies, failed, weight)

    def _tell(self, session: Session, run: _SlotRun, replies: list[bytes], failed: list[int], weight: int) -> None:
        """Keep and tell one piece of replies."""
        first_sequence = session.last_sequence + 1
        session.keep(Kept(first_sequence, run.slot, run.offset, replies, failed, weight))
        message = Replies(session.number, first_sequence, run.slot, run.offset, replies, failed)
        run.tell(session.key, message, weight)
        run.offset += len(replies)
        self.commands_applied += len(replies)
        if failed:
            self.commands_failed += len(failed)
            run.has_failures = True

    # --- reads ---

    def query(self, request: bytes) -> bytes:
        """Answer a read from the state as it stands; what the state machine raises goes to the asker."""
        return self._machine.query(self._view, request)

    def violations(self) -> list[str]:
        """What must never be and is, as the state machine sees it."""
        return list(self._machine.violations(self._view))

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
        """Set everything applied so far aside to be made durable; False while an earlier flush is under way."""
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


def _comparable(outcome: Outcome) -> Outcome:
    """What replicas must agree on: of a failed command that it failed, and not its error's text."""
    key, message, weight = outcome
    if type(message) is not Replies or not message.failed:
        return outcome
    replies = list(message.replies)
    for position in message.failed:
        replies[position] = b""
    return key, msgspec.structs.replace(message, replies=replies), weight
