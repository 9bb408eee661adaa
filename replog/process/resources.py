"""The limits of this process: what it has of descriptors, memory and file size, and what it lacks for a moment.

A lack is not a failure: nothing is wrong with any disk where the process has no descriptor or no memory left, was
interrupted, or may not read a file. Whoever meets one tries again later, or says what to do about it; never to remove
what is stored.

Never: decide what a node does about it.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import Counter
from collections.abc import Iterator
from typing import Final

from ..errors import Lacking

FILES_RESERVE: Final = 64
"""Descriptors for stores, jobs on them, name lookups, log and record, beside those that are open when a node starts."""
ADDRESS_SPACE_MIN: Final = 4 * 2**30
"""Maps of the stores grow in this; below it a node may end over a full map."""

losses: Final[Counter[str]] = Counter()
"""What this process could not keep or tell, by name; a node's report has it among its counters."""

_LACKS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EINTR})
_NEXT_STEPS: Final = {
    errno.EMFILE: "raise this process's limit of open files (LimitNOFILE, ulimit -n)",
    errno.ENFILE: "the machine has no descriptors left: look at what runs on it (sysctl fs.file-max)",
    errno.ENOMEM: "give the process more memory (LimitAS, MemoryMax), or the machine",
    errno.EACCES: "let this user read and write it (chown, chmod)",
    errno.EPERM: "let this user read and write it (chown, chmod)",
    errno.EINTR: "it was interrupted",
}
_TEXTS: Final = {os.strerror(code): code for code in _LACKS}
"""LMDB says the system's errors in the system's words, and without their numbers."""


def lack_of(error: BaseException | None) -> int:
    """What this error says is lacking, as the system numbers it; 0 if it is an error of another kind."""
    match error:
        case OSError():
            return error.errno if error.errno in _LACKS else 0
        case MemoryError():
            return errno.ENOMEM
        case RuntimeError() if "start new thread" in str(error):
            return errno.ENOMEM
        case Exception() if type(error).__module__.partition(".")[0] == "lmdb":
            return next((code for text, code in _TEXTS.items() if text in str(error)), 0)
    return 0


def lacking(what: object, error: BaseException) -> Lacking | None:
    """What to raise where ``what`` could not be done for want of something; None if ``error`` is of another kind."""
    lack = lack_of(error)
    if not lack:
        return None
    return Lacking(f"{what}: {error}. Nothing stored is at fault: {_NEXT_STEPS[lack]}, then start the node again.")


def take_descriptors(wanted: int) -> int:
    """Raise the soft limit of open files to ``wanted``, as far as that is allowed; returns what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < goal:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (goal, hard))
            soft = goal
        except (OSError, ValueError):
            pass  # a sandbox that says no; what there is has to do
    return wanted if soft == resource.RLIM_INFINITY else soft


def descriptors_to_come() -> int:
    """What the limit of open files can be raised to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def descriptors_open() -> int:
    """How many this process has open."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return FILES_RESERVE


def small_limits() -> Iterator[str]:
    """Limits of memory and files that a node is likely to run into."""
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY and address_space < ADDRESS_SPACE_MIN:
        yield (
            f"its limit of address space ({address_space:,} bytes) is below {ADDRESS_SPACE_MIN:,}: its stores are "
            "mapped into it and grow; lift it (LimitAS, ulimit -v)"
        )
    file_size, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if file_size != resource.RLIM_INFINITY:
        yield (
            f"its files may not grow beyond {file_size:,} bytes, and a log that meets this limit ends the node; lift "
            "it (LimitFSIZE, ulimit -f), and set [log] bytes_max instead"
        )
