"""Where the nodes are, which of them to try next, and what was wrong with each; without I/O or a clock."""

from __future__ import annotations

import random as random_module
from collections.abc import Iterable, Sequence
from contextlib import suppress

from ..addresses import check_address
from ..wire.dialing import in_words
from .door import address_checked
from .options import ClientOptions


class Endpoints:
    """Addresses of the nodes, those given and those learned.

    Raises ``TypeError`` or ``ValueError`` if none is given, or one is no ``host:port``.
    """

    def __init__(self, addresses: Sequence[str], options: ClientOptions, random: random_module.Random) -> None:
        if isinstance(addresses, str | bytes) or not isinstance(addresses, Iterable):
            raise TypeError(f"endpoints is a list of host:port, not {type(addresses).__name__}")
        self.addresses = list(dict.fromkeys(address_checked(address, "endpoints") for address in addresses))
        if not self.addresses:
            raise ValueError("endpoints is empty: name at least one host:port")
        self._options = options
        self._next = random.randrange(len(self.addresses))
        self._preferred = ""
        self._problems: dict[str, str] = {}
        self._answered: set[str] = set()
        self._failed_at_s: dict[str, float] = {}
        self._failed_in_a_row: set[str] = set()

    @property
    def has_preferred(self) -> bool:
        """Whether a node has said where the leader is, and it has not been tried yet."""
        return bool(self._preferred)

    def prefer(self, address: str) -> None:
        """Try this one next."""
        self._preferred = address

    def choose(self, now_s: float) -> str:
        """Where a node said the leader is, or the next one in turn that has not just failed."""
        preferred, self._preferred = self._preferred, ""
        if preferred:
            return preferred
        for _ in self.addresses:
            self._next = (self._next + 1) % len(self.addresses)
            if not self.failed_lately(self.addresses[self._next], now_s):
                break
        return self.addresses[self._next]

    def learn(self, addresses: Iterable[str]) -> None:
        """Of members, as one of them named them."""
        for address in addresses:
            with suppress(ValueError):
                self.addresses.append(check_address(address))
        self.addresses = list(dict.fromkeys(self.addresses))

    def note_answer(self, address: str) -> None:
        """It was reached. Where each had failed before that, the way to all of them was cut: none is avoided for it."""
        self._problems.pop(address, None)
        self._answered.add(address)
        if self._failed_in_a_row.issuperset(self.addresses):
            self._failed_at_s.clear()
        self._failed_in_a_row.clear()

    def note_problem(self, address: str, problem: str) -> None:
        """It was reached, but is of no use at the moment."""
        self._problems[address] = problem

    def note_failure(self, address: str, error: BaseException | str, now_s: float) -> None:
        """It could not be reached, or was lost."""
        self._problems[address] = error if isinstance(error, str) else in_words(error)
        self._failed_at_s[address] = now_s
        self._failed_in_a_row.add(address)

    def failed_lately(self, address: str, now_s: float) -> bool:
        failed_at_s = self._failed_at_s.get(address)
        return failed_at_s is not None and now_s < failed_at_s + self._options.avoid_failed_s

    def situation(self) -> str:
        """Who can be reached and who can't, for a person."""
        total = len(self.addresses)
        problems = ", ".join(f"{address} ({problem})" for address, problem in sorted(self._problems.items()))
        silent = [address for address in self.addresses if address not in self._problems.keys() | self._answered]
        reachable = total - len(self._problems) - len(silent)
        situation = f"{reachable} of {total} replicas reachable. Not reachable: {problems or 'none known'}."
        return f"{situation} No word yet from {', '.join(silent)}." if silent else situation
