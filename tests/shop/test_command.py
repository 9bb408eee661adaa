"""The ``shop`` command as a person uses it, over a log in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from replog.cli_kit import ExitCode, run
from replog.cli_kit.shown import shown
from shop_sm.cli.app import GROUPS, WORDS, build_app
from shop_sm.client import ShopClient

from .memory_log import MemoryLog


@attrs.frozen
class Done:
    code: int
    out: str
    err: str

    @property
    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.out)
        return fields


Shop = Callable[..., Done]


@pytest.fixture
def shop(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Runs ``shop`` with the given words in this process; one shop in memory serves a whole test."""
    log = MemoryLog()

    @asynccontextmanager
    async def open_shop(endpoints: Sequence[str], timeout_s: float) -> AsyncIterator[ShopClient]:
        yield ShopClient(log, timeout_s=timeout_s)

    for name in ("REPLOG_ENDPOINTS", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["shop"])
    monkeypatch.setattr("shop_sm.cli.connecting.open_shop", open_shop)
    monkeypatch.setattr("shop_sm.cli.load.open_shop", open_shop)

    def run_shop(*words: object) -> Done:
        capsys.readouterr()
        code = run(build_app(), [str(word) for word in words])
        output = capsys.readouterr()
        return Done(int(code), output.out, output.err)

    return run_shop


def open_for_business(shop: Shop) -> None:
    assert shop("product", "put", "tea-250", "--name", "Green tea", "--price", "2.50").code == 0
    assert shop("stock", "adjust", "tea-250", "100", "--reference", "d-1").code == 0
    assert shop("customer", "add", "c-1", "--name", "Ann").code == 0


def test_an_order_from_the_command_line(shop: Shop) -> None:
    """Placed, paid, shipped and delivered, each in one sentence; shown with its lines and total."""
    open_for_business(shop)
    placed = shop("order", "place", "o-1001", "--customer", "c-1", "tea-250=2")
    assert placed.code == 0
    assert "o-1001 placed: 2 units, 5.00 USD" in placed.out
    for word, status in (("pay", "paid"), ("ship", "shipped"), ("deliver", "delivered")):
        assert shop("order", word, "o-1001").out.strip() == f"o-1001 is {status}"
    text = shop("order", "show", "o-1001").out
    assert "2 x 2.50 USD = 5.00 USD" in text
    assert "delivered" in text
    assert "5.00 USD" in shop("totals").out


def test_a_refusal_is_a_sentence_on_stderr_and_exit_code_4(shop: Shop) -> None:
    """Nothing on stdout, so that a pipe sees no result where there is none."""
    open_for_business(shop)
    refused = shop("order", "place", "o-1", "--customer", "c-1", "tea-250=101")
    assert (refused.code, refused.out) == (ExitCode.REFUSED, "")
    assert "101 wanted, 100 on hand" in refused.err
    as_json = shop("order", "place", "o-1", "--customer", "c-1", "tea-250=101", "--json")
    assert as_json.code == ExitCode.REFUSED
    assert as_json.fields["result"] == "OutOfStock"
    assert shop("order", "show", "o-9").code == ExitCode.REFUSED
    assert shop("order", "list", "--customer", "nobody").code == ExitCode.REFUSED


def test_every_output_has_a_json_form(shop: Shop) -> None:
    """One object with a schema number and fields by name; statuses as words, days as dates."""
    open_for_business(shop)
    shop("order", "place", "o-1", "--customer", "c-1", "tea-250=2")
    order = shop("order", "show", "o-1", "--json").fields
    assert (order["schema"], order["status"], order["total_minor"]) == (1, "placed", 500)
    assert order["lines"] == [{"sku": "tea-250", "quantity": 2, "price_minor": 250}]
    assert shop("order", "list", "--status", "placed", "--json").fields["orders"][0]["order"] == "o-1"
    assert shop("product", "list", "--json").fields["products"][0]["sku"] == "tea-250"
    assert shop("product", "show", "tea-250", "--json").fields["on_hand"] == 98
    assert shop("stock", "low", "98", "--json").fields["products"][0]["sku"] == "tea-250"
    assert shop("customer", "show", "--name", "Ann", "--json").fields["customer"] == "c-1"
    totals = shop("totals", "--json").fields
    assert totals["currencies"][0]["by_status"]["placed"] == 1
    day = shop("totals", "--by-day", "--json").fields["days"][0]
    assert day["day"] == "2024-01-01"


