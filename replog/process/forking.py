"""What must not be shared with a child that is forked off: locks, ports, links, a running replica.

A child has every open file of its parent. While it lives a lock stays taken and a port stays bound, whoever took them
is gone or not; and where it closes what it shares with its parent in an orderly way, it says so in the parent's name.
So the child lets go at once, silently, of all that is owned here.

Never: take a lock, or wait: the thread that would let go is not there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, NoReturn, Protocol
from weakref import WeakSet

CHILD_EXIT: Final = 1


class Owned(Protocol):
    """What belongs to the process that made it."""

    def on_forked(self) -> None:
        """In the child: give up what is the parent's, without a word to anybody outside."""


_owned: WeakSet[Owned] = WeakSet()


def own(thing: Owned) -> None:
    """From here on, and as long as it is there, a child that is forked off gives it up."""
    _owned.add(thing)


def close_descriptor(descriptor: int) -> None:
    """Of a socket or file that was detached; the parent's stays open."""
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)


def end_child() -> NoReturn:
    """This is a child that was forked off in the middle of something, and nobody has ended it: it ends at once."""
    with suppress(OSError):
        os.write(2, f"a child process ({os.getpid()}) came back out of apply or query: it ends here\n".encode())
    os._exit(CHILD_EXIT)


def _give_up_all() -> None:
    for thing in tuple(_owned):
        thing.on_forked()


os.register_at_fork(after_in_child=_give_up_all)
