"""The small texts that options are read from."""

from __future__ import annotations

import pytest

from replog.cli.init import parse_members
from replog.cli_kit import parse_endpoints
from replog.cli_kit.options import parse_range
from replog.directory.formatting import cluster_bytes
from replog.errors import ConfigError


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
