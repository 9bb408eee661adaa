"""What a load generator is asked to do: one value that every generator, in whatever language, understands."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from attrs.validators import ge, gt, in_

WORKS = ("put", "submit_many", "order", "linearizable", "stale", "mixed")
"""What the callers of our own generator do; the generators of the peers know ``put`` alone."""


@attrs.frozen(kw_only=True)
class LoadPlan:
    """One measured window.

    Parameters
    ----------
    outstanding: operations under way in a closed loop; in an open loop the most that may be under way.
    connections: client objects that share them, each with a connection (and for us a session) of its own.
    seconds: length of the window that counts.
    warmup_s: how long the same load runs before the window opens.
    value_bytes, keys: size of a value, and how many keys take turns.
    deadline_s: an operation without an answer for so long is an error.
    rate_per_s: 0 for a closed loop; otherwise operations are due at this rate whatever happens, and a latency counts
        from the moment an operation was due. So a stall is seen by all who would have met it (no coordinated omission).
    work: one of ``WORKS``.
    batch: commands in one ``submit_many``.
    has_timeline: report the answers in each 10 ms too.
    """

    outstanding: int = attrs.field(default=256, validator=ge(1))
    connections: int = attrs.field(default=16, validator=ge(1))
    seconds: float = attrs.field(default=6.0, validator=gt(0))
    warmup_s: float = attrs.field(default=1.0, validator=ge(0))
    value_bytes: int = attrs.field(default=175, validator=ge(1))
    keys: int = attrs.field(default=1000, validator=ge(1))
    deadline_s: float = attrs.field(default=5.0, validator=gt(0))
    rate_per_s: float = attrs.field(default=0.0, validator=ge(0))
    work: str = attrs.field(default="put", validator=in_(WORKS))
    batch: int = attrs.field(default=1, validator=ge(1))
    has_timeline: bool = False

    def words(self, endpoints: Sequence[str]) -> list[str]:
        """The command line that all generators share."""
        words = {
            "--endpoints": ",".join(endpoints),
            "--connections": min(self.connections, self.outstanding),
            "--outstanding": self.outstanding,
            "--value-bytes": self.value_bytes,
            "--keys": self.keys,
            "--warmup-s": self.warmup_s,
            "--seconds": self.seconds,
            "--deadline-s": self.deadline_s,
        }
        flags = ["--timeline"] if self.has_timeline else []
        return [str(word) for pair in words.items() for word in pair] + flags
