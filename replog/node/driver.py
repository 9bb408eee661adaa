"""Drives one replica, without I/O: events in, calls of ports out. Production and the simulator run this same class.

``put`` takes what happened (``events``), ``turn`` takes everything that waits at once, so that a turn's cost is shared
by all commands in it. What the core asks for is done in the order its contract names: messages that rest on nothing
leave first, beside the write; those that rest on the write are held until it is durable; released slots are applied
while the disk works on the next ones. Nothing here is done per command, and nothing here knows what a ballot is.

A turn is bounded in time (``NodeOptions.turn_s_max``): what is left waits for the next one, and what has come in
meanwhile, the peers' heartbeats above all, is read in between. Whatever comes out of a turn as an exception is the end
of the node; what goes wrong for one client alone, or comes from one link, ends that link.

Rules protected: what rests on a write leaves after it (P1, PITFALLS 1); slots are applied in order, once (P7).

Never: read a clock but to bound a turn; touch a socket, a thread or a file; do a turn inside a turn.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from ..apply.applier import Applier
from ..apply.outcomes import Refused
from ..errors import Damaged, StateDiverged
from ..paxos.ballot import NodeId, Slot
from ..paxos.effects import Effects, LogWrite, Notice, NoticeKind, ReadSlots, Refusal
from ..paxos.membership import Membership
from ..paxos.messages import AcceptedSlot, Message, Outbound, StatePiece
from ..paxos.replica import Replica
from ..state.contract import StateStore
from ..wire.client_messages import (
    ClientMessage,
    Follow,
    Ping,
    Pong,
    Query,
    Status,
    StatusRequest,
    Submit,
    TransferAnswer,
    TransferRequest,
    admit,
)
from .clients import ClientDesk, ClientLink
from .event_log import EventLog
from .events import (
    ClientClosed,
    ClientMessages,
    ClientOpened,
    ClientsLookedAt,
    Compacted,
    Event,
    FloorInstalled,
    HandOver,
    LinkDrained,
    LogFull,
    PeerClosed,
    PeerMessages,
    PeerOpened,
    SlotDamaged,
    SlotsRead,
    StateJobDone,
    StopApplying,
    Written,
)
from .queries import answer_query
from .settings import NodeOptions
from .state_jobs import Job, StateJobs
from .thrifty import Thrifty

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
LONE_COMMAND_BYTES = 512
APPLY_BYTES = 2**20
RELEASED_SLOTS_MAX = 1024
"""Released slots kept in memory until they are applied; the others are read from the log when their turn comes."""
RELEASED_BYTES_MAX = 16 * 2**20


class LogPort(Protocol):
    """The log, as the driver sees it. What takes time is answered by an event."""

    def write(self, ticket: int, write: LogWrite, *, may_wait: bool) -> bool:
        """Make a turn's write durable, after those before it: ``Written``, unless it is durable already (True).

        ``may_wait``: this node has nothing better to do than to wait for a fast disk.
        """

    def read(self, first: Slot, last: Slot, *, slots_max: int, bytes_max: int) -> list[AcceptedSlot]:
        """Slots to apply or to show to a client, at once. Raises ``Damaged``."""

    def read_for_peer(self, asked: ReadSlots) -> None:
        """``SlotsRead``, and before it ``SlotDamaged`` where the first one is."""

    def compact(self, through: Slot) -> None:
        """Slots up to ``through`` may go, but for those that are retained: ``Compacted``."""

    def install_floor(self, through: Slot, membership: Membership) -> None:
        """Drop everything up to ``through`` and remember it as the floor: ``FloorInstalled``."""


class StatePort(Protocol):
    """Whoever performs jobs on the state's disk."""

    def perform(self, job: Job) -> None:
        """``StateJobDone``; one job at a time is asked for."""


class PeerPort(Protocol):
    """Links to the peers."""

    def send(self, peer: NodeId, messages: list[Message]) -> None:
        """All messages of a turn to one peer; a peer that is away gets nothing."""


class ClientPort(Protocol):
    """Links of clients."""

    def find(self, client: int) -> ClientLink | None:
        """The link of this number, if it is open."""


