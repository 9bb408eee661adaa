"""A Multi-Paxos replicated log with a distinguished leader, to embed in Python programs.

The public names; each is imported when it is first used, so that a command that needs few of them starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Answer as Answer
    from .client import Client as Client
    from .client import ClientOptions as ClientOptions
    from .client import DecodedEntry as DecodedEntry
    from .client import LoggedCommand as LoggedCommand
    from .client import Receipt as Receipt
    from .client import ask_query as ask_query
    from .client import ask_status as ask_status
    from .client import ask_transfer as ask_transfer
    from .client import connect as connect
    from .client import decode_entry as decode_entry
    from .config import load_config as load_config
    from .embedding import EmbeddedReplica as EmbeddedReplica
    from .embedding import open_replica as open_replica
    from .embedding import run_replica as run_replica
    from .errors import CommandFailed as CommandFailed
    from .errors import CommandTooLarge as CommandTooLarge
    from .errors import ConfigError as ConfigError
    from .errors import Damaged as Damaged
    from .errors import OutcomeUnknown as OutcomeUnknown
    from .errors import Overloaded as Overloaded
    from .errors import Refused as Refused
    from .errors import ReplogError as ReplogError
    from .errors import SessionExpired as SessionExpired
    from .errors import StateDiverged as StateDiverged
    from .errors import StorageError as StorageError
    from .errors import StorageFull as StorageFull
    from .errors import Unavailable as Unavailable
    from .local_cluster import LocalCluster as LocalCluster
    from .local_cluster import local_cluster as local_cluster
    from .node.settings import NodeOptions as NodeOptions
    from .node.settings import ReplicaConfig as ReplicaConfig
    from .paxos.ballot import NodeId as NodeId
    from .state_machine import Command as Command
    from .state_machine import State as State
    from .state_machine import StateMachine as StateMachine
    from .state_machine import StateView as StateView
    from .wire.client_messages import LogEntry as LogEntry
    from .wire.status import NodeStatus as NodeStatus

_ROOMS = {
    "client": (
        "Answer", "Client", "ClientOptions", "DecodedEntry", "LoggedCommand", "Receipt", "ask_query", "ask_status",
        "ask_transfer", "connect", "decode_entry",
    ),
    "config": ("NodeOptions", "ReplicaConfig", "load_config"),
    "embedding": ("EmbeddedReplica", "open_replica", "run_replica"),
    "errors": (
        "CommandFailed", "CommandTooLarge", "ConfigError", "Damaged", "OutcomeUnknown", "Overloaded", "Refused",
        "ReplogError", "SessionExpired", "StateDiverged", "StorageError", "StorageFull", "Unavailable",
    ),
    "local_cluster": ("LocalCluster", "local_cluster"),
    "paxos.ballot": ("NodeId",),
    "state_machine": ("Command", "State", "StateMachine", "StateView"),
    "wire.client_messages": ("LogEntry",),
    "wire.status": ("NodeStatus",),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'replog' has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f".{room}", __name__)
    for other in _ROOMS[
        room
    ]:  # all at once: importing a room puts the module itself where a name of its own may belong
        globals()[other] = getattr(module, other)
    return globals()[name]
