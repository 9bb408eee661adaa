"""Settings of a replica as checked values; ``config`` reads them from files and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from attrs.validators import ge, gt

from ..addresses import check_address
from ..apply.sessions import SessionOptions
from ..log.space import LogLimits
from ..paxos.ballot import NodeId, parse_node
from ..paxos.option_kinds import kinds_checked
from ..paxos.options import PaxosOptions
from .links import TransportOptions

KIB: Final = 2**10
MIB: Final = 2**20


@attrs.frozen(kw_only=True, field_transformer=kinds_checked)
class NodeOptions:
    """Limits of the driver: what surrounds the core on one node.

    Raises
    ------
    ValueError: a limit is not positive.
    """

    flush_interval_s: float = attrs.field(default=0.25, validator=gt(0.0))
    """The applied state becomes durable this often, off the path of any answer."""
    unflushed_keys_max: int = attrs.field(default=250_000, validator=ge(1))
    """With so many changed keys in memory a flush begins at once, and applying waits until it has set them aside."""
    log_tail_slots: int = attrs.field(default=100_000, validator=ge(0))
    """Slots kept below the durable state, so that a peer that was away catches up slot by slot. More stay while the
    file has free pages enough: it never shrinks."""
    log_tail_bytes: int = attrs.field(default=1024 * MIB, validator=ge(1))
    """With more bytes in use the oldest go: under load a slot holds hundreds of commands, and the tail gets shorter."""
    inbox_submissions_max: int = attrs.field(default=65_536, validator=ge(1))
    """Submissions taken from clients and not yet handed to the core; beyond it clients are not read."""
    inbox_bytes_max: int = attrs.field(default=64 * MIB, validator=ge(1))
    """Their bytes, together."""
    clients_bytes_max: int = attrs.field(default=48 * MIB, validator=ge(MIB))
    """What is kept for all clients together: frames that have begun, answers that were not taken. Where it is used up
    the link for which most is kept is closed."""
    turn_s_max: float = attrs.field(default=0.02, validator=gt(0.0))
    """A turn of the event loop that has taken so long leaves the rest for the next one, so that heartbeats are read."""
    apply_slots_max: int = attrs.field(default=64, validator=ge(1))
    """Slots applied in one turn of the event loop, so that heartbeats are never late."""
    state_piece_bytes: int = attrs.field(default=1 * MIB, validator=ge(1))
    """A state that is sent to a peer travels in pieces of this size."""
    image_idle_max_s: float = attrs.field(default=10.0, validator=gt(0.0))
    """A snapshot nobody asked for during this time is let go."""
    follow_credit_max: int = attrs.field(default=1024, validator=ge(1))
    """Slots under way to one follower of the log."""
    command_bytes_max: int = attrs.field(default=1 * MIB - 64 * KIB, validator=ge(1))
    """A larger command is refused before it is proposed."""
    wait_for_commit_s_max: float = attrs.field(default=0.002, validator=ge(0.0))
    """A follower whose disk commits faster than this waits for it; a slower one is left to a thread (0: always)."""
    thrift_s: float = attrs.field(default=0.005, validator=ge(0.0))
    """A lone command reaches the peers that its quorum does not need so much later (0: all at once)."""
    switch_interval_s: float = attrs.field(default=0.0005, validator=gt(0.0))
    """How long a thread keeps the interpreter while another waits for it."""
    scrub_interval_s: float = attrs.field(default=1.0, validator=gt(0.0))
    """A piece of the log is read back and verified this often."""
    stop_timeout_s: float = attrs.field(default=4.0, validator=gt(0.0))
    """A clean stop (hand over, flush) takes no longer than this."""
    silent_rounds_max: int = attrs.field(default=10, validator=ge(2))
    """Heartbeat rounds in which nothing at all came over a peer's link; then it is closed, and made anew."""
    storage_check_interval_s: float = attrs.field(default=1.0, validator=gt(0.0))
    """How often the room on the disk is looked at."""
    idle_timeout_s: float = attrs.field(default=600.0, validator=gt(0.0))
    """A client that said nothing for this long is disconnected."""


def _as_path(path: object) -> Path:
    if not isinstance(path, str | Path) or not str(path):
        raise TypeError(f"data_dir is a path, as text or a pathlib.Path, not {path!r}")
    return Path(path)


def _by_node(members: Mapping[NodeId, str] | Mapping[str, str]) -> dict[NodeId, str]:
    if not isinstance(members, Mapping):
        raise TypeError(f'members maps nodes to addresses, like {{"n1": "10.0.0.1:7101"}}; it is no {_kind(members)}')
    found: dict[NodeId, str] = {}
    for name, address in members.items():
        if not isinstance(address, str):
            raise TypeError(f'members: {name!r} has {address!r}; an address is text, "host:port"')
        node = _node(name)
        if node in found:
            raise ValueError(f"members: n{node} is named twice; name each node once.")
        found[node] = address
    return found


