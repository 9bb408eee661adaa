"""Chosen slots become state and outcomes: in order, exactly once, the same on every replica."""
