"""docs/OPERATING.md tells the truth: its tables are those of the code, and its examples run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from replog.cli.app import build_app
from replog.cli_kit import ExitCode
from replog.config import TABLES, ReplicaConfig, environment_variables, load_config
from replog.paxos.effects import NoticeKind

from .conftest import Replog

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "OPERATING.md").read_text()

LOG_METHODS = {"debug", "info", "warning", "error"}


def section(heading: str) -> str:
    """From a heading to the next one of the same or a higher rank."""
    rank = heading.split(" ")[0]
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    rest = prose.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{len(rank)}}} ", rest, maxsplit=1)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the table rows, without headings."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("key", "event", "code")]


def shown(default: object) -> str:
    """A default as the page writes it."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:,}" if isinstance(default, int) else f"{default:g}"


@pytest.mark.parametrize("table", TABLES)
def test_every_setting_is_on_the_page_with_its_default(table: str) -> None:
    """In the order of the code, none missing, none that is no more, each with a sentence."""
    described = rows(section(f"### `[{table}]`"))
    expected = [[f"`{field.name}`", shown(field.default)] for field in attrs.fields(TABLES[table])]
    assert [row[:2] for row in described] == expected
    assert all(row[2].endswith(".") for row in described)


def test_the_settings_outside_tables_are_on_the_page() -> None:
    """Directory, members, address and state machine."""
    described = {row[0].strip("`") for row in rows(section("## Settings").split("\n### ")[0])}
    assert described == {field.name for field in attrs.fields(ReplicaConfig)} - set(TABLES)


def test_the_sample_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person copies from the page is a configuration."""
    for name in environment_variables():
        monkeypatch.delenv(name, raising=False)
    (sample,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "replica.toml"
    path.write_text(sample)
    config = load_config(path)
    assert (config.bind, config.log.bytes_max, len(config.members)) == ("0.0.0.0:7101", 20_000_000_000, 3)


def test_every_variable_named_on_the_page_is_read() -> None:
    """A variable that nobody reads would be set in vain."""
    others = {"REPLOG_CONFIG", "REPLOG_ENDPOINTS", "REPLOG_LOG_LEVEL", "REPLOG_LOG_FORMAT"}
    assert set(re.findall(r"REPLOG_[A-Z_]+[A-Z]", PAGE)) <= set(environment_variables()) | others


def literals(node: ast.expr) -> Iterator[str]:
    """Every text an expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from literals(node.body)
            yield from literals(node.orelse)


def logged_events() -> Iterator[str]:
    """Events of every logger call of the library, of the links' notes, and of the core's notices."""
    yield from (kind.value for kind in NoticeKind)
    for path in (ROOT / "replog").rglob("*.py"):
        source = path.read_text()
        if not any(word in source for word in ("structlog", "EventLog", "LinkNotes")):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                prefix = "link_" if node.func.attr in ("of_peer", "of_stranger", "of_end") else ""
                if prefix or node.func.attr in LOG_METHODS:
                    yield from (prefix + text for text in literals(node.args[0]))


def test_every_log_event_is_on_the_page_and_no_other() -> None:
    """Whoever sees an event finds what to do; whoever reads the page can wait for the event."""
    described = {name for row in rows(section("## Log")) for name in re.findall(r"`(\w+)`", row[0])}
    assert described == set(logged_events())


def test_every_exit_code_is_on_the_page() -> None:
    """One table for all commands."""
    assert [int(row[0]) for row in rows(section("## Exit codes"))] == sorted(ExitCode)


def test_every_command_on_the_page_is_there(replog: Replog) -> None:
    """No page tells to type what is no command; every option that stands with it exists."""
    app = build_app()
    for line in set(re.findall(r"`replog ([^`]+)`", PAGE)):
        words = line.split()
        assert words[0] in app, line
        command = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
        depth = 2 if words[0] in ("leader", "log", "config") else 1
        done = replog(*command[:depth], "--help")
        assert done.code == 0, line
        page = done.out
        for option in re.findall(r"--[a-z-]+", line):
            assert option in page, line
