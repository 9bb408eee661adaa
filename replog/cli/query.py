"""``replog query``: questions to the cluster's state machine from the command line."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Timeout

from .payloads import Hex, Lines

if TYPE_CHECKING:
    from replog.client import Consistency


def query(
    request: Annotated[str | None, Parameter(metavar="REQUEST")] = None,
    /,
    *,
    stale: Annotated[bool, Parameter(name="--stale", negative=(), show_default=False)] = False,
    hex: Hex = False,
    lines: Lines = False,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> None:
    """Ask the state machine, and print its answer.

    Without REQUEST standard input is the request; "" is the empty one. One that begins with a dash stands
    behind --. An answer that is no printable text is shown as 0x and hexadecimal digits.

    Parameters
    ----------
    request
        What the state machine is asked, as UTF-8.
    stale
        Ask the first node that answers for what it has applied; otherwise the answer knows everything acknowledged
        before.
    hex
        REQUEST, standard input and answers are hexadecimal.
    lines
        Each line of standard input is a request; one answer a line, and with --json one object a line.
    """
    import trio

    from . import payloads

    consistency: Consistency = "stale" if stale else "linearizable"
    look = _Look(is_hex=hex, is_json=json, is_many=lines)
    if lines:
        payloads.check_no_word(request)
    words = None if lines else [payloads.single(request, is_hex=hex)]
    trio.run(_query, endpoints, words, consistency, timeout, look)


class _Look:
    """How answers are printed."""

    def __init__(self, *, is_hex: bool, is_json: bool, is_many: bool) -> None:
        self.is_hex = is_hex
        self._is_json = is_json
        self._is_many = is_many

    def print(self, reply: bytes, applied_through: int) -> None:
        from replog.cli_kit.printing import print_json, print_line

        from .payloads import fields, shown

        if self._is_json:
            print_json({**fields(reply), "applied_through": applied_through}, is_line=self._is_many)
        else:
            print_line(shown(reply, is_hex=self.is_hex))


async def _query(
    endpoints: tuple[str, ...], words: list[bytes] | None, consistency: Consistency, timeout_s: float, look: _Look
) -> None:
    """Ask ``words``, or if there are none what the lines of standard input say."""
    from replog.client import connect

    from . import payloads

    async with connect(endpoints, name="replog query") as client:

        async def ask(requests: list[bytes]) -> None:
            for request in requests:
                answer = await client.read(request, consistency=consistency, timeout=timeout_s)
                look.print(answer.reply, answer.applied_through)

        if words is not None:
            await ask(words)
            return
        async with aclosing(payloads.lines(is_hex=look.is_hex)) as groups:
            async for group in groups:
                await ask(group)
