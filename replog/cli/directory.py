"""``replog inspect`` and ``replog verify``: look at a node's data directory, whether or not the node runs.

Both only read. ``inspect`` prints facts; ``verify`` reads every record and ends with 5 if one is damaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.options import AsJson, Range
from replog.cli_kit.printing import print_json, print_text
from replog.paxos.ballot import node_name

from .log_entry import entry_fields, entry_line

if TYPE_CHECKING:
    from replog.directory.inspection import DirectoryReport, LogReport, SlotReport, VerifyReport
    from replog.state.report import StateReport

_MIB = 2**20


def inspect(directory: Path, /, *, slots: Range | None = None, json: AsJson = False) -> None:
    """Print whose data directory this is, what it promised, how far it came, and its newest slots.

    It only reads, and may run beside the node that uses the directory.

    Parameters
    ----------
    directory
        As it was given to `replog init`.
    slots
        Which slots to list, A included and B excluded; the newest ten if left out.
    """
    from replog.directory.inspection import inspect as look

    report = look(directory, slots)
    if json:
        print_json(_directory_fields(report))
    else:
        _print_directory(report)


def verify(directory: Path, /, *, json: AsJson = False) -> int:
    """Read every record of a data directory and say what is damaged; ends with 5 if anything is.

    It only reads, and may run beside the node that uses the directory. What the node does about damage is said with
    each finding.

    Parameters
    ----------
    directory
        As it was given to `replog init`.
    """
    from replog.directory.inspection import verify as check

    report = check(directory)
    if json:
        print_json({"is_intact": not report.findings} | _verify_fields(report))
    else:
        _print_verify(report)
    return ExitCode.DAMAGED if report.findings else ExitCode.OK


# --- inspect ---


def _directory_fields(report: DirectoryReport) -> dict[str, Any]:
    import attrs

    log, state = report.log, report.state
    fields = attrs.asdict(log, recurse=False) | {"slots": [_slot_fields(slot) for slot in log.slots]}
    return {
        "directory": str(report.directory),
        "holder": report.holder,
        "cluster_id": report.identity.cluster,
        "node": node_name(report.identity.node),
        "incarnation": report.identity.incarnation,
        "log": fields,
        "state": state,
    }


def _slot_fields(slot: SlotReport) -> dict[str, Any]:
    status = _status(slot)
    if slot.record is None:
        return {"slot": slot.slot, "status": status, "problem": slot.problem}
    return entry_fields(slot.slot, slot.record.value) | {"status": status, "ballot": slot.record.ballot}


def _print_directory(report: DirectoryReport) -> None:
    identity = report.identity
    use = f"used by process {report.holder}" if report.holder else "not in use"
    founders = ", ".join(node_name(node) for node in identity.membership.members)
    lines = [
        ("directory", f"{report.directory} ({use})"),
        ("cluster", identity.cluster.hex()),
        ("node", f"{node_name(identity.node)}, founded with {founders}"),
        ("incarnation", identity.incarnation.hex()),
        *_log_lines(report.log),
        *_state_lines(report.state),
    ]
    for name, text in lines:
        print_text(f"{name:<12} {text}")
    if report.log.slots:
        print_text()
        print_text(f"{'STATUS':<9} {'BALLOT':<8} {'SLOT':>11}  {'LOG TIME':<24}  {'KIND':<10}  CONTENT")
    for slot in report.log.slots:
        print_text(_slot_line(slot))


def _log_lines(log: LogReport) -> list[tuple[str, str]]:
    lines = [("promise", str(log.promise) if log.promise is not None else "damaged")]
    if log.distrust:
        lines.append(("no vote", log.distrust))
    if log.membership is not None:
        voters = ", ".join(node_name(node) for node in log.membership.voters)
        learners = "".join(f", n{node} (learner)" for node in log.membership.learners)
        lines.append(("members", f"version {log.membership.version}: {voters}{learners}"))
    lines += [
        ("chosen", f"through slot {log.chosen_through:,}"),
        ("compacted", f"through slot {log.compacted_through:,}"),
        ("log", f"{log.slot_count:,} slots, {log.accepted_count:,} of them above the chosen ones; {_sizes(log)}"),
    ]
    if log.journal_bytes:
        ahead = f"{log.journaled_count:,}" if log.journaled_count else "no"
        lines.append(("journal", f"{ahead} writes ahead of the log; file of {log.journal_bytes / _MIB:,.1f} MiB"))
    return lines + [("damaged", problem) for problem in log.problems]


def _state_lines(state: StateReport | None) -> list[tuple[str, str]]:
    if state is None:
        return [("state", "none yet")]
    return [
        ("applied", f"through slot {state.applied_through:,} on disk; the log is replayed from there"),
        ("state", f"{state.row_count:,} rows; {_sizes(state)}"),
    ]


def _sizes(part: LogReport | StateReport) -> str:
    live, free, file = (size / _MIB for size in (part.live_bytes, part.free_bytes, part.file_bytes))
    return f"{live:,.1f} MiB in use, {free:,.1f} MiB free, file of {file:,.1f} MiB"


def _slot_line(slot: SlotReport) -> str:
    if slot.record is None:
        return f"{_status(slot):<9} {'':<8} {slot.slot:>11,}  {slot.problem}"
    return f"{_status(slot):<9} {slot.record.ballot!s:<8} {entry_line(slot.slot, slot.record.value)}"


def _status(slot: SlotReport) -> str:
    if slot.record is None:
        return "damaged"
    return "chosen" if slot.is_chosen else "accepted"


# --- verify ---


def _verify_fields(report: VerifyReport) -> dict[str, Any]:
    import attrs

    return attrs.asdict(report, recurse=False) | {"directory": str(report.directory)}


def _print_verify(report: VerifyReport) -> None:
    print_text(
        f"{report.directory}: read {report.slot_count:,} slots in {report.log_bytes / _MIB:,.1f} MiB of log and "
        f"{report.state_row_count:,} rows in {report.state_bytes / _MIB:,.1f} MiB of state"
    )
    for finding in report.findings:
        print_text(("damaged", "bold red"), f"  {finding.place}: {finding.problem}")
        print_text(f"         {finding.consequence}")
    if not report.findings:
        print_text(("intact", "bold"))
