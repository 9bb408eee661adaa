"""``replog sim``: many simulated lives of a cluster, or one of them, or that of a real node, told line by line."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.options import AsJson, Range, WholeNumber
from replog.cli_kit.printing import new_table, note, print_json, print_line, print_table, print_text, stderr_console
from replog.errors import ConfigError

from .serve import find_modules_here

if TYPE_CHECKING:
    from rich.table import Table

    from replog.sim import SeedResult, SimulationReport

STEPS_PER_SEED = 2_500
JOBS_MAX = 256
NOTE_INTERVAL_S = 10.0
"""How often a run without a terminal says that it is alive."""


def sim(
    *,
    seeds: Range | None = None,
    replay: WholeNumber | None = None,
    replay_record: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    replicas: WholeNumber | None = None,
    state_machine: Annotated[str | None, Parameter(metavar="MODULE:CLASS")] = None,
    steps: WholeNumber = STEPS_PER_SEED,
    jobs: WholeNumber | None = None,
    json: AsJson = False,
) -> int:
    """Run the real core through every fault there is, once a seed, and check what comes out.

    Ends with 0 if nothing was violated, with 1 otherwise and then says how to replay each violation.

    Parameters
    ----------
    seeds
        Which seeds to run, A included, B excluded; each decides everything about one life of a cluster.
    replay
        Tell the story of this one seed line by line instead.
    replay_record
        Live again what a real node wrote down (`replog serve --record FILE`), and tell it line by line; ends with 1 if
        something comes out that is not what the node did.
    replicas
        Size of the clusters; each seed picks 1, 3 or 5 if left out.
    state_machine
        What the replicas run; a register that remembers everything if left out.
    steps
        Simulated events a seed before its faults end.
    jobs
        Processes to use; as many as there are cores if left out.
    """
    if sum(asked is not None for asked in (seeds, replay, replay_record)) != 1:
        raise ConfigError(
            "give either --seeds A:B to run many seeds, or --replay SEED to tell the story of one, or --replay-record "
            "FILE to tell the story of a real node."
        )
    if jobs is not None and not 1 <= jobs <= JOBS_MAX:
        raise ConfigError(f"--jobs {jobs}: choose 1 to {JOBS_MAX}, or leave it out.")
    if replay_record is not None:
        return _replay_record(replay_record, is_json=json)
    find_modules_here()
    if replay is not None:
        return _replay(replay, replicas, state_machine, steps, is_json=json)
    assert seeds is not None
    return _run(seeds, replicas, state_machine, steps, jobs, is_json=json)


def _run(
    seeds: range, replicas: int | None, state_machine: str | None, steps: int, jobs: int | None, *, is_json: bool
) -> int:
    from replog.sim import run_seeds

    with _progress(len(seeds)) as on_seed:
        report = run_seeds(
            seeds, replicas=replicas, state_machine=state_machine, steps=steps, processes=jobs, on_seed=on_seed
        )
    again = replay_command(replicas, state_machine, steps)
    if is_json:
        print_json(_fields(report, again))
    else:
        _print_report(report, again)
    return ExitCode.BUG if report.violations else ExitCode.OK


def replay_command(replicas: int | None, state_machine: str | None, steps: int) -> str:
    """The command that tells a seed's story, up to the seed itself: all that decides the story beside the seed."""
    words = ["replog", "sim"]
    words += ["--replicas", str(replicas)] if replicas is not None else []
    words += ["--state-machine", state_machine] if state_machine is not None else []
    words += ["--steps", str(steps)] if steps != STEPS_PER_SEED else []
    return shlex.join([*words, "--replay"])


def _fields(report: SimulationReport, again: str) -> dict[str, object]:
    violations = [
        {"seed": seed, "checker": checker, "sentence": sentence, "replay": f"{again} {seed}"}
        for seed, checker, sentence in report.violations
    ]
    return {
        "seeds": report.seeds,
        "steps": report.steps,
        "faults": report.faults,
        "elections": report.elections,
        "slots_chosen": report.slots_chosen,
        "commands_applied": report.commands_applied,
        "commands_failed": report.commands_failed,
        "reads_linearizable": report.reads_linearizable,
        "reads_stale": report.reads_stale,
        "operations": report.operations,
        "violations": violations,
        "seconds": report.seconds,
    }


