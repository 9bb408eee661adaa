"""The eleven mistakes of the system this project replaces, one test or two for each, named for it.

Those about ordering run shop orders through the real core; those about the shop through the real state machine.
"""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec

import shop_sm
from replog.apply.submissions import Commands, OpenSession
from replog.paxos.ballot import Ballot, NodeId, Slot
from replog.paxos.effects import NoticeKind
from replog.paxos.messages import Accepted, AcceptedSlot, Nack, Prepare, Promise
from replog.paxos.outbox import Outbox
from replog.paxos.recovered import Recovered
from replog.paxos.values import Batch as SlotBatch
from replog.paxos.values import decode_value, encode_value
from shop_sm.commands import PayOrder, PlaceOrder, ShipOrder, Wanted, encode_command
from shop_sm.queries import ProductQuery, encode_query
from shop_sm.results import (
    DuplicateSku,
    InvalidField,
    OrderPlaced,
    OutOfStock,
    Refusal,
    TransitionRefused,
    UnknownCustomer,
    UnknownSku,
    WrongAmount,
)
from tests.paxos.build import N1, N2, N3, THREE, accept, acceptor, ballot, record, recovered, sent, sent_after_write
from tests.paxos.test_proposer import leading, promise, proposed, proposer
from tests.paxos.test_replica import Trio

from .shop_under_test import ShopUnderTest, stocked_shop

FIRST = encode_command(PlaceOrder("o-1", "ann", [Wanted("tea", 1)]))
SECOND = encode_command(PlaceOrder("o-2", "bob", [Wanted("pot", 1)]))


def orders_released(trio: Trio, node: NodeId) -> list[tuple[int, bytes]]:
    """(slot, submission) of everything a node released, no-ops and membership left out."""
    found = []
    for one in trio.released[node]:
        value = decode_value(one.value)
        if isinstance(value, SlotBatch):
            found += [(int(one.slot), submission) for submission in value.submissions]
    return found


def submit(trio: Trio, order: bytes) -> None:
    assert trio.replicas[trio.leader()].submit(order) is None
    trio.run(0.5)


def test_1_a_later_order_does_not_overwrite_a_chosen_one() -> None:
    """Each order has a slot of its own, on every replica the same, and keeps it when others follow."""
    trio = Trio()
    trio.run(1.0)
    submit(trio, FIRST)
    before = orders_released(trio, N1)
    submit(trio, SECOND)
    after = orders_released(trio, N1)
    assert after[: len(before)] == before
    assert [order for _, order in after] == [FIRST, SECOND]
    assert after[0][0] < after[1][0]
    assert orders_released(trio, N2) == orders_released(trio, N3) == after


def test_2_an_accepted_order_found_in_phase_1_is_adopted() -> None:
    """A candidate told of an accepted order proposes that order again before anything of its own."""
    order = encode_value(SlotBatch(1, [FIRST]))
    role, turn = proposer()
    role.begin(ballot(9), Slot(1), 0.0)
    role.on_promise(N1, promise(at=9))
    role.on_promise(N2, promise(record(1, ballot(3, 2), order), at=9))
    turn.local.clear()
    role.lead(Slot(0), 0.0)
    assert proposed(turn)[0].value == order


def test_3_a_restarted_server_remembers_what_it_promised_and_accepted() -> None:
    """A promise and an acceptance leave only after the write; from what was written, no lower ballot gets a vote."""
    turn = Outbox(N1)
    role = acceptor(turn)
    role.on_accept(N2, accept(1, ballot(5, 2)))
    role.send_acks()
    assert sent(turn) == []
    assert sent_after_write(turn) == [Accepted(ballot(5, 2), Slot(1), Slot(1))]

    restarted = Outbox(N1)
    role = acceptor(restarted, recovered(promise=role.promise, accepted=tuple(role.accepted.values())))
    role.on_accept(N3, accept(1, ballot(4, 3), b"another order"))
    role.on_prepare(N3, Prepare(ballot(4, 3), Slot(1)))
    role.send_acks()
    assert sent(restarted) == [Nack(ballot(4, 3), ballot(5, 2))] * 2
    assert sent_after_write(restarted) == []
    role.on_prepare(N3, Prepare(ballot(6, 3), Slot(1)))
    (answer,) = sent_after_write(restarted)
    assert isinstance(answer, Promise)
    assert [record.value for record in answer.accepted] == [b"v"]


