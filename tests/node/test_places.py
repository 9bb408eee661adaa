"""Places for links: clients fill theirs and no others."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import trio

from replog.node.places import PlaceCount, Places, count_places
from replog.wire.client_messages import Status, StatusRequest
from replog.wire.codec import VISITOR_NAME, Hello, Kind, encode_frame
from replog.wire.link import Link

from .stage import eventually, stage
from .test_links import ANYTHING, is_dropped, raw_socket, said, say_hello

COUNT = PlaceCount(clients_wanted=2, clients=2, guests=3, visitors=2, descriptors=100)


class Guest:
    """As much of a link as places see."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def guests(places: Places, count: int) -> list[Link]:
    made = [cast(Link, Guest()) for _ in range(count)]
    for link in made:
        places.receive(link)
    return made


def test_the_oldest_guest_goes_for_the_newest() -> None:
    """Whoever greets at once is heard, whatever stands at the door."""
    places = Places(COUNT)
    all_guests = guests(places, 10)
    assert [link.is_closed for link in all_guests] == [True] * 7 + [False] * 3


def test_clients_fill_their_places_and_visitors_have_others() -> None:
    """The oldest visitor goes for the newest; a place that was left is free again."""
    places = Places(COUNT)
    seated = []
    for _ in range(3):
        (link,) = guests(places, 1)
        seated.append(places.seat(link, is_visitor=False))
    assert seated == [True, True, False]
    visitors = []
    for _ in range(3):
        (link,) = guests(places, 1)
        assert places.seat(link, is_visitor=True)
        assert places.is_visiting(link)
        visitors.append(link)
    assert [link.is_closed for link in visitors] == [True, False, False]
    assert len(places) == 4
    places.leave(visitors[1])
    assert len(places) == 3


def test_no_descriptor_left_costs_the_oldest_guest() -> None:
    """Never a client that is served."""
    places = Places(COUNT)
    (client,) = guests(places, 1)
    places.seat(client, is_visitor=False)
    older, newer = guests(places, 2)
    assert places.spare_one()
    assert (older.is_closed, newer.is_closed, client.is_closed) == (True, False, False)
    assert places.spare_one()
    assert not places.spare_one()


@pytest.mark.parametrize("descriptors", [16, 64, 256, 1024, 20_000])
def test_places_follow_the_limit_of_open_files(descriptors: int) -> None:
    """Together they never take more than there is, and what is too small is said."""
    count = count_places(2_000, 3, descriptors)
    assert count.clients >= 1
    if descriptors >= 256:
        assert count.clients + count.guests + count.visitors < descriptors - 64
    lacks = list(count.lacks())
    assert bool(lacks) == (descriptors < 2_000)
    assert all("LimitNOFILE" in lack for lack in lacks)


async def test_peers_and_who_asks_get_in_where_clients_have_every_place(tmp_path: Path) -> None:
    """A client is told why it is not let in; a peer that restarts comes in; a visitor is answered and does not stay."""
    async with stage(tmp_path, transport={"connections_max": 3, "greeting_timeout_s": 1.5}) as cluster:
        leader = await cluster.leader()
        held = [await say_hello(leader, Hello(b"", 0, b"", "holds on")) for _ in range(3)]
        assert not any(welcome.refusal for _, welcome in held)
        refused, welcome = await say_hello(leader, Hello(b"", 0, b"", "too many"))
        assert welcome.refusal == "all 3 places for clients are taken; try another node, or later"
        assert await is_dropped(refused)
        visitor, welcome = await say_hello(leader, Hello(b"", 0, b"", VISITOR_NAME))
        assert not welcome.refusal
        visitor.write(encode_frame(Kind.CLIENT, [StatusRequest(7)]))
        (answer,) = await said(visitor)
        assert isinstance(answer, Status)
        assert await is_dropped(visitor)
        back = (await cluster.followers())[0]
        await back.crash()
        await back.start()
        await eventually(lambda: back.number in leader.node.transport.peers_connected)
        assert leader.node.transport.counts["connections_max"] == 1
        for link, _ in held:
            link.close()


async def test_a_flood_that_says_nothing_keeps_nobody_out(tmp_path: Path) -> None:
    """Guests wait at the door, and the one that speaks is let in."""
    async with stage(tmp_path, count=1) as cluster:
        places = cluster[1].node.transport.places
        places.count = PlaceCount(clients_wanted=50, clients=50, guests=5, visitors=2, descriptors=100)
        silent = [Link(await raw_socket(cluster[1]), ANYTHING) for _ in range(60)]
        await eventually(lambda: len(places) == 5)
        link, welcome = await say_hello(cluster[1], Hello(b"", 0, b""))
        assert not welcome.refusal
        for other in (link, *silent):
            other.close()
        with trio.fail_after(10):
            await eventually(lambda: len(places) == 0)
