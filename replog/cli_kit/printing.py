"""Where output goes and how it looks: data to stdout, notes to stderr, one JSON object for programs.

A string is data: it has no markup, and its control characters are shown. What can't be written on stdout is an error
of a file called "stdout"; where something was done before, only a remark (``done``). Remarks may get lost.

Rich is imported when the first line is printed, not before: a command that prints plain JSON starts faster without.
"""

from __future__ import annotations

import enum
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from .log_sink import open_standard_streams
from .shown import shown, shown_in_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

STDOUT = "stdout"
PIPE_WIDTH = 200
"""Columns when nobody watches: a table that goes into ``grep`` or a file must not be folded at 80."""
SIZES = range(20, 10_000)
"""What COLUMNS and LINES may say."""


def ready_streams() -> None:
    """Let stdin, stdout and stderr be there, and take every character whatever their encoding is."""
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in ("COLUMNS", "LINES"):  # whoever prints help believes them
        if not _is_size(os.environ.get(name, "80")):
            del os.environ[name]


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 5 and int(text) in SIZES


def stdout_console() -> Console:
    """A console for data. NO_COLOR and COLUMNS are respected; a pipe gets unfolded, uncoloured lines."""
    return _console(is_stderr=False)


def stderr_console() -> Console:
    """A console for everything a program that reads stdout must not see."""
    return _console(is_stderr=True)


def _console(*, is_stderr: bool) -> Console:
    from .plain_console import PlainConsole

    columns = os.environ.get("COLUMNS", "")
    stream = sys.stderr if is_stderr else sys.stdout
    default = None if stream.isatty() else PIPE_WIDTH
    return PlainConsole(is_stderr=is_stderr, width=int(columns) if _is_size(columns) else default)


@contextmanager
def to_stdout() -> Iterator[None]:
    """What is printed inside is written when the block ends, or an ``OSError`` of the file "stdout" says why not."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        leave(sys.stdout)
        raise OSError(error.errno, error.strerror, STDOUT) from None


def leave(stream: TextIO) -> None:
    """Point it elsewhere, or the interpreter's own flush at exit would complain again, with a code of its own."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave_what_is_full() -> None:
    """What is still to be written is written, or lost; the exit code is that of the command."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            leave(stream)


@contextmanager
def done() -> Iterator[None]:
    """Around the telling of what was done: that it can't be told does not undo it, and is a remark."""
    try:
        yield
    except OSError as error:
        if error.filename != STDOUT:
            raise
        note(f"it was done, but stdout takes no answer: {error.strerror}")


def print_text(*parts: RenderableType | tuple[str, str]) -> None:
    """Print data for a person on stdout, without the blanks that pad a table.

    Parameters
    ----------
    parts: of one line: a string as it is, or with its style, ``("intact", "bold")``; or one thing of rich's.
    """
    console = stdout_console()
    with to_stdout():
        if console.is_terminal:
            console.print(_joined(parts))
            return
        with console.capture() as capture:
            console.print(_joined(parts))
        for line in capture.get().splitlines():
            print(line.rstrip())


def print_line(text: str) -> None:
    """Print one line of data on stdout, never folded."""
    with to_stdout():
        print(shown(text))


def note(*parts: RenderableType | tuple[str, str]) -> None:
    """Print a remark on stderr, or nothing where nothing can be printed; never folded: somebody may copy a command.

    Parameters
    ----------
    parts: see ``print_text``.
    """
    try:
        stderr_console().print(_joined(parts), soft_wrap=True)
    except (OSError, MemoryError):  # rich can't be loaded: too many files are open, or too little memory is left
        with suppress(OSError, ValueError, MemoryError):
            print(*(part[0] if isinstance(part, tuple) else part for part in parts), sep="", file=sys.stderr)


def _joined(parts: tuple[RenderableType | tuple[str, str], ...]) -> RenderableType:
    from rich.text import Text

    line = Text()
    for part in parts:
        match part:
            case str():
                line.append(shown(part))
            case (str() as text, style):
                line.append(shown(text), style)
            case _:
                return part
    return line


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
    is_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    with to_stdout():
        print(shown_in_json(json.dumps(plain, indent=None if is_line else 2, ensure_ascii=is_ascii)))


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
