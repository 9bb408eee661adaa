"""Submissions that wait for a slot, within their bounds, and the batches that are cut from them.

It knows nothing of ballots. What it protects is memory, and the promise that what is refused was definitely not done.
"""

from __future__ import annotations

from collections import deque

from .effects import Refusal
from .options import Options
from .outbox import Size


class WaitingSubmissions:
    """First come, first served, from the time that this node stands for election until its ballot is over."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self.is_open = False
        """Whether this node leads or tries to: a candidate queues too."""
        self.is_full = False
        """The disk is nearly full: new commands are refused."""

    def __len__(self) -> int:
        return len(self._queue)

    def sizes(self) -> list[Size]:
        return [
            Size("queued submissions", len(self._queue), self._options.queue_submissions_max),
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
            len(self._queue) >= self._options.queue_submissions_max
            or self._bytes + len(submission) > self._options.queue_bytes_max
        ):
            return Refusal.OVERLOADED
        self._queue.append(submission)
        self._bytes += len(submission)
        return None

    def next_batch(self) -> list[bytes]:
        """The first ones that fit together, at least one."""
        assert self._queue, self._bytes
        submissions: list[bytes] = []
        size = 0
        while self._queue and len(submissions) < self._options.batch_submissions_max:
            if submissions and size + len(self._queue[0]) > self._options.batch_bytes_max:
                break
            submission = self._queue.popleft()
            size += len(submission)
            submissions.append(submission)
        self._bytes -= size
        return submissions

    def close(self) -> int:
        """The ballot is over: what waits was not done, and nothing more is taken. How many that were."""
        dropped = len(self._queue)
        self._queue.clear()
        self._bytes = 0
        self.is_open = False
        return dropped

    def check_invariants(self) -> None:
        """What holds between two inputs."""
        size = sum(map(len, self._queue))
        assert self._bytes == size, (self._bytes, size)
        assert self.is_open or not self._queue, len(self._queue)
        assert all(one.count <= one.count_max for one in self.sizes()), self.sizes()
