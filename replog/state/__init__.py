"""The state machine's rows, the sessions and their position, on disk and in memory.

Never: let the three disagree.
"""