def _node(name: object) -> NodeId:
    if not isinstance(name, str | int):
        raise TypeError(f'members: {name!r} is no node; nodes are called "n1", "n2" and so on')
    try:
        return parse_node(str(name))
    except ValueError as error:
        raise ValueError(f"members: {error}") from None


def _kind(value: object) -> str:
    return type(value).__name__


def _check_kind(_config: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    kind: type = attribute.default.factory  # type: ignore[union-attr]
    if not isinstance(value, kind):
        name = kind.__name__
        raise TypeError(f"{attribute.name} is a {name}, not a {_kind(value)}: {attribute.name}={name}(...)")


def _check_text(_config: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} is text, not {value!r}")


def _check_members(_config: object, _attribute: object, members: Mapping[NodeId, str]) -> None:
    if not members:
        raise ValueError('members is empty; name every node, like n1 = "10.0.0.1:7101".')
    for node, address in members.items():
        try:
            check_address(address)
        except ValueError as error:
            raise ValueError(f"members: n{node}: {error}") from None
    addresses = list(members.values())
    for address in addresses:
        if addresses.count(address) > 1:
            twice = " and ".join(f"n{node}" for node, other in members.items() if other == address)
            raise ValueError(f"members: {twice} have the same address {address}; give each node its own.")


def _check_bind(_config: object, _attribute: object, bind: str) -> None:
    if bind:
        try:
            check_address(bind)
        except ValueError as error:
            raise ValueError(f"bind: {error}") from None


def _check_state_machine(_config: object, _attribute: object, name: str) -> None:
    module, colon, class_name = name.partition(":")
    if name and not (colon and module and class_name):
        raise ValueError(f"state_machine: {name!r} is not module:Class, like shop_sm:Shop.")


@attrs.frozen(kw_only=True)
class ReplicaConfig:
    """Everything a replica is told from outside; which node it is says its data directory.

    Parameters
    ----------
    data_dir: a directory that ``replog init`` or ``format_directory`` formatted; text, or a ``pathlib.Path``.
    members: whom to ask first, ``{"n1": "host:port", ...}``, a ``NodeId`` is as good as its name: where a node is
        reached, by the others and by clients, as long as the log says nothing else. A founder's names every founder.
    bind: ``host:port`` to listen on; empty: the node's own address in ``members``, else the one in the log.
    state_machine: ``module:Class``; needed by ``replog serve`` only.
    paxos, sessions: the same on every member of a cluster.
    log, transport, node: each node's own.

    Raises
    ------
    TypeError: a setting is of another kind.
    ValueError: a setting is impossible, or two of them contradict each other.
    """

    data_dir: Path = attrs.field(converter=_as_path)
    members: dict[NodeId, str] = attrs.field(converter=_by_node, validator=_check_members)
    bind: str = attrs.field(default="", validator=[_check_text, _check_bind])
    state_machine: str = attrs.field(default="", validator=[_check_text, _check_state_machine])
    paxos: PaxosOptions = attrs.field(factory=PaxosOptions, validator=_check_kind)
    sessions: SessionOptions = attrs.field(factory=SessionOptions, validator=_check_kind)
    log: LogLimits = attrs.field(factory=LogLimits, validator=_check_kind)
    transport: TransportOptions = attrs.field(factory=TransportOptions, validator=_check_kind)
    node: NodeOptions = attrs.field(factory=NodeOptions, validator=_check_kind)

    def __attrs_post_init__(self) -> None:
        batch_bytes_max = self.paxos.batch_bytes_max
        if self.node.command_bytes_max >= batch_bytes_max:
            raise ValueError(
                f"[node] command_bytes_max ({self.node.command_bytes_max}) must be below [paxos] batch_bytes_max "
                f"({batch_bytes_max}): a command travels in a batch"
            )
        if self.transport.client_payload_bytes_max <= batch_bytes_max:
            raise ValueError(
                f"[transport] client_payload_bytes_max ({self.transport.client_payload_bytes_max}) must be above "
                f"[paxos] batch_bytes_max ({batch_bytes_max}): a client's largest submission must get through"
            )
        largest = max(batch_bytes_max, self.paxos.piece_bytes_max, self.node.state_piece_bytes)
        if self.transport.peer_payload_bytes_max <= largest:
            raise ValueError(
                f"[transport] peer_payload_bytes_max ({self.transport.peer_payload_bytes_max}) must be above [paxos] "
                f"batch_bytes_max and piece_bytes_max and [node] state_piece_bytes ({largest}): each is one message"
            )
