"""The tables in ``docs/ARCHITECTURE.md`` that are made from the modules: the rooms, and the client's connection.

    python -m tests.house_map --write          # make map

A module's docstring says in its first sentence what the module is for. If there is something that it must never do, the
docstring ends with a paragraph ``Never: ...``; without one the table's own cell stays as somebody wrote it.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from replog.client.connection import TRANSITIONS, Event, State

from .imports import ROOT, files, module_of
from .test_layers import LAYERS

PAGE = ROOT / "docs/ARCHITECTURE.md"
ROOMS_HEAD = "| room | purpose | never |\n|---|---|---|\n"
CONNECTION_HEAD = f"| what happens | {' | '.join(f'`{state.name}`' for state in State)} |\n|---{'|---' * len(State)}|\n"
PROGRAMS = ("shop_sm", "bench", "examples")
"""What stands on the library: their packages are rooms, their modules are furniture."""
_ROW = re.compile(r"^\| `([\w/]+)` \| (.*) \| (.*) \|$", re.MULTILINE)
_FIRST_SENTENCE = re.compile(r"(.+?[.?!])(\s|$)", re.DOTALL)
_NEVER = re.compile(r"(?:^|\n\n)Never: (.+)\Z", re.DOTALL)


@attrs.frozen
class Room:
    """One row of the table."""

    path: str
    purpose: str
    never: str

    def row(self) -> str:
        return f"| `{self.path}` | {self.purpose} | {self.never} |\n"


def rooms(told: dict[str, str]) -> Iterator[Room]:
    """Every module of the library from the ground up, then the packages of the programs on it.

    ``told``: what the table says that a room must never do, by its path.
    """
    for path in sorted(files("replog"), key=_floor):
        if path.name != "__main__.py":
            yield _room(path, told)
    for path in files(*PROGRAMS):
        if path.name == "__init__.py":
            yield _room(path, told)


def _floor(path: Path) -> tuple[int, int, tuple[str, ...]]:
    """Packages of one floor one after the other, each before its modules; the front page first."""
    parts = (*module_of(path).split(".")[1:],)
    floor = next((floor for floor, names in enumerate(LAYERS) if parts and parts[0] in names), -1)
    place = LAYERS[floor].index(parts[0]) if floor >= 0 else 0
    return floor, place, parts


def _room(path: Path, told: dict[str, str]) -> Room:
    name = module_of(path).replace(".", "/").removeprefix("replog/")
    docstring = inspect.cleandoc(ast.get_docstring(ast.parse(path.read_text())) or "")
    sentence = _FIRST_SENTENCE.match(docstring)
    never = _NEVER.search(docstring)
    purpose = _cell(sentence[1]) if sentence else ""
    return Room(name, purpose, _cell(never[1]).rstrip(".") if never else told.get(name, ""))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def rooms_table() -> str:
    """The table of rooms as it should be."""
    told = {name: never for name, _, never in _ROW.findall(PAGE.read_text())}
    return ROOMS_HEAD + "".join(room.row() for room in rooms(told))


def connection_table() -> str:
    """What each state means, then a row an event: which state follows, nothing where it can't happen."""
    rows = [["", *(state.value for state in State)]]
    for event in Event:
        follows = [TRANSITIONS[state].get(event) for state in State]
        rows.append([f"`{event.name}`: {event.value}", *(f"`{state.name}`" if state else "" for state in follows)])
    return CONNECTION_HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_tables(page: str) -> str:
    """The page with the tables in the place of those that are there."""
    for head, table in ((ROOMS_HEAD, rooms_table()), (CONNECTION_HEAD, connection_table())):
        start = page.index(head)
        end = page.index("\n\n", start) + 1
        page = page[:start] + table + page[end:]
    return page


def main() -> int:
    text = PAGE.read_text()
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_tables(text))
    elif with_tables(text) != text:
        print("docs/ARCHITECTURE.md lags behind the modules; `make map` mends it.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
