"""Limits that are part of the replicated machine: what is run, kept and answered depends on them on every replica.

They are constants and not settings: two nodes with different ones would have different states. Limits of one node or
of one client stand where they are used.

Never: be a setting.
"""

from __future__ import annotations

from typing import Final

KEY_BYTES: Final = 16
"""A session's key, and the secret it is made from."""

NUMBER_MAX: Final = 2**62
"""Of any number that comes from outside: one more, or a count more, still fits into what the formats hold."""

OFFSET_BITS: Final = 20
"""A session's id is ``slot << 20 | offset``."""

SLOT_COMMANDS_MAX: Final = 1 << OFFSET_BITS
"""Places in one slot. What finds no place is not run there: the client is told to send it again (``SequenceGap``)."""

SUBMISSION_COMMANDS_MAX: Final = 65_536
"""Commands in one submission; a longer one is malformed."""

REPLY_BYTES_MAX: Final = 8 * 2**20
"""A longer reply is an error of its command, whose writes are undone."""

FAILURE_BYTES_MAX: Final = 1024
"""What an error's text is cut to, and what a failed reply weighs whatever its text: a text may differ between replicas
(it names addresses, or another version's wording), so its length decides nothing."""

REPLIES_PIECE_BYTES: Final = 2**20
"""Replies are told and kept in pieces that end when they have grown to this: below it, and one reply."""

REPLIES_KEPT_BYTES_MAX: Final = 16 * 2**20
"""With this much unacknowledged no more of a session is run: the client is told to send it again (``SequenceGap``)
and acknowledges what it has by then. So no reply is ever lost, and nobody is answered more than he takes."""

ALL_REPLIES_KEPT_BYTES_MAX: Final = 512 * 2**20
"""With this much unacknowledged in all sessions together those that keep the most go (``SessionGone``), until an
eighth of it is free: they are in the memory of every replica. What they had under way may have run."""

SLOT_REPLIES_BYTES_MAX: Final = 64 * 2**20
"""The same for all replies of one slot, whosever they are."""
