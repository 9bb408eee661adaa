"""The map of the house is that of the house."""

from __future__ import annotations

import pytest

from .house_map import PAGE, Room, rooms, with_tables
from .test_layers import PUBLIC

ROOMS = list(rooms({}))


def test_the_tables_are_made_from_the_modules() -> None:
    """No room is missing, none is left that is gone, and each says what its docstring says; the client's connection
    moves as its table says. ``make map`` mends both.
    """
    page = PAGE.read_text()
    assert with_tables(page) == page


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.path)
def test_every_module_says_what_it_is_for(room: Room) -> None:
    """Its docstring begins with a sentence that fits a row."""
    assert 10 <= len(room.purpose) <= 160, room.purpose


def test_the_page_names_what_programs_may_import() -> None:
    """What the layers' test allows is what a reader is told."""
    (told,) = [
        line for line in PAGE.read_text().splitlines() if line.startswith("A program that is built on the library")
    ]
    assert {name for name in PUBLIC if f"`{name}`" in told} == PUBLIC
