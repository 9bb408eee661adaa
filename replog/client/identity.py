"""One session of a client, as the log knows it, and what is submitted in its name."""

from __future__ import annotations

import msgspec

from ..apply.outcomes import SessionOpened
from ..apply.submissions import CloseSession, Commands, OpenSession, Submission, session_key
from ..wire.client_messages import Submit

PIECE_COMMANDS_MAX = 4_096
"""One submission never makes a turn of a replica long."""
COMMAND_ENVELOPE_BYTES = 80
"""What a submission of one command may add to its payload."""
_PAYLOAD_OVERHEAD_BYTES = 5
_ENVELOPE_BYTES = 60

_encoder = msgspec.msgpack.Encoder()


class Identity:
    """A session's id, 0 until the log has given one, and the secret that makes it this client's.

    Whose it is says the secret (``apply.submissions``), so each session has a new one.
    """

    __slots__ = ("is_opening", "key", "number", "secret")

    def __init__(self, secret: bytes) -> None:
        self.number = 0
        self.secret = secret
        self.key = session_key(secret)
        self.is_opening = False
        """Asked for, and not answered."""

    def on_opened(self, message: SessionOpened) -> bool:
        """The log has opened a session; returns whether it is this one, and news."""
        if self.number or message.key != self.key:
            return False
        self.number = message.session
        self.is_opening = False
        return True

    def opening(self) -> Submit:
        """Asks for the session; harmless when it is repeated."""
        self.is_opening = True
        return self._submit(OpenSession(self.key))

    def closing(self) -> Submit:
        """Ends the session, so that the log need not remember it."""
        return self._submit(CloseSession(self.number, self.key))

    def _submit(self, submission: Submission) -> Submit:
        return Submit(0, _encoder.encode(submission), self.secret)

    def submissions(self, first: int, payloads: list[bytes], acknowledged_below: int, bytes_max: int) -> list[Submit]:
        """Consecutive commands, of which ``first`` is the first one's number, cut into what a leader takes."""
        limit = bytes_max - _ENVELOPE_BYTES
        if len(payloads) <= PIECE_COMMANDS_MAX and (
            sum(map(len, payloads)) + _PAYLOAD_OVERHEAD_BYTES * len(payloads) <= limit
        ):
            return [self._commands(first, payloads, acknowledged_below)] if payloads else []
        pieces: list[Submit] = []
        start = size = 0
        for end, payload in enumerate(payloads):
            weight = len(payload) + _PAYLOAD_OVERHEAD_BYTES
            if end > start and (size + weight > limit or end - start >= PIECE_COMMANDS_MAX):
                pieces.append(self._commands(first + start, payloads[start:end], acknowledged_below))
                start, size = end, 0
            size += weight
        pieces.append(self._commands(first + start, payloads[start:], acknowledged_below))
        return pieces

    def _commands(self, first: int, payloads: list[bytes], acknowledged_below: int) -> Submit:
        submission: Submission = Commands(self.number, first, acknowledged_below, payloads, self.key)
        return Submit(self.number, _encoder.encode(submission), self.secret)
