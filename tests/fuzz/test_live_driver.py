"""Every kind of message, right and wrong, in any order, against drivers that run: none of them ends, and they go on.

``FUZZ_EXAMPLES=20000`` draws more of it (``make fuzz``).
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replog.apply.submissions import CloseSession, Commands, OpenSession, session_key
from replog.node.events import PeerMessages
from replog.node.message_checks import check_peer_messages, check_query
from replog.paxos.messages import Message
from replog.wire.client_messages import ClientMessage, Query
from replog.wire.codec import HEADER_BYTES, FrameError, Hello, Kind, decode_payload, encode_frame

from ..node.drivers import SECRET, DrivenNode, Drivers
from .wire_values import BYTES, kinds_of, message_values

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
CLIENT_FRAMES = st.lists(st.one_of(*map(message_values, kinds_of(ClientMessage))), min_size=1, max_size=4)
SUBMISSIONS = st.one_of(*map(message_values, [Commands, OpenSession, CloseSession]))


def submit(values: list[Any], is_own: bool) -> list[Any]:
    """A submission by somebody who holds the session's secret, or says so."""
    values = [session_key(SECRET) if is_own and value == b"s" * 16 else value for value in values]
    return [20, 1, msgspec.msgpack.encode(values), SECRET if is_own else b"another"]


SUBMITTED = st.lists(st.builds(submit, SUBMISSIONS.filter(lambda values: isinstance(values, list)), st.booleans()))


def hear(node: DrivenNode, content: list[Any]) -> None:
    """One frame over its client's link, checked as at the door; what can't be meant would end the link."""
    try:
        messages = decode_payload(Kind.CLIENT, encode_frame(Kind.CLIENT, content)[HEADER_BYTES:], list)
        for message in messages:
            if isinstance(message, Query):
                check_query(message)
    except FrameError:
        return
    node.ask(*messages)


def goes_on(cluster: Drivers) -> None:
    """The client's own command is done once, whatever was said in between."""
    for node in cluster.nodes:
        node.link.is_closed = False
    leader = cluster.until_led()
    before = leader.driver.applier.commands_applied
    leader.open_session(b"o" * 16)
    leader.submit(b"goes on")
    cluster.until(lambda: leader.driver.applier.commands_applied > before)


@given(st.lists(st.tuples(st.integers(1, 3), st.one_of(CLIENT_FRAMES, SUBMITTED)), max_size=8))
@SETTINGS
def test_no_frames_of_clients_end_a_driver(said: list[tuple[int, list[Any]]]) -> None:
    """In any order, to any node; and others are served."""
    cluster = Drivers()
    cluster.leader()
    for number, content in said:
        hear(cluster[number], content)
        cluster.settle()
    goes_on(cluster)


@pytest.mark.parametrize("message", kinds_of(Message), ids=lambda message: message.__name__)
def test_no_message_of_a_double_ends_a_driver(message: type[msgspec.Struct]) -> None:
    """Said in the name of the third node, which is not there; the others serve their clients."""

    @given(st.lists(message_values(message), min_size=1, max_size=3), st.integers(1, 2))
    @settings(SETTINGS, max_examples=max(10, EXAMPLES // 4))
    def run(content: list[Any], number: int) -> None:
        cluster = Drivers()
        cluster.leader()
        node = cluster[number]
        try:
            messages = decode_payload(Kind.PEER, encode_frame(Kind.PEER, content)[HEADER_BYTES:], list)
            check_peer_messages(cluster[3].number, messages, node.driver.replica.promise)
        except FrameError:
            return
        node.driver.put(PeerMessages(cluster[3].number, messages))
        cluster.settle()

    run()


@given(st.binary(max_size=200), st.sampled_from(list(Kind)))
@SETTINGS
def test_no_bytes_are_more_than_an_error(payload: bytes, kind: Kind) -> None:
    """Bytes that are no frame's content, of each kind."""
    with contextlib.suppress(FrameError):
        decode_payload(kind, payload, object)


@given(message_values(Hello))
@SETTINGS
def test_no_hello_is_more_than_an_error(values: Any) -> None:
    """As anybody may greet."""
    with contextlib.suppress(FrameError):
        decode_payload(Kind.HELLO, msgspec.msgpack.encode(values), Hello)


def test_what_is_drawn_reaches_the_core() -> None:
    """Otherwise nothing above would prove anything: most messages pass the decoder."""
    passed = total = 0

    @given(st.lists(SUBMITTED | CLIENT_FRAMES, min_size=5, max_size=5), BYTES)
    @settings(max_examples=40, deadline=None, database=None)
    def run(frames: list[list[Any]], _other: bytes) -> None:
        nonlocal passed, total
        for content in frames:
            total += 1
            try:
                decode_payload(Kind.CLIENT, encode_frame(Kind.CLIENT, content)[HEADER_BYTES:], list)
                passed += 1
            except FrameError:
                pass

    run()
    assert passed > total / 3
