"""``bench storage``: what durability costs on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..inside import storage as inside
from ..progress import Step, progress
from ..report.medians import median_rows
from ..report.result_file import write_result
from ..report.tables import print_facts, say_where
from ..run_options import Numbers, RunOptions

_SWITCH_INTERVALS_S = (0.005, 0.0005, 0.0002)


def storage(
    *,
    records: Numbers = (1, 16, 256),
    changed: Numbers = (1_000, 10_000, 100_000),
    options: RunOptions = RunOptions(rounds=3, seconds=2.0),  # noqa: B008 - frozen
) -> int:
    """Commit to the log beside plain LMDB, hand commits to its thread beside a busy event loop, and flush a state.

    Records have 200 bytes. --warmup means nothing here.

    Parameters
    ----------
    records
        Records in one commit.
    changed
        Keys of the state that changed since the last flush.
    """
    steps = options.rounds * (len(records) * len(inside.STORES) + len(_hand_overs())) + len(changed)
    with options.data_folder() as folder, progress("storage", steps) as step:
        commits = _commits(folder, records, options, step)
        hand_overs = _measure_hand_overs(folder, options, step)
        flushes = _flushes(folder, changed, options, step)
        path = write_result(
            "storage",
            results=options.results,
            data=folder,
            settings=options.settings(records=records, changed=changed, record_bytes=inside.RECORD_BYTES),
            facts=[*commits, *hand_overs, *flushes],
        )
    _show(commits, hand_overs, flushes, is_json=options.as_json)
    say_where(path)
    return 0


def _commits(folder: Path, records: Numbers, options: RunOptions, step: Step) -> list[dict[str, Any]]:
    found = []
    for number in range(1, options.rounds + 1):
        for count in records:
            for store in inside.STORES:
                step(f"round {number}, {store}, {count} records a commit")
                place = folder / f"commits-{number}-{count}-{store.replace(' ', '-')}"
                found.append(inside.measure_commits(store, place, count, options.seconds))
    return found


def _hand_overs() -> list[dict[str, Any]]:
    """What is compared: each switch interval under a busy loop, then the writer without its thread."""
    threaded = [
        {"switch_interval_s": interval, "is_threaded": True, "is_busy": True} for interval in _SWITCH_INTERVALS_S
    ]
    idle = {"switch_interval_s": _SWITCH_INTERVALS_S[1], "is_threaded": True, "is_busy": False}
    return [*threaded, idle, idle | {"is_threaded": False}]


def _measure_hand_overs(folder: Path, options: RunOptions, step: Step) -> list[dict[str, Any]]:
    found = []
    for number in range(1, options.rounds + 1):
        for count, how in enumerate(_hand_overs()):
            step(f"round {number}, {'thread' if how['is_threaded'] else 'inline'} {how['switch_interval_s'] * 1e3} ms")
            place = folder / f"hand-over-{number}-{count}"
            found.append(inside.measure_hand_over(place, seconds=options.seconds, **how))
    return found


def _flushes(folder: Path, changed: Numbers, options: RunOptions, step: Step) -> list[dict[str, Any]]:
    found = []
    for count in changed:
        step(f"flush of {count:,} keys")
        found += inside.measure_flush(folder / f"flush-{count}", count, options.rounds)
    return found


def _show(
    commits: list[dict[str, Any]], hand_overs: list[dict[str, Any]], flushes: list[dict[str, Any]], *, is_json: bool
) -> None:
    tables = {
        "Commits, one after the other": median_rows(commits, ["store", "records_a_commit"], ranged="commits_per_s"),
        "One record a commit through the log's writer": median_rows(
            hand_overs, ["writer", "event_loop", "switch_interval_ms"], ranged="commits_per_s"
        ),
        "Making the state durable": median_rows(flushes, ["changed_keys"], ranged="flush_ms"),
    }
    for title, rows in tables.items():
        print_facts(rows, is_json=is_json, title=title)
        if not is_json:
            print()
