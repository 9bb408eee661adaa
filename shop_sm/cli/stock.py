"""``shop stock``: goods received, lost and running out."""

from __future__ import annotations

from replog.cli_kit import DEV_ENDPOINTS, AsJson, Endpoints, Timeout, WholeNumber

from ..results import Refusal
from .connecting import collect, with_shop
from .presenting import present, present_list, products_table


def adjust_stock(
    sku: str,
    delta: WholeNumber,
    *,
    reference: str,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Book goods received, or lost.

    Parameters
    ----------
    sku
        which product.
    delta
        units, negative for goods that are gone.
    reference
        the delivery note's number; the same one twice is booked once.
    """
    result = with_shop(endpoints, timeout, lambda shop: shop.adjust_stock(sku, delta, reference))
    sentence = "" if isinstance(result, Refusal) else f"{sku}: {result.on_hand:,} on hand after {reference}"
    return present(result, sentence, is_refused=isinstance(result, Refusal), as_json=json)


def low_stock(
    at_most: WholeNumber = 5,
    *,
    limit: WholeNumber = 100,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """List products with few units on hand.

    Parameters
    ----------
    at_most
        this many or fewer.
    limit
        at most this many products.
    """
    products, is_more = with_shop(endpoints, timeout, lambda shop: collect(shop.low_stock(at_most), limit))
    return present_list("products", products, products_table(products), is_more=is_more, as_json=json)
