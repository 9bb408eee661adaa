"""What names stand for: looked up apart from whoever dials, one lookup a name at a time.

The system's resolver may take ten seconds, or hang, and nobody can make it stop. So it is asked in a thread that
nothing waits for: neither a dial that has given up, nor the end of the program. Whoever dials meanwhile goes by what
the name stood for last; a new answer replaces that, no answer does not.

Never: connect; ask the resolver about a number.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

import anyio
import sniffio
import trio

from ..process.forking import own

FRESH_S: Final = 0.25
"""So long a new answer is waited for where an older one is known."""
NAMES_MAX: Final = 1_000
"""Names kept; nodes tell some of them."""


class Address(NamedTuple):
    """One address of a host; ``zone`` is the network interface of one that is local to a link."""

    family: socket.AddressFamily
    ip: str
    zone: int = 0

    def at(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """As a socket of its family wants it."""
        return (self.ip, port) if self.family is socket.AF_INET else (self.ip, port, 0, self.zone)


class UnknownHost(OSError):
    """No host has this name, or nobody can be asked at the moment; the text says which."""


def look_up(host: str) -> list[Address]:
    """Ask the system; waits as long as that takes.

    Raises ``UnknownHost``.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHost(why_unknown(error)) from error
    places = [Address(family, str(where[0]), int(where[3]) if len(where) > 3 else 0) for family, *_, where in found]
    if not places:
        raise UnknownHost("unknown host")
    return list(dict.fromkeys(places))


def is_passing(error: BaseException) -> bool:
    """Whether the resolver may answer later what it did not answer now."""
    return isinstance(error, socket.gaierror) and error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM)


def why_unknown(error: BaseException) -> str:
    """What a lookup's failure means, in a few words."""
    if is_passing(error):
        return f"its name can't be looked up at the moment ({str(getattr(error, 'strerror', error)).lower()})"
    return "unknown host"


class Names:
    """All names of one process; any thread and any event loop may ask."""

    def __init__(self) -> None:
        self._known: dict[str, list[Address]] = {}
        """In the order in which to try them."""
        self.on_forked()
        own(self)

    def on_forked(self) -> None:
        """A forked child has none of its parent's threads."""
        self._lock = threading.Lock()
        self._under_way: dict[str, _Lookup] = {}

    async def addresses_of(self, host: str) -> list[Address]:
        """Where to try, in order; the caller bounds how long that may take.

        Raises ``UnknownHost`` if nothing is known of the name, now or before.
        """
        number = _number(host)
        if number is not None:
            return [number]
        if host not in self._known:
            await self._fresh(host)
        else:
            with suppress(UnknownHost), anyio.move_on_after(FRESH_S):
                await self._fresh(host)
        return list(self._known[host])

    def is_unanswered(self, host: str) -> bool:
        """Whether nothing is known of the name yet, and somebody looks."""
        return host in self._under_way and host not in self._known

    def put_first(self, host: str, address: Address) -> None:
        """It was connected to."""
        self._move(host, address, 0)

    def put_last(self, host: str, address: Address) -> None:
        """It is being tried: whoever tries next begins with another one, unless this one answers."""
        self._move(host, address, len(self._known.get(host, ())))

    def _move(self, host: str, address: Address, place: int) -> None:
        with self._lock:
            known = self._known.get(host, [])
            if address in known:
                known.remove(address)
                known.insert(place, address)

    async def _fresh(self, host: str) -> None:
        """Wait for the lookup that is under way, or for a new one. Raises ``UnknownHost``."""
        is_over = anyio.Event()
        wake = _waker(is_over)
        with self._lock:
            lookup = self._under_way.get(host)
            if lookup is None:
                lookup = self._under_way[host] = _Lookup()
                self._begin(host, lookup)
            lookup.waiting.append(wake)
        try:
            await is_over.wait()
        finally:
            with suppress(ValueError):  # the lookup may be over
                lookup.waiting.remove(wake)
        if lookup.failure is not None:
            raise lookup.failure

    def _begin(self, host: str, lookup: _Lookup) -> None:
        try:
            threading.Thread(target=self._run, args=(host, lookup), name=f"look up {host}", daemon=True).start()
        except RuntimeError as error:  # no thread to be had
            del self._under_way[host]
            raise UnknownHost(f"its name can't be looked up at the moment ({error})") from error

    def _run(self, host: str, lookup: _Lookup) -> None:
        found: list[Address] = []
        try:
            found = look_up(host)
        except Exception as error:
            lookup.failure = error if isinstance(error, UnknownHost) else UnknownHost(f"unknown host ({error})")
        with self._lock:
            if found:
                before = self._known.get(host, [])
                new = [address for address in found if address not in before]
                self._known[host] = new + [address for address in before if address in found]
                while len(self._known) > NAMES_MAX:
                    del self._known[next(iter(self._known))]
            if self._under_way.get(host) is lookup:
                del self._under_way[host]
            waiting = tuple(lookup.waiting)
        for wake in waiting:
            wake()


class _Lookup:
    """One question to the resolver, and who waits for it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.failure: UnknownHost | None = None


def _number(host: str) -> Address | None:
    """The address that ``host`` is already, or None if it is a name. Raises ``UnknownHost`` for a zone that is none."""
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(number, ipaddress.IPv4Address):
        return Address(socket.AF_INET, host)
    ip, _, zone = host.partition("%")
    try:
        return Address(
            socket.AF_INET6, ip, int(zone) if zone.isdecimal() else socket.if_nametoindex(zone) if zone else 0
        )
    except OSError:
        raise UnknownHost(f"this machine has no network interface {zone}") from None


def _waker(event: anyio.Event) -> Callable[[], None]:
    """Sets an event of this loop from another thread; a loop that is over needs nothing."""
    soon: Callable[[Callable[[], None]], object]
    if sniffio.current_async_library() == "trio":
        soon = trio.lowlevel.current_trio_token().run_sync_soon
    else:
        import asyncio

        soon = asyncio.get_running_loop().call_soon_threadsafe

    def wake() -> None:
        with suppress(RuntimeError):
            soon(event.set)

    return wake


NAMES: Final = Names()
