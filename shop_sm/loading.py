"""Loads an import into a shop: many commands under way at once, each done once, however often it is interrupted.

Every command carries an id made from the import's name and a line number, so sending one again is harmless; that is
what makes a load safe to repeat. What makes repeating quick is that lines are sent in order within a window: all lines
that lie a window before a missing one are there, and a missing one is found by halving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import uniform

import anyio
import attrs

from replog.errors import OutcomeUnknown, Overloaded, SessionExpired, Unavailable

from .answers import OrderAnswer
from .cdnow import Import
from .client import ShopClient
from .commands import SingleCommand
from .results import RefundOwed, Refusal, SingleResult

OUTSTANDING = 256
WINDOW = 4_096
"""No line is sent before the one this far ahead of it is answered, so what lies this far before a missing line is
there, whatever the number of commands under way was."""

BATCH = 128
PATIENCE_S = 60.0


@attrs.define
class Progress:
    """How far a load is.

    Parameters
    ----------
    total: orders of the import.
    resumed_at: orders not sent again because an earlier load was past them.
    done: orders answered or skipped.
    repeats: commands sent again after a failure of the cluster.
    refusals: why orders were refused, by line, the first few of them.
    refused: how many were.
    """

    total: int
    resumed_at: int = 0
    done: int = 0
    repeats: int = 0
    refused: int = 0
    refusals: list[str] = attrs.Factory(list)


Watch = Callable[[Progress], None]


def watch_nothing(progress: Progress) -> None:
    """Nobody looks."""


class Loader:
    """One load of one import.

    Parameters
    ----------
    shop: where it goes.
    outstanding: commands under way at once, at most ``WINDOW``.
    watch: called after every order.
    """

    def __init__(
        self, shop: ShopClient, imported: Import, *, outstanding: int = OUTSTANDING, watch: Watch = watch_nothing
    ) -> None:
        if not 0 < outstanding <= WINDOW:
            raise ValueError(f"outstanding must be 1 to {WINDOW}, not {outstanding}")
        self._shop = shop
        self._import = imported
        self._outstanding = outstanding
        self._watch = watch
        self.progress = Progress(total=len(imported.purchases))
        self._begun = 0
        self._under_way: dict[int, None] = {}
        self._window_moved = anyio.Event()

    async def load(self) -> Progress:
        """Catalogue and customers, then the orders from where an earlier load may have stopped.

        Raises what the log's client raises if the cluster stays away for ``PATIENCE_S``.
        """
        first = await self.first_to_send()
        if first == 0:
            await self.run_all(batches(self._import.catalogue(), BATCH))
            await self.run_all(batches(self._import.customers(), BATCH))
        self.progress.resumed_at = self.progress.done = first
        self._watch(self.progress)
        await self.run_all(
            (f"line {purchase.line}", self._import.order(purchase).commands)
            for purchase in self._import.purchases[first:]
        )
        return self.progress

    async def first_to_send(self) -> int:
        """The first order that can be missing.

        Halving finds a missing order whose predecessor is there; what else is missing lies less than a window before
        that predecessor.
        """
        purchases = self._import.purchases
        low, high = 0, len(purchases)
        while low < high:
            middle = (low + high) // 2
            order = await self._shop.order(self._import.order_id(purchases[middle]))
            if isinstance(order, OrderAnswer):
                low = middle + 1
            else:
                high = middle
        return max(0, low - WINDOW)

    async def run_all(self, work: Iterable[tuple[str, Sequence[SingleCommand]]]) -> None:
        """Everything in ``work``, begun in order, ``outstanding`` at once."""
        waiting = iter(work)
        async with anyio.create_task_group() as tasks:
            for _ in range(self._outstanding):
                tasks.start_soon(self._work_off, waiting)

    async def _work_off(self, waiting: Iterator[tuple[str, Sequence[SingleCommand]]]) -> None:
        for name, commands in waiting:
            number = self._begun
            self._begun += 1
            self._under_way[number] = None
            while number - next(iter(self._under_way)) >= WINDOW:
                await self._window_moved.wait()
            self._note(name, await self._persist(commands))
            is_oldest = number == next(iter(self._under_way))
            del self._under_way[number]
            if is_oldest:
                self._window_moved.set()
                self._window_moved = anyio.Event()

    async def _persist(self, commands: Sequence[SingleCommand]) -> list[SingleResult]:
        """Sends until answered: whatever became of the attempt before, these commands can't be done twice."""
        give_up_at = anyio.current_time() + PATIENCE_S
        while True:
            try:
                return await self._shop.run_batch(commands)
            except (Unavailable, Overloaded, OutcomeUnknown, SessionExpired):
                if anyio.current_time() > give_up_at:
                    raise
            self.progress.repeats += 1
            await anyio.sleep(uniform(0.02, 0.2))

    def _note(self, name: str, results: list[SingleResult]) -> None:
        refusal = next((result for result in results if isinstance(result, Refusal | RefundOwed)), None)
        if refusal is not None:
            self.progress.refused += 1
            if len(self.progress.refusals) < 10:
                self.progress.refusals.append(f"{name}: {refusal}")
        if name.startswith("line "):
            self.progress.done += 1
            self._watch(self.progress)


def batches(commands: Iterable[SingleCommand], size: int) -> Iterator[tuple[str, list[SingleCommand]]]:
    """Commands in groups; a group is named after its first one."""
    group: list[SingleCommand] = []
    for command in commands:
        group.append(command)
        if len(group) == size:
            yield f"{group[0]}", group
            group = []
    if group:
        yield f"{group[0]}", group
