"""The orders, stock and payments of a web shop, as a state machine of ``replog``.

``Shop`` is the state machine, ``sim_workload`` what ``replog sim --state-machine shop_sm:Shop`` runs it with.
"""

from .shop import Shop
from .workload import sim_workload

__all__ = ["Shop", "sim_workload"]