class Driver:
    """One node's life between two starts.

    Parameters
    ----------
    members: every member's advertised address.
    options: limits.
    replica: the core, freshly recovered.
    make_applier: an Applier over the state as it stands; called again when a received state has replaced it.
    state_store: read and written by the Applier; ``state_port`` performs jobs on it.
    clock: monotonic seconds, the clock of ``turn``'s ``now_s``; only how long a turn takes is measured with it.
    log: takes what a person may want to know.
    status: what the node says of itself, as JSON.
    """

    def __init__(
        self,
        *,
        members: Mapping[NodeId, str],
        options: NodeOptions,
        replica: Replica,
        make_applier: Callable[[], Applier],
        state_store: StateStore,
        log_port: LogPort,
        state_port: StatePort,
        peers: PeerPort,
        clients: ClientPort,
        clock: Callable[[], float],
        log: EventLog,
        status: Callable[[], bytes],
        now_s: float,
    ) -> None:
        self.members = members
        self.options = options
        self.replica = replica
        self._make_applier = make_applier
        self.applier = make_applier()
        self.jobs = StateJobs(state_store, options, self, now_s, log)
        self._log_port = log_port
        self._log = log
        self._state = state_port
        self._peers = peers
        self._clients = clients
        self._clock = clock
        self._status = status
        self.desk = ClientDesk(self, log)
        self.thrifty = Thrifty(
            (peer for peer in members if peer != replica.node),
            options.thrift_s,
            peers.send,
            lambda slot: slot <= replica.chosen_through,
        )
        self._written: deque[Written] = deque()
        self._inbox: deque[Event] = deque()
        self._held: deque[tuple[int, list[Outbound]]] = deque()
        self._released: deque[AcceptedSlot] = deque()
        self._released_bytes = 0
        self._connected: set[NodeId] = set()
        self._links: dict[int, ClientLink] = {}
        self._is_log_full = False
        self._is_stopping = False
        self._is_inside = False
        self._ends_s = math.inf
        self._inbox_submissions = 0
        self._inbox_bytes = 0
        self.now_s = now_s
        self._core_deadline_s = now_s
        self.deadline_s = now_s
        """Take a turn not later than this."""
        self.is_due = True
        """Whether a turn has something to do already."""
        self.turns = 0
        self.submissions = 0
        self.submissions_refused = 0
        self._handlers: dict[type, Callable[[Any], None]] = {
            PeerMessages: self._on_peer_messages,
            ClientMessages: self._on_client_messages,
            PeerOpened: self._on_peer_opened,
            PeerClosed: self._on_peer_closed,
            ClientOpened: self._on_client_opened,
            ClientClosed: self._on_client_closed,
            ClientsLookedAt: self._on_clients_looked_at,
            LinkDrained: self._on_link_drained,
            Compacted: self._on_compacted,
            FloorInstalled: self._on_floor_installed,
            SlotsRead: self._on_slots_read,
            SlotDamaged: self._on_slot_damaged,
            LogFull: self._on_log_full,
            StateJobDone: self._on_state_job_done,
            HandOver: self._on_hand_over,
            StopApplying: self._on_stop_applying,
        }
        self._tell_applied()

    # --- turns ---

    def put(self, event: Event) -> None:
        """Something happened; the next turn takes it in."""
        if type(event) is Written:
            self._written.append(event)  # what is held for it leaves before anything else is done
        else:
            if type(event) is ClientMessages:
                self._count(event.messages, 1)
            self._inbox.append(event)
        self.is_due = True

    def _count(self, messages: Iterable[ClientMessage], sign: int) -> None:
        for message in messages:
            if type(message) is Submit:
                self._inbox_submissions += sign
                self._inbox_bytes += sign * len(message.submission)

    def turn(self, now_s: float, time_ms: int) -> None:
        """Take what waits, do what is asked, answer.

        Parameters
        ----------
        now_s: monotonic seconds.
        time_ms: wall clock, milliseconds since the Unix epoch.

        Raises anything: it is the node's failure, and no other turn may follow.
        """
        assert not self._is_inside, "a turn inside a turn would see a half-done one"
        self._is_inside = True
        try:
            self._turn(now_s, time_ms)
        finally:
            self._is_inside = False

    def _turn(self, now_s: float, time_ms: int) -> None:
        self.is_due = False
        self.turns += 1
        self.now_s = now_s
        self._ends_s = now_s + self.options.turn_s_max
        self.replica.tick(now_s, time_ms)
        self.thrifty.send_due(now_s)
        self._step()
        if self._written:
            self._step()  # a write was durable at once
        if self._inbox or self._written:
            self.is_due = True
        if self.desk.has_followers and self.desk.feed_followers(self.read_log):
            self.is_due = True
        self.desk.send()
        job = self.jobs.next_job(now_s)
        if job is not None:
            self._state.perform(job)
        self.deadline_s = min(self._core_deadline_s, self.jobs.deadline_s, self.thrifty.deadline_s)

    def _step(self) -> None:
        """Drain the inbox, as far as the turn's time goes; step the core, do what it asks."""
        while self._written:
            self._on_written(self._written.popleft())
        inbox, handlers, clock = self._inbox, self._handlers, self._clock
        for _ in range(len(inbox)):
            event = inbox.popleft()
            handlers[type(event)](event)
            if clock() >= self._ends_s:
                break
        self._obey(self.replica.take_effects())

    def _obey(self, effects: Effects) -> None:
        """What the core asks for, in the order of its contract."""
        if effects.write is None:
            if effects.send:
                self._send(effects.send)
        else:
            is_lone = self.replica.is_leading and _is_lone(effects.write)
            self._send(effects.send, self._spared(effects.write) if is_lone else ())
            if effects.send_after_write:
                self._held.append((effects.ticket, effects.send_after_write))
            may_wait = is_lone or not self.replica.is_leading
            if self._log_port.write(effects.ticket, effects.write, may_wait=may_wait):
                self._send_held(effects.ticket)
                self._written.append(Written(effects.ticket))
        for notice in effects.notices:
            self._on_notice(notice)
        if effects.release:
            self._keep_released(effects.release)
        self._apply()
        if effects.reads:
            self.desk.on_reads_confirmed(effects.reads)
        for read_id in effects.reads_refused:
            self.desk.refuse_read(read_id, Refusal.NOT_LEADER)
        if self.desk.answer_reads(self._answer_query, self._is_over):
            self.is_due = True
        for slot_read in effects.slot_reads:
            self._log_port.read_for_peer(slot_read)
        for state_send in effects.state_sends:
            self.jobs.send(state_send)
        for chunk in effects.state_pieces:
            self.jobs.store(chunk)
        self._core_deadline_s = effects.deadline_s

    def _is_over(self) -> bool:
        """Whether this turn has taken its time."""
        return self._clock() >= self._ends_s

    # --- peers ---

    def _spared(self, write: LogWrite) -> Collection[NodeId]:
        """Whom a lone command need not reach at once."""
        membership = self.replica.membership
        reachable = self._connected.intersection(membership.voters)
        return self.thrifty.spare(write.slots[0].slot, reachable, membership.quorum_count - 1, self.now_s)

    def _send(self, outbounds: Iterable[Outbound], spared: Collection[NodeId] = ()) -> None:
        """One frame a peer; those to ``spared`` peers a moment later."""
        messages: dict[NodeId, list[Message]] = {}
        for outbound in outbounds:
            messages.setdefault(outbound.target, []).append(outbound.message)
        for peer, batch in messages.items():
            if peer in spared:
                self.thrifty.keep(peer, batch)
            else:
                self._peers.send(peer, self.thrifty.with_kept(peer, batch))

    def _on_peer_opened(self, event: PeerOpened) -> None:
        self._connected.add(event.peer)
        self.replica.on_link_opened(event.peer)

    def _on_peer_closed(self, event: PeerClosed) -> None:
        self._connected.discard(event.peer)
        self.replica.on_link_closed(event.peer)

    def _on_peer_messages(self, event: PeerMessages) -> None:
        on_message, peer = self.replica.on_message, event.peer
        for message in event.messages:
            on_message(peer, message)

    # --- the log ---

    def _on_written(self, event: Written) -> None:
        """What rests on the write leaves before anything else is done (P1)."""
        self._send_held(event.ticket)
        self.replica.on_written(event.ticket)

    def _send_held(self, ticket: int) -> None:
        held = self._held
        if not held or held[0][0] > ticket:
            return
        ready: list[Outbound] = []
        while held and held[0][0] <= ticket:
            ready += held.popleft()[1]
        self._send(ready)

    def _on_compacted(self, event: Compacted) -> None:
        self.replica.on_compacted(event.through)

    def _on_slots_read(self, event: SlotsRead) -> None:
        self.replica.on_slots_read(event.target, event.slots)

    def _on_slot_damaged(self, event: SlotDamaged) -> None:
        self.replica.on_slot_damaged(event.slot)

    def _on_log_full(self, event: LogFull) -> None:
        self._is_log_full = event.is_full
        self._tell_full()

    def _tell_full(self) -> None:
        is_full = self._is_log_full or self.jobs.is_full
        if is_full != self.replica.is_storage_full:
            self._log.warning("storage_full" if is_full else "storage_has_room")
            self.replica.on_storage_full(is_full)

    def read_log(self, first: Slot, last: Slot, slots_max: int, bytes_max: int = APPLY_BYTES) -> list[AcceptedSlot]:
        """Slots at once; a damaged one is told to the core and not given."""
        try:
            return self._log_port.read(first, last, slots_max=slots_max, bytes_max=bytes_max)
        except Damaged as error:
            self._log.warning("slot_damaged", slot=first, reason=str(error))
            self.put(SlotDamaged(first))
            return []

    # --- applying ---

    def _keep_released(self, released: list[AcceptedSlot]) -> None:
        """Applying may wait for a long time; the log has what there is no room for here."""
        for record in released:
            if len(self._released) >= RELEASED_SLOTS_MAX or self._released_bytes >= RELEASED_BYTES_MAX:
                return
            self._released.append(record)
            self._released_bytes += len(record.value)

    def _apply(self) -> None:
        """Apply what is released, as far as the turn's time goes; what an earlier life left is read from the log."""
        applier = self.applier
        goal = self.replica.chosen_through
        if applier.applied_through >= goal or self._is_stopping or self.jobs.is_installing:
            return
        if self.replica.is_damaged(Slot(applier.applied_through + 1)):
            return  # until it is repaired, or a state that goes over it is installed
        last = min(goal, applier.applied_through + self.options.apply_slots_max)
        while applier.applied_through < last and not self.jobs.is_behind():
            record = self._next_to_apply(Slot(applier.applied_through + 1))
            if record is None:
                break
            self.desk.on_outcomes(applier.apply(record.slot, record.value))
            if self._is_over():
                break
        self._tell_applied()
        if applier.applied_through < goal and not self.jobs.is_behind():
            self.is_due = True

    def _tell_applied(self) -> None:
        applier = self.applier
        self.replica.on_applied(applier.applied_through, *applier.checkpoint(), applier.log_time_ms)

    def _next_to_apply(self, slot: Slot) -> AcceptedSlot | None:
        released = self._released
        while released and released[0].slot <= slot:
            record = released.popleft()
            self._released_bytes -= len(record.value)
            if record.slot == slot:
                return record
        last = Slot(released[0].slot - 1) if released else self.replica.chosen_through
        found = self.read_log(slot, last, self.options.apply_slots_max)
        if not found:
            return None
        self._released.extendleft(reversed(found[1:]))
        self._released_bytes += sum(len(record.value) for record in found[1:])
        return found[0]

    # --- the state's jobs: ``state_jobs.Owner`` ---

    def _on_state_job_done(self, event: StateJobDone) -> None:
        self.jobs.on_done(event.job, event.result, event.error, self.now_s)
        self._tell_full()

    def send_chunk(self, target: NodeId, chunk: StatePiece) -> None:
        self._peers.send(target, [chunk])

    def on_chunk_stored(self, snapshot: bytes, position: int) -> None:
        self.replica.on_state_piece_stored(snapshot, position)

    def on_install_skipped(self) -> None:
        self.replica.on_state_skipped()

    def on_flush_begun(self) -> None:
        """What was changed is set aside: applying may have waited for that."""
        self.is_due = True

    def on_flushed(self) -> None:
        """The state is durable further: the log may be shorter, unless a peer still needs it."""
        through = min(self.applier.durable_through, self.replica.chosen_through)
        if through > self.replica.compacted_through and not self.jobs.is_sending:
            self._log_port.compact(through)

    def on_swapped(self, applied_through: Slot) -> None:
        """Begin anew over a state that came from a peer, and drop the log below it; then the core hears of it (P6)."""
        self.applier = self._make_applier()
        self._released.clear()
        self._released_bytes = 0
        self._log_port.install_floor(applied_through, self.replica.membership)

    def _on_floor_installed(self, event: FloorInstalled) -> None:
        self._log.info("state_installed", applied_through=event.through)
        self.jobs.on_floor_installed()
        self._tell_applied()
        self.replica.on_state_installed(event.through)

    # --- notices ---

    def _on_notice(self, notice: Notice) -> None:
        (self._log.warning if notice.kind in _WARNINGS else self._log.info)(notice.kind.value, **notice.facts)
        match notice.kind:
            case NoticeKind.STEPPED_DOWN:
                self.desk.on_stepped_down()
            case NoticeKind.BECAME_LEADER | NoticeKind.LEADER_CHANGED:
                self.desk.on_leader_changed()
            case NoticeKind.DAMAGE_REPAIRED:
                self.is_due = True
            case NoticeKind.STATE_DIVERGED:
                raise StateDiverged(
                    f"this replica's state differs from the others' at slot {notice.facts['slot']} (digest "
                    f"{notice.facts['digest']}, theirs {notice.facts['other']}): the state machine is not "
                    "deterministic; or its code, a library of it, Python or a setting of [sessions] differs between "
                    "the nodes; or this node's stored state is damaged."
                )

    # --- clients ---

    @property
    def is_crowded(self) -> bool:
        """More submissions wait than the next batches will take: let clients wait instead of refusing them."""
        return (
            self._inbox_submissions > self.options.inbox_submissions_max
            or self._inbox_bytes > self.options.inbox_bytes_max
            or self.replica.submissions_waiting > self.replica.options.queue_submissions_max // 2
        )

    def _on_client_opened(self, event: ClientOpened) -> None:
        link = self._clients.find(event.client)
        if link is not None:
            self._links[event.client] = link
            self.desk.open(link)

    def _on_client_closed(self, event: ClientClosed) -> None:
        link = self._links.pop(event.client, None)
        if link is not None:
            self.desk.close(link)

    def _on_link_drained(self, event: LinkDrained) -> None:
        """The turn that takes this in says more to it."""

    def _on_clients_looked_at(self, _event: ClientsLookedAt) -> None:
        """A client that says nothing for long may be gone without a word; it connects again when it has something."""
        for link in self.desk.idle_links(self.now_s - self.options.idle_timeout_s, self.now_s):
            self._log.info("client_idle", other=link.peer_address)
            link.close()

    def _on_client_messages(self, event: ClientMessages) -> None:
        """As many of them as the turn has time for; at least one."""
        self._count(event.messages, -1)
        link = self._links.get(event.client)
        if link is None:
            return
        for position, message in enumerate(event.messages, 1):
            match message:
                case Submit():
                    self._submit(link, message)
                case Query():
                    self._query(link, message)
                case Follow():
                    self.desk.attempt(link, self.desk.follow, link, message, self.options.follow_credit_max)
                case StatusRequest():
                    self.desk.attempt(link, self._say_status, link, message)
                case TransferRequest():
                    self._transfer(link, message)
                case Ping():
                    self.desk.say(link, Pong(message.nonce))
            if position % 16 == 0 and self._is_over():
                rest = ClientMessages(event.client, event.messages[position:])
                self._count(rest.messages, 1)
                self._inbox.appendleft(rest)
                return

    def _submit(self, link: ClientLink, message: Submit) -> None:
        self.submissions += 1
        submission = admit(message)
        if isinstance(submission, Refused):
            self.submissions_refused += 1
            self.desk.say(link, submission)
            return
        refusal = self.replica.submit(message.submission)
        self.submissions_refused += refusal is not None
        self.desk.attempt(link, self.desk.on_submit, link, message, submission, refusal)

    def _query(self, link: ClientLink, message: Query) -> None:
        if message.is_stale:
            self.desk.answer_soon(link, message)
            return
        read_id = self.desk.begin_read(link, message)
        refusal = self.replica.read(read_id)
        if refusal is not None:
            self.desk.refuse_read(read_id, refusal)

    def _answer_query(self, request: bytes) -> tuple[bytes, bool]:
        return answer_query(self.applier, request)

    def answer_stale(self, request: bytes) -> tuple[bytes, bool]:
        """The answer to a read by this node's own state as it stands, and whether the query failed; see ``queries``.

        Raises what ends a node.
        """
        assert not self._is_inside, "a query inside a turn would see a half-done one"
        return answer_query(self.applier, request)

    def _say_status(self, link: ClientLink, message: StatusRequest) -> None:
        self.desk.say(link, Status(message.request, self._status()))

    def _transfer(self, link: ClientLink, message: TransferRequest) -> None:
        if not self.replica.is_leading:
            self.desk.say_not_leader(link)
            return
        target = NodeId(message.target) if message.target else None
        refusal = None if target == self.replica.node else self.replica.transfer_leadership(target)
        reason, may_pass = (refusal.reason, refusal.may_pass) if refusal else ("", False)
        self.desk.say(link, TransferAnswer(message.request, refusal is None, reason, may_pass))

    # --- leaving ---

    def _on_hand_over(self, _event: HandOver) -> None:
        self.replica.transfer_leadership(None)

    def _on_stop_applying(self, _event: StopApplying) -> None:
        self._is_stopping = True
        self.jobs.hurry()

    # --- ``clients.Book`` ---

    @property
    def applied_through(self) -> Slot:
        return self.applier.applied_through

    @property
    def compacted_through(self) -> Slot:
        return self.replica.compacted_through

    def leader_address(self) -> tuple[NodeId, str]:
        leader = self.replica.leader
        return (NodeId(0), "") if leader is None else (leader, self.members.get(leader, ""))


def _is_lone(write: LogWrite) -> bool:
    """Whether a leader's write is about one command, so that nothing is gained by gathering more beside it."""
    return write.promise is None and len(write.slots) == 1 and len(write.slots[0].value) <= LONE_COMMAND_BYTES
