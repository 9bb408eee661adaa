"""Where output goes and how it looks: data to stdout, notes to stderr, one JSON object for programs.

Rich is imported when the first line is printed, not before: a command that prints plain JSON starts faster without.
"""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PIPE_WIDTH = 200
"""Columns when nobody watches: a table that goes into ``grep`` or a file must not be folded at 80."""


def stdout_console() -> Console:
    """A console for data. NO_COLOR and COLUMNS are respected; a pipe gets unfolded, uncoloured lines."""
    return _console(is_stderr=False)


def stderr_console() -> Console:
    """A console for everything a program that reads stdout must not see."""
    return _console(is_stderr=True)


def _console(*, is_stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if is_stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(stderr=is_stderr, width=width, highlight=False, soft_wrap=False)


def print_text(text: RenderableType = "") -> None:
    """Print data for a person on stdout, without the blanks that pad a table; strings may carry rich's markup."""
    console = stdout_console()
    if console.is_terminal:
        console.print(text)
        return
    with console.capture() as capture:
        console.print(text)
    for line in capture.get().splitlines():
        print(line.rstrip())


def note(text: RenderableType) -> None:
    """Print a remark on stderr, never folded: it may name a command that somebody copies."""
    stderr_console().print(text, soft_wrap=True)


def new_table(*columns: str, right: Iterable[str] = (), title: str | None = None) -> Table:
    """A table in the project's one look: capital headings, two spaces between columns, no frame.

    Parameters
    ----------
    columns: headings, in order.
    right: those of them that hold numbers and are aligned right.
    """
    from rich.table import Table

    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", title=title, title_justify="left"
    )
    numeric = set(right)
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    return table


def print_table(table: Table) -> None:
    """Print a table on stdout."""
    print_text(table)


def print_json(fields: Mapping[str, Any] | Any, *, schema: int = 1, is_line: bool = False) -> None:
    """Print one JSON object whose first key is ``schema``.

    A reader checks ``schema``: it rises when a key is renamed or changes meaning, not when one is added.

    Parameters
    ----------
    fields: a mapping, an attrs instance or a msgspec Struct; values may be nested ones of these.
    schema: version of this command's object.
    is_line: on one line, for streams of objects.
    """
    plain = {"schema": schema, **_plain(fields)}
    print(json.dumps(plain, indent=None if is_line else 2, ensure_ascii=False), flush=is_line)


def _plain(value: Any) -> Any:
    """Reduce a value to what JSON has. Bytes become hex and ballots text, as people write them."""
    from replog.paxos.ballot import Ballot

    match value:
        case Ballot():
            return str(value)
        case enum.Enum():
            return value.value
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case str() | int() | float() | None:
            return value
        case list() | tuple() | set() | frozenset():
            items = sorted(value) if isinstance(value, set | frozenset) else value
            return [_plain(item) for item in items]
    return {name: _plain(getattr(value, name)) for name in _field_names(value)}


def _field_names(value: object) -> list[str]:
    """Public fields of an attrs instance or a msgspec Struct."""
    import attrs
    import msgspec

    kind = type(value)
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind) if not field.name.startswith("_")]
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    raise TypeError(f"{type(value).__name__} has no JSON form: make it a mapping, an attrs class or a Struct")
