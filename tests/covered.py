"""Whether each part that must be covered is, by itself: the core, the Applier, the driver and the client's session.

    python -m tests.covered          # make coverage, after the tests have been run under coverage

A part counts by its statements and by its branches, each for itself; an average over parts, or over both, would let
what is covered well hide what is not. A file that no test imports counts as not covered.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from coverage import Coverage
from rich.console import Console
from rich.table import Table

PERCENT_MIN = 95

PARTS: Mapping[str, tuple[str, ...]] = {
    "the core": ("replog/paxos",),
    "the Applier": ("replog/apply",),
    "the driver": ("replog/node/driver.py",),
    "the client's session": ("replog/client/session.py", "replog/client/conversation.py"),
    "what the session is made of": tuple(
        f"replog/client/{name}.py"
        for name in ("backoff", "call", "connection", "identity", "options", "pending", "retry", "silence")
    ),
}
"""Files and folders."""


@attrs.frozen
class Share:
    """So many of so many."""

    covered: int
    total: int

    @property
    def is_enough(self) -> bool:
        return self.total > 0 and 100 * self.covered >= PERCENT_MIN * self.total

    def __str__(self) -> str:
        return f"{100 * self.covered / self.total:.1f} % of {self.total:,}" if self.total else "nothing was measured"


@attrs.frozen
class Row:
    """One part, as it was measured."""

    name: str
    statements: Share
    branches: Share

    @property
    def is_enough(self) -> bool:
        return self.statements.is_enough and self.branches.is_enough


def rows(files: Mapping[str, Mapping[str, int]]) -> list[Row]:
    """Each part's shares.

    Parameters
    ----------
    files: what coverage counted in each file, by its path from the repository's root.
    """
    found: list[Row] = []
    for name, paths in PARTS.items():
        counts = [counted for file, counted in files.items() if file.startswith(tuple(map(_start, paths)))]

        def share(covered: str, total: str, counts: list[Mapping[str, int]] = counts) -> Share:
            return Share(sum(one[covered] for one in counts), sum(one[total] for one in counts))

        statements = share("covered_lines", "num_statements")
        found.append(Row(name, statements, share("covered_branches", "num_branches")))
    return found


def _start(path: str) -> str:
    return path if path.endswith(".py") else f"{path}/"


def _measured() -> dict[str, Mapping[str, int]]:
    """What the last run under coverage left behind."""
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        coverage.json_report(outfile=str(path))
        files: dict[str, Any] = json.loads(path.read_text())["files"]
    return {Path(file).as_posix(): report["summary"] for file, report in files.items()}


def main() -> int:
    """0 if every part is covered well enough, otherwise 1."""
    table = Table("part", "statements", "branches", "")
    measured = rows(_measured())
    for row in measured:
        table.add_row(row.name, str(row.statements), str(row.branches), "" if row.is_enough else "too little")
    console = Console()
    console.print(table)
    missed = [row.name for row in measured if not row.is_enough]
    for name in missed:
        include = ",".join(path if path.endswith(".py") else f"{path}/*" for path in PARTS[name])
        console.print(
            f"{name}: below {PERCENT_MIN} %; python -m coverage report -m --include '{include}'", soft_wrap=True
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
