"""The only door of the core: events go in, one ``Effects`` value comes out.

A turn of the driver: ``tick`` (it sets the time), then any number of events, then ``take_effects``. Many events may go in
before the effects are taken: that is how batches form.
"""

from __future__ import annotations

import enum
import random as random_module
from collections.abc import Callable

from .ballot import Ballot, NodeId, Slot
from .effects import Effects
from .membership import Membership
from .messages import AcceptedSlot, Message
from .options import Options
from .recovered import Recovered


class Refusal(enum.Enum):
    """Why a submission or read was not taken; in each case it will definitely not be done."""

    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    TOO_LARGE = "too_large"
    STORAGE_FULL = "storage_full"


class Replica:
    """One member of the cluster, without its clock, disk and network."""

    def __init__(
        self,
        *,
        node: NodeId,
        options: Options,
        recovered: Recovered,
        random: random_module.Random,
        checksum: Callable[[bytes], int],
        now_s: float,
        time_ms: int,
    ) -> None: ...

    # --- questions ---
    node: NodeId
    options: Options

    @property
    def is_leading(self) -> bool: ...
    @property
    def is_voting(self) -> bool: ...
    @property
    def abstain_reason(self) -> str: ...
    @property
    def leader(self) -> NodeId | None:
        """The node this one follows (maybe itself), or None while it knows of none that is alive."""

    @property
    def promise(self) -> Ballot: ...
    @property
    def chosen_through(self) -> Slot: ...
    @property
    def compacted_through(self) -> Slot: ...
    @property
    def membership(self) -> Membership: ...

    # --- events ---
    def tick(self, now_s: float, time_ms: int) -> None:
        """Time passed: ``now_s`` monotonic seconds, ``time_ms`` wall clock since the Unix epoch. First in each turn."""

    def on_message(self, sender: NodeId, message: Message) -> None: ...
    def submit(self, submission: bytes) -> Refusal | None:
        """Order one opaque submission; None: taken. Not taken: definitely not done."""

    def read(self, read_id: int) -> Refusal | None:
        """Ask for a linearizable read; it comes back in ``Effects.reads`` or ``Effects.reads_refused``."""

    def on_written(self, ticket: int) -> None:
        """The write of ``ticket`` and all before it are durable."""

    def on_link_opened(self, peer: NodeId) -> None: ...
    def on_link_closed(self, peer: NodeId) -> None:
        """Suspicion at once: the peer may be dead."""

    def on_slots_read(self, target: NodeId, slots: list[AcceptedSlot]) -> None:
        """Answer to ``Effects.slot_reads`` (empty: nothing could be read)."""

    def on_slot_damaged(self, slot: Slot) -> None:
        """A record of the log failed its checksum when it was read (P10)."""

    def on_applied(self, applied_through: Slot, digest_slot: Slot, digest: bytes) -> None:
        """The state machine applied up to ``applied_through``; ``digest`` is its digest after ``digest_slot``."""

    def on_compacted(self, compacted_through: Slot) -> None: ...
    def on_state_piece_stored(self, image: bytes, position: int) -> None:
        """Bytes of ``image`` below ``position`` are stored; the next piece may be asked for."""

    def on_state_installed(self, applied_through: Slot) -> None:
        """A received state is in place; the log below it is gone."""

    def on_storage_full(self, is_full: bool) -> None:
        """The disk is nearly full (refuse new commands, hand over) or has room again."""

    def transfer_leadership(self, target: NodeId | None) -> str | None:
        """Hand over to ``target`` (None: the most up to date); returns None, or the reason it is refused."""

    def take_effects(self) -> Effects: ...
