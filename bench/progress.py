"""Says on stderr what is being measured and how much is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from replog.cli_kit import note, stderr_console

Step = Callable[[str], None]
"""Called before each window, with what it is."""


@contextmanager
def progress(title: str, steps: int) -> Iterator[Step]:
    """A progress bar on a terminal; one line a step elsewhere, so that a log shows where a run stands."""
    console = stderr_console()
    if not console.is_terminal:
        yield _lines(title, steps)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=steps)
        begun = iter(range(steps + 1))

        def step(text: str) -> None:
            bar.update(task, description=f"{title}: {text}", completed=next(begun, steps))

        yield step


def _lines(title: str, steps: int) -> Step:
    numbers = iter(range(1, steps + 1))
    return lambda text: note(f"{title} {next(numbers, steps)}/{steps}: {text}")
