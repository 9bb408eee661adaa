"""The algorithm: Multi-Paxos with a distinguished leader.

Nothing in this package does I/O, reads a clock, logs, awaits, or draws randomness of its own.
It imports the standard library's value modules, attrs and msgspec only; ``tests/test_architecture.py`` holds that.
"""
