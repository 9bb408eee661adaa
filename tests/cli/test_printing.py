"""What is printed is data: no name, id or error is markup or a control sequence, and no output spoils what was done."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from replog.cli_kit import done, new_table, note, print_json, print_line, print_table, print_text, run
from replog.cli_kit.printing import stdout_console
from replog.cli_kit.shown import shown

HOSTILE = [
    "[/]",
    "[bold]loud[/]",
    "[link=http://x]y[/link]",
    ":tea:",
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31m",
    "a\rb\nc\td",
    "\u202etxt.exe",
    "\u2028line",
    "\ud800half",
    "\udcffbyte",
]
MOVES = set(map(chr, [*range(10), *range(11, 32), *range(127, 160), 0x202E, 0x2028]))


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def as_shown(text: str) -> str:
    return shown(text).strip()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_whatever_is_printed_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence, a cell, a heading, a title, a remark and an error: each character, none that moves a cursor."""
    table = new_table("NAME", text, title=text)
    table.add_row(text, "after")
    print_table(table)
    print_text(text)
    print_text(("styled", "bold"), " ", (text, "red"))
    print_line(text)
    note(text)
    note(("next:", "bold"), f" {text}")
    output = capsys.readouterr()
    assert output.out.count(as_shown(text)) >= 6
    assert output.err.count(as_shown(text)) == 2
    assert not MOVES & set(output.out + output.err)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_terminal_is_not_controlled_by_a_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rich writes colours of its own, too."""
    from rich.text import Text

    raw = io.BytesIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal(raw, encoding="utf-8", write_through=True))
    table = new_table("NAME")
    table.add_row(text)
    table.add_row(Text(text))
    print_text(table)
    print_text(Text(text))
    written = re.sub(r"\x1b\[[0-9;]*m", "", raw.getvalue().decode())  # bold headings
    assert as_shown(text) in written
    assert not MOVES & set(written)


def test_a_cell_is_as_wide_as_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns stay columns beside a name full of control characters."""
    table = new_table("NAME", "PRICE")
    table.add_row("\x1b" * 5, "1")
    table.add_row("tea", "2")
    print_table(table)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].index("1", 5 * len("\\x1b")) == lines[2].index("2")


@pytest.mark.parametrize("columns", ["0", "1", "-5", "9" * 30, "\u00b2", "wide", ""])
def test_a_width_that_can_not_be_meant_is_not_believed(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS and LINES come from anywhere."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert stdout_console().width == 200


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_every_encoding_takes_every_name(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an output has no character for is written as its number, in JSON too."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    name = "Grüner Tee \u8336 \U0001f375 \udcff"

    def app(tokens: object) -> None:
        print_json({"name": name}, is_line=True)
        print_text(name)

    assert run(app, []) == 0
    fields, sentence = raw.getvalue().decode(encoding).splitlines()
    assert json.loads(fields)["name"] == name
    assert sentence.startswith("Gr")


@pytest.mark.parametrize("full", ["/dev/full", "closed"])
def test_what_was_done_stays_done_where_nothing_can_be_printed(full: str, tmp_path: Path) -> None:
    """Only what is there to be printed has failed then; the code says so, and there is no traceback."""
    prints = "from replog.cli_kit import *; import sys; sys.exit(run(lambda _: {}, []))"
    told = "exec('with done(): print_text(\"told\")')"
    for program, code in ((prints.format(told), 0), (prints.format("print_text('asked')"), 2)):
        command = f'exec {sys.executable} -c "$0" {">/dev/full" if full == "/dev/full" else ">&-"}'
        ended = subprocess.run(["sh", "-c", command, program], capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == (code if full == "/dev/full" else 0), ended.stderr
        assert "Traceback" not in ended.stderr
        assert "defect" not in ended.stderr


def test_a_closed_stream_is_not_the_next_file(tmp_path: Path) -> None:
    """What is opened first must not become "stdout", or a sentence would be written into it."""
    program = (
        "import os, sys; from replog.cli_kit import run\n"
        "run(lambda _: os.write(1, b'spoiled') and os.write(2, b'spoiled') and open('data', 'w').write('good'), [])"
    )
    command = f'exec {sys.executable} -c "$0" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", command, program], cwd=tmp_path, check=True, env={**os.environ})
    assert (tmp_path / "data").read_text() == "good"


def test_only_stdout_is_forgiven() -> None:
    """A file that can't be written is what the command was about."""
    with pytest.raises(OSError, match="data"), done():
        raise OSError(28, "No space left on device", "data")


def test_no_command_has_markup_or_prints_by_itself() -> None:
    """Style is said apart from the text, and every line goes through ``cli_kit``, where strings are data."""
    root = Path(__file__).parent.parent.parent
    sources = [
        path
        for part in ("replog/cli", "shop_sm/cli", "bench/commands", "bench/report")
        for path in (root / part).rglob("*.py")
    ]
    assert sources
    told = re.compile(
        r"rich\.markup|\[/\]|\[(bold|red|green|yellow|cyan|dim)\b|\bConsole\(|^\s+print\((?!\)).*$", re.MULTILINE
    )
    found = {str(path.relative_to(root)): told.findall(path.read_text()) for path in sources}
    assert {name: times for name, times in found.items() if times} == {}


def test_what_turns_a_terminal_around_is_a_number_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader gets the same text; whoever looks at it is not fooled."""
    name = "\u202egpj.exe \x9b31m \u2066 \ufeff \x7f tea \U0001f375 \u00e9"
    print_json({"name": name})
    told = capsys.readouterr().out
    assert json.loads(told)["name"] == name
    assert not set("\u202e\x9b\u2066\ufeff\x7f") & set(told)
    assert "\\u202egpj.exe" in told


@pytest.mark.parametrize("lack", [OSError(24, "Too many open files"), MemoryError()])
def test_a_note_is_told_plainly_where_rich_can_not_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lack: Exception
) -> None:
    """A lack of descriptors or memory costs the colours, and never the command."""

    def refuse() -> None:
        raise lack

    monkeypatch.setattr("replog.cli_kit.printing.stderr_console", refuse)
    note(("error:", "bold red"), " it is so")
    assert capsys.readouterr().err == "error: it is so\n"
