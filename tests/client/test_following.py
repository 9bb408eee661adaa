"""Reading the log, entry by entry, from nodes that hang, lie or have dropped its beginning; and what an entry holds."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import trio

import replog
from replog.apply.submissions import Commands, OpenSession, session_key
from replog.client import ClientOptions, connect, decode_entry
from replog.client.follow import CREDIT_SLOTS
from replog.errors import Refused, Unavailable
from replog.paxos.ballot import NodeId, Slot
from replog.paxos.membership import Membership
from replog.paxos.values import NO_OP, Batch, encode_value
from replog.wire.client_messages import Entries, Follow, LogEntry, Ping, Pong

from .scripted_nodes import Script, Visit, scripted_nodes

KEY = session_key(b"0" * 16)
QUICK = ClientOptions(ping_after_s=0.05, hung_after_s=0.1, timeout_s=1.0)


def tells(*slots: int, then: str = "waits") -> Script:
    """Answers a follower with these slots, then waits (answering pings), hangs or ends."""

    async def script(visit: Visit) -> None:
        visit.welcome()
        while True:
            for message in await visit.heard():
                if isinstance(message, Follow) and message.credit == CREDIT_SLOTS:
                    wanted = [slot for slot in slots if slot >= message.from_slot]
                    visit.say(Entries([LogEntry(Slot(slot), NO_OP) for slot in wanted]))
                elif isinstance(message, Ping) and then == "waits":
                    visit.say(Pong(message.nonce))
            if then == "ends":
                return

    return script


async def has_dropped_it(visit: Visit) -> None:
    visit.welcome()
    await visit.heard()
    visit.say(Entries([], Slot(41)))
    await visit.heard()


async def read_slots(addresses: list[str], count: int) -> list[int]:
    slots: list[int] = []
    with trio.fail_after(10.0):
        async with connect(addresses, options=QUICK) as client, aclosing(client.follow(1)) as entries:
            async for entry in entries:
                slots.append(entry.slot)
                if len(slots) == count:
                    break
    return slots


@pytest.mark.parametrize(
    "first", [tells(1, 2, then="hangs"), tells(1, 2, then="ends"), tells(1, 3)], ids=["hangs", "ends", "skips a slot"]
)
async def test_a_node_that_does_not_go_on_is_left_for_another(first: Script) -> None:
    """The log goes on where it stopped, without a gap."""
    async with scripted_nodes(first, tells(1, 2, 3, 4), first) as nodes:
        assert await read_slots([node.address for node in nodes], 4) == [1, 2, 3, 4]


async def test_a_log_that_does_not_grow_is_waited_for() -> None:
    """A node that answers pings is not left, however long nothing comes."""
    async with scripted_nodes(tells(1)) as (node,), connect([node.address], options=QUICK) as client:
        async with aclosing(client.follow(1)) as entries:
            assert (await anext(entries)).slot == 1
            with trio.move_on_after(0.5):
                await anext(entries)
        assert node.visits == 1


async def test_following_says_what_is_wrong_in_errors_of_the_library() -> None:
    """Compacted everywhere: refused; nobody there: unavailable."""
    async with scripted_nodes(has_dropped_it) as (node,), connect([node.address], options=QUICK) as client:
        with pytest.raises(Refused, match="begins at slot 42"):
            await anext(client.follow(1))
    async with connect(["127.0.0.1:9"], options=QUICK) as client:
        with pytest.raises(Unavailable, match="Not reachable"):
            await anext(client.follow(1))
        with pytest.raises(ValueError, match="from_slot"):
            client.follow(0)


# --- what an entry holds ---


def entry(value: bytes) -> LogEntry:
    return LogEntry(Slot(7), value)


def encoded(*submissions: object) -> bytes:
    import msgspec

    return encode_value(Batch(1_000, [msgspec.msgpack.encode(submission) for submission in submissions]))


def test_an_entry_is_decoded_into_its_commands() -> None:
    """Whose each is and which number it has there; what only concerns sessions is left out."""
    value = encoded(OpenSession(KEY), Commands(5, 3, 1, [b"a", b"b"], KEY), b"garbage")
    decoded = replog.decode_entry(entry(value))
    assert (decoded.slot, decoded.kind, decoded.time_ms) == (7, "commands", 1_000)
    assert [(command.session, command.sequence, command.payload) for command in decoded.commands] == [
        (5, 3, b"a"),
        (5, 4, b"b"),
    ]


def test_an_entry_without_commands_says_what_it_is() -> None:
    """Each kind that a log can hold."""
    membership = encode_value(Membership(version=2, voters=(NodeId(1), NodeId(3))))
    assert decode_entry(entry(NO_OP)).kind == "no-op"
    assert decode_entry(entry(membership)).voters == ("n1", "n3")
    assert decode_entry(entry(b"from the future")).kind == "malformed"
