"""Every limit and delay of the core, in one place, with its unit in its name."""

from __future__ import annotations

import math

import attrs
from attrs.validators import ge, gt

from .option_kinds import kinds_checked


@attrs.frozen(kw_only=True, field_transformer=kinds_checked)
class PaxosOptions:
    """Limits and delays of one replica; the same on every member of a cluster.

    Raises
    ------
    ValueError: a limit is not positive, or two of them contradict each other.
    """

    heartbeat_interval_s: float = attrs.field(default=0.1, validator=gt(0.0))
    """How often a node asks its peers how they are. A round is one interval."""
    election_rounds: int = attrs.field(default=3, validator=ge(1))
    """Rounds without a happy leader before a node takes over; a closed link needs none.

    A round trip, waiting in queues and for turns included, must be shorter than all of these rounds but one."""
    patience_max_s: float = attrs.field(default=0.06, validator=gt(0.0))
    """Upper end of the random wait that keeps two candidates from duelling."""
    resend_interval_s: float = attrs.field(default=0.25, validator=gt(0.0))
    """An unanswered Prepare, Accept, Confirm or catch-up request is repeated after this; longer than a round trip."""
    disk_stall_s: float = attrs.field(default=1.0, validator=gt(0.0))
    """A write older than this makes a leader hand over and a follower refrain from taking over."""
    clock_offset_max_s: float = attrs.field(default=5.0, validator=gt(0.0))
    """A node whose clock is further from a quorum's says so and leads only if nobody else can."""
    apply_stall_rounds: int = attrs.field(default=30, validator=ge(1))
    """Heartbeat rounds in which nothing was applied though slots wait; then a leader hands over to whoever applies."""

    window_slots: int = attrs.field(default=64, validator=ge(1))
    """Slots proposed and not yet chosen."""
    window_bytes: int = attrs.field(default=16 * 2**20, validator=ge(1))
    """Their values, together."""
    undurable_slots_max: int = attrs.field(default=1, validator=ge(1))
    """New slots whose own write is under way: while one is written, the next batch grows by itself."""
    hold_s: float = attrs.field(default=0.001, validator=ge(0.0))
    """A batch that is small beside the last ones waits this long for what is on its way; 0: none waits."""
    batch_bytes_max: int = attrs.field(default=2**20, validator=ge(1))
    """A batch is closed at this size; a submission larger than it is refused."""
    batch_submissions_max: int = attrs.field(default=4096, validator=ge(1))
    """A batch holds at most this many submissions."""
    queue_submissions_max: int = attrs.field(default=16384, validator=ge(1))
    """Submissions waiting for a slot; more are refused as overload."""
    queue_bytes_max: int = attrs.field(default=32 * 2**20, validator=ge(1))
    """Their bytes, together."""
    peer_in_flight_bytes_max: int = attrs.field(default=8 * 2**20, validator=ge(1))
    """Accepts sent to one peer and not answered; beyond it the peer is fed from the log later."""
    accept_ahead_slots_max: int = attrs.field(default=256, validator=ge(1))
    """How far above its own chosen_through an acceptor takes slots into memory."""
    piece_bytes_max: int = attrs.field(default=2**20, validator=ge(1))
    """Values in one Promise or Learn piece (a single larger value travels alone)."""
    piece_slots_max: int = attrs.field(default=1024, validator=ge(1))
    """Slots in one Promise or Learn piece."""
    reads_waiting_max: int = attrs.field(default=16384, validator=ge(1))
    """Linearizable reads that wait, for a confirmation or to be answered; more are refused as overload."""
    are_invariants_checked: bool = False
    """Whether the core compares all it keeps with itself after each input; for tests and simulators."""

    @property
    def election_timeout_s(self) -> float:
        """How long a leader may be silent; an answer that takes longer than this counts no more."""
        return self.election_rounds * self.heartbeat_interval_s

    @property
    def leader_patience_rounds(self) -> int:
        """For how long a leader that hears no quorum stays one.

        Nobody is kept waiting by it: it says that it is unhappy, so whoever reaches a quorum takes over after
        ``election_rounds``. If nobody does, its followers may be held up by their disks, for which they are given as
        much time as it is itself (``disk_stall_s``).
        """
        return max(self.election_rounds, math.ceil(self.disk_stall_s / self.heartbeat_interval_s))

    @property
    def open_slots_max(self) -> int:
        """Slots a node may hold above what it knows chosen.

        Those that a new leader adopts, which an acceptor took ahead; its barrier; and what it proposes beside its own
        writes, which others may choose before they are durable here. A node that starts again holds as many more at
        most: the position on its disk is one write older than the records.
        """
        return 2 * (self.accept_ahead_slots_max + 1 + self.undurable_slots_max)

    def __attrs_post_init__(self) -> None:
        if self.accept_ahead_slots_max < self.window_slots:
            raise ValueError(
                f"accept_ahead_slots_max ({self.accept_ahead_slots_max}) must be at least "
                f"window_slots ({self.window_slots}): followers would refuse what a leader may send"
            )
        if self.window_bytes < self.batch_bytes_max:
            raise ValueError(
                f"window_bytes ({self.window_bytes}) must hold at least one batch (batch_bytes_max "
                f"{self.batch_bytes_max})"
            )
