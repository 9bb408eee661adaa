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

from .errors import StorageError
from .paxos.ballot import BEFORE_LOG, Slot
from .paxos.values import Batch, decode_value
from .requests import (
    CloseSession,
    Commands,
    OpenSession,
    Replies,
    SequenceGap,
    SessionExpired,
    SessionOpened,
    Submission,
)
from .sessions import Kept, Session, SessionOptions, Sessions
from .state_machine import Command, StateMachine
from .storage import StateStore

KEY_BYTES_MAX = 500
_META = b"meta"
_SESSION = b"session/"

Outcome = Replies | SessionOpened | SessionExpired | SequenceGap

_encoder = msgspec.msgpack.Encoder()
_submission_decoder: msgspec.msgpack.Decoder[Submission] = msgspec.msgpack.Decoder(Submission)


class _Meta(msgspec.Struct, array_like=True):
    """Where the state stands."""

    applied_through: Slot
    log_time_ms: int
    digest: bytes
    checkpoint_slot: Slot
    checkpoint_digest: bytes


_meta_decoder = msgspec.msgpack.Decoder(_Meta)


class Reader:
    """A StateView over a store, which remembers that the store failed: who reads it may keep that to themselves."""

    __slots__ = ("_store", "failure")

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.failure: StorageError | None = None

    @overload
    def get(self, key: bytes) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: bytes) -> bytes: ...

    def get(self, key: bytes, default: bytes | None = None) -> bytes | None:
        try:
            value = self._store.get(key)
        except StorageError as error:
            self.failure = error
            raise
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
        try:
            yield from self._store.scan(first, last, is_reverse=is_reverse)
        except StorageError as error:
            self.failure = error
            raise


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
        self._is_flushing = False
        self._is_half_applied = False

    @property
    def failure(self) -> StorageError | None:
        """Why this state must neither be computed with nor be made durable any more."""
        if self._is_half_applied:
            return StorageError(f"slot {self.applied_through + 1} was applied by half; a new start applies it again")
        return self._view.failure

    def _refuse_after_failure(self) -> None:
        if (failure := self.failure) is not None:
            raise failure

    # --- slots ---

    def apply(self, slot: Slot, value: bytes) -> list[Outcome]:
        """Run one chosen slot; returns what to tell whom, in order.

        Raises ``StorageError`` if the store failed; the slot is then half applied in memory, which nothing may be read
        from or made durable, and the process must end.
        """
        self._refuse_after_failure()
        assert slot == self.applied_through + 1, (slot, self.applied_through)  # P7
        self._is_half_applied = True
        decoded = decode_value(value)
        outcomes: list[Outcome] = []
        if isinstance(decoded, Batch):
            self.log_time_ms = max(self.log_time_ms, decoded.time_ms)
            self._sessions.expire(self.log_time_ms)
            offset = 0
            for submission in decoded.submissions:
                offset = self._apply_submission(submission, slot, offset, outcomes)
        self.applied_through = slot
        self._digest_slot(slot, outcomes)
        self._is_half_applied = False
        return outcomes

    def _digest_slot(self, slot: Slot, outcomes: list[Outcome]) -> None:
        """Chain the slot's writes and replies into the running digest."""
        told = _encoder.encode((slot, self._writes, outcomes))
        self.digest = hashlib.blake2b(told, digest_size=16, key=self.digest).digest()
        self._writes.clear()
        if slot % self._options.digest_interval_slots == 0:
            self._checkpoint = (slot, self.digest)

    def _apply_submission(self, data: bytes, slot: Slot, offset: int, outcomes: list[Outcome]) -> int:
        """Run one submission; returns the next free offset. Bytes that are none are skipped, everywhere alike."""
        try:
            submission = _submission_decoder.decode(data)
        except msgspec.DecodeError:
            self.submissions_malformed += 1
            return offset
        match submission:
            case Commands():
                return self._apply_commands(submission, slot, offset, outcomes)
            case OpenSession():
                session = self._sessions.open(submission.nonce, slot, offset, self.log_time_ms)
                outcomes.append(SessionOpened(submission.nonce, session.number))
            case CloseSession():
                if self._sessions.close(submission.session):
                    outcomes.append(SessionExpired(submission.session))
        return offset + 1

    def _apply_commands(self, submission: Commands, slot: Slot, offset: int, outcomes: list[Outcome]) -> int:
        session = self._sessions.get(submission.session)
        first, payloads = submission.first_sequence, submission.payloads
        if session is None:
            outcomes.append(SessionExpired(submission.session))
            return offset
        if first < 1 or not payloads:
            self.submissions_malformed += 1
            return offset
        expected = session.last_sequence + 1
        if first > expected:
            outcomes.append(SequenceGap(submission.session, expected))
            return offset
        if first < expected:
            repeated = min(expected - first, len(payloads))
            self.commands_repeated += repeated
            outcomes.extend(session.replies(first, first + repeated - 1))
            payloads = payloads[repeated:]
        session.forget_below(min(submission.acknowledged_below, expected))
        if payloads:
            outcomes.append(self._run(session, payloads, slot, offset))
        self._sessions.touch(session, slot, self.log_time_ms)
        return offset + len(payloads)

    def _run(self, session: Session, payloads: list[bytes], slot: Slot, first_offset: int) -> Replies:
        """The hot loop: everything that is done per command is done here."""
        apply, state, staged = self._machine.apply, self._state, self._state.staged
        store_put, store_delete, log_write = self._store.put, self._store.delete, self._writes.append
        number, time_ms = session.number, self.log_time_ms
        replies: list[bytes] = []
        failed: list[int] = []
        offset = first_offset
        for payload in payloads:
            try:
                reply = apply(state, Command(payload, slot, offset, number, time_ms))
                if type(reply) is not bytes:
                    raise TypeError(f"apply must return bytes, not {type(reply).__name__}")
            except (MemoryError, StorageError):
                raise
            except Exception as error:
                reply = f"{type(error).__name__}: {error}".encode()
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
        first_sequence = session.last_sequence + 1
        session.keep(Kept(first_sequence, slot, first_offset, replies, failed), self._options.replies_kept_max)
        self.commands_applied += len(replies)
        self.commands_failed += len(failed)
        return Replies(number, first_sequence, slot, first_offset, replies, failed)

    # --- reads ---

    def query(self, request: bytes) -> bytes:
        """Answer a read from the state as it stands; what the state machine raises goes to the asker."""
        self._refuse_after_failure()
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
