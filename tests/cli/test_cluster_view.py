"""How a cluster looks on a screen, at the widths people have."""

from __future__ import annotations

import attrs
import pytest
from rich.console import Console

from replog.cli.cluster_report import MemberReport, judge
from replog.cli.cluster_view import format_bytes, format_offset, member_table, render_cluster, short_id
from replog.cli_kit import print_text
from replog.cli_kit.shown import shown

from .clusters import down, up

WIDE = """\
cluster e4c1..9a  DEGRADED: 2 of 3 voters up, n1 leads, writes OK, one more failure stops writes
NODE  ROLE      ADDRESS        STATE            BALLOT     CHOSEN    APPLIED  LAG    DISK  SYNC p99  CLOCK  VERSION
n1    leader    10.0.0.1:7101  ok               17.n1   1,204,311  1,204,311    0  412 MB    1.9 ms  +3 ms  0.1.0
n2    follower  10.0.0.2:7101  ok               17.n1   1,204,311  1,204,309    2  412 MB    1.9 ms  +3 ms  0.1.0
n3    -         10.0.0.3:7101  down: timed out  -               -          -    -       -         -      -  -
next: check n3 (timed out). If a disk is lost, see "replace a dead node" in docs/OPERATING.md; never `replog init`
a node again."""

NARROW = """\
NODE  ROLE      ADDRESS        STATE     CHOSEN    APPLIED  LAG  SYNC p99
n1    leader    10.0.0.1:7101  ok     1,204,311  1,204,311    0    1.9 ms
n2    follower  10.0.0.2:7101  ok     1,204,311  1,204,309    2    1.9 ms
n3    follower  10.0.0.3:7101  ok     1,204,311  1,204,309    2    1.9 ms"""


def drawn(renderable: object, width: int) -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_a_wide_screen_shows_everything() -> None:
    """Verdict, a row a node with all columns, the next step."""
    report = judge([up(1), up(2), down(3, "timed out")], voter_count=3)
    assert drawn(render_cluster(report, width=115), 115) == WIDE


def test_a_narrow_screen_gives_up_columns_and_folds_nothing() -> None:
    """At 80 columns the table is narrower, not broken."""
    report = judge([up(1), up(2), up(3)], voter_count=3)
    assert drawn(member_table(report, width=80), 80) == NARROW


@pytest.mark.parametrize("width", [60, 70, 80, 90, 100, 120])
@pytest.mark.parametrize("third", [up(3), down(3), down(3, "timed out")])
def test_every_row_is_one_line_at_every_width(width: int, third: MemberReport) -> None:
    """Three nodes are three lines and a heading: rows never fold."""
    report = judge([up(1), up(2), third], voter_count=3)
    assert len(drawn(member_table(report, width=width), width).splitlines()) == 4


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (999_600, "1 MB"),
        (412_000_000, "412 MB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_sizes_have_three_digits(count: int | None, text: str) -> None:
    """A size is read at a glance, and never as 1000 of a unit."""
    assert format_bytes(count) == text


def test_a_long_id_is_shortened_a_short_one_is_not() -> None:
    """Two ids can still be told apart by eye."""
    assert (short_id("e4c1" + "0" * 26 + "9a"), short_id("e4c1")) == ("e4c1..9a", "e4c1")


@pytest.mark.parametrize(
    ("offset_ms", "text"),
    [
        (None, "-"),
        (0, "+0 ms"),
        (-1_999, "-1999 ms"),
        (2_000, "+2.0 s"),
        (-10 * 365 * 86_400_000, "-10.0 y"),
        (3 * 86_400_000, "+3.0 d"),
    ],
)
def test_a_clocks_offset_reads_as_a_person_says_it(offset_ms: int | None, text: str) -> None:
    """With its sign, in the largest unit it has two of."""
    assert format_offset(offset_ms) == text


def test_who_does_not_hear_whom_stands_in_the_row() -> None:
    """With the node that is deaf; a node of another cluster is none of this one's."""
    links = {"n2": "", "n3": "timed out"}
    report = judge([up(1, links=links), up(2), up(3), up(3, cluster_id="ff" * 16)], voter_count=3)
    rows = drawn(member_table(report, width=115), 115).splitlines()[1:]
    wanted = ("does not hear n3 ", " ok ", " ok ", "of another cluster")
    assert all(words in row for words, row in zip(wanted, rows, strict=True))


@pytest.mark.parametrize("text", ["\x1b]0;mine\x07", "\x1b[2J", "a\nn9  leader", "[/]", "\u202eko"], ids=ascii)
@pytest.mark.parametrize("field", ["role", "address", "problem", "version"])
def test_what_a_node_says_is_shown_and_does_nothing(
    field: str, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger at the port draws no rows of its own, and reaches no terminal."""
    monkeypatch.setenv("COLUMNS", "250")
    stranger = attrs.evolve(up(2), **{field: text})
    print_text(render_cluster(judge([up(1), stranger, up(3)], voter_count=3), width=250))
    told = capsys.readouterr().out
    assert shown(text) in told
    assert sum(line.startswith(("n1", "n2", "n3", "n9")) for line in told.splitlines()) == 3
    assert not {"\x1b", "\x07", "\u202e"} & set(told)
