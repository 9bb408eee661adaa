"""What a client's submission looks like inside a slot, and whose a session is.

A submission leaves its client as bytes, stays opaque through leader, links and disks, and is decoded once on
every replica, by the Applier. All commands of one client that wait together are one submission, so between the two
ends the work is per submission, not per command.

Whose a session is. A client makes a secret of 16 random bytes and shows it with everything it submits; the log holds
only the key that follows from it (``session_key``). The node that is asked compares the two before it proposes
(``wire.client_messages.admit``), the Applier compares the key with the session's, and answers are sent to whoever
showed the secret behind the key. So neither a session's id, which anybody can guess, nor the log, which anybody can
follow, helps a stranger.

Never: know links or frames.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from .limits import KEY_BYTES, NUMBER_MAX, SUBMISSION_COMMANDS_MAX

Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Number = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]

ENVELOPE_BYTES = 80
"""What a submission may add to its payloads: session, numbers, lengths and key."""


@functools.lru_cache(maxsize=16_384)
def session_key(secret: bytes) -> bytes:
    """The key of the session whose client holds this secret; the last ones are remembered, as each is asked for again
    with every submission."""
    return hashlib.blake2b(secret, digest_size=KEY_BYTES, person=b"replog session").digest()


class Commands(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=0):
    """Commands of one session with consecutive sequence numbers.

    Parameters
    ----------
    session: the session's id, as ``SessionOpened`` gave it.
    first_sequence: sequence number of ``payloads[0]``; numbers start at 1 and have no gaps.
    acknowledged_below: the client has the replies to every sequence number below this one, so they may go.
    payloads: the commands, opaque to everything but the state machine.
    key: the session's key.
    """

    session: Number
    first_sequence: Annotated[int, Meta(ge=1, le=NUMBER_MAX)]
    acknowledged_below: Number
    payloads: Annotated[list[bytes], Meta(min_length=1, max_length=SUBMISSION_COMMANDS_MAX)]
    key: Key


class OpenSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=1):
    """Opens the session of a key. One that is open already is answered with its id, so a retry is harmless."""

    key: Key


class CloseSession(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=2):
    """Ends a session and lets go of what is kept for it."""

    session: Number
    key: Key


Submission = Commands | OpenSession | CloseSession


class MalformedSubmission(Exception):
    """Bytes that are no submission of this version."""


_submission_decoder: msgspec.msgpack.Decoder[Submission] = msgspec.msgpack.Decoder(Submission)
_SUBMISSION_STARTS = frozenset({b"\x96\x00", b"\x92\x01", b"\x93\x02"})
"""An array of exactly the fields that its tag has, and the tag."""


def decode_submission(data: bytes) -> Submission:
    """The submission that these bytes are; the verdict depends on the bytes alone.

    The decoder skips fields that it does not know, however deep they are nested, for which it needs the interpreter's
    stack: there the verdict would depend on who asks. So the number of fields is looked at first. What is left has no
    room for nesting, and every number and length its limit.

    Raises ``MalformedSubmission`` and nothing else.
    """
    if data[:2] not in _SUBMISSION_STARTS:
        raise MalformedSubmission("it does not begin as a submission of this version does")
    try:
        return _submission_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise MalformedSubmission(str(error)) from error


def first_sequence_of(submission: Submission) -> int:
    """As in ``outcomes.Refused``."""
    return submission.first_sequence if isinstance(submission, Commands) else 0
