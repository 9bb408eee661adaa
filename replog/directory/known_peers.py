"""Which incarnation each peer had when it was first met: one that comes back with another has lost its memory (P9).

The answer must outlive this process, or a whole cluster's restart would let a wiped disk in. So the file is written,
and synced, before the first message of a new peer is handled; that happens once in a peer's life.

Never: let one in that has forgotten its promises.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ..disk.durable_files import write_durably
from ..disk.page_cache import settle
from ..errors import Damaged, Lacking, StorageError
from ..log.records import seal, unseal
from ..paxos.ballot import NodeId, node_name
from ..process.resources import lacking

PEERS_FILE: Final = "peers"
_KEY: Final = PEERS_FILE.encode()


class KnownPeers:
    """Peers met so far; ``path`` is the data directory.

    Raises
    ------
    StorageError: the file can't be read, can't be made durable, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / PEERS_FILE
        settle(self._path)
        self._incarnations = self._read()

    def refusal_of(self, node: NodeId, incarnation: bytes) -> str:
        """Empty, or why the peer is not let in. A peer met for the first time is remembered, durably.

        While something is lacking for that it is refused. Raises ``StorageError`` if the disk fails.
        """
        known = self._incarnations.get(node)
        if known is None:
            met = {**self._incarnations, node: incarnation}
            try:
                self._write(met)
            except Lacking as error:
                return f"{node_name(node)} is new here and can't be remembered at this moment: {error}"
            self._incarnations = met
        elif known != incarnation:
            return (
                f"{node_name(node)} has another incarnation ({incarnation.hex()[:8]}) than the one this cluster knows "
                f"({known.hex()[:8]}): its directory was formatted anew, so it has forgotten what it promised. "
                'See "replace a dead node" in docs/OPERATING.md'
            )
        return ""

    def _read(self) -> dict[NodeId, bytes]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            lack = lacking(f"{self._path} can't be read", error)
            raise lack or StorageError(f"{self._path} can't be read: {error}; check its owner and the disk.") from error
        try:
            return msgspec.msgpack.decode(unseal(_KEY, data), type=dict[NodeId, bytes])
        except (Damaged, msgspec.DecodeError) as error:
            raise Damaged(
                f"{self._path} is damaged: {error}. If no other node was ever formatted anew, delete it: it is made "
                "again from what the peers say."
            ) from error

    def _write(self, incarnations: dict[NodeId, bytes]) -> None:
        try:
            write_durably(self._path, seal(_KEY, msgspec.msgpack.encode(incarnations)))
        except OSError as error:
            lack = lacking(f"{self._path} can't be written", error)
            raise lack or StorageError(f"{self._path} can't be written: {error}; check the disk.") from error
