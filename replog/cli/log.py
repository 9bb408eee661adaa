"""``replog log tail``: the log itself, slot by slot, as it stands or as it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Timeout, WholeNumber
from replog.errors import ConfigError, Refused, Unavailable

if TYPE_CHECKING:
    from .cluster_report import ClusterReport

LINES = 10


def tail(
    *,
    endpoints: Endpoints = DEV_ENDPOINTS,
    from_slot: Annotated[WholeNumber | None, Parameter(name="--from", metavar="SLOT")] = None,
    lines: Annotated[WholeNumber, Parameter(name=("--lines", "-n"))] = LINES,
    follow: Annotated[bool, Parameter(name=("--follow", "-f"), negative=(), show_default=False)] = False,
    timeout: Timeout = 2.0,
    json: AsJson = False,
) -> None:
    """Print chosen slots, oldest first: slot, log time, kind, and what the first command looks like.

    With --json every slot is one object on one line, with its commands whole, in hex.

    Parameters
    ----------
    from_slot
        Where to begin; the last slots if left out.
    lines
        How many slots to begin with if --from is left out.
    follow
        Go on as slots are chosen, until Ctrl-C.
    """
    import trio

    if from_slot is not None and from_slot < 1:
        raise ConfigError(f"--from {from_slot} is no slot; slots count from 1.")
    if lines < 0:
        raise ConfigError(f"--lines {lines} is below 0.")
    trio.run(_tail, endpoints, from_slot, lines, follow, timeout, json)


async def _tail(
    endpoints: tuple[str, ...], from_slot: int | None, lines: int, is_endless: bool, timeout_s: float, is_json: bool
) -> None:
    from contextlib import aclosing

    from replog.client import connect

    from .survey import survey

    first, last = bounds(await survey(endpoints, timeout_s=timeout_s), from_slot, lines)
    if first > last and not is_endless:
        return
    async with connect(endpoints, name="replog log tail") as client, aclosing(client.follow(first)) as entries:
        async for entry in entries:
            _print_entry(entry.slot, entry.value, is_json=is_json)
            if entry.slot >= last and not is_endless:
                return


def bounds(report: ClusterReport, from_slot: int | None, lines: int) -> tuple[int, int]:
    """First and last slot to print of what is chosen by now.

    Raises
    ------
    Unavailable: nobody answered.
    Refused: ``from_slot`` is in no log any more.
    """
    up = [member for member in report.members if member.up]
    if not up:
        error = Unavailable(f"nobody can be asked for the log: {report.summary}.")
        for step in report.next_steps:
            error.add_note(step)
        raise error
    last = max(member.chosen_through or 0 for member in up)
    oldest = min(member.compacted_through or 0 for member in up) + 1
    if from_slot is None:
        return max(oldest, last - lines + 1), last
    if from_slot < oldest:
        raise Refused(f"slot {from_slot:,} is compacted away on every node; the log begins at slot {oldest:,}.")
    return from_slot, last


def _print_entry(slot: int, value: bytes, *, is_json: bool) -> None:
    from replog.cli_kit.printing import print_json, print_line

    from .log_entry import entry_fields, entry_line

    if is_json:
        print_json(entry_fields(slot, value), is_line=True)
    else:
        print_line(entry_line(slot, value))
