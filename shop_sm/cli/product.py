"""``shop product``: the catalogue."""

from __future__ import annotations

from replog.cli_kit import DEV_ENDPOINTS, AsJson, Endpoints, Timeout, WholeNumber
from replog.errors import ConfigError

from ..answers import NotFound
from ..money import format_money, parse_money
from ..results import Refusal
from .connecting import collect, with_shop
from .presenting import present, present_fields, present_list, products_table


def put_product(
    sku: str,
    *,
    name: str,
    price: str,
    currency: str = "USD",
    picture_url: str = "",
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Add a product, change it, or bring a withdrawn one back.

    Parameters
    ----------
    sku
        1 to 64 letters, digits and . _ ~ : @ + -, a letter or a digit first.
    name
        what customers see.
    price
        like 24.99.
    currency
        three capital letters.
    picture_url
        where its picture is.
    """
    try:
        price_minor = parse_money(price, currency)
    except ValueError as error:
        raise ConfigError(f"--price: {error}") from None
    result = with_shop(endpoints, timeout, lambda shop: shop.put_product(sku, name, price_minor, currency, picture_url))
    refused = isinstance(result, Refusal)
    sentence = "" if isinstance(result, Refusal) else f"{sku} stands at revision {result.revision}"
    return present(result, sentence, is_refused=refused, as_json=json)


def withdraw_product(
    sku: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Take no new orders for a product."""
    result = with_shop(endpoints, timeout, lambda shop: shop.withdraw_product(sku))
    return present(result, f"{sku} is withdrawn", is_refused=isinstance(result, Refusal), as_json=json)


def show_product(
    sku: str, *, endpoints: Endpoints = DEV_ENDPOINTS, timeout: Timeout = 10.0, json: AsJson = False
) -> int:
    """Show one product with its stock."""
    answer = with_shop(endpoints, timeout, lambda shop: shop.product(sku))
    if json or isinstance(answer, NotFound):
        return present(answer, "", is_refused=isinstance(answer, NotFound), as_json=json)
    fields = {
        "name": answer.name,
        "price": format_money(answer.price_minor, answer.currency),
        "picture": answer.picture_url or "-",
        "revision": f"{answer.revision}{' (withdrawn)' if answer.is_withdrawn else ''}",
        "on hand": f"{answer.on_hand:,}",
        "reserved": f"{answer.reserved:,}",
        "sold": f"{answer.sold:,}",
        "received": f"{answer.received:,}",
    }
    present_fields(fields, title=sku)
    return 0


def list_product(
    prefix: str = "",
    *,
    after: str = "",
    limit: WholeNumber = 100,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """List products in order of sku.

    Parameters
    ----------
    prefix
        only skus that begin so.
    after
        only skus behind this one: where the list before ended.
    limit
        at most this many.
    """
    products, is_more = with_shop(endpoints, timeout, lambda shop: collect(shop.products(prefix, after), limit))
    go_on = f"--after {products[-1].sku}" if is_more else ""
    table = products_table(products)
    return present_list("products", products, table, is_more=is_more, go_on=go_on, as_json=json)
