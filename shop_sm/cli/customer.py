"""``shop customer``."""

from __future__ import annotations

from replog.cli_kit import DEV_ENDPOINTS, AsJson, Endpoints, Timeout

from ..answers import NotFound
from ..results import Refusal
from .connecting import with_shop
from .presenting import present, time_text


def add_customer(
    customer: str,
    *,
    name: str,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Register a customer.

    Parameters
    ----------
    customer
        an id, 1 to 64 letters, digits and . _ ~ : @ + -, a letter or a digit first.
    name
        unique in the shop.
    """
    result = with_shop(endpoints, timeout, lambda shop: shop.register_customer(customer, name))
    sentence = f"{customer} is registered as {name}"
    return present(result, sentence, is_refused=isinstance(result, Refusal), as_json=json)


def show_customer(
    customer: str = "",
    *,
    name: str = "",
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Show a customer by id, or by exact name with --name."""
    answer = with_shop(endpoints, timeout, lambda shop: shop.customer(customer, name=name))
    sentence = ""
    if not isinstance(answer, NotFound):
        sentence = f"{answer.customer}  {answer.name}  registered {time_text(answer.registered_ms)}"
    return present(answer, sentence, is_refused=isinstance(answer, NotFound), as_json=json)
