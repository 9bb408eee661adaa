"""Submissions that wait for a slot, within their bounds, and the batches that are cut from them.

It knows nothing of ballots. What it protects is memory, and the promise that what is refused was definitely not done.

A slot costs the same on every node however much is in it, and clients that are answered together ask again together,
but not in one moment. So a batch that is small beside the last ones is *held*: until what comes makes it large enough,
or for ``hold_s``. Where few submissions come at a time, none is; and a lone client that remains after many waits once.
"""

from __future__ import annotations

from collections import deque

from .effects import Refusal
from .options import PaxosOptions
from .outbox import Size

_SMALL = 0.7
"""A batch with less than this of what the last ones had is small."""
_LARGE_BYTES = 32 * 1024
"""A batch of so many bytes is large, whatever the last ones were: its commands cost more than its slot."""
_RECENT = 8
"""About so many batches are the last ones."""


class WaitingSubmissions:
    """First come, first served, from the time that this node stands for election until its ballot is over."""

    def __init__(self, options: PaxosOptions) -> None:
        self._options = options
        self.queue: deque[bytes] = deque()
        """The oldest first; changed here only."""
        self._bytes = 0
        self.is_open = False
        """Whether this node leads or tries to: a candidate queues too."""
        self.is_full = False
        """The disk is nearly full: new commands are refused."""
        self._recent = 0.0
        self.held_until_s: float | None = None
        """A batch is held, and until then at most."""
        self.batches_held = 0

    def __len__(self) -> int:
        return len(self.queue)

    def sizes(self) -> list[Size]:
        return [
            Size("queued submissions", len(self.queue), self._options.queue_submissions_max),
            Size("queued bytes", self._bytes, self._options.queue_bytes_max),
        ]

    def submit(self, submission: bytes) -> Refusal | None:
        """Put one submission at the end; one that is refused is definitely not done."""
        if not self.is_open:
            return Refusal.NOT_LEADER
        if len(submission) > self._options.batch_bytes_max:
            return Refusal.TOO_LARGE
        if self.is_full:
            return Refusal.STORAGE_FULL
        if (
            len(self.queue) >= self._options.queue_submissions_max
            or self._bytes + len(submission) > self._options.queue_bytes_max
        ):
            return Refusal.OVERLOADED
        self.queue.append(submission)
        self._bytes += len(submission)
        return None

    def is_ripe(self, now_s: float) -> bool:
        """Whether what waits may take a slot now; if not, ask again when more has come, or at ``held_until_s``."""
        count, hold_s = len(self.queue), self._options.hold_s
        if not hold_s or count >= int(self._recent * _SMALL) or self._bytes >= _LARGE_BYTES:
            return True
        if self.held_until_s is None:
            self.held_until_s = now_s + hold_s
            self.batches_held += 1
        if now_s < self.held_until_s:
            return False
        if count == 1:
            self._recent = 0.0  # nobody else is there any more
        return True

    def next_batch(self) -> list[bytes]:
        """The first ones that fit together, at least one."""
        assert self.queue, self._bytes
        submissions: list[bytes] = []
        size = 0
        while self.queue and len(submissions) < self._options.batch_submissions_max:
            if submissions and size + len(self.queue[0]) > self._options.batch_bytes_max:
                break
            submission = self.queue.popleft()
            size += len(submission)
            submissions.append(submission)
        self._bytes -= size
        self._recent = max(len(submissions), self._recent + (len(submissions) - self._recent) / _RECENT)
        self.held_until_s = None
        return submissions

    def close(self) -> int:
        """The ballot is over: what waits was not done, and nothing more is taken. How many that were."""
        dropped = len(self.queue)
        self.queue.clear()
        self._bytes = 0
        self.is_open = False
        self._recent = 0.0
        self.held_until_s = None
        return dropped

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        if not self.queue:
            assert self._bytes == 0, self._bytes
            assert self.held_until_s is None, self.held_until_s
            return
        size = sum(map(len, self.queue))
        assert self._bytes == size, (self._bytes, size)
        assert self.is_open, len(self.queue)
        assert all(one.count <= one.count_max for one in self.sizes()), self.sizes()
