"""Gives the event loop of a child that was forked off kernel objects of its own.

What trio waits for is kept by the kernel in an object that parent and child share: a child that leaves the loop, as
``sys.exit`` does, would take its parent's waits away, and the parent would hang. trio has no public way to it, so where
a release of trio keeps these things elsewhere, nothing is done here and a test says so.

Never: touch anything in the parent.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress
from typing import Any

import trio


def separate_loop() -> None:
    """In the child; for the loop of the thread that forked, if it runs one."""
    runner: Any = getattr(trio._core._run.GLOBAL_RUN_CONTEXT, "runner", None)
    with suppress(AttributeError):
        epoll, waits, alarm = (getattr(runner.io_manager, name) for name in ("_epoll", "_registered", "_force_wakeup"))
        for pair in (alarm, runner.entry_queue.wakeup):
            for own, other in zip((pair.wakeup_sock, pair.write_sock), socket.socketpair(), strict=True):
                other.setblocking(False)
                _take_over(own.fileno(), other)
        runner.entry_queue.lock = threading.RLock()  # another thread of the parent may have held it
        _take_over(epoll.fileno(), select.epoll())
        epoll.register(alarm.wakeup_sock, select.EPOLLIN)
        for descriptor, wait in waits.items():
            with suppress(OSError):  # what the child has let go of
                epoll.register(descriptor, wait.current_flags | select.EPOLLONESHOT)


def _take_over(descriptor: int, other: Any) -> None:
    os.dup2(other.fileno(), descriptor, inheritable=False)
    other.close()
