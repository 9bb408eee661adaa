"""What a record leaves out: commands, replies, reads and rows become zero bytes of the same length, keys stand-ins.

The structure stays: a submission or a value is encoded anew around its zeros, with the checksum that then fits (or does
not fit, as before), so that the core's checks hold in another life, and whatever was equal stays equal. Of a secret
nothing is kept; a session's key is replaced by that of a secret made up for it, which depends on random bytes that are
not in the record, so that whose session it is still follows (``wire.client_messages.admit``).

Bytes that are no submission or no value are zeros altogether. A submission that was not encoded as this program encodes
may change its length.

Never: let a payload, an answer, a row or a secret through.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from typing import Any

import crc32c
import msgspec
from msgspec.structs import replace

from ..apply.limits import KEY_BYTES
from ..apply.outcomes import Replies, SessionOpened
from ..apply.submissions import Commands, MalformedSubmission, decode_submission, session_key
from ..paxos.effects import LogWrite
from ..paxos.messages import Accept, AcceptedSlot, Learn, Message, Promise, SnapshotChunk
from ..paxos.values import Batch, MalformedValue, decode_value, encode_value
from ..wire.client_messages import ClientMessage, Query, Submit

_VALUES_REMEMBERED = 64
"""A value is looked at when it comes, when it is written and for each peer that it is sent to."""

_encoder = msgspec.msgpack.Encoder()


class Contents:
    """Hides them, or lets them be.

    Parameters
    ----------
    is_kept: they are recorded as they are.
    """

    def __init__(self, *, is_kept: bool) -> None:
        self.is_kept = is_kept
        self._salt = secrets.token_bytes(KEY_BYTES)
        self._value = functools.lru_cache(_VALUES_REMEMBERED)(self._hidden_value)
        self._secret = functools.lru_cache(16_384)(self._stand_in)

    def fingerprint(self, value: Any) -> str:
        """Of the exact value that is recorded: eight digits tell two apart."""
        return f"#{crc32c.crc32c(_encoder.encode(value)):08x}"

    # --- bytes ---

    def data(self, data: bytes) -> bytes:
        """Opaque bytes."""
        return data if self.is_kept else bytes(len(data))

    def key(self, key: bytes) -> bytes:
        """A session's key."""
        return key if self.is_kept else session_key(self._secret(key))

    def _stand_in(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._salt, digest_size=KEY_BYTES).digest()

    def submission(self, data: bytes) -> bytes:
        """An encoded submission."""
        if self.is_kept:
            return data
        try:
            submission = decode_submission(data)
        except MalformedSubmission:
            return bytes(len(data))
        hidden = replace(submission, key=self.key(submission.key))
        if isinstance(hidden, Commands):
            hidden = replace(hidden, payloads=[bytes(len(payload)) for payload in hidden.payloads])
        return _encoder.encode(hidden)

    def value(self, data: bytes) -> bytes:
        """An encoded value."""
        return data if self.is_kept else self._value(data)[0]

    def _hidden_value(self, data: bytes) -> tuple[bytes, int, int]:
        """With the checksum of the true value, and its own."""
        hidden = self._without_contents(data)
        return hidden, crc32c.crc32c(data), crc32c.crc32c(hidden)

    def _without_contents(self, data: bytes) -> bytes:
        try:
            value = decode_value(data)
        except MalformedValue:
            return bytes(len(data))
        if not isinstance(value, Batch):
            return data
        return encode_value(replace(value, submissions=[self.submission(one) for one in value.submissions]))

    # --- what holds them ---

    def slot(self, record: AcceptedSlot) -> AcceptedSlot:
        """An acceptance."""
        if self.is_kept:
            return record
        hidden, crc, hidden_crc = self._value(record.value)
        return replace(record, value=hidden, crc=hidden_crc if record.crc == crc else hidden_crc ^ 1)

    def slots(self, records: list[AcceptedSlot]) -> list[AcceptedSlot]:
        """Several."""
        return [self.slot(record) for record in records]

    def write(self, write: LogWrite) -> LogWrite:
        """What is made durable."""
        return replace(write, slots=tuple(map(self.slot, write.slots)))

    def message(self, message: Message) -> Message:
        """Between nodes."""
        if self.is_kept:
            return message
        match message:
            case Accept():
                hidden, crc, hidden_crc = self._value(message.value)
                return replace(message, value=hidden, crc=hidden_crc if message.crc == crc else hidden_crc ^ 1)
            case Promise():
                return replace(message, accepted=tuple(map(self.slot, message.accepted)))
            case Learn():
                return replace(message, slots=tuple(map(self.slot, message.slots)))
            case SnapshotChunk():
                zeros = bytes(len(message.data))
                crc = crc32c.crc32c(zeros)
                is_right = message.crc == crc32c.crc32c(message.data)
                return replace(message, data=zeros, crc=crc if is_right else crc ^ 1)
        return message

    def client_message(self, message: ClientMessage) -> ClientMessage:
        """From a client."""
        if self.is_kept:
            return message
        match message:
            case Submit():
                return self._submit(message)
            case Query():
                return replace(message, requests=[bytes(len(request)) for request in message.requests])
        return message

    def _submit(self, message: Submit) -> Submit:
        """A secret that is not the one behind the key becomes one that is not, either."""
        try:
            key = decode_submission(message.submission).key
        except MalformedSubmission:
            return replace(message, submission=bytes(len(message.submission)), secret=b"")
        secret = self._secret(key) if session_key(message.secret) == key else b""
        return replace(message, submission=self.submission(message.submission), secret=secret)

    def outcome(self, outcome: tuple[bytes, Any, int]) -> tuple[bytes, Any, int]:
        """What applying a slot told somebody."""
        if self.is_kept:
            return outcome
        key, told, weight_bytes = outcome
        if isinstance(told, Replies):
            told = replace(told, replies=[bytes(len(reply)) for reply in told.replies])
        elif isinstance(told, SessionOpened):
            told = replace(told, key=self.key(told.key))
        return self.key(key), told, weight_bytes
