"""``shop totals``: the whole shop in a row, or a row a day."""

from __future__ import annotations

from replog.cli_kit import DEV_ENDPOINTS, AsJson, Endpoints, Timeout, WholeNumber, print_json, print_table, print_text

from .connecting import collect, with_shop
from .presenting import fields_of, present_list, totals_table


def totals(
    *,
    by_day: bool = False,
    limit: WholeNumber = 1_000,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Show orders, units and revenue. Revenue is what was paid and not cancelled.

    Parameters
    ----------
    by_day
        one row a day, oldest first.
    limit
        at most this many days.
    """
    if by_day:
        days, is_more = with_shop(endpoints, timeout, lambda shop: collect(shop.days(), limit))
        return present_list("days", days, totals_table(days, by_day=True), is_more=is_more, as_json=json)
    whole = with_shop(endpoints, timeout, lambda shop: shop.totals())
    if json:
        print_json(fields_of(whole))
    else:
        print_text(f"{whole.product_count:,} products, {whole.customer_count:,} customers")
        print_table(totals_table(whole.currencies, by_day=False))
    return 0
