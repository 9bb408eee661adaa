"""The running digest of the state: what replicas compare, in a layout of its own.

Each slot's digest is xxh3_128 over the digest of the slot before it and one msgpack array

    [version, slot, [[key, value or nil], ...], [what was told, ...]]

of plain values: the writes in their order, and what was told as the arrays below. So it depends on the replicated
machine alone, and not on how messages are laid out on the wire or how errors are worded.

    [0, session, first_sequence, first_offset, [reply, ...], [position, ...]]   replies; at these positions failed ones,
                                                                                which stand as empty
    [1, key, session]             a session was opened
    [2, session]                  there is no such session
    [3, session, expected]        send again from there
    [4]                           no room to open a session

It finds accidents: nobody who could make two states agree by their digests has a way to make them differ.

Never: follow the wire's layout or an error's text.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import xxhash

from ..paxos.ballot import Slot
from .outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused

DIGEST_VERSION: Final = 1
"""Of the layout; members with different ones do not link (``machine_terms``)."""

_encoder = msgspec.msgpack.Encoder()


class RunningDigest:
    """The digest after the last closed slot, and what has been written and told since."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.writes: list[tuple[bytes, bytes | None]] = []
        """What the commands of this slot wrote, in order; the Applier adds to it."""
        self._told: list[tuple[Any, ...]] = []

    def tell(
        self, key: bytes, message: Replies | SessionOpened | SessionGone | SequenceGap | SubmissionRefused
    ) -> None:
        """Something was told whoever submitted under ``key``."""
        match message:
            case Replies():
                self.tell_replies(message)
                return
            case SessionOpened():
                entry: tuple[Any, ...] = (1, key, message.session)
            case SessionGone():
                entry = (2, message.session)
            case SequenceGap():
                entry = (3, message.session, message.expected)
            case SubmissionRefused():
                entry = (4,)
        self._told.append(entry)

    def tell_replies(self, message: Replies) -> None:
        """As ``tell``; what replicas need not agree on is left out."""
        failed, replies = message.failed, message.replies
        if failed:
            replies = list(replies)
            for position in failed:
                replies[position] = b""
        self._told.append((0, message.session, message.first_sequence, message.first_offset, replies, failed))

    def close(self, slot: Slot) -> bytes:
        """The digest after ``slot``."""
        told = _encoder.encode((DIGEST_VERSION, slot, self.writes, self._told))
        self.value = xxhash.xxh3_128_digest(self.value + told)
        self.writes.clear()
        self._told.clear()
        return self.value
