"""Known mistakes of a shop, each planted in a copy of ``shop_sm`` and each to be caught.

    python -m tests.shop.mutants            every mutant, as a table
    python -m tests.shop.mutants NAME       one of them, with what caught it

A mutant is one change of text. It is caught by the random histories of ``comparison`` (the model says otherwise, or
the shop's own invariants do) within a few seeds. One that is not caught means that the checks have a hole.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import shop_sm

SEEDS = 4
STEPS = 400


@dataclass(frozen=True)
class Mutant:
    """``before`` stands in ``file`` exactly once and becomes ``after``."""

    name: str
    file: str
    before: str
    after: str


MUTANTS = [
    Mutant("forgets to return stock", "ordering.py", "product.on_hand += line.quantity", "pass"),
    Mutant(
        "returns stock twice", "ordering.py", "product.on_hand += line.quantity", "product.on_hand += 2 * line.quantity"
    ),
    Mutant("reserves nothing", "ordering.py", "product.on_hand -= quantity", "pass"),
    Mutant("sells what is not there", "ordering.py", "if quantity > product.on_hand:", "if False:"),
    Mutant(
        "sells one more than there is", "ordering.py", "quantity > product.on_hand:", "quantity > product.on_hand + 1:"
    ),
    Mutant("takes any amount", "ordering.py", "if command.amount_minor != order.total_minor or", "if"),
    Mutant(
        "takes a second payment",
        "ordering.py",
        "return paid(command.order, order) if is_same else AlreadyPaid(command.order, order.payment)",
        "pass",
    ),
    Mutant(
        "takes a late payment",
        "ordering.py",
        "if order.status is PLACED and now_ms < order.placed_ms + order.pay_within_ms:",
        "if order.status is PLACED:",
    ),
    Mutant("expires a moment late", "expiry.py", "if due > now or", "if due >= now or"),
    Mutant("never expires", "expiry.py", "overdue.append(order_id.decode())", "pass"),
    Mutant("expires without bound", "expiry.py", "or len(overdue) == orders_max", ""),
    Mutant("forgets who is due next", "ordering.py", "if due < moment.next_due", "if False and due < moment.next_due"),
    Mutant("remembers a later due time", "ordering.py", "if due < moment.next_due", "if due > moment.next_due"),
    Mutant(
        "takes the same order twice",
        "ordering.py",
        "if stored is not None:\n        return repeat_order",
        "if False:\n        return repeat_order",
    ),
    Mutant("takes another order for the same", "ordering.py", "if is_same else OrderDiffers(command.order)", ""),
    Mutant("takes a sku twice", "ordering.py", "if key in products:", "if False:"),
    Mutant("ignores the withdrawal", "ordering.py", "if product.is_withdrawn:", "if False:"),
    Mutant(
        "ships what is not paid",
        "life_cycle.py",
        "(Status.PAID, Action.SHIP): Status.SHIPPED,",
        "(Status.PAID, Action.SHIP): Status.SHIPPED,\n    (Status.PLACED, Action.SHIP): Status.SHIPPED,",
    ),
    Mutant(
        "refunds without cancelling",
        "life_cycle.py",
        "(Status.REFUND_DUE, Action.REFUND)",
        "(Status.PAID, Action.REFUND)",
    ),
    Mutant(
        "counts cancelled money as revenue",
        "life_cycle.py",
        "Status.REFUND_DUE: Holding.NOWHERE",
        "Status.REFUND_DUE: Holding.SOLD",
    ),
    Mutant("leaves the old list entry", "ordering.py", "state.delete(index_key(order))", "pass"),
    Mutant(
        "lists no customer's orders",
        "ordering.py",
        "put(keys.customer_orders(customer) + position, order_id)",
        "pass",
    ),
    Mutant("numbers orders alike", "ordering.py", "day.placed_count = number + 1", "day.placed_count = 1"),
    Mutant("forgets the day's revenue", "ordering.py", "day.revenue_minor += sign * order.total_minor", "pass"),
    Mutant("books a delivery twice", "catalogue.py", "if booked is not None:", "if False:"),
    Mutant("forgets what was received", "catalogue.py", "product.received += command.delta", "pass"),
    Mutant("gives a name twice", "catalogue.py", "if state.get(name_key) is not None:", "if False:"),
    Mutant("ignores a change of price", "catalogue.py", "product.price_minor = command.price_minor", "pass"),
]


def what_catches(mutant: Mutant) -> str | None:
    """Plants the mutant in a copy and runs the histories over it; the first difference, or None."""
    with tempfile.TemporaryDirectory() as directory:
        plant(mutant, Path(directory))
        program = (
            f"import sys; sys.path.insert(0, {directory!r})\n"
            "import shop_sm\n"
            f"assert shop_sm.__file__.startswith({directory!r})\n"
            "from tests.shop.comparison import first_difference\n"
            f"found = (first_difference(seed, {STEPS}) for seed in range({SEEDS}))\n"
            "print(next((one for one in found if one), ''))"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return run.stderr.strip().splitlines()[-1]
    return run.stdout.strip() or None


def plant(mutant: Mutant, directory: Path) -> None:
    copy = directory / "shop_sm"
    shutil.copytree(Path(shop_sm.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "data"))
    path = copy / mutant.file
    text = path.read_text()
    if text.count(mutant.before) != 1:
        raise SystemExit(f"mutant {mutant.name!r}: its text stands {text.count(mutant.before)} times in {mutant.file}")
    path.write_text(text.replace(mutant.before, mutant.after))


def main() -> None:
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    missed = 0
    for mutant in chosen:
        caught_by = what_catches(mutant)
        missed += caught_by is None
        print(f"{mutant.name:36} {'caught: ' + caught_by[:160] if caught_by else 'NOT CAUGHT'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} mutants caught")
    raise SystemExit(1 if missed or not chosen else 0)


if __name__ == "__main__":
    main()
