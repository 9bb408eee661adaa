"""What a command ends with: one table for all commands, ``docs/OPERATING.md`` explains each row."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Scripts decide by these numbers, so a number keeps its meaning for ever.

    ``ReplogError.exit_code`` uses the same numbers: an error class belongs to exactly one row.
    """

    OK = 0
    BUG = 1
    """A defect of this program, or a violation that the simulator or an audit found."""
    USAGE = 2
    """The command line, a setting or a file named in them is wrong; nothing was tried."""
    UNREACHABLE = 3
    """No node, or no quorum, answered in time. What was asked for was definitely not done."""
    REFUSED = 4
    """A node or directory said no, and says why. Definitely not done."""
    DAMAGED = 5
    """Stored data fails its check, or the disk failed."""
    OUTCOME_UNKNOWN = 6
    """It may have been done: ask again with the same id before doing it again."""
    INTERRUPTED = 130
    """Ctrl-C, as shells number it (128 + SIGINT)."""
    PIPE_CLOSED = 141
    """Whoever read the output went away (``replog log tail | head``), as shells number it (128 + SIGPIPE)."""


NEXT_STEPS = {
    "Unavailable": "replog status says which nodes are up; the command may be sent again as it was.",
    "Overloaded": "send less at a time, then again; replog status says who is behind.",
    "CommandTooLarge": "split the command, or raise command_bytes_max on every node.",
    "StorageFull": 'make room on the disk; writes go on by themselves then ("the disk is full" in docs/OPERATING.md).',
    "OutcomeUnknown": "ask whether it was done, or send it again with the same id; a new id could do it twice.",
    "SessionExpired": "ask whether it was done before sending it again; a new session can't tell a repeat.",
    "StateDiverged": 'keep the data directory as it is and see "a replica diverged" in docs/OPERATING.md.',
}
"""What to do about an error whose own text doesn't say it, by the name of its class."""
