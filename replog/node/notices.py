"""What a node does about the core's notices, beside logging them.

Never: be needed for safety.
"""

from __future__ import annotations

from ..errors import StateDiverged
from ..paxos.effects import Notice, NoticeKind
from .clients import Clients
from .event_log import EventLog
from .silence import SilentLinks

_WARNINGS = frozenset(
    {
        NoticeKind.STEPPED_DOWN,
        NoticeKind.ABSTAINED,
        NoticeKind.DISK_STALLED,
        NoticeKind.APPLYING_STALLED,
        NoticeKind.STATE_DIVERGED,
        NoticeKind.STATE_CONTRADICTED,
        NoticeKind.CLOCK_ASTRAY,
        NoticeKind.LOG_TIME_AHEAD,
    }
)


def on_notice(notice: Notice, log: EventLog, clients: Clients, silent_links: SilentLinks) -> None:
    """Log it; clients are told what concerns them; a silent peer is a person's business only if its link is dead.

    Raises ``StateDiverged``: this node must not go on.
    """
    if notice.kind is NoticeKind.PEER_SILENT:
        silent_links.on_silence(**notice.facts)
        return
    (log.warning if notice.kind in _WARNINGS else log.info)(notice.kind.value, **notice.facts)
    match notice.kind:
        case NoticeKind.STEPPED_DOWN:
            clients.ask_to_repeat()
            clients.refuse_waiting_reads()
        case NoticeKind.BECAME_LEADER | NoticeKind.LEADER_CHANGED:
            clients.on_leader_changed()
        case NoticeKind.STATE_DIVERGED:
            raise StateDiverged(
                f"this replica's state differs from the others' at slot {notice.facts['slot']} (digest "
                f"{notice.facts['digest']}, theirs {notice.facts['other']}): the state machine is not "
                "deterministic; or its code, a library of it, Python or a setting of [sessions] differs between "
                "the nodes; or this node's stored state is damaged."
            )
