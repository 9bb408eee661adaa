"""Measures cells in rounds: every cell once, then every cell again, so that drift of the machine hits all alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import attrs

from replog import ReplogError
from replog.cli_kit import note

from .errors import ChildFailed
from .load.measurement import Measurement, Series
from .load.plan import LoadPlan
from .progress import Step, progress
from .stage import Setup, Stage, open_stage

_FIRST_WARMUP_S = 3.0
"""Before the first window of a cluster that a virtual machine has yet to compile."""


@attrs.frozen(kw_only=True, eq=False)
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
    measured: dict[Cell, list[Measurement]] = {cell: [] for cell in cells}
    failures: list[str] = []
    for number in range(1, rounds + 1):
        for setup, some in itertools.groupby(cells, key=_awake_together):
            await _measure_some(list(some), setup, f"round {number}", measured, failures, stage, step)
    series = [Series(found, cell.label) for cell, found in measured.items() if found]
    return Outcome(series=series, failures=failures)


def _awake_together(cell: Cell) -> Setup | Cell:
    """Neighbours that share a cluster keep it awake; one that must be fresh is shared by nobody."""
    return cell if cell.setup.system.needs_fresh_cluster else cell.setup


async def _measure_some(
    cells: Sequence[Cell],
    group: Setup | Cell,
    title: str,
    measured: dict[Cell, list[Measurement]],
    failures: list[str],
    stage: Stage,
    step: Step,
) -> None:
    setup = group.setup if isinstance(group, Cell) else group
    try:
        async with stage.on(setup) as cluster:
            for cell in cells:
                step(f"{title}, {cell.title}")
                try:
                    measured[cell].append(_checked(await cluster.measure(cell.plan)))
                except ReplogError as error:
                    _note_failure(f"{cell.title}, {title}: {error}", failures)
    except ReplogError as error:
        _note_failure(f"{setup.system.name}, {title}: {error}", failures)


def _note_failure(text: str, failures: list[str]) -> None:
    failures.append(text)
    note(f"failed: {text}")


def _checked(measurement: Measurement) -> Measurement:
    if not measurement.operations:
        raise ChildFailed(f"no operation was answered within {measurement.seconds:.1f} s")
    return measurement
