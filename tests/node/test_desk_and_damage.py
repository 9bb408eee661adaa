"""A read that meets a damaged state at the desk of a node: that is no failure of the query."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from replog.client_desk import ClientDesk
from replog.codec import Kind
from replog.errors import Damaged, StorageError
from replog.link import Link
from replog.paxos.ballot import NodeId, Slot
from replog.requests import Query


class Book:
    """A node that has applied nothing and knows of no leader."""

    applied_through = Slot(0)
    compacted_through = Slot(0)

    def leader_address(self) -> tuple[NodeId, str]:
        return NodeId(0), ""


@pytest.fixture
def link() -> Iterator[Link]:
    """A client's link; the other end is open and reads nothing."""
    here, there = socket.socketpair()
    with here, there:
        yield Link(here, frozenset({Kind.CLIENT}))


def raising(error: Exception) -> Callable[[bytes], bytes]:
    def answer(_request: bytes) -> bytes:
        raise error

    return answer


def asked(link: Link) -> ClientDesk:
    """A desk at which one read waits for its answer."""
    desk = ClientDesk(Book())
    desk.open(link)
    desk.answer_soon(link, Query(1, True, [b"total"]))
    return desk


@pytest.mark.parametrize("error", [Damaged("a row fails its checksum"), StorageError("the file can't be read")])
def test_damage_that_a_query_meets_ends_the_node(link: Link, error: StorageError) -> None:
    """An answer from a state that can't be read would be wrong, and the next apply would meet it anyway."""
    with pytest.raises(StorageError) as raised:
        asked(link).answer_reads(raising(error))
    assert raised.value is error


def test_a_mistake_of_the_query_is_answered(link: Link) -> None:
    """The node goes on."""
    assert asked(link).answer_reads(raising(KeyError("total"))) is False