def _print_report(report: SimulationReport, again: str) -> None:
    seeds = f"{report.seeds:,} {'seed' if report.seeds == 1 else 'seeds'}"
    if report.violations:
        print_text(("VIOLATED", "bold red"), f": {len(report.violations)} of {seeds}")
    else:
        print_text(("CLEAN", "bold green"), f": {seeds}, no violation")
    for seed, checker, sentence in report.violations:
        print_text(f"seed {seed}  ", (checker, "bold"), f": {sentence}")
        print_text(f"  replay: {again} {seed}")
    if 0 < report.commands_applied == report.commands_failed:
        print_text(
            (f"all {report.commands_failed:,} commands failed", "bold yellow"),
            ": little was tested; a `sim_workload()` in the state machine's module makes commands that it takes",
        )
    print_table(_figures(report))


def _figures(report: SimulationReport) -> Table:
    rate = report.steps / report.seconds if report.seconds else 0.0
    table = new_table("WHAT", "COUNT", right=["COUNT"])
    rows = {
        "events": report.steps,
        "events a second": round(rate),
        "elections": report.elections,
        "slots chosen": report.slots_chosen,
        "commands applied, all replicas": report.commands_applied,
        "of them failed in the state machine": report.commands_failed,
        "linearizable reads answered": report.reads_linearizable,
        "stale reads answered": report.reads_stale,
        "client operations answered": report.operations,
        **{f"fault: {kind.replace('_', ' ')}": count for kind, count in report.faults.items()},
    }
    for name, count in rows.items():
        table.add_row(name, f"{count:,}")
    table.add_row("seconds", f"{report.seconds:,.1f}")
    return table


@contextmanager
def _progress(seed_count: int) -> Iterator[Callable[[SeedResult], None]]:
    """A bar on a terminal; a few lines otherwise, so that a build's log shows it is alive."""
    if not stderr_console().is_terminal:
        yield _Notes(seed_count).on_seed
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("seeds"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[bad]}", style="bold red", markup=False),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("seeds", total=seed_count, bad="")
        bad = 0

        def on_seed(result: SeedResult) -> None:
            nonlocal bad
            bad += result.violation is not None
            bar.update(task, advance=1, bad=f"{bad} violated" if bad else "")

        yield on_seed


class _Notes:
    """Says now and then how far the run is, and every violation at once."""

    def __init__(self, seed_count: int) -> None:
        self._total = seed_count
        self._done = 0
        self._began_s = self._said_s = time.monotonic()

    def on_seed(self, result: SeedResult) -> None:
        now_s = time.monotonic()
        self._done += 1
        if result.violation is not None:
            note(f"seed {result.seed}: violated")
        if now_s - self._said_s >= NOTE_INTERVAL_S:
            self._said_s = now_s
            note(f"{self._done:,} of {self._total:,} seeds after {now_s - self._began_s:.0f} s")


def _replay(seed: int, replicas: int | None, state_machine: str | None, steps: int, *, is_json: bool) -> int:
    from replog.sim import replay

    story: list[str] = []
    say: Callable[[str], None] = story.append if is_json else print_line
    result = replay(seed, say, replicas=replicas, state_machine=state_machine, steps=steps)
    violation = result.violation
    if is_json:
        found = None if violation is None else {"checker": violation[0], "sentence": violation[1]}
        print_json({"seed": seed, "violation": found, "steps": result.steps, "story": story})
    elif violation is None:
        print_text(
            ("CLEAN", "bold green"), f": seed {seed}, {result.steps:,} events, {result.slots_chosen:,} slots chosen"
        )
    else:
        print_text(("VIOLATED", "bold red"), f": seed {seed}, {violation[0]}: {violation[1]}")
    return ExitCode.OK if violation is None else ExitCode.BUG


def _replay_record(path: Path, *, is_json: bool) -> int:
    from msgspec.structs import asdict

    from replog.sim.record_replay import replay_record

    story: list[str] = []
    told = replay_record(path, story.append if is_json else print_line)
    difference = told.difference
    if is_json:
        found = None if difference is None else asdict(difference)
        counts = {"turns": told.turns, "events": told.events, "turns_told": told.turns_told}
        print_json({"node": told.node, **counts, "ended": told.ended, "difference": found, "story": story})
    elif difference is None:
        ended = f"; then it ended with {told.ended}" if told.ended else ""
        newest = f"; {told.turns_told:,} newer turns were told only" if told.turns_told else ""
        print_text(
            ("SAME", "bold green"), f": {told.node}, {told.turns:,} turns, {told.events:,} events{ended}{newest}"
        )
    else:
        print_text(("DIFFERS", "bold red"), f": {told.node}, {difference}")
    return ExitCode.OK if difference is None else ExitCode.BUG
