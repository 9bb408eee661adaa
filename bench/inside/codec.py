"""What encoding, decoding and applying a command costs, without a network or a disk.

The rooms are used from inside, without a replica around them; that is why this module may import them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import msgspec

from replog.apply.applier import Applier
from replog.apply.outcomes import Replies
from replog.apply.submissions import Commands, OpenSession, decode_submission
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.messages import Accept
from replog.paxos.values import Batch, decode_value, encode_value
from replog.state.memory import MemoryStateStore
from replog.state_machine import StateMachine
from replog.wire.client_messages import Submit
from replog.wire.codec import FRAME_BYTES_MAX, FrameSplitter, Kind, decode_payload, encode_frame
from shop_sm import Shop
from shop_sm.commands import (
    AdjustStock,
    Command,
    PlaceOrder,
    PutProduct,
    RegisterCustomer,
    Wanted,
    decode_command,
    encode_command,
)

from ..load.put_machine import PutMachine, encode_put

_PAYLOAD = encode_put(b"key-000001", b"v" * 175)
_APPLY_BATCHES = 8
_PRODUCTS = 100
_encoder = msgspec.msgpack.Encoder()

Work = Callable[[], object]


@attrs.frozen
class Case:
    """One thing to be timed.

    Parameters
    ----------
    what: its name in the table.
    commands: how many commands one go is for.
    size: bytes that come out of it, or that it reads.
    """

    what: str
    commands: int
    size: int
    work: Work


def codec_cases(commands: int) -> Iterator[Case]:
    """What happens to a batch of commands on its way, in order."""
    submission = _encoder.encode(Commands(1 << 20, 1, 1, [_PAYLOAD] * commands, bytes(16)))
    value = encode_value(Batch(1_700_000_000_000, [submission]))
    yield Case(
        "client: encode submission",
        commands,
        len(submission),
        lambda: _encoder.encode(Commands(1 << 20, 1, 1, [_PAYLOAD] * commands, bytes(16))),
    )
    yield from _frame_cases("submission", Kind.CLIENT, [Submit(1 << 20, submission, bytes(16))], commands)
    yield Case(
        "leader: encode value", commands, len(value), lambda: encode_value(Batch(1_700_000_000_000, [submission]))
    )
    accept = Accept(Ballot(1, NodeId(1)), Slot(1), 0, value, Slot(0))
    yield from _frame_cases("accept", Kind.PEER, [accept], commands)
    yield Case("apply: decode value", commands, len(value), lambda: decode_value(value))
    yield Case("apply: decode submission", commands, len(submission), lambda: decode_submission(submission))
    replies = Replies(1 << 20, 1, Slot(1), 0, [b""] * commands)
    yield from _frame_cases("replies", Kind.NODE, [replies], commands)


def _frame_cases(name: str, kind: Kind, content: list[Any], commands: int) -> Iterator[Case]:
    frame = encode_frame(kind, content)

    def receive() -> object:
        splitter = FrameSplitter(frozenset({kind}), FRAME_BYTES_MAX)
        return [decode_payload(found, payload, list) for found, payload in splitter.feed(frame)]

    yield Case(f"{name} frame: encode", commands, len(frame), lambda: encode_frame(kind, content))
    yield Case(f"{name} frame: split, check, decode", commands, len(frame), receive)


def order_cases() -> Iterator[Case]:
    """A shop order of three lines as bytes and back."""
    order = _order(1)
    data = encode_command(order)
    yield Case("shop order: encode", 1, len(data), lambda: encode_command(order))
    yield Case("shop order: decode", 1, len(data), lambda: decode_command(data))


def _order(number: int) -> Command:
    lines = [Wanted(f"sku-{(number * 7 + line) % _PRODUCTS:04d}", 1) for line in range(3)]
    return PlaceOrder(f"o-{number:09d}", "c-1", lines)


def apply_cases(commands: int) -> Iterator[Case]:
    """Running commands on a state in memory: the state machine, sessions, undo and digest."""
    yield _apply_case("apply: puts", PutMachine(), [], lambda _number: _PAYLOAD, commands)
    shop: list[Command] = [RegisterCustomer("c-1", "Customer")]
    for number in range(_PRODUCTS):
        shop.append(PutProduct(f"sku-{number:04d}", f"Product {number}", 100, "USD"))
        shop.append(AdjustStock(f"sku-{number:04d}", 10**9, f"delivery-{number}"))
    first = [encode_command(command) for command in shop]
    yield _apply_case("apply: shop orders", Shop(), first, lambda number: encode_command(_order(number)), commands)


def _apply_case(
    what: str, machine: StateMachine, first: list[bytes], payload: Callable[[int], bytes], commands: int
) -> Case:
    log = _Log(Applier(machine, MemoryStateStore()))
    log.run(first)
    numbers = iter(range(1, 10**9))

    def work() -> None:
        # Payloads are made here too; that cost is a row of its own above.
        for _ in range(_APPLY_BATCHES):
            log.run([payload(next(numbers)) for _ in range(commands)])

    return Case(what, commands * _APPLY_BATCHES, len(payload(1)), work)


class _Log:
    """Gives commands slots, as a leader with one client does."""

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self._slot = 0
        self._sequence = 1
        self._session = 1 << 20
        self._apply(_encoder.encode(OpenSession(bytes(16))))

    def run(self, payloads: list[bytes]) -> None:
        if payloads:
            self._apply(_encoder.encode(Commands(self._session, self._sequence, self._sequence, payloads, bytes(16))))
            self._sequence += len(payloads)

    def _apply(self, submission: bytes) -> None:
        self._slot += 1
        self._applier.apply(Slot(self._slot), encode_value(Batch(1_700_000_000_000 + self._slot, [submission])))


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """Repeat for so many seconds; microseconds of CPU for one go and for one command."""
    case.work()
    goes, began = 0, time.thread_time()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(10):
            case.work()
        goes += 10
    us = (time.thread_time() - began) * 1e6 / goes
    return {
        "what": case.what,
        "commands": case.commands,
        "bytes": case.size,
        "us": us,
        "us_a_command": us / case.commands,
    }
