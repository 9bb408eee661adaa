"""Addresses and nodes' names: one reading of each, for settings, commands and clients alike."""

from __future__ import annotations

import pytest

import replog
from replog.addresses import check_address, split_address
from replog.cli_kit import parse_endpoints
from replog.config import ReplicaConfig
from replog.paxos.ballot import NODE_MAX, node_name, parse_node

ADDRESSES = {
    "127.0.0.1:7101": ("127.0.0.1", 7101),
    "node-1.example:1": ("node-1.example", 1),
    "under_score:65535": ("under_score", 65535),
    "[::1]:7101": ("::1", 7101),
    "[fe80::1%lo]:7101": ("fe80::1%lo", 7101),
    "bücher.example:7101": ("xn--bcher-kva.example", 7101),
}
NO_ADDRESSES = (
    "", "host", ":7101", "host:", "host:0", "host:65536", "host:99999", "host:x", "host:\u0663", "host:" + "9" * 5000,
    "::1:7101", "[]:7101", "[::1:7101", "[host]:7101", "a..b:7101", ".:7101", "x" * 64 + ":7101",
    "my\u2011host:7101", "\u2603.net:7101", "ho st:7101", "ho\0st:7101", "\u200bhost:7101", "ho\x1b[1mst:7101",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_host_and_port(address: str) -> None:
    """Names, IPv4 and bracketed IPv6 are addresses; a name of other letters is looked up by its ASCII form."""
    assert check_address(address) == address
    assert split_address(address) == ADDRESSES[address]


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    """A port out of range, a missing half, a bare IPv6 address and a name that no host can have, by one sentence."""
    with pytest.raises(ValueError, match=r"like .*:7101") as refused:
        check_address(address)
    assert not isinstance(refused.value, UnicodeError)
    assert str(refused.value).startswith(repr(address))
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("address", ["host:99999", "my\u2011host:7101"])
async def test_every_door_refuses_the_same(address: str) -> None:
    """The client, a replica's settings and the commands' option: an address that can't be is no surprise later."""
    with pytest.raises(ValueError, match="like 127"):
        async with replog.connect(["127.0.0.1:7101", address]):
            pass
    with pytest.raises(ValueError, match="like 127"):
        parse_endpoints(address)
    for setting in ({"members": {1: address}}, {"members": {1: "127.0.0.1:7101"}, "bind": address}):
        with pytest.raises(ValueError, match="like 127"):
            ReplicaConfig(data_dir="data", **setting)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "node"), [("n1", 1), ("7", 7), (" n03 ", 3), (f"n{NODE_MAX}", NODE_MAX)])
def test_a_node_is_named_by_its_number(text: str, node: int) -> None:
    """With the letter or without; what is written is read again."""
    assert parse_node(text) == node
    assert parse_node(node_name(parse_node(text))) == node


@pytest.mark.parametrize(
    "text", ["", "n", "n0", "0", "-1", "nn1", "n1.5", "n\u00b2", "n\u0661", f"n{NODE_MAX + 1}", "9" * 5000]
)
def test_what_names_no_node_is_refused(text: str) -> None:
    """Zero, signs, other digits and numbers that no record can hold."""
    with pytest.raises(ValueError, match="is no node; write n1"):
        parse_node(text)
