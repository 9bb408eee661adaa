"""``bench steady``: one load for an hour, a kill each minute. Is anything lost or doubled, and does anything grow?"""

from __future__ import annotations

import math
from typing import Annotated, Any

import attrs
import trio
from cyclopts import Parameter

from replog.cli_kit import ExitCode, new_table, note, print_json, print_table, print_text

from ..endurance import Endurance, Sample
from ..load.plan import LoadPlan
from ..progress import progress
from ..replog_system import Replog
from ..report.result_file import finite, write_result
from ..report.tables import number, say_where
from ..run_options import Count, RunOptions

_ROWS = 12


def _check_interval(_type: Any, seconds: float) -> None:
    if seconds != 0 and not 1 <= seconds < 86_400:
        raise ValueError(f"{seconds} is no time between kills; write seconds from 1 on, or 0 for none.")


def steady(
    *,
    kill_every: Annotated[float, Parameter(validator=_check_interval)] = 60.0,
    clients: Count = 1024,
    connections: Count = 16,
    value_bytes: Count = 175,
    replicas: Count = 3,
    options: RunOptions = RunOptions(rounds=1, seconds=3600.0),  # noqa: B008 - frozen
) -> int:
    """Keep callers counting for --seconds, kill a server now and then, and watch memory, files and leadership.

    Every answer is checked: a counter that is lower than it must be has lost a command, one that is higher has done one
    twice. At the end every counter is read, and the replicas' states are compared. The exit code is 1 if anything is
    wrong. --rounds and --warmup mean nothing here.

    Parameters
    ----------
    kill_every
        Seconds between kills (kill -9) of the leader and of a follower in turns; 0 for none.
    clients
        Commands under way, each waited for by a caller of its own.
    connections
        Client objects that share them.
    value_bytes
        Bytes stored beside a counter.
    replicas
        Size of the cluster.
    """
    plan = LoadPlan(outstanding=clients, connections=connections, value_bytes=value_bytes, seconds=options.seconds)
    run = Endurance(plan=plan, replicas=replicas, kill_every_s=kill_every)
    with options.data_folder() as folder:
        with progress("steady", round(plan.seconds / run.every_s) + 1) as step:
            trio.run(run.run, folder, step)
        path = write_result(
            "steady",
            results=options.results,
            data=folder,
            settings=options.settings(
                kill_every_s=kill_every,
                clients=clients,
                connections=connections,
                value_bytes=value_bytes,
                replicas=replicas,
            ),
            facts=[_facts(run)],
            failures=run.failures,
            systems={Replog.name: Replog().about()},
        )
    if options.as_json:
        print_json(finite(run.summary()), is_line=True)
    else:
        _show(run)
    say_where(path)
    return ExitCode.OK if run.is_right else ExitCode.BUG


def _facts(run: Endurance) -> dict[str, Any]:
    return {
        "summary": run.summary(),
        "intervals": run.intervals,
        "samples": [attrs.asdict(sample) for sample in run.samples],
        "kills": [attrs.asdict(kill) for kill in run.kills],
    }


def _show(run: Endurance) -> None:
    columns = ("AFTER", "ELECTIONS", "OWN MiB", "RSS MiB", "LOG MiB", "STATE MiB")
    table = new_table(*columns, "LEADER", right=columns, title="Each column of sizes: the largest of the replicas")
    every = math.ceil(len(run.samples) / _ROWS)
    for sample in run.samples[::every]:
        table.add_row(f"{sample.at_s:,.0f} s", number(sample.elections), *_sizes(sample), sample.leader or "nobody")
    print_table(table)
    found = run.summary()
    print_text(
        f"{found['ops_per_s']:,.0f} commands/s for {found['seconds']:,.0f} s: {found['lost']} lost, "
        f"{found['doubled']} doubled, {found['unknown']} of unknown outcome, {found['failed']} refused. "
        f"{found['kills']} kills, {found['leaders_killed']} of them of the leader; {found['elections']} elections, "
        f"{found['elections_unprovoked']} without a cause. Longest time without an answer "
        f"{found['longest_gap_ms']:,.0f} ms."
    )
    for sentence in _complaints(found):
        note(("wrong: ", "bold red"), sentence)


def _sizes(sample: Sample) -> list[str]:
    groups = (sample.own_mib, sample.rss_mib, sample.log_mib, sample.state_mib)
    return [number(max(group.values(), default=float("nan")), 1) for group in groups]


def _complaints(found: dict[str, Any]) -> list[str]:
    """What makes the exit code 1, a sentence each."""
    complaints = []
    if found["lost"]:
        complaints.append(f"{found['lost']} commands that were answered are not in their counters.")
    if found["doubled"]:
        complaints.append(f"{found['doubled']} commands were done more than once.")
    if found["unread"]:
        complaints.append(f"{found['unread']} counters could not be read at the end, so they are not checked.")
    if found["kills_failed"]:
        complaints.append(f"after {found['kills_failed']} kills nobody led or the server did not come back in time.")
    if found["states_agree"] is False:
        complaints.append("the replicas' states differ at the same slot.")
    if found["states_agree"] is None:
        complaints.append("the replicas did not come to the same slot, so their states are not compared.")
    return complaints
