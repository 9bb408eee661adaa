"""The orders, stock and payments of a web shop, as a state machine of ``replog``.

``Shop`` is the state machine, ``ShopClient`` its commands and queries as methods over a client of the log,
``sim_workload`` what ``replog sim --state-machine shop_sm:Shop`` runs it with.

Never: import anything private of `replog`.
"""

from .client import ShopClient
from .shop import Shop
from .workload import sim_workload

__all__ = ["Shop", "ShopClient", "sim_workload"]
