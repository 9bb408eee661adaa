"""What becomes of a submission: each is told to the client as it stands here.

Never: know links or frames.
"""

from __future__ import annotations

import msgspec

from ..paxos.ballot import Slot


class Replies(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=40):
    """Replies to consecutive sequence numbers of one session that were applied in one slot.

    Parameters
    ----------
    slot, first_offset: where ``first_sequence`` stands in the log; the others follow it.
    failed: positions in ``replies`` whose command raised in ``apply``; the reply is then the error's text, which is
        for people: it may differ between replicas.
    """

    session: int
    first_sequence: int
    slot: Slot
    first_offset: int
    replies: list[bytes]
    failed: list[int] = []


class SessionOpened(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=41):
    key: bytes
    session: int


class SessionGone(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=42):
    """There is no such session of that key: it expired, was closed, or never was. Nothing of it will be run."""

    session: int


class SequenceGap(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=43):
    """From ``expected`` on a submission was not run, and the client sends again from there.

    It skipped that number, or as much as is kept for a session is unacknowledged, or the slot had no room left.
    ``acknowledged_below`` is that of the submission: one that left before the client last sent again is no news.
    """

    session: int
    expected: int
    acknowledged_below: int


class SubmissionRefused(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=44):
    """A submission was not taken and will not be run.

    Parameters
    ----------
    session: as in the Submit.
    first_sequence: of the refused submission (0 where there is none).
    code: ``overloaded``, ``too_large``, ``storage_full``; ``malformed`` and ``not_yours`` say the same everywhere.
    reason: one sentence for a person.
    """

    session: int
    first_sequence: int
    code: str
    reason: str
