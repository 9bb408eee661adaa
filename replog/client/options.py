"""What may be set about a client. The defaults suit a cluster in one data centre; a test makes them smaller."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs


def _seconds(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{attribute.name} is a number of seconds, not {type(value).__name__}")
    if not 0 < value < math.inf:
        raise ValueError(f"{attribute.name} = {value} is no time; it is a number of seconds above 0")


def _count(first: int, last: int | None = None) -> Callable[[object, attrs.Attribute[int], int], None]:
    """A whole number from ``first`` on, to ``last`` if there is one."""

    def check(_: object, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{attribute.name} is a whole number, not {type(value).__name__}")
        if value < first or (last is not None and value > last):
            raise ValueError(f"{attribute.name} = {value}: from {first:,} to {'any' if last is None else f'{last:,}'}")

    return check


def _rising(first: str) -> object:
    """Not below another field, which stands before it."""

    def check(options: ClientOptions, attribute: attrs.Attribute[float], value: float) -> None:
        if value < getattr(options, first):
            raise ValueError(f"{attribute.name} = {value} is below {first} = {getattr(options, first)}")

    return check


@attrs.frozen(kw_only=True)
class ClientOptions:
    """Settings of one client; every one has a default.

    Raises
    ------
    ValueError: a value can't be meant; the message names it.
    """

    timeout_s: float = attrs.field(default=10.0, validator=_seconds)
    """Deadline of a call that names none; also how long ``follow`` looks for a node that answers."""
    dial_timeout_s: float = attrs.field(default=0.5, validator=_seconds)
    """A node that did not greet by then is left for another one."""

    in_flight_commands_max: int = attrs.field(default=16_384, validator=_count(1, 65_536))
    """Commands sent and not yet answered; more wait in the client."""
    in_flight_bytes_max: int = attrs.field(default=8 * 2**20, validator=_count(1))
    """The same in bytes; a single call may be larger."""
    waiting_commands_max: int = attrs.field(default=262_144, validator=_count(1))
    """Commands that wait to be sent; one more is refused with ``Overloaded``."""
    call_bytes_max: int = attrs.field(default=32 * 2**20, validator=_count(1))
    """Commands of one ``submit_many``, together."""
    unsent_bytes_max: int = attrs.field(default=4 * 2**20, validator=_count(1))
    """With more than this that the socket has not taken, nothing new is sent."""

    watch_interval_s: float = attrs.field(default=0.05, validator=_seconds)
    """How often deadlines and silent nodes are looked at: a call may end this much after its deadline."""
    ping_after_s: float = attrs.field(default=0.15, validator=_seconds)
    """A node that owes an answer and is silent for this long is asked whether it lives."""
    hung_after_s: float = attrs.field(default=0.3, validator=[_seconds, _rising("ping_after_s")])  # type: ignore[list-item]
    """One that has not answered that within the rest of this time is left for another one; one that turned out to be
    slow may take four times as long the next time (``silence``)."""
    leader_patience_s: float = attrs.field(default=0.5, validator=_seconds)
    """A node that knows no leader is left for another one after this long."""
    avoid_failed_s: float = attrs.field(default=0.5, validator=_seconds)
    """A node that just failed is not gone to for this long, unless there is no other, or all had failed."""
    redirects_max: int = attrs.field(default=2, validator=_count(0))
    """Where nodes send one another the client that often, it pauses between them."""

    redial_first_s: float = attrs.field(default=0.005, validator=_seconds)
    """The first pause between connections; each is about twice as long as the one before."""
    redial_max_s: float = attrs.field(default=0.25, validator=[_seconds, _rising("redial_first_s")])  # type: ignore[list-item]
    """The longest they grow to."""
    retry_first_s: float = attrs.field(default=0.02, validator=_seconds)
    """The first pause before what a leader refused is sent again; they grow in the same way until something is taken.
    """
    retry_max_s: float = attrs.field(default=1.0, validator=[_seconds, _rising("retry_first_s")])  # type: ignore[list-item]
    """The longest they grow to."""
