"""Sessions: what makes a retried command run once.

A session's id is its place in the log, so it is never used again. It belongs to whoever
holds the secret behind its key (``submissions``). Its commands carry consecutive sequence numbers;
the table remembers the last one that ran and the replies the client has not acknowledged. None of these is let go: when
too much is kept, no more of the session is run until the client has acknowledged some. Where all sessions together keep
too much, those that keep the most go as a whole. Everything here happens in log order on log time alone, so every
replica has the same table (Ongaro, section 6.3, for the idea; ids and expiry are our own).

Never: read a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs
import msgspec
from attrs.validators import ge

from ..paxos.ballot import BEFORE_LOG, Slot
from ..paxos.option_kinds import kinds_checked
from .limits import ALL_REPLIES_KEPT_BYTES_MAX, OFFSET_BITS, REPLIES_KEPT_BYTES_MAX
from .outcomes import Replies


@attrs.frozen(kw_only=True, field_transformer=kinds_checked)
class SessionOptions:
    """Limits of the session table; the same on every member, since expiry must be the same everywhere."""

    sessions_max: int = attrs.field(default=10_000, validator=ge(1))
    """More sessions than this: one that never ran a command goes, or else the least recently applied one."""
    session_idle_max_s: int = attrs.field(default=3_600, validator=ge(1))
    """A session that applied nothing for this much log time goes."""
    replies_kept_max: int = attrs.field(default=65_536, validator=ge(1))
    """Unacknowledged replies kept for one session; with so many no more of it is run until some are acknowledged."""
    digest_interval_slots: int = attrs.field(default=16, validator=ge(1))
    """Digests are compared between replicas at multiples of this."""


class Kept(msgspec.Struct, array_like=True, gc=False):
    """Replies of one slot, or a piece of them, that the client has not acknowledged; the same on every replica but for
    the texts of those that failed."""

    first_sequence: int
    slot: Slot
    first_offset: int
    replies: list[bytes]
    failed: list[int]
    weight_bytes: int
    """Of all replies together; a failed one counts as ``FAILURE_BYTES_MAX``."""

    @property
    def last_sequence(self) -> int:
        return self.first_sequence + len(self.replies) - 1


class _Record(msgspec.Struct, array_like=True):
    """A session as it is stored."""

    key: bytes
    last_sequence: int
    last_slot: Slot
    last_rank: int
    last_time_ms: int
    kept: list[Kept]


class Session:
    """One client's place in the log."""

    __slots__ = (
        "counted_bytes",
        "kept",
        "kept_bytes",
        "kept_count",
        "key",
        "last_rank",
        "last_sequence",
        "last_slot",
        "last_time_ms",
        "number",
    )

    def __init__(self, number: int, key: bytes) -> None:
        self.number = number
        self.key = key
        self.last_sequence = 0
        self.last_slot = BEFORE_LOG
        self.last_rank = 0
        self.last_time_ms = 0
        self.kept: deque[Kept] = deque()
        self.kept_count = 0
        self.kept_bytes = 0
        self.counted_bytes = 0
        """What of ``kept_bytes`` is in the sum over all sessions."""

    def room(self, replies_kept_max: int) -> int:
        """How many more commands may be run before the client has acknowledged some."""
        return replies_kept_max - self.kept_count if self.kept_bytes < REPLIES_KEPT_BYTES_MAX else 0

    def keep(self, kept: Kept) -> None:
        """Remember replies until the client acknowledges them."""
        count = len(kept.replies)
        self.kept.append(kept)
        self.kept_count += count
        self.kept_bytes += kept.weight_bytes
        self.last_sequence += count

    def forget_below(self, acknowledged_below: int) -> None:
        """The client has these replies."""
        kept = self.kept
        while kept:
            oldest = kept[0]
            count = len(oldest.replies)
            if oldest.first_sequence + count > acknowledged_below:
                return
            kept.popleft()
            self.kept_count -= count
            self.kept_bytes -= oldest.weight_bytes

    def replies(self, first_sequence: int, last_sequence: int) -> Iterable[tuple[Replies, int]]:
        """What was answered the first time, as far as it is kept, and at most how much each piece weighs."""
        for kept in self.kept:
            first = max(kept.first_sequence, first_sequence)
            last = min(kept.last_sequence, last_sequence)
            if first <= last:
                start = first - kept.first_sequence
                stop = last - kept.first_sequence + 1
                again = Replies(
                    self.number,
                    first,
                    kept.slot,
                    kept.first_offset + start,
                    kept.replies[start:stop],
                    [position - start for position in kept.failed if start <= position < stop],
                )
                yield again, kept.weight_bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


