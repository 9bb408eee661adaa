"""What is checked before anything is taken in: a mistake of the caller is his own, and said at once.

Each check returns what it was given. What is of the wrong kind is a ``TypeError``, what can't be meant a
``ValueError``; both name the argument.
"""

from __future__ import annotations

from ..addresses import check_address
from ..errors import CommandTooLarge
from ..paxos.ballot import NodeId, parse_node

NAME_BYTES_MAX = 200
SLOT_MAX = 2**63 - 1


def payload_checked(payload: bytes, argument: str) -> bytes:
    """Only bytes: what can change under way must not be sent again."""
    if not isinstance(payload, bytes):
        raise TypeError(
            f"{argument} is bytes, not {type(payload).__name__}; encode text, and wrap a buffer in bytes(...)"
        )
    return payload


def size_checked(payload: bytes, what: str, bytes_max: int) -> None:
    """Raises ``CommandTooLarge``."""
    if len(payload) > bytes_max:
        raise CommandTooLarge(
            f"{what} of {len(payload):,} bytes is above the limit of {bytes_max:,}; split it, or raise "
            "command_bytes_max and batch_bytes_max on every node."
        )


def timeout_checked(timeout: float) -> float:
    """Not a time that would never come, or has no sense. Infinity means: for ever."""
    try:
        if timeout >= 0.0:
            return timeout
    except TypeError:
        raise TypeError(f"timeout is a number of seconds, not {type(timeout).__name__}") from None
    raise ValueError(f"timeout = {timeout} is no number of seconds from 0 on")


def slot_checked(from_slot: int) -> int:
    """A slot that there may be."""
    if not isinstance(from_slot, int) or isinstance(from_slot, bool):
        raise TypeError(f"from_slot is a whole number, not {type(from_slot).__name__}")
    if not 1 <= from_slot <= SLOT_MAX:
        raise ValueError(f"from_slot = {from_slot}: slots count from 1 to {SLOT_MAX}")
    return from_slot


def node_number(target: str) -> NodeId:
    """The number of ``n2``; 0 for nobody."""
    if not isinstance(target, str):
        raise TypeError(f"target is a node's name, like 'n2', not {type(target).__name__}")
    return parse_node(target) if target else NodeId(0)


def address_checked(address: str, argument: str) -> str:
    """``host:port``."""
    if not isinstance(address, str):
        raise TypeError(f"{argument}: an address is a str, 'host:port', not {type(address).__name__}")
    return check_address(address)


def name_checked(name: str) -> str:
    """What the nodes' logs call the client."""
    if not isinstance(name, str):
        raise TypeError(f"name is a str, not {type(name).__name__}")
    try:
        is_short = len(name.encode()) <= NAME_BYTES_MAX
    except UnicodeEncodeError:
        raise ValueError(f"name = {name!r} is no valid Unicode") from None
    if not is_short:
        raise ValueError(f"name is longer than {NAME_BYTES_MAX} bytes")
    return name