def test_4_an_acceptor_that_missed_the_prepare_accepts() -> None:
    """At or above the promise is enough; equality is not asked for."""
    turn = Outbox(N1)
    role = acceptor(turn, recovered(promise=ballot(2, 3)))
    role.on_accept(N2, accept(1, ballot(7, 2)))
    role.send_acks()
    assert sent_after_write(turn) == [Accepted(ballot(7, 2), Slot(1), Slot(1))]
    assert role.promise == ballot(7, 2)


def test_5_two_coordinators_never_share_a_ballot_not_even_after_a_restart() -> None:
    """A ballot names its node, and a restarted node begins above whatever it promised."""
    assert ballot(3, 1) != ballot(3, 2)
    assert ballot(3, 1) < ballot(3, 2) < ballot(4, 1)
    started = [
        Trio(),
        Trio({node: Recovered(ballot(41, 2), Slot(0), Slot(0), (), (), "", THREE) for node in THREE.voters}),
    ]
    for trio in started:
        trio.run(2.0)
    begun = {
        (outbound.message.ballot, node)
        for trio in started
        for node, effects in trio.effects
        for outbound in effects.send_after_write
        if isinstance(outbound.message, Prepare)
    }
    assert begun
    assert all(at.node == node for at, node in begun)
    assert all(
        outbound.message.ballot > ballot(41, 2)
        for _, effects in started[1].effects
        for outbound in effects.send_after_write
        if isinstance(outbound.message, Prepare)
    )


def test_6_a_retried_request_is_not_a_second_order() -> None:
    """The same command again, in its session or in another, answers as the first time and takes no more goods."""
    shop = stocked_shop()
    first = shop.do(PlaceOrder("o-1", "ann", [Wanted("tea", 2)]))
    payload = encode_command(PlaceOrder("o-1", "ann", [Wanted("tea", 2)]))
    shop.apply(Commands(shop.session, shop.sequence - 1, 1, [payload], shop.key))
    shop.session = shop.open_session()
    assert shop.do(PlaceOrder("o-1", "ann", [Wanted("tea", 2)])) == first
    assert shop.stock("tea") == (8, 2, 0)


def test_6_ids_and_dates_are_the_same_on_every_server() -> None:
    """Two replicas that apply the same log hold the same bytes: dates are the log's, ids the client's."""
    one, other = ShopUnderTest(), ShopUnderTest()
    for shop in (one, other):
        for command in (FIRST, SECOND):
            shop.do_bytes(command)
    assert dict(one.store.scan(b"", None)) == dict(other.store.scan(b"", None))
    assert one.applier.digest == other.applier.digest


def test_6_a_server_that_was_down_learns_what_it_missed() -> None:
    """An order chosen while a server was away reaches it when it is back, in the same slot."""
    trio = Trio()
    trio.run(1.0)
    away = next(node for node in THREE.voters if node != trio.leader())
    trio.down.add(away)
    submit(trio, FIRST)
    assert orders_released(trio, away) == []
    trio.down.clear()
    trio.run(2.0)
    assert orders_released(trio, away) == orders_released(trio, trio.leader())
    assert [order for _, order in orders_released(trio, away)] == [FIRST]


def test_7_a_minority_of_the_members_orders_nothing() -> None:
    """The quorum is of the members, not of those who answer: a leader cut off alone chooses nothing and steps down."""
    trio = Trio()
    trio.run(1.0)
    alone = trio.leader()
    others = [node for node in THREE.voters if node != alone]
    trio.down.update(others)
    trio.replicas[alone].submit(FIRST)
    trio.run(3.0)
    assert orders_released(trio, alone) == []
    assert (alone, NoticeKind.STEPPED_DOWN) in trio.notices
    assert not trio.replicas[alone].is_leading


def test_8_an_order_is_checked_before_anything_is_stored() -> None:
    """Unknown products and customers, quantities of none or less and missing stock leave no trace."""
    shop = stocked_shop()
    before = dict(shop.store.scan(b"", None))
    for customer, lines, refusal in (
        ("ann", [Wanted("tea", 1), Wanted("cup", 1)], UnknownSku),
        ("bob", [Wanted("tea", 1)], UnknownCustomer),
        ("ann", [Wanted("tea", 0)], InvalidField),
        ("ann", [Wanted("tea", -3)], InvalidField),
        ("ann", [Wanted("tea", 1), Wanted("pot", 11)], OutOfStock),
        ("ann", [Wanted("tea", 1), Wanted("tea", 1)], DuplicateSku),
    ):
        assert isinstance(shop.do(PlaceOrder("o-1", customer, lines)), refusal)
    assert dict(shop.store.scan(b"", None)) == before


