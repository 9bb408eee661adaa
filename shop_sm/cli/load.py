"""``shop load``: a file of orders into the shop, with progress, as often as it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from replog.cli_kit import (
    DEV_ENDPOINTS,
    AsJson,
    Endpoints,
    ExitCode,
    Timeout,
    WholeNumber,
    done,
    note,
    print_json,
    print_text,
    stderr_console,
)
from replog.errors import ConfigError

from ..cdnow import FileError, Import, KnownTotals, Purchase, read_purchases, sample_file, totals_of
from ..loading import OUTSTANDING, WINDOW, Loader, Progress
from ..money import format_money
from ..rules import IDENTIFIER_WORDS, is_identifier
from .connecting import open_shop

NAME_CHARS_MAX = 40


def load(
    file: Path | None = None,
    *,
    name: str = "",
    outstanding: Annotated[WholeNumber, Parameter(help="Orders under way at once.")] = OUTSTANDING,
    endpoints: Endpoints = DEV_ENDPOINTS,
    timeout: Timeout = 10.0,
    json: AsJson = False,
) -> int:
    """Load orders, each placed and paid, exactly once: run it again after an interruption and it goes on.

    Parameters
    ----------
    file
        CDNOW's master or sample file; the sample that comes with this program if left out.
    name
        begins every order's id; the file's name if left out. Under another name the same file is other orders.
    """
    if not 0 < outstanding <= WINDOW:
        raise ConfigError(f"--outstanding is {outstanding}; write 1 to {WINDOW}")
    imported = read_import(file, name)
    loader, seconds = anyio.run(run, imported, endpoints, timeout, outstanding, backend="trio")
    return report(imported, loader, seconds, as_json=json)


def read_import(file: Path | None, name: str = "") -> Import:
    """A file's orders under the name their ids begin with. Raises ``ConfigError`` for what is no such file."""
    try:
        if file is None:
            with sample_file() as sample:
                return Import(checked_name(name or sample.stem), read_purchases(sample))
        return Import(checked_name(name or file.stem), read_purchases(file))
    except (FileError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file or 'the sample'}: {error}") from None


def checked_name(name: str) -> str:
    if not is_identifier(name) or len(name) > NAME_CHARS_MAX:
        raise ConfigError(
            f"{name!r} can't begin an order's id; give --name with up to {NAME_CHARS_MAX} of {IDENTIFIER_WORDS}"
        )
    return name


async def run(
    imported: Import, endpoints: tuple[str, ...], timeout_s: float, outstanding: int
) -> tuple[Progress, float]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    begun_s = anyio.current_time()
    columns = (
        TextColumn("orders"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Bar(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("orders", total=len(imported.purchases), rate="")

        def watch(progress: Progress) -> None:
            if progress.done % 64 == 0 or progress.done == progress.total:
                sent = progress.done - progress.resumed_at
                rate = sent / max(anyio.current_time() - begun_s, 0.001)
                bar.update(task, completed=progress.done, rate=f"{rate:,.0f}/s")

        async with open_shop(endpoints, timeout_s) as shop:
            progress = await Loader(shop, imported, outstanding=outstanding, watch=watch).load()
    return progress, anyio.current_time() - begun_s


def report(imported: Import, progress: Progress, seconds: float, *, as_json: bool) -> int:
    expected = totals_of(imported.purchases)
    with done():
        if as_json:
            print_json(report_fields(imported.name, expected, progress, seconds))
        else:
            for sentence in sentences_of(imported.purchases, expected, progress, seconds):
                print_text(sentence)
    if not as_json:
        for refusal in progress.refusals:
            note(f"refused: {refusal}")
    return ExitCode.REFUSED if progress.refused else ExitCode.OK


def report_fields(name: str, expected: KnownTotals, progress: Progress, seconds: float) -> dict[str, object]:
    return {
        "name": name,
        "orders": progress.total - progress.refused,
        "resumed_at": progress.resumed_at,
        "refused": progress.refused,
        "refusals": progress.refusals,
        "repeats": progress.repeats,
        "customers": expected.customers,
        "units": expected.units,
        "revenue_minor": expected.revenue_minor,
        "seconds": round(seconds, 3),
    }


def sentences_of(
    purchases: list[Purchase], expected: KnownTotals, progress: Progress, seconds: float
) -> tuple[str, str]:
    sent = progress.total - progress.resumed_at
    resumed = f"; went on at order {progress.resumed_at + 1:,}" if progress.resumed_at else ""
    refused = f", {progress.refused:,} refused" if progress.refused else ""
    return (
        f"{len(purchases):,} orders of {expected.customers:,} customers: {expected.units:,} units, "
        f"{format_money(expected.revenue_minor, 'USD')}{refused}",
        f"{sent:,} sent in {seconds:.1f} s, {sent / max(seconds, 0.001):,.0f}/s{resumed}",
    )
