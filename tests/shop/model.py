"""The shop as plain Python: dictionaries and the rules, without keys, records, indexes or bytes.

Written from the rules in ``docs/SHOP.md``, not from ``shop_sm``, so that both can't be wrong in the same way by
sharing code. It uses the commands and results as vocabulary only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shop_sm import commands as c
from shop_sm import results as r
from shop_sm.life_cycle import Status

GOODS_ARE_SOLD = {Status.PAID, Status.SHIPPED, Status.DELIVERED}
STEPS = {
    (c.ShipOrder, Status.PAID): Status.SHIPPED,
    (c.DeliverOrder, Status.SHIPPED): Status.DELIVERED,
    (c.CancelOrder, Status.PLACED): Status.CANCELLED,
    (c.CancelOrder, Status.PAID): Status.REFUND_DUE,
    (c.RefundOrder, Status.REFUND_DUE): Status.REFUNDED,
}
VERBS = {c.ShipOrder: "ship", c.DeliverOrder: "deliver", c.CancelOrder: "cancel", c.RefundOrder: "refund"}


@dataclass
class ModelProduct:
    content: tuple[str, str, int, str]
    revision: int = 1
    is_withdrawn: bool = False
    received: int = 0


@dataclass
class ModelOrder:
    placed: c.PlaceOrder
    day: int
    number: int
    currency: str
    total: int
    units: int
    placed_ms: int
    status: Status = Status.PLACED
    payment: str = ""
    payment_ms: int = 0
    is_in_time: bool = True

    @property
    def due_ms(self) -> int:
        return self.placed_ms + self.placed.pay_within_ms


@dataclass
class ModelShop:
    """Stock is never stored: it is what was received less what orders hold, counted anew each time."""

    products: dict[str, ModelProduct] = field(default_factory=dict)
    adjustments: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    orders: dict[str, ModelOrder] = field(default_factory=dict)
    now_ms: int = 0

    def do(self, command: c.Command, now_ms: int) -> r.Result:
        self.now_ms = now_ms
        self.expire(4)
        if isinstance(command, c.Batch):
            return r.BatchDone([self.single(one) for one in command.commands])
        return self.single(command)

    def single(self, command: c.SingleCommand) -> r.SingleResult:
        if isinstance(command, c.PutProduct):
            return self.put_product(command)
        if isinstance(command, c.WithdrawProduct):
            return self.withdraw(command)
        if isinstance(command, c.AdjustStock):
            return self.adjust(command)
        if isinstance(command, c.RegisterCustomer):
            return self.register(command)
        if isinstance(command, c.PlaceOrder):
            return self.place(command)
        if isinstance(command, c.PayOrder):
            return self.pay(command)
        if isinstance(command, c.ExpireOrders):
            return r.OrdersExpired(self.expire(command.orders_max), bool(self.overdue()))
        return self.step(command)

    def put_product(self, command: c.PutProduct) -> r.SingleResult:
        if not 0 <= command.price_minor <= 10**9:
            return r.InvalidField("price_minor", "must be 0 to 1000000000")
        content = (command.name, command.picture_url, command.price_minor, command.currency)
        product = self.products.get(command.sku)
        if product is None:
            self.products[command.sku] = ModelProduct(content)
            return r.ProductStored(command.sku, 1)
        if product.content != content or product.is_withdrawn:
            product.content, product.is_withdrawn = content, False
            product.revision += 1
        return r.ProductStored(command.sku, product.revision)

    def withdraw(self, command: c.WithdrawProduct) -> r.SingleResult:
        product = self.products.get(command.sku)
        if product is None:
            return r.UnknownSku(command.sku)
        if not product.is_withdrawn:
            product.is_withdrawn = True
            product.revision += 1
        return r.ProductStored(command.sku, product.revision)

    def adjust(self, command: c.AdjustStock) -> r.SingleResult:
        product = self.products.get(command.sku)
        if product is None:
            return r.UnknownSku(command.sku)
        booked = self.adjustments.get((command.sku, command.reference))
        if booked is not None:
            if booked[0] != command.delta:
                return r.AdjustmentDiffers(command.sku, command.reference, booked[0])
            return r.StockAdjusted(command.sku, booked[1])
        if self.on_hand(command.sku) + command.delta < 0:
            return r.OutOfStock(command.sku, -command.delta, self.on_hand(command.sku))
        product.received += command.delta
        self.adjustments[command.sku, command.reference] = (command.delta, self.on_hand(command.sku))
        return r.StockAdjusted(command.sku, self.on_hand(command.sku))

    def register(self, command: c.RegisterCustomer) -> r.SingleResult:
        known = self.customers.get(command.customer)
        if known is not None and known != command.name:
            return r.CustomerDiffers(command.customer, known)
        if known is None and command.name in self.customers.values():
            return r.NameTaken(command.name)
        self.customers[command.customer] = command.name
        return r.CustomerRegistered(command.customer)

    def place(self, command: c.PlaceOrder) -> r.SingleResult:
        known = self.orders.get(command.order)
        if known is not None:
            return self.placed(known) if known.placed == command else r.OrderDiffers(command.order)
        if not command.lines:
            return r.InvalidField("lines", "must be 1 to 100")
        if command.customer not in self.customers:
            return r.UnknownCustomer(command.customer)
        seen: list[str] = []
        currency = ""
        for line in command.lines:
            refusal = self.check_line(line, seen, currency)
            if refusal is not None:
                return refusal
            seen.append(line.sku)
            currency = self.products[line.sku].content[3]
        day = command.booked_day or self.now_ms // 86_400_000
        number = sum((order.day, order.currency) == (day, currency) for order in self.orders.values())
        order = ModelOrder(
            placed=command,
            day=day,
            number=number,
            currency=currency,
            total=sum(line.quantity * self.products[line.sku].content[2] for line in command.lines),
            units=sum(line.quantity for line in command.lines),
            placed_ms=self.now_ms,
        )
        self.orders[command.order] = order
        return self.placed(order)

    def check_line(self, line: c.Wanted, seen: list[str], currency: str) -> r.SingleResult | None:
        product = self.products.get(line.sku)
        if not 1 <= line.quantity <= 10_000:
            return r.InvalidField("quantity", "must be 1 to 10000")
        if product is None:
            return r.UnknownSku(line.sku)
        if line.sku in seen:
            return r.DuplicateSku(line.sku)
        if product.is_withdrawn:
            return r.ProductWithdrawn(line.sku)
        if currency and product.content[3] != currency:
            return r.MixedCurrencies(line.sku, product.content[3], currency)
        if line.quantity > self.on_hand(line.sku):
            return r.OutOfStock(line.sku, line.quantity, self.on_hand(line.sku))
        return None

    def placed(self, order: ModelOrder) -> r.OrderPlaced:
        return r.OrderPlaced(
            order.placed.order, order.total, order.currency, order.units, order.placed_ms, order.due_ms
        )

    def pay(self, command: c.PayOrder) -> r.SingleResult:
        order = self.orders.get(command.order)
        if order is None:
            return r.UnknownOrder(command.order)
        if (command.amount_minor, command.currency) != (order.total, order.currency):
            return r.WrongAmount(command.order, order.total, order.currency)
        if order.payment and order.payment != command.reference:
            return r.AlreadyPaid(command.order, order.payment)
        for other in self.orders.values():
            if other is not order and other.payment == command.reference:
                return r.PaymentUsed(command.reference, other.placed.order)
        if not order.payment:
            order.payment, order.payment_ms = command.reference, self.now_ms
            order.is_in_time = order.status is Status.PLACED and self.now_ms < order.due_ms
            order.status = Status.PAID if order.is_in_time else Status.REFUND_DUE
        if not order.is_in_time:
            return r.RefundOwed(command.order, command.reference)
        return r.OrderAdvanced(command.order, Status.PAID, order.payment_ms)

    def step(self, command: c.ShipOrder | c.DeliverOrder | c.CancelOrder | c.RefundOrder) -> r.SingleResult:
        order = self.orders.get(command.order)
        if order is None:
            return r.UnknownOrder(command.order)
        status = STEPS.get((type(command), order.status))
        if status is None:
            return r.TransitionRefused(command.order, order.status, VERBS[type(command)])
        order.status = status
        return r.OrderAdvanced(command.order, status, self.now_ms)

    def overdue(self) -> list[ModelOrder]:
        orders = [o for o in self.orders.values() if o.status is Status.PLACED and o.due_ms <= self.now_ms]
        return sorted(orders, key=lambda o: (o.due_ms, o.day, o.number, o.currency))

    def expire(self, orders_max: int) -> int:
        closing = self.overdue()[:orders_max]
        for order in closing:
            order.status = Status.EXPIRED
        return len(closing)

    def held(self, sku: str, statuses: set[Status]) -> int:
        return sum(
            line.quantity
            for order in self.orders.values()
            if order.status in statuses
            for line in order.placed.lines
            if line.sku == sku
        )

    def reserved(self, sku: str) -> int:
        return self.held(sku, {Status.PLACED})

    def sold(self, sku: str) -> int:
        return self.held(sku, GOODS_ARE_SOLD)

    def on_hand(self, sku: str) -> int:
        return self.products[sku].received - self.reserved(sku) - self.sold(sku)

    def revenue(self, currency: str) -> int:
        return sum(o.total for o in self.orders.values() if o.status in GOODS_ARE_SOLD and o.currency == currency)
