"""What the commands that put load on a cluster share: measure in rounds, show a table, write the result file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from .errors import ChildFailed
from .report.result_file import write_result
from .report.tables import Column, print_series, say_where
from .rounds import Cell, measure_rounds
from .run_options import RunOptions


def measure_and_show(
    command: str,
    cells: Sequence[Cell],
    options: RunOptions,
    *,
    columns: Sequence[Column],
    settings: dict[str, Any] | None = None,
) -> int:
    """Returns the exit code: that of a failed child if any window gave no result."""
    with options.data_folder() as folder:
        outcome = trio.run(lambda: measure_rounds(command, cells, rounds=options.rounds, folder=folder))
        path = write_result(
            command,
            results=options.results,
            data=folder,
            settings=options.settings(**(settings or {})),
            series=outcome.series,
            failures=outcome.failures,
            systems=described(cells),
        )
    print_series(outcome.series, columns, is_json=options.as_json)
    say_where(path)
    return ChildFailed.exit_code if outcome.failures else 0


def described(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """Version, durability and who is asked of each system, for the result file."""
    systems = {cell.setup.system.name: cell.setup.system for cell in cells}
    return {name: each.about() for name, each in systems.items()}
