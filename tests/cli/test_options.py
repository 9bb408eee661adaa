"""The small texts that options are read from."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from cyclopts import Parameter

from replog.cli.app import _COMMANDS, _GROUPS
from replog.cli.init import parse_members
from replog.cli_kit import parse_endpoints
from replog.cli_kit.options import parse_range
from replog.directory.formatting import cluster_bytes
from replog.errors import ConfigError
from shop_sm.cli.app import GROUPS as SHOP_GROUPS
from shop_sm.cli.app import WORDS as SHOP_WORDS

from ..imports import files


def test_endpoints_are_split_stripped_and_not_repeated() -> None:
    """A list written by hand, with blanks and a repetition, is read as meant."""
    assert parse_endpoints("a:1, b:2 ,a:1,") == ("a:1", "b:2")


def test_a_range_excludes_its_end() -> None:
    """A:B reads as Python's range does, a single number as itself."""
    assert parse_range("0:2000") == range(2000)
    assert parse_range("7") == range(7, 8)


@pytest.mark.parametrize("text", ["", "a:b", "5:5", "9:3", "-2:4", "1:2:3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    """An empty, negative or unreadable range is named, not run as nothing."""
    with pytest.raises(ValueError, match="A:B"):
        parse_range(text)


def test_a_cluster_has_the_same_id_by_name_on_every_machine() -> None:
    """The name's hash, or the id's own digits."""
    assert cluster_bytes("shop-prod") == cluster_bytes("shop-prod") != cluster_bytes("shop-test")
    assert cluster_bytes("e4" * 16) == bytes.fromhex("e4" * 16)


def test_members_come_ascending_however_they_were_written() -> None:
    """The order on the command line doesn't decide anything."""
    assert list(parse_members(["n3=c:3", "1=a:1", "n2=b:2"]).items()) == [(1, "a:1"), (2, "b:2"), (3, "c:3")]
    with pytest.raises(ConfigError, match="'n1' is not node=host:port"):
        parse_members(["n1"])


def _commands() -> list[Callable[..., object]]:
    """Every function behind a word of ``replog``, ``shop`` or ``bench``."""
    targets = [target for _, _, target, _ in _COMMANDS] + [target for *_, inner in _GROUPS for _, target, _ in inner]
    places = [f"replog.cli.{target}" for target in targets]
    places += [f"shop_sm.cli.{group}:{word}_{group}" for group, (_, words) in SHOP_GROUPS.items() for word in words]
    places += [f"shop_sm.cli.{word}:{word}" for word in SHOP_WORDS]
    modules = [path.stem for path in files("bench/commands") if path.stem != "__init__"]
    places += [f"bench.commands.{name}:{name}" for name in modules]
    functions = [getattr(import_module(place.partition(":")[0]), place.partition(":")[2], None) for place in places]
    return [function for function in functions if function is not None]


def _flat(hint: Any) -> list[Any]:
    """A hint's types, and what is said of them, however deep."""
    if get_origin(hint) is Annotated or isinstance(hint, UnionType) or get_origin(hint) is Union:
        return [part for inner in get_args(hint) for part in _flat(inner)]
    return [hint]


@pytest.mark.parametrize("command", _commands(), ids=lambda command: f"{command.__module__}.{command.__name__}")
def test_every_number_of_a_command_line_is_read_by_a_reader_of_ours(command: Callable[..., object]) -> None:
    """Left to itself the command line's parser takes nan for a pause, and rounds what is counted."""
    hints = get_type_hints(command, include_extras=True, localns={"Path": Path})
    for name, hint in hints.items():
        said = _flat(hint)
        if name != "return" and {int, float} & {part for part in said if isinstance(part, type)}:
            assert any(isinstance(part, Parameter) and (part.converter or part.validator) for part in said), name


def test_a_name_of_a_cluster_that_is_no_text_is_refused() -> None:
    """It would have another id wherever it is typed in another encoding."""
    with pytest.raises(ConfigError, match="no valid Unicode"):
        cluster_bytes("a\udcff")