def test_8_paid_comes_after_the_payment_and_money_is_whole() -> None:
    """Nothing ships unpaid, only the exact sum pays, and no float is anywhere near it."""
    shop = stocked_shop()
    placed = shop.do(PlaceOrder("o-1", "ann", [Wanted("tea", 3)]))
    assert isinstance(placed, OrderPlaced)
    assert type(placed.total_minor) is int
    assert isinstance(shop.do(ShipOrder("o-1")), TransitionRefused)
    assert isinstance(shop.do(PayOrder("o-1", 749, "USD", "p")), WrongAmount)
    assert not isinstance(shop.do(PayOrder("o-1", 750, "USD", "p")), Refusal)
    assert not isinstance(shop.do(ShipOrder("o-1")), Refusal)


def test_9_what_was_accepted_but_never_chosen_is_not_copied() -> None:
    """A server is not told that an order is chosen because another one holds it: it must have a quorum's votes."""
    lone = AcceptedSlot(Slot(1), ballot(1, 1), 1, encode_value(SlotBatch(1, [FIRST])))
    role, _ = leading()
    assert role.chosen_through == 0
    role.on_accepted(N1, Accepted(ballot(1), Slot(1), Slot(1)))
    assert role.chosen_through == 0
    turn = Outbox(N1)
    holder = acceptor(turn, recovered(promise=ballot(1, 1), accepted=(lone,)))
    assert list(holder.accepted) == [1]
    assert turn.chosen_through is None


def test_10_an_order_costs_one_round_and_a_read_no_write() -> None:
    """Under a stable leader no order is preceded by a Prepare, and a read changes no state."""
    trio = Trio()
    trio.run(1.0)
    seen = len(trio.effects)
    for number in range(20):
        submit(trio, encode_command(PlaceOrder(f"o-{number}", "ann", [Wanted("tea", 1)])))
    sends = [
        outbound.message
        for _, effects in trio.effects[seen:]
        for outbound in (*effects.send, *effects.send_after_write)
    ]
    assert not any(isinstance(message, Prepare | Promise) for message in sends)
    shop = stocked_shop()
    digest = shop.applier.digest
    shop.applier.query(encode_query(ProductQuery("tea")))
    assert shop.applier.digest == digest


def test_10_when_the_coordinator_dies_another_goes_on() -> None:
    """No process is needed: after its leader's death the cluster takes orders again."""
    trio = Trio()
    trio.run(1.0)
    submit(trio, FIRST)
    dead = trio.leader()
    trio.down.add(dead)
    for node in THREE.voters:
        if node != dead:
            trio.replicas[node].on_link_closed(dead)
    trio.run(2.0)
    assert trio.leader() != dead
    submit(trio, SECOND)
    assert [order for _, order in orders_released(trio, trio.leader())] == [FIRST, SECOND]


def test_11_no_error_is_swallowed_in_the_shop() -> None:
    """The sources hold no handler that hides an error: each one answers, raises or goes on with a defined value."""
    root = Path(shop_sm.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path.name}:{node.lineno} catches everything"
                caught = ast.unparse(node.type)
                assert caught not in ("Exception", "BaseException"), f"{path.name}:{node.lineno} catches {caught}"
                assert not all(isinstance(one, ast.Pass) for one in node.body), f"{path.name}:{node.lineno}: pass"


def test_11_the_log_holds_no_password_and_a_stranger_no_vote() -> None:
    """No command has a field for a secret, and a node outside the membership is not heard."""
    fields = {
        field.lower()
        for kind in vars(shop_sm.commands).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for field in kind.__struct_fields__
    }
    assert not {field for field in fields if "pass" in field.split("_") or "secret" in field or "token" in field}
    trio = Trio()
    trio.run(1.0)
    before, stranger = trio.leader(), NodeId(9)
    for replica in trio.replicas.values():
        replica.on_message(stranger, Prepare(Ballot(99, stranger), Slot(1)))
    trio.run(0.5)
    assert trio.leader() == before
    assert [kind for _, kind in trio.notices].count(NoticeKind.BECAME_LEADER) == 1


def test_6_a_session_that_is_gone_says_so_instead_of_running_twice() -> None:
    """An expired session's command is not run; the order's own id then tells whether it was done."""
    shop = stocked_shop()
    first = shop.do(PlaceOrder("o-1", "ann", [Wanted("tea", 2)]))
    shop.now_ms += 365 * 86_400_000
    shop.apply(OpenSession(b"n" * 16))
    answer = shop.apply(Commands(shop.session, shop.sequence, 1, [SECOND], shop.key))[0]
    assert type(answer).__name__ == "SessionGone"
    shop.session = shop.open_session()
    again = shop.do(PlaceOrder("o-1", "ann", [Wanted("tea", 2)]))
    assert isinstance(first, OrderPlaced)
    assert again == first