class Sessions:
    """All open sessions, least recently applied first."""

    def __init__(self, options: SessionOptions, stored: Iterable[tuple[int, bytes]]) -> None:
        self._options = options
        self._idle_max_ms = options.session_idle_max_s * 1000
        sessions = [_decode(number, data) for number, data in stored]
        sessions.sort(key=lambda session: (session.last_slot, session.last_rank))
        self._open: dict[int, Session] = {session.number: session for session in sessions}
        self._by_key: dict[bytes, int] = {session.key: session.number for session in sessions}
        self._unused: dict[int, None] = {session.number: None for session in sessions if not session.last_sequence}
        """Those that never ran a command, in the same order: opening them costs nothing, so they go first."""
        self._kept_bytes = 0
        for session in sessions:
            self._count(session)
        self._changed: set[int] = set()
        self._last_slot = BEFORE_LOG
        self._last_rank = 0

    def __len__(self) -> int:
        return len(self._open)

    def find(self, number: int, key: bytes) -> Session | None:
        """The session of this number, for whoever has its key. Keys are no secrets (``submissions``)."""
        session = self._open.get(number)
        return session if session is not None and session.key == key else None

    def open(self, key: bytes, slot: Slot, offset: int, time_ms: int) -> Session:
        """Open a session at this place; a key that is open already answers with its session."""
        number = self._by_key.get(key)
        if number is not None:
            session = self._open[number]
            self.touch(session, slot, time_ms)
            return session
        session = Session(slot << OFFSET_BITS | offset, key)
        self._open[session.number] = session
        self._by_key[key] = session.number
        self.touch(session, slot, time_ms)
        while len(self._open) > self._options.sessions_max:
            unused = next(iter(self._unused))
            self.close(unused if unused != session.number else next(iter(self._open)))
        return session

    def touch(self, session: Session, slot: Slot, time_ms: int) -> None:
        """The session applied something: it is the most recent one.

        Its rank within the slot is kept, because a repeated submission takes no place of its own in the log: two
        sessions at one place would come back from the store in another order than the one they were applied in.
        """
        self._last_rank = self._last_rank + 1 if slot == self._last_slot else 0
        self._last_slot = slot
        session.last_slot = slot
        session.last_rank = self._last_rank
        session.last_time_ms = time_ms
        del self._open[session.number]
        self._open[session.number] = session
        self._unused.pop(session.number, None)
        if not session.last_sequence:
            self._unused[session.number] = None
        self._changed.add(session.number)
        self._count(session)
        if self._kept_bytes > ALL_REPLIES_KEPT_BYTES_MAX:
            self._let_go_of_the_heaviest()

    def _count(self, session: Session) -> None:
        self._kept_bytes += session.kept_bytes - session.counted_bytes
        session.counted_bytes = session.kept_bytes

    def _let_go_of_the_heaviest(self) -> None:
        """As many as make some room, so that this is seldom done; of two that keep as much the less recent one."""
        goal = ALL_REPLIES_KEPT_BYTES_MAX - ALL_REPLIES_KEPT_BYTES_MAX // 8
        heaviest = sorted(self._open.values(), key=lambda each: (-each.kept_bytes, each.last_slot, each.last_rank))
        for session in heaviest:
            if self._kept_bytes <= goal:
                return
            self.close(session.number)

    def close(self, number: int) -> None:
        session = self._open.pop(number)
        self._kept_bytes -= session.counted_bytes
        self._unused.pop(number, None)
        del self._by_key[session.key]
        self._changed.add(number)

    def expire(self, time_ms: int) -> None:
        """Let go of every session idle for too long in log time."""
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.last_time_ms + self._idle_max_ms >= time_ms:
                return
            self.close(oldest.number)

    def take_changes(self) -> list[tuple[int, bytes | None]]:
        """What has changed since the last call, as it is to be stored (None: gone)."""
        changes: list[tuple[int, bytes | None]] = []
        for number in sorted(self._changed):
            session = self._open.get(number)
            changes.append((number, None if session is None else _encode(session)))
        self._changed.clear()
        return changes


def _encode(session: Session) -> bytes:
    return _encoder.encode(
        _Record(
            session.key,
            session.last_sequence,
            session.last_slot,
            session.last_rank,
            session.last_time_ms,
            list(session.kept),
        )
    )


def _decode(number: int, data: bytes) -> Session:
    record = _decoder.decode(data)
    session = Session(number, record.key)
    session.last_sequence = record.last_sequence
    session.last_slot = record.last_slot
    session.last_rank = record.last_rank
    session.last_time_ms = record.last_time_ms
    session.kept = deque(record.kept)
    session.kept_count = sum(len(kept.replies) for kept in record.kept)
    session.kept_bytes = sum(kept.weight_bytes for kept in record.kept)
    return session
