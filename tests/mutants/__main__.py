"""``python -m tests.mutants``: break the program in every known way and see each bug caught.

Each bug is applied to a copy of the package in a temporary folder. A bug of the core counts as caught when the
stories or the simulator notice; the tests of the roles are shown and do not count. Other bugs are judged by the tests
of their place. A bug that behaves like the original is explained in the catalogue and not counted.

Every verdict is told as it falls. With ``--kept FILE`` it is written there, too, and what the file holds about the
same program is not judged again: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from .catalogue import CATALOGUE
from .judging import Verdict, judge, what_fails_without_a_bug
from .planting import ROOT, Mutant


class Kept(msgspec.Struct):
    """A line of the file of verdicts."""

    program: str
    """Digest of the program that was broken."""
    verdict: Verdict


def _program() -> str:
    """A digest of everything that a verdict depends on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in ("replog", "tests") for path in (ROOT / folder).rglob("*")):
        if path.suffix in (".py", ".txt"):
            digest.update(b"%s\0%s\0" % (str(path.relative_to(ROOT)).encode(), path.read_bytes()))
    return digest.hexdigest()[:16]


def _verdicts(chosen: list[tuple[Mutant, str]], kept: Path | None, notes: Console) -> Iterator[Verdict]:
    """One for each chosen bug, those that are kept first, the others as they fall."""
    program = _program()
    lines = kept.read_bytes().splitlines() if kept and kept.exists() else []
    known = {
        (line.verdict.area, line.verdict.mutant): line.verdict
        for line in map(msgspec.json.Decoder(Kept).decode, lines)
        if line.program == program
    }
    missing = []
    for mutant, area in chosen:
        if (area, mutant.name) in known:
            yield known[area, mutant.name]
        else:
            missing.append((mutant, area))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(judge, mutant, area) for mutant, area in missing]
        for number, one in enumerate(as_completed(running), len(chosen) - len(missing) + 1):
            verdict = one.result()
            notes.print(f"{number} of {len(chosen)}: {_told(verdict)}", highlight=False, markup=False)
            if kept:
                with kept.open("ab") as file:
                    file.write(msgspec.json.encode(Kept(program, verdict)) + b"\n")
            yield verdict


def _told(verdict: Verdict) -> str:
    seed = "" if verdict.first_seed is None else f"seed {verdict.first_seed} ({verdict.checker})"
    witnesses = ", ".join(filter(None, (seed, verdict.story, verdict.test)))
    by = f"by {witnesses}" if witnesses else "by nobody"
    word = (
        "as expected" if verdict.is_right else "NOT CAUGHT" if not verdict.equivalent else "CAUGHT, and yet explained"
    )
    return f"{verdict.mutant} ({verdict.area}): {word}, {by}, {verdict.seconds:.0f} s"


def main() -> int:
    """Judge the chosen bugs; 0 only if each that can be was caught."""
    parser = argparse.ArgumentParser("python -m tests.mutants", description="Plant known bugs and see who notices.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only bugs whose name holds one of them")
    parser.add_argument("--of", choices=CATALOGUE, help="only bugs of this part")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="write verdicts there; go on with what it holds")
    parser.add_argument("--json", action="store_true", help="the verdicts as JSON instead of a table")
    asked = parser.parse_args()
    chosen = [
        (mutant, area)
        for area, mutants in CATALOGUE.items()
        for mutant in mutants
        if asked.of in (None, area) and (not asked.words or any(word in mutant.name for word in asked.words))
    ]
    if not chosen:
        parser.error("no bug has such a name; without a word all are judged")
    notes = Console(stderr=True, soft_wrap=True)
    if failed := what_fails_without_a_bug():
        notes.print(f"{failed} fails without any bug: what it catches means nothing", style="bold red")
        return 2
    verdicts = list(_verdicts(chosen, asked.kept, notes))
    order = {(area, mutant.name): place for place, (mutant, area) in enumerate(chosen)}
    verdicts.sort(key=lambda verdict: order[verdict.area, verdict.mutant])
    if asked.json:
        print(msgspec.json.format(msgspec.json.encode(verdicts)).decode())
    else:
        console = Console()
        console = console if console.is_terminal else Console(width=200)
        console.print(_table(verdicts))
    return 0 if all(verdict.is_right for verdict in verdicts) else 1


def _table(verdicts: list[Verdict]) -> Table:
    counted = [verdict for verdict in verdicts if not verdict.equivalent]
    table = Table(title=f"{sum(v.is_caught for v in counted)} of {len(counted)} bugs caught")
    for heading in ("of", "bug", "pitfall", "simulator", "first seed", "story", "test", "seconds"):
        table.add_column(heading, justify="right" if heading in ("pitfall", "first seed", "seconds") else "left")
    for verdict in verdicts:
        table.add_row(
            verdict.area,
            verdict.mutant,
            str(verdict.pitfall or "-"),
            verdict.checker or (f"none: {verdict.equivalent}" if verdict.equivalent else "-"),
            "-" if verdict.first_seed is None else str(verdict.first_seed),
            verdict.story or "-",
            verdict.test or "-",
            f"{verdict.seconds:.0f}",
            style=None if verdict.is_caught else "dim" if verdict.equivalent else "bold red",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
