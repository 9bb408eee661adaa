"""Products, stock and customers: the commands that make an order possible."""

from __future__ import annotations

from replog.state_machine import State

from . import keys, records
from .commands import AdjustStock, PutProduct, RegisterCustomer, WithdrawProduct
from .limits import ADJUSTMENT_MAX, PICTURE_URL_BYTES_MAX, PRICE_MINOR_MAX, RECEIVED_MAX
from .records import Adjustment, Counts, Customer, Product
from .results import (
    AdjustmentDiffers,
    AmountTooLarge,
    CustomerDiffers,
    CustomerRegistered,
    InvalidField,
    NameTaken,
    OutOfStock,
    ProductStored,
    SingleResult,
    StockAdjusted,
    UnknownSku,
)
from .rules import check_currency, check_name, identifier_refusal, is_identifier, may_be_stored, short


def put_product(state: State, command: PutProduct) -> SingleResult:
    refusal = check_product(command)
    if refusal is not None:
        return refusal
    key = keys.PRODUCT + command.sku.encode()
    stored = state.get(key)
    if stored is None:
        count(state, products=1)
        product = Product(command.name, command.picture_url, command.price_minor, command.currency, revision=1)
    else:
        product = records.decode_product(stored)
        if is_same_product(product, command):
            return ProductStored(command.sku, product.revision)
        product.name = command.name
        product.picture_url = command.picture_url
        product.price_minor = command.price_minor
        product.currency = command.currency
        product.is_withdrawn = False
        product.revision += 1
    state.put(key, records.encode(product))
    return ProductStored(command.sku, product.revision)


def check_product(command: PutProduct) -> InvalidField | None:
    if not is_identifier(command.sku):
        return identifier_refusal("sku")
    if not 0 <= command.price_minor <= PRICE_MINOR_MAX:
        return InvalidField("price_minor", f"must be 0 to {PRICE_MINOR_MAX}")
    if len(command.picture_url.encode()) > PICTURE_URL_BYTES_MAX:
        return InvalidField("picture_url", f"must be at most {PICTURE_URL_BYTES_MAX} bytes of UTF-8")
    return check_name(command.name) or check_currency(command.currency)


def is_same_product(product: Product, command: PutProduct) -> bool:
    return not product.is_withdrawn and (
        product.name,
        product.picture_url,
        product.price_minor,
        product.currency,
    ) == (command.name, command.picture_url, command.price_minor, command.currency)


def withdraw_product(state: State, command: WithdrawProduct) -> SingleResult:
    product = find_product(state, command.sku)
    if product is None:
        return UnknownSku(short(command.sku))
    if not product.is_withdrawn:
        product.is_withdrawn = True
        product.revision += 1
        state.put(keys.PRODUCT + command.sku.encode(), records.encode(product))
    return ProductStored(command.sku, product.revision)


def adjust_stock(state: State, command: AdjustStock, now_ms: int) -> SingleResult:
    if not is_identifier(command.reference):
        return identifier_refusal("reference")
    if not 0 < abs(command.delta) <= ADJUSTMENT_MAX:
        return InvalidField("delta", f"must be 1 to {ADJUSTMENT_MAX} units, up or down")
    product = find_product(state, command.sku)
    if product is None:
        return UnknownSku(short(command.sku))
    key = keys.adjustments(command.sku) + command.reference.encode()
    booked = state.get(key)
    if booked is not None:
        return repeat_adjustment(command, records.decode_adjustment(booked))
    if product.on_hand + command.delta < 0:
        return OutOfStock(command.sku, -command.delta, product.on_hand)
    if product.received + command.delta > RECEIVED_MAX:
        return AmountTooLarge(f"units received of {command.sku}", RECEIVED_MAX)
    product.on_hand += command.delta
    product.received += command.delta
    state.put(key, records.encode(Adjustment(command.delta, product.on_hand, now_ms)))
    state.put(keys.PRODUCT + command.sku.encode(), records.encode(product))
    return StockAdjusted(command.sku, product.on_hand)


def repeat_adjustment(command: AdjustStock, booked: Adjustment) -> SingleResult:
    if booked.delta == command.delta:
        return StockAdjusted(command.sku, booked.on_hand)
    return AdjustmentDiffers(command.sku, command.reference, booked.delta)


def register_customer(state: State, command: RegisterCustomer, now_ms: int) -> SingleResult:
    if not is_identifier(command.customer):
        return identifier_refusal("customer")
    refusal = check_name(command.name)
    if refusal is not None:
        return refusal
    key = keys.CUSTOMER + command.customer.encode()
    stored = state.get(key)
    if stored is not None:
        name = records.decode_customer(stored).name
        return CustomerRegistered(command.customer) if name == command.name else CustomerDiffers(command.customer, name)
    name_key = keys.NAME + command.name.encode()
    if state.get(name_key) is not None:
        return NameTaken(command.name)
    state.put(key, records.encode(Customer(command.name, now_ms)))
    state.put(name_key, command.customer.encode())
    count(state, customers=1)
    return CustomerRegistered(command.customer)


def find_product(state: State, sku: str) -> Product | None:
    """None also for what can't be a sku: it is as unknown as any other."""
    stored = state.get(keys.PRODUCT + sku.encode()) if may_be_stored(sku) else None
    return None if stored is None else records.decode_product(stored)


def count(state: State, *, products: int = 0, customers: int = 0) -> None:
    stored = state.get(keys.COUNTS)
    counts = Counts() if stored is None else records.decode_counts(stored)
    counts.product_count += products
    counts.customer_count += customers
    state.put(keys.COUNTS, records.encode(counts))
