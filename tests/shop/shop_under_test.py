"""A shop behind the real Applier and a store in memory, driven one command a slot: what every test here talks to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from replog.apply.applier import Applier, SessionOptions
from replog.apply.outcomes import Replies, SessionOpened
from replog.apply.submissions import Commands, OpenSession
from replog.paxos.ballot import Slot
from replog.paxos.values import Batch as SlotBatch
from replog.paxos.values import encode_value
from replog.state.memory import MemoryStateStore
from shop_sm import Shop
from shop_sm.answers import Answer, ProductAnswer, Totals, decode_answer
from shop_sm.commands import AdjustStock, Command, PutProduct, RegisterCustomer, encode_command
from shop_sm.queries import ProductQuery, Query, TotalsQuery, encode_query
from shop_sm.results import Result, decode_result

MONDAY_MS = 19_723 * 86_400_000


class ShopUnderTest:
    """``do`` runs a command in a slot of its own at ``now_ms``; ``ask`` queries the state behind it."""

    def __init__(self, machine: Shop | None = None) -> None:
        self.store = MemoryStateStore()
        self.applier = Applier(machine or Shop(), self.store, SessionOptions())
        self.now_ms = MONDAY_MS
        self.slot = 0
        self.sequence = 1
        self.session = self.open_session()

    def open_session(self) -> int:
        self.key = self.slot.to_bytes(16, "big")
        answer = self.apply(OpenSession(self.key))[0]
        assert isinstance(answer, SessionOpened)
        self.sequence = 1
        return answer.session

    def apply(self, submission: OpenSession | Commands) -> Sequence[object]:
        self.slot += 1
        value = encode_value(SlotBatch(self.now_ms, [msgspec.msgpack.encode(submission)]))
        return [message for _, message, _ in self.applier.apply(Slot(self.slot), value)]

    def do_bytes(self, payload: bytes) -> bytes:
        answer = self.apply(Commands(self.session, self.sequence, self.sequence, [payload], self.key))[0]
        assert isinstance(answer, Replies), answer
        assert answer.failed == [], answer.replies
        self.sequence += 1
        return answer.replies[0]

    def do(self, command: Command) -> Result:
        return decode_result(self.do_bytes(encode_command(command)))

    def ask(self, query: Query) -> Answer:
        return decode_answer(self.applier.query(encode_query(query)))

    def violations(self) -> list[str]:
        return list(self.applier.violations())

    def product(self, sku: str) -> ProductAnswer:
        answer = self.ask(ProductQuery(sku))
        assert isinstance(answer, ProductAnswer), answer
        return answer

    def stock(self, sku: str) -> tuple[int, int, int]:
        """On hand, reserved, sold."""
        product = self.product(sku)
        return product.on_hand, product.reserved, product.sold

    def totals(self) -> Totals:
        answer = self.ask(TotalsQuery())
        assert isinstance(answer, Totals), answer
        return answer


def stocked_shop() -> ShopUnderTest:
    """Two products of ten pieces each, tea at 2.50 and a pot at 19.99 dollars, and the customer ann."""
    shop = ShopUnderTest()
    for sku, price in (("tea", 250), ("pot", 1_999)):
        shop.do(PutProduct(sku, sku.title(), price, "USD", f"https://shop.example/{sku}.jpg"))
        shop.do(AdjustStock(sku, 10, "delivery-1"))
    shop.do(RegisterCustomer("ann", "Ann"))
    return shop
