"""How one simulated process is set and how its disks behave, as a seed draws it or a story says.

Never: draw anything.
"""

from __future__ import annotations

import attrs

from ..apply.sessions import SessionOptions
from ..node.settings import NodeOptions
from ..paxos.options import PaxosOptions
from .log_disk import JOURNAL_BYTES_SMALL


@attrs.define(kw_only=True)
class DiskWeather:
    """How one node's disks behave."""

    write_s: float = 0.0004
    stall_rate: float = 0.0
    stall_s: float = 0.3
    crash_before_rate: float = 0.0
    """Crashes aimed between handled and durable."""
    crash_after_rate: float = 0.0
    """Crashes aimed between durable and answered."""
    job_crash_rate: float = 0.0
    """Crashes aimed before or after any job on the state's disk."""
    crash_at_job: str = ""
    """``before Flush``, ``after StoreChunk``: the next job of that kind is cut short."""
    unheard_rate: float = 0.5
    """Crashes during a write after which the write is found durable all the same,"""
    tear_rate: float = 0.5
    """and of the others those after which some of it is found: a part of a record, or a step of several."""
    is_full: bool = False
    """The log's is nearly full: new commands are refused, the leadership is handed over."""
    has_no_room: bool = False
    """And nothing more finds room there but a promise, or what takes the place of slots that go."""
    is_state_full: bool = False
    """The state's takes nothing."""
    is_state_hanging: bool = False
    """No flush of the state ends, so nothing more is applied."""


@attrs.define(kw_only=True)
class HostOptions:
    """Settings and conditions of one process; ``paxos`` and ``sessions`` are the same on every member."""

    paxos: PaxosOptions
    sessions: SessionOptions
    node: NodeOptions
    flush_s: float = 0.001
    """How long the state's flush takes."""
    install_s: float = 0.0
    """How long a received state is checked before it is swapped in."""
    turn_delay_s: float = 0.0
    """A process takes its turns up to so much later than it could."""
    apply_s: float = 0.0
    """What a slot costs the turn in which it is applied."""
    cut_rate: float = 0.0
    """Looks at the clock within a slot at which the turn's time is over."""
    submit_s: float = 0.0
    """What a submission costs the turn in which the core takes it."""
    memory_lack_rate: float = 0.0
    """Commands that raise MemoryError the first time a replica runs them."""
    durable_here_rate: float = 0.0
    """Writes that are durable within the turn, where the driver lets them be."""
    slow_reader_s: float = 0.0
    """How long a client's link takes for each frame."""
    client_buffer_bytes_max: int = 2**26
    """What may wait for a client before its link is given up."""
    client_flip_rate: float = 0.0
    """Frames of clients that arrive with a bit flipped."""
    pings_max: int = 0
    """A client's frame holds fewer pings than this beside what it is about."""
    clock_rate: float = 1.0
    """How fast its monotonic clock runs."""
    install_crash_rate: float = 0.0
    """Crashes aimed between a received state and the log's floor, which follows it."""
    journal_rate: float = 0.0
    """Lives of the process in which it writes a journal in front of its log,"""
    journal_bytes: int = JOURNAL_BYTES_SMALL
    """and the size of that."""
    start_cut_rate: float = 0.0
    """Starts that the power does not last for."""
