"""What can go wrong, named by what the caller may do about it.

Every error says what happened, why, and what to do next. ``exit_code`` is what a command ends with
(``docs/OPERATING.md`` has the table).

Never: hide a key or a cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class ReplogError(Exception):
    """Base of every error this library raises on purpose."""

    exit_code = 1
    results: Sequence[object] = ()
    """What came of each command of a ``submit_many`` that raised this, in order: its ``Receipt`` if it ran, its
    ``CommandFailed`` if it failed; of one that is None this error says whether it may have run."""


class ConfigError(ReplogError):
    """A setting is missing, unknown or impossible; the message names its key and a fix."""

    exit_code = 2


class Unavailable(ReplogError):
    """No leader could be reached in time. The command was definitely not done; it may be submitted again."""

    exit_code = 3


class Overloaded(ReplogError):
    """The cluster refused the command because a queue was full. It was definitely not done; slow down, then retry."""

    exit_code = 3


class CommandTooLarge(ReplogError):
    """The command is above ``command_bytes_max``. It was definitely not done and never will be."""

    exit_code = 4


class StorageFull(ReplogError):
    """The leader's disk or map is nearly full and takes no new commands. Definitely not done; make room."""

    exit_code = 4


class Refused(ReplogError):
    """A node refused the request for the reason given: wrong cluster, unknown node, other incarnation or format."""

    exit_code = 4


class ChangeRefused(Refused):
    """The leader does not change the members so; the message says why, and what to do first. Definitely not done.

    Parameters
    ----------
    code: the reason for a program, one of ``replog.paxos.effects.NoChangeCode``, like ``behind``; ``lost`` if another
        change took the place of this one.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CommandFailed(ReplogError):
    """The state machine's ``apply`` raised for this command, its writes undone on every replica; or its ``query`` did.

    Parameters
    ----------
    slot, offset: where the command stands in the log; 0 for a query.
    text: what was raised, as the replica that answered tells it: ``ValueError: out of range``.
    """

    exit_code = 4

    def __init__(self, message: str, *, slot: int = 0, offset: int = 0, text: str = "") -> None:
        super().__init__(message)
        self.slot = slot
        self.offset = offset
        self.text = text


class SessionExpired(ReplogError):
    """The session is gone, so whether its unanswered commands were done can't be told by the log.

    Ask the state machine before sending anything again under a new session.
    """

    exit_code = 6


class OutcomeUnknown(ReplogError):
    """The deadline passed after the command was sent: it may be done, now or later. Look before retrying."""

    exit_code = 6


class StorageError(ReplogError):
    """The disk failed or its contents can't be used; the message names the file and the next step."""

    exit_code = 5


class Lacking(ReplogError):
    """The process lacks something at the moment: descriptors, memory, a permission. Nothing stored is at fault."""

    exit_code = 3


class Damaged(StorageError):
    """A record is there but fails its checksum. Never the same as absent (P10)."""


class StateDiverged(ReplogError):
    """This replica's state differs from a quorum's at the same slot: the state machine is not deterministic."""

    exit_code = 1


def error_text(error: BaseException, bytes_max: int = 1000) -> bytes:
    """Type and text of any exception as UTF-8 of at most ``bytes_max`` bytes; never raises.

    The exception may come from code that is not ours: its text may be of any length, no valid Unicode, or raise.
    """
    name = _beginning(lambda: type(error).__name__, bytes_max, "an exception")
    text = _beginning(lambda: str(error), bytes_max, "its text can't be told")
    told = f"{name}: {text}".encode("utf-8", "backslashreplace")
    return told[:bytes_max].decode("utf-8", "ignore").encode()


def _beginning(make: Callable[[], str], length_max: int, otherwise: str) -> str:
    try:
        return str.__getitem__(make(), slice(length_max))
    except BaseException:
        return otherwise
