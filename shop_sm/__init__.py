"""The orders, stock and payments of a web shop, as a state machine of ``replog``."""

from .shop import Shop

__all__ = ["Shop"]
