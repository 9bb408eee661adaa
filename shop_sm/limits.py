"""Every bound of the shop, in one place, with the reason for its size.

They are part of the state machine: two replicas with different bounds would give different answers, so none of
them is a setting.
"""

from __future__ import annotations

IDENTIFIER_CHARS_MAX = 64
"""Of a sku, customer, order or reference: two of them and a separator stay far below the store's 500-byte keys."""

NAME_BYTES_MAX = 200
"""Of a product's or customer's name, in UTF-8: what a person types, and still fits in a key."""

PICTURE_URL_BYTES_MAX = 500

LINES_MAX = 100
"""Lines of one order; with ``EXPIRED_PER_COMMAND_MAX`` it bounds the work of one command."""

QUANTITY_MAX = 10_000

PRICE_MINOR_MAX = 10**9
"""Ten million dollars; ``LINES_MAX * QUANTITY_MAX * PRICE_MINOR_MAX`` is 10**15, below 2**53 (exact in JSON)."""

ADJUSTMENT_MAX = 10**9
RECEIVED_MAX = 2**53 - 1
"""Units of one product ever received; what is reserved or sold is part of it and needs no bound of its own."""

DAY_MAX = 2**16 - 1
"""Days since 1970-01-01, to the year 2149: two bytes in a key."""

DAY_MINOR_MAX = 2**47 - 1
"""Money of one day and currency. ``DAY_MAX`` such days stay below 2**63, so no sum can overflow anywhere."""

DAY_ORDERS_MAX = 2**32 - 1
"""Four bytes in a key."""

PAY_WITHIN_MS_MAX = 400 * 86_400_000
PAY_WITHIN_MS_DEFAULT = 30 * 60_000
"""Half an hour: a cart's reservation must not keep goods from others for long."""

BATCH_COMMANDS_MAX = 256
EXPIRED_PER_COMMAND_MAX = 4
"""Overdue orders closed ahead of each command: a day's backlog is worked off without one slow command."""

SWEEP_MAX = 1_000
PAGE_MAX = 1_000
SCANNED_PER_QUERY_MAX = 10_000
"""Records a query may look at before it answers with a cursor: about ten milliseconds of a replica's time."""

LOG_TIME_MS_MAX = 2**62
