"""Which addresses of a configuration have a host whose name stands for nothing, asked for a bounded time."""

from __future__ import annotations

from collections.abc import Iterable

LOOK_UP_S = 3.0
"""So long all names together are looked up; a node that starts waits longer."""


def unknown_hosts(addresses: Iterable[str]) -> dict[str, str]:
    """Of each address whose host has no number, as far as can be told in time: why not."""
    import trio

    from replog.addresses import split_address
    from replog.wire.names import Names, UnknownHost

    names = Names()
    wanted = dict.fromkeys(addresses)
    problems = dict.fromkeys(wanted, f"its name was not looked up within {LOOK_UP_S:.0f} s")

    async def look_up(address: str) -> None:
        try:
            await names.addresses_of(split_address(address)[0])
        except UnknownHost as error:
            problems[address] = str(error)
        else:
            del problems[address]

    async def look_all_up() -> None:
        with trio.move_on_after(LOOK_UP_S):
            async with trio.open_nursery() as nursery:
                for address in wanted:
                    nursery.start_soon(look_up, address)

    trio.run(look_all_up)
    return problems
