"""``bench codec``: what a command's way through bytes costs."""

from __future__ import annotations

from ..inside import codec as inside
from ..progress import progress
from ..report.medians import median_rows
from ..report.result_file import write_result
from ..report.tables import print_facts, say_where
from ..run_options import Numbers, RunOptions


def codec(
    *,
    commands: Numbers = (1, 16, 256),
    options: RunOptions = RunOptions(rounds=3, seconds=0.3),  # noqa: B008 - frozen
) -> int:
    """Time encoding, decoding and applying commands of 175-byte values, on one core, without network or disk.

    --warmup means nothing here.

    Parameters
    ----------
    commands
        Commands that travel together.
    """
    cases = [case for count in commands for case in (*inside.codec_cases(count), *inside.apply_cases(count))]
    cases += inside.order_cases()
    found = []
    with options.data_folder() as folder, progress("codec", options.rounds * len(cases)) as step:
        for number in range(1, options.rounds + 1):
            for case in cases:
                step(f"round {number}, {case.what}, {case.commands} commands")
                found.append(inside.measure(case, options.seconds))
        path = write_result(
            "codec", results=options.results, data=folder, settings=options.settings(commands=commands), facts=found
        )
    rows = median_rows(found, ["what", "commands", "bytes"], ranged="us_a_command")
    print_facts(rows, is_json=options.as_json)
    say_where(path)
    return 0