def test_a_list_that_is_cut_says_so_and_how_to_go_on(shop: Shop) -> None:
    """Page after page shows every product once; the last page says that it is the last."""
    skus = [f"tea-{number:02}" for number in range(7)]
    for sku in skus:
        shop("product", "put", sku, "--name", "Tea", "--price", "1")
    first = shop("product", "list", "tea-", "--limit", "3")
    assert "--after tea-02" in first.err
    seen: list[str] = []
    is_more = True
    while is_more:
        after = ("--after", seen[-1]) if seen else ()
        page = shop("product", "list", "tea-", "--limit", "3", *after, "--json").fields
        seen += [product["sku"] for product in page["products"]]
        is_more = page["is_more"]
    assert seen == skus
    exact = shop("product", "list", "--limit", "7")
    assert exact.err == ""
    assert "there are more" in shop("stock", "low", "--limit", "6").err


@pytest.mark.parametrize(
    "words",
    [
        ("order", "place", "o-1", "--customer", "c-1", "tea"),
        ("order", "list"),
        ("order", "list", "--status", "lost"),
        ("stock", "adjust", "tea-250", "1.5", "--reference", "d-1"),
        ("product", "put", "tea", "--name", "Tea", "--price", "2.505"),
        ("load", "no-such-file.txt"),
        ("load", "--outstanding", "0"),
        ("load", "--name", "two words"),
        ("product", "list", "--limit", "0"),
        ("order", "fly"),
    ],
)
def test_a_wrong_word_is_told_what_is_right(shop: Shop, words: tuple[str, ...]) -> None:
    """Usage errors end with 2 and say what to write instead; nothing was tried."""
    done = shop(*words)
    assert done.code == ExitCode.USAGE
    assert done.err
    assert "Traceback" not in done.err


def test_a_file_is_loaded_once_however_often_it_is_run(shop: Shop, tmp_path: Path) -> None:
    """The second run says that everything is there, and the totals stay."""
    path = tmp_path / "orders.txt"
    path.write_text("00001 19970101 1 11.77\n00001 19970101 1 11.77\n00002 19970112 2 29.33\n")
    first = shop("load", path, "--json").fields
    assert (first["orders"], first["units"], first["revenue_minor"]) == (3, 4, 5_287)
    assert shop("load", path).code == 0
    totals = shop("totals", "--json").fields
    assert totals["currencies"][0]["revenue_minor"] == 5_287
    assert totals["customer_count"] == 2
    days = shop("totals", "--by-day", "--json").fields["days"]
    assert [(day["day"], day["orders"]) for day in days] == [("1997-01-01", 2), ("1997-01-12", 1)]


def test_every_word_of_the_help_leads_to_a_command() -> None:
    """The lazily imported functions exist under the names the tree gives them."""
    import importlib

    for group, (_, words) in GROUPS.items():
        for word in words:
            assert callable(getattr(importlib.import_module(f"shop_sm.cli.{group}"), f"{word}_{group}"))
    for word in WORDS:
        assert callable(getattr(importlib.import_module(f"shop_sm.cli.{word}"), word))


def test_help_lists_every_word(shop: Shop) -> None:
    """A person finds all there is from ``shop --help``."""
    text = shop("--help").out
    for word in (*GROUPS, *WORDS):
        assert word in text


