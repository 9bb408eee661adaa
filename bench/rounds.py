"""Measures cells in rounds: every cell once, then every cell again, so that drift of the machine hits all alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from replog.cli import note

from .errors import ChildFailed
from .measurement import Measurement, Series
from .plan import LoadPlan
from .progress import Step, progress
from .stage import Setup, Stage, open_stage

_FIRST_WARMUP_S = 3.0
"""Before the first window of a cluster that a virtual machine has yet to compile."""


@attrs.frozen(kw_only=True)
class Cell:
    """One load on one cluster.

    Parameters
    ----------
    label: what sets it apart in its table.
    """

    setup: Setup
    plan: LoadPlan
    label: str = ""

    @property
    def title(self) -> str:
        return ", ".join(filter(None, (self.setup.system.name, self.label, f"{self.plan.outstanding} outstanding")))


@attrs.frozen(kw_only=True)
class Outcome:
    """What all rounds gave.

    Parameters
    ----------
    failures: a sentence for each window that gave no result.
    """

    series: Sequence[Series]
    failures: Sequence[str] = ()


async def measure_rounds(title: str, cells: Sequence[Cell], *, rounds: int, folder: Path) -> Outcome:
    """Start every cluster that a cell names, and measure.

    A window that fails costs its own row a round and nothing else: a quarter of an hour of the others is not lost.
    """
    setups = list(dict.fromkeys(cell.setup for cell in cells))
    with progress(title, len(cells) * rounds) as step:
        async with open_stage(setups, folder) as stage:
            await _warm_up(setups, cells, stage)
            return await _all_rounds(cells, rounds, stage, step)


async def _warm_up(setups: Sequence[Setup], cells: Sequence[Cell], stage: Stage) -> None:
    """Bring those that get faster as they run to their speed before anything counts."""
    for setup in setups:
        if setup.system.is_compiled_while_it_runs:
            plan = max((cell.plan for cell in cells if cell.setup is setup), key=lambda plan: plan.outstanding)
            async with stage.on(setup) as cluster:
                await cluster.measure(attrs.evolve(plan, warmup_s=0.0, seconds=_FIRST_WARMUP_S))


async def _all_rounds(cells: Sequence[Cell], rounds: int, stage: Stage, step: Step) -> Outcome:
    measured: list[list[Measurement]] = [[] for _ in cells]
    failures = []
    for number in range(1, rounds + 1):
        for cell, found in zip(cells, measured, strict=True):
            step(f"round {number}, {cell.title}")
            try:
                async with stage.on(cell.setup) as cluster:
                    found.append(await cluster.measure(cell.plan))
            except ChildFailed as error:
                failures.append(f"{cell.title}, round {number}: {error}")
                note(f"failed: {failures[-1]}")
    series = [Series(found, cell.label) for cell, found in zip(cells, measured, strict=True) if found]
    return Outcome(series=series, failures=failures)
