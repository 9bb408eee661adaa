"""Fixtures of the storage tests."""

from tests.faults.directories import quick_path
from tests.storage.power_cut import power_cut

__all__ = ["power_cut", "quick_path"]