HOSTILE = ["[/]", "[bold]x[/bold]", "\x1b[2Jgone", "a\nb", ":tea:", "\u202eevil", "\u8336", "--name", "-1"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_names_are_printed_as_they_are(shop: Shop, name: str) -> None:
    """A name that looks like markup, a colour or a line of its own is shown, in every list and sentence."""
    assert shop("product", "put", "tea", f"--name={name}", "--price", "2.50").code == 0
    assert shop("customer", "add", "c-1", f"--name={name}").out.strip() == f"c-1 is registered as {shown(name)}".strip()
    for words in (("product", "list"), ("product", "show", "tea"), ("customer", "show", "c-1")):
        told = shop(*words)
        assert told.code == 0, told.err
        assert shown(name) in told.out
        assert "\x1b" not in told.out
    assert shop("product", "show", "tea", "--json").fields["name"] == name


@pytest.mark.parametrize(
    "word", ["[/]", "\x1b[2J", "a/b", "..", "-x", "", " ", "\u0661", "a\u00a0b", "[red]"], ids=ascii
)
def test_an_id_that_is_none_is_a_sentence(shop: Shop, word: str) -> None:
    """Whatever step it is given to: the code says that nothing was done, and the word is shown."""
    open_for_business(shop)
    for step in ("pay", "ship", "deliver", "cancel", "refund", "show"):
        told = shop("order", step, "--", word)
        assert told.code == ExitCode.REFUSED, (step, told.err)
        assert "\x1b" not in told.err
        assert "defect" not in told.err
    assert shop("order", "place", "--customer", "c-1", "--", word, "tea-250=1").code == ExitCode.REFUSED


@pytest.mark.parametrize("quantity", ["\u0662", "1.5", "1_0", "+-1", "--1", "2\u00b2", "1e3", "9" * 5_000, ""])
def test_a_quantity_is_written_in_ascii_digits(shop: Shop, quantity: str) -> None:
    """Nothing is rounded, and no digit of another script is read as one that looks like another."""
    open_for_business(shop)
    assert shop("order", "place", "o-1", "--customer", "c-1", f"tea-250={quantity}").code == ExitCode.USAGE
    assert shop("stock", "adjust", "--reference", "r", "--", "tea-250", quantity).code == ExitCode.USAGE


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0", "1e300", "\u0661", "1_0", "x"])
def test_a_time_is_one(shop: Shop, seconds: str) -> None:
    """For whoever waits, and for an order that waits for its payment."""
    open_for_business(shop)
    place = ("order", "place", "o-1", "--customer", "c-1", "tea-250=1")
    for option in ("--pay-within-s", "--timeout"):
        told = shop(*place, f"{option}={seconds}")
        assert told.code == ExitCode.USAGE
        assert "is no time" in told.err


def test_money_that_comes_too_late_is_told(shop: Shop) -> None:
    """The payer reads that it was recorded and goes back; whoever looks at the order sees it."""
    open_for_business(shop)
    shop("order", "place", "o-1", "--customer", "c-1", "tea-250=2")
    shop("order", "cancel", "o-1")
    paid = shop("order", "pay", "o-1", "--reference", "p-1")
    assert (paid.code, paid.out) == (ExitCode.REFUSED, "")
    assert "was over when payment p-1 came; it is recorded, and its refund is due" in paid.err
    assert "too late p-1" in shop("order", "show", "o-1").out
    assert "5.00 USD" in shop("totals").out
    shop("order", "place", "o-2", "--customer", "c-1", "tea-250=2")
    used = shop("order", "pay", "o-2", "--reference", "p-1")
    assert (used.code, "has paid order o-1" in used.err) == (ExitCode.REFUSED, True)


def test_a_price_is_one_of_its_currency(shop: Shop) -> None:
    """500 francs are 500, and what no table knows is refused before anything is sent."""
    assert shop("product", "put", "tea", "--name", "Tea", "--price", "500", "--currency", "XOF").code == 0
    assert "500 XOF" in shop("product", "list").out
    for currency in ("XYZ", "usd", "[/]"):
        told = shop("product", "put", "pot", "--name", "Pot", "--price", "500", "--currency", currency)
        assert (told.code, "is no currency of ISO 4217" in told.err) == (ExitCode.USAGE, True)
