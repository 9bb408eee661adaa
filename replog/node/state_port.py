"""The thread that performs jobs on the state's disk, beside the node's turns.

Never: decide what to do next (``state_jobs`` does).
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..state.contract import StateStore
from .events import Event, StateJobDone
from .state_jobs import Job
from .threads import in_thread


class StatePort:
    """Performs one job at a time; satisfies ``driver.StatePort``.

    Parameters
    ----------
    put: takes the event that follows.
    """

    def __init__(self, store: StateStore, put: Callable[[Event], None]) -> None:
        self._store = store
        self._put = put
        self._has_job = trio.Event()
        self._job: Job | None = None

    def perform(self, job: Job) -> None:
        """See ``driver.StatePort``."""
        assert self._job is None, (job, self._job)
        self._job = job
        self._has_job.set()

    async def run(self) -> None:
        """Perform what is asked until cancelled; a job that is under way then is finished."""
        limiter = trio.CapacityLimiter(1)
        while True:
            await self._has_job.wait()
            self._has_job = trio.Event()
            job = self._job
            assert job is not None
            try:
                result = await in_thread(job.perform, self._store, limiter=limiter)
                done = StateJobDone(job, result, None)
            except Exception as error:
                done = StateJobDone(job, None, error)
            await trio.lowlevel.checkpoint_if_cancelled()  # a node that has failed meanwhile does not hear of it
            self._job = None
            self._put(done)
