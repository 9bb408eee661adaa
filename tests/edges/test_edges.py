"""A short part of ``make edges``: of each area the rows that were wrong once, against the real commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .rows import Row, every_row
from .stage import run_row, template

TEXTS = (
    "init @ --node n1 --member n1=127.0.0.1:7101: no Unicode",
    "status --endpoints @ --timeout 0.3: markup",
    "log tail --endpoints 127.0.0.1:9 --timeout 0.3 --lines=@: 'nan'",
    "--pay-within-s=@ --endpoints 127.0.0.1:9 --timeout 0.3: 'nan'",
    "sim: python -O",
    "inspect: columns of another script",
    "help: no columns",
    "inspect: output in Latin-1",
    "log tail: the working directory was deleted",
    "serve: a file secrets.py beside it",
    "status: 6 of them",
    "inspect >&-",
    "inspect <&- >&- 2>&-",
    "inspect d: formatted, and damaged",
    "init d --node n1 --member n1=127.0.0.1:7101: a link to itself",
    "status > /dev/full",
    "help > /dev/full 2> /dev/full",
    "replog init d is done > /dev/full",
    "replog init d is done > /dev/full 2> /dev/full",
    "load {T}/bom --name x --endpoints 127.0.0.1:9 --timeout: a file of bom",
)


def chosen() -> Iterator[Row]:
    for text in TEXTS:
        yield next(row for row in every_row() if row.what.endswith(text))


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("edges"))


@pytest.mark.parametrize("row", list(chosen()), ids=lambda row: row.what)
def test_a_command_says_what_is_wrong(row: Row, templates: Path, tmp_path: Path) -> None:
    """A sentence and a code of the table, whatever it is given and wherever it runs; never a defect."""
    ended = run_row(row, templates, tmp_path)
    assert not ended.fault, f"{ended.fault}: {ended.sentence}"


def test_a_defect_is_told() -> None:
    """The matrix itself finds one."""
    from .stage import _fault

    row = Row("name", "", ("replog", "status"))
    assert _fault(row, 3, "", "error: nobody answers.\nnext: start one.") == ""
    for code, out, err in (
        (1, "", "error: x"),
        (120, "", "error: x"),
        (3, "", ""),
        (3, "", "Traceback (most recent call last):\nerror: x"),
        (2, "", "error: this is a defect of the program, not of what you asked for."),
        (0, "\x1b]0;title\x07", ""),
        (2, "", "error: \x1b[2Jgone"),
    ):
        assert _fault(row, code, out, err)
