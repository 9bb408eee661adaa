"""``replog submit``: commands for the cluster's state machine from the command line, and what it answers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from replog.cli_kit.exit_codes import ExitCode
from replog.cli_kit.options import DEV_ENDPOINTS, AsJson, Endpoints, Timeout
from replog.errors import CommandFailed, ReplogError

from .payloads import Hex, Lines

if TYPE_CHECKING:
    from replog.client import Client, Receipt

_NAME = "replog submit"


def submit(
    command: Annotated[str | None, Parameter(metavar="COMMAND")] = None,
    /,
    *,
    hex: Hex = False,
    lines: Lines = False,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Submit a command to the state machine, and print its reply once a quorum has it.

    Without COMMAND standard input is the command. One that begins with a dash stands behind --, as in
    `replog submit -- -5`. A reply that is no printable text is shown as 0x and hexadecimal digits. Each command runs
    once, through retries and changes of leader; the same typed again is another command.

    Parameters
    ----------
    command
        What the state machine gets, as UTF-8.
    hex
        COMMAND, standard input and replies are hexadecimal.
    lines
        Each line of standard input is a command, in order; one reply a line, and with --json one object a line. Those
        that fail in the state machine are named on stderr, and the others run all the same.
    """
    import trio

    from . import payloads

    printer = _Printer(is_hex=hex, is_json=json, is_many=lines)
    if lines:
        payloads.check_no_word(command)
        return trio.run(_submit_lines, endpoints, timeout, printer)
    return trio.run(_submit, endpoints, payloads.single(command, is_hex=hex), timeout, printer)


async def _submit(endpoints: tuple[str, ...], payload: bytes, timeout_s: float, printer: _Printer) -> int:
    from replog.client import connect

    async with connect(endpoints, name=_NAME) as client:
        printer.print([await client.submit(payload, timeout=timeout_s)])
    return ExitCode.OK


async def _submit_lines(endpoints: tuple[str, ...], timeout_s: float, printer: _Printer) -> int:
    from replog.client import connect

    from . import payloads

    async with connect(endpoints, name=_NAME) as client, aclosing(payloads.lines(is_hex=printer.is_hex)) as groups:
        async for group in groups:
            await _submit_group(client, group, timeout_s, printer)
    return ExitCode.REFUSED if printer.failed_count else ExitCode.OK


async def _submit_group(client: Client, group: Sequence[bytes], timeout_s: float, printer: _Printer) -> None:
    results: Sequence[object]
    try:
        results = await client.submit_many(group, timeout=timeout_s)
    except CommandFailed as error:
        results = error.results
    except ReplogError as error:
        first = printer.count + 1
        printer.print(error.results)
        error.add_note(
            f"lines {first:,} to {first + len(group) - 1:,} were sent together: those with a reply above were done, of "
            "the others this error tells; nothing behind them was sent."
        )
        raise
    printer.print(results)


class _Printer:
    """Prints what came of each command, in order."""

    def __init__(self, *, is_hex: bool, is_json: bool, is_many: bool) -> None:
        self.is_hex = is_hex
        self._is_json = is_json
        self.is_many = is_many
        self.count = 0
        self.failed_count = 0

    def print(self, results: Sequence[object]) -> None:
        """Of results that are None nothing is known."""
        from replog.cli_kit.printing import done

        for result in itertools.takewhile(lambda result: result is not None, results):
            self.count += 1
            with done():
                if isinstance(result, CommandFailed):
                    self.failed_count += 1
                    self._print_failed(result)
                else:
                    self._print_receipt(result)  # type: ignore[arg-type]

    def _print_receipt(self, receipt: Receipt) -> None:
        from replog.cli_kit.printing import print_json, print_line

        from .payloads import fields, shown

        if self._is_json:
            place = {"slot": receipt.slot, "offset": receipt.offset}
            print_json({**place, **fields(receipt.reply)}, is_line=self.is_many)
        else:
            print_line(shown(receipt.reply, is_hex=self.is_hex))

    def _print_failed(self, error: CommandFailed) -> None:
        from replog.cli_kit.printing import note, print_json

        if self._is_json:
            print_json({"slot": error.slot, "offset": error.offset, "failed": error.text}, is_line=True)
        note(("failed:", "bold red"), f" line {self.count} (slot {error.slot}): {error.text}")
