"""Which words the ``shop`` command has. Each word's module is imported only when it is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

import cyclopts

from replog.cli_kit import add_command, new_app, run

GROUPS = {
    "product": ("The catalogue.", {"put": "Add or change a product.", "list": "List products.",
                                   "show": "Show one product.", "withdraw": "Take no new orders for a product."}),
    "stock": ("Goods on hand.", {"adjust": "Book goods received or lost.", "low": "List what to order again."}),
    "customer": ("Customers.", {"add": "Register a customer.", "show": "Show one customer."}),
    "order": ("Orders.", {"place": "Place an order.", "pay": "Pay an order in full.", "ship": "Record that it left.",
                          "deliver": "Record that it arrived.", "cancel": "Cancel it; its goods return to stock.",
                          "refund": "Record that its money went back.", "show": "Show one order.",
                          "list": "List orders of a customer or at a status.",
                          "expire": "Close orders that nobody paid in time."}),
}  # fmt: skip
WORDS = {
    "totals": "Orders, units and revenue, whole or by day.",
    "load": "Load CDNOW's orders from a file; safe to interrupt and repeat.",
    "audit": "Check every record on every replica, and compare them.",
    "demo": "Three real replicas, real orders, and the leader killed in the middle.",
    "completion": "Print a shell's completion script.",
}


def build_app(tokens: Sequence[str] = ()) -> cyclopts.App:
    """The whole command tree; of the commands' modules only those are imported that ``tokens`` name."""
    app = new_app(
        "shop",
        "A web shop on replog: products, stock, customers, orders and payments, the same on every replica.\n\n"
        "Begin with `replog dev --state-machine shop_sm:Shop`, or with `shop demo`.",
        version=_version,
    )
    for group, (summary, commands) in GROUPS.items():
        inner = new_app(group, summary)
        for word, text in commands.items():
            add_command(inner, f"shop_sm.cli.{group}:{word}_{group}", word, text, tokens=tokens)
        app.command(inner)
    for word, text in WORDS.items():
        add_command(app, f"shop_sm.cli.{word}:{word}", word, text, tokens=tokens)
    return app


def _version() -> str:
    from replog import __version__

    return f"shop (replog {__version__})"


def main() -> NoReturn:
    """Entry point of the ``shop`` command."""
    sys.exit(run(build_app(sys.argv[1:]), sys.argv[1:]))
