"""A Multi-Paxos replicated log with a distinguished leader, to embed in Python programs.

The catalogue of what a program uses. Each name is imported when it is first asked for, so that a command that needs
few of them starts at once.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""So that nothing at all is imported here: ``typing.TYPE_CHECKING`` is found in the working directory if one is there
(``safe_path``)."""

_HOMES = {
    "Answer": "client",
    "ChangeRefused": "errors",
    "Client": "client",
    "ClientOptions": "client",
    "Command": "state_machine",
    "CommandFailed": "errors",
    "CommandTooLarge": "errors",
    "ConfigError": "errors",
    "Damaged": "errors",
    "DecodedEntry": "client",
    "EmbeddedReplica": "embedding",
    "LocalCluster": "local_cluster",
    "LogEntry": "wire.client_messages",
    "LoggedCommand": "client",
    "Members": "client",
    "NodeId": "paxos.ballot",
    "NodeOptions": "config",
    "NodeStatus": "wire.status",
    "OutcomeUnknown": "errors",
    "Overloaded": "errors",
    "Receipt": "client",
    "Refused": "errors",
    "ReplicaConfig": "config",
    "ReplogError": "errors",
    "SessionExpired": "errors",
    "State": "state_machine",
    "StateDiverged": "errors",
    "StateMachine": "state_machine",
    "StateView": "state_machine",
    "StorageError": "errors",
    "StorageFull": "errors",
    "Unavailable": "errors",
    "ask_query": "client",
    "ask_status": "client",
    "ask_transfer": "client",
    "connect": "client",
    "decode_entry": "client",
    "format_directory": "directory.formatting",
    "load_config": "config",
    "local_cluster": "local_cluster",
    "open_replica": "embedding",
    "run_replica": "embedding",
}
"""Every public name, and the module it comes from; what follows tells type checkers the same."""

if TYPE_CHECKING:
    from .client import Answer as Answer
    from .client import Client as Client
    from .client import ClientOptions as ClientOptions
    from .client import DecodedEntry as DecodedEntry
    from .client import LoggedCommand as LoggedCommand
    from .client import Members as Members
    from .client import Receipt as Receipt
    from .client import ask_query as ask_query
    from .client import ask_status as ask_status
    from .client import ask_transfer as ask_transfer
    from .client import connect as connect
    from .client import decode_entry as decode_entry
    from .config import NodeOptions as NodeOptions
    from .config import ReplicaConfig as ReplicaConfig
    from .config import load_config as load_config
    from .directory.formatting import format_directory as format_directory
    from .embedding import EmbeddedReplica as EmbeddedReplica
    from .embedding import open_replica as open_replica
    from .embedding import run_replica as run_replica
    from .errors import ChangeRefused as ChangeRefused
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
    from .paxos.ballot import NodeId as NodeId
    from .state_machine import Command as Command
    from .state_machine import State as State
    from .state_machine import StateMachine as StateMachine
    from .state_machine import StateView as StateView
    from .wire.client_messages import LogEntry as LogEntry
    from .wire.status import NodeStatus as NodeStatus

    __version__: str

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = _HOMES[name]
    module = import_module(f".{home}", __name__)
    # All names of a module at once: importing it puts the module itself where a name of its own may belong.
    globals().update({other: getattr(module, other) for other in _HOMES if _HOMES[other] == home})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """Of what is installed; a tree that was never installed has none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:
        return "unknown"
