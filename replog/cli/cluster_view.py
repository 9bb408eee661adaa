"""A cluster on a screen: one line of verdict, one row a node, what to do next.

The table fits the terminal: on a narrow one the columns that a person needs least go first, and nothing is folded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from replog.cli_kit.shown import shown
from replog.wire.status import format_span

from .cluster_report import ClusterReport, MemberReport, lag_of

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

STYLES = {"healthy": "bold green", "degraded": "bold yellow", "contradicted": "bold red", "no_quorum": "bold red"}
NOTHING = "-"
_GAP = 2


@attrs.frozen
class _Column:
    """A column, what it shows, and how soon it is given up on a narrow terminal (0: never)."""

    heading: str
    cell: Callable[[MemberReport, ClusterReport], str]
    given_up: int = 0
    is_number: bool = False


def _state(member: MemberReport, report: ClusterReport) -> str:
    if not member.up:
        return f"down: {member.problem}" if member.problem else "down"
    if member.cluster_id != report.cluster_id:
        return "of another cluster"
    deaf = ", ".join(gap.other(member.node) for gap in report.gaps if member.node in gap.deaf)
    return member.problem or (f"does not hear {deaf}" if deaf else "ok")


def _lag(member: MemberReport, report: ClusterReport) -> str:
    return _number(lag_of(member, report.members)) if member.up else NOTHING


def _number(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


def format_bytes(count: int | None) -> str:
    """``412 MB``: three digits at most, powers of ten as disks are sold."""
    if count is None:
        return NOTHING
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_offset(offset_ms: int | None) -> str:
    """``+3.2 h``: how far a clock is ahead."""
    if offset_ms is None:
        return NOTHING
    return f"{'-' if offset_ms < 0 else '+'}{format_span(offset_ms)}"


def _milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f} ms"


_COLUMNS = (
    _Column("NODE", lambda member, _: member.node),
    _Column("ROLE", lambda member, _: member.role or NOTHING),
    _Column("ADDRESS", lambda member, _: member.address),
    _Column("STATE", _state),
    _Column("BALLOT", lambda member, _: member.ballot or NOTHING, given_up=4),
    _Column("CHOSEN", lambda member, _: _number(member.chosen_through), given_up=5, is_number=True),
    _Column("APPLIED", lambda member, _: _number(member.applied_through), is_number=True),
    _Column("LAG", _lag, is_number=True),
    _Column("DISK", lambda member, _: format_bytes(member.disk_bytes), given_up=3, is_number=True),
    _Column("SYNC p99", lambda member, _: _milliseconds(member.sync_p99_ms), given_up=6, is_number=True),
    _Column("CLOCK", lambda member, _: format_offset(member.clock_offset_ms), given_up=2, is_number=True),
    _Column("VERSION", lambda member, _: member.version or NOTHING, given_up=1),
)


def render_cluster(report: ClusterReport, *, width: int) -> Group:
    """The whole picture for a terminal ``width`` columns wide."""
    from rich.console import Group
    from rich.text import Text

    lines: list[Text | Table] = [verdict_line(report), member_table(report, width=width)]
    for step in report.next_steps:
        lines.append(Text.assemble(("next: ", "bold"), step))
    return Group(*lines)


def verdict_line(report: ClusterReport) -> Text:
    """``cluster e4c1..9a  DEGRADED: 2 of 3 voters up, writes OK, one more failure stops writes``."""
    from rich.text import Text

    words = report.verdict.replace("_", " ").upper()
    name = f"cluster {short_id(report.cluster_id)}" if report.cluster_id else "cluster unknown"
    return Text.assemble((name, "bold"), "  ", (words, STYLES[report.verdict]), f": {report.summary}")


def short_id(hexadecimal: str) -> str:
    """Enough of an id to tell two apart by eye: ``e4c1..9a``."""
    return hexadecimal if len(hexadecimal) <= 8 else f"{hexadecimal[:4]}..{hexadecimal[-2:]}"


def member_table(report: ClusterReport, *, width: int) -> Table:
    """A row a node, with the columns that fit."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    columns = _fitting(report, width)
    for column in columns:
        table.add_column(column.heading, justify="right" if column.is_number else "left", no_wrap=True)
    for member in report.members:
        style = _row_style(member, report)
        table.add_row(*(Text(shown(column.cell(member, report)), style=style) for column in columns))
    return table


def _row_style(member: MemberReport, report: ClusterReport) -> str:
    if not member.up or member.is_contradicted or member.cluster_id != report.cluster_id:
        return "red"
    if not member.is_voting or member.is_storage_full or any(member.node in gap.deaf for gap in report.gaps):
        return "yellow"
    return "bold" if member.role == "leader" else ""


def _fitting(report: ClusterReport, width: int) -> Sequence[_Column]:
    columns = list(_COLUMNS)
    order = sorted((column for column in columns if column.given_up), key=lambda column: column.given_up)
    while order and _table_width(columns, report) > width:
        columns.remove(order.pop(0))
    return columns


def _table_width(columns: Sequence[_Column], report: ClusterReport) -> int:
    widths = [
        max(len(column.heading), *(len(column.cell(member, report)) for member in report.members), 0)
        for column in columns
    ]
    return sum(widths) + _GAP * (len(columns) - 1)
