"""What a replica remembers when it starts: the log store reads it, the roles begin from it."""

from __future__ import annotations

import msgspec

from .ballot import Ballot, Slot
from .membership import Membership
from .messages import AcceptedSlot


class Recovered(msgspec.Struct, frozen=True):
    """What a log store remembers when it is opened.

    Parameters
    ----------
    promise: the highest durable promise.
    chosen_through: the durable hint; every slot up to it and above ``compacted_through`` has a record.
    compacted_through: slots up to here are gone.
    accepted: the tail above ``chosen_through``, ascending; damaged records are not in it.
    damaged_chosen: slots at or below ``chosen_through`` whose records are damaged: repaired from peers (P10).
        With ``compacted_through`` among them the state stands below the log, and a peer's state is fetched.
    damaged_reason: empty, or why this node must abstain: its promise or an unchosen acceptance is damaged (P9, P10).
    membership: the newest membership known chosen.
    log_time_ms: the newest stamp at or below ``chosen_through`` that the state has not applied (P11).
    incarnation: of the directory; empty: it is not known to be one of several (P9).
    """

    promise: Ballot
    chosen_through: Slot
    compacted_through: Slot
    accepted: tuple[AcceptedSlot, ...]
    damaged_chosen: tuple[Slot, ...]
    damaged_reason: str
    membership: Membership
    log_time_ms: int = 0
    incarnation: bytes = b""
