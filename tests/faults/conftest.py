"""Fixtures of the fault tests."""

from tests.faults.directories import quick_path

__all__ = ["quick_path"]
