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
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..apply.applier import Applier
from ..errors import Damaged
from ..paxos.ballot import NodeId, Slot
from ..paxos.effects import Effects, NoticeKind, Refusal
from ..paxos.membership import newest
from ..paxos.messages import AcceptedSlot, SnapshotChunk
from ..paxos.replica import Replica
from ..state.contract import StateStore
from .applying import Applying
from .clients import Clients
from .event_log import EventLog
from .events import (
    ChangeMembers,
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
from .following import Following
from .notices import on_notice
from .ports import Ports
from .queries import answer_query
from .sending import Sending
from .serving import Serving
from .settings import NodeOptions
from .silence import SilentLinks
from .state_jobs import StateJobs

APPLY_BYTES = 2**20


class Driver:
    """One node's life between two starts.

    Parameters
    ----------
    seeds: addresses from the configuration: of members, and of nodes to ask first.
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
        seeds: Mapping[NodeId, str],
        options: NodeOptions,
        replica: Replica,
        make_applier: Callable[[], Applier],
        state_store: StateStore,
        ports: Ports,
        clock: Callable[[], float],
        log: EventLog,
        status: Callable[[], bytes],
        now_s: float,
    ) -> None:
        self.options = options
        self.replica = replica
        self.applying = Applying(make_applier, replica, options)
        self.jobs = StateJobs(state_store, options, self, now_s, log)
        self.sending = Sending(replica, ports.peers, options)
        self.following = Following(replica, seeds, ports.peers, self.sending)
        self.clients = Clients(self, log, options.clients_bytes_max)
        self.serving = Serving(replica, self.following, self.clients, ports.clients, options, status, log, clock)
        self._log_port = ports.log
        self._state = ports.state
        self._peers = ports.peers
        self._log = log
        self._clock = clock
        self._silent_links = SilentLinks(ports.peers, options.silent_rounds_max, log)
        self._written: deque[Written] = deque()
        self._inbox: deque[Event] = deque()
        self._is_log_full = False
        self._is_inside = False
        self._ends_s = math.inf
        self.now_s = now_s
        self._core_deadline_s = now_s
        self.deadline_s = now_s
        """Take a turn not later than this."""
        self.is_due = True
        """Whether a turn has something to do already."""
        self.turns = 0
        self._handlers = self._doors()
        self.applying.tell()

    def _doors(self) -> dict[type, Callable[[Any], object]]:
        """What is done with each kind of event; ``Written`` has a queue of its own."""
        replica = self.replica
        return {
            PeerMessages: self._on_peer_messages,
            ClientMessages: self._on_client_messages,
            PeerOpened: self._on_peer_opened,
            PeerClosed: self._on_peer_closed,
            ClientOpened: self.serving.on_opened,
            ClientClosed: self.serving.on_closed,
            ClientsLookedAt: lambda _event: self.serving.let_go_of_idle(self.now_s),
            LinkDrained: lambda _event: None,  # the turn itself says more
            Compacted: lambda event: replica.on_compacted(event.through),
            FloorInstalled: self._on_floor_installed,
            SlotsRead: lambda event: replica.on_slots_read(event.target, event.slots),
            SlotDamaged: lambda event: replica.on_slot_damaged(event.slot),
            LogFull: self._on_log_full,
            StateJobDone: self._on_state_job_done,
            HandOver: lambda _event: replica.transfer_leadership(None),
            ChangeMembers: self.following.change,
            StopApplying: self._on_stop_applying,
        }

    # --- turns ---

    def put(self, event: Event) -> None:
        """Something happened; the next turn takes it in."""
        if type(event) is Written:
            self._written.append(event)  # what is held for it leaves before anything else is done
        else:
            if type(event) is ClientMessages:
                self.serving.expect(event.messages)
            self._inbox.append(event)
        self.is_due = True

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
            self.is_due = False
            self.turns += 1
            self.now_s = now_s
            self._ends_s = now_s + self.options.turn_s_max
            self.replica.tick(now_s, time_ms)
            self.sending.on_time(now_s)
            self._step()
            if self._written:
                self._step()  # a write was durable at once
            if self._inbox or self._written:
                self.is_due = True
            if self.clients.followers.are_any:
                self._feed_followers()
            self.clients.send()
            if (job := self.jobs.next_job(now_s)) is not None:
                self._state.perform(job)
            self.deadline_s = min(self._core_deadline_s, self.jobs.deadline_s, self.sending.thrifty.deadline_s)
        finally:
            self._is_inside = False

    def _step(self) -> None:
        """Drain the inbox, as far as the turn's time goes; step the core, do what it asks."""
        while self._written:
            self._on_written(self._written.popleft())
        inbox, handlers, clock = self._inbox, self._handlers, self._clock
        for left in range(len(inbox) - 1, -1, -1):
            event = inbox.popleft()
            handlers[type(event)](event)
            if left and clock() >= self._ends_s:
                break
        self._obey(self.replica.take_effects())

    def _obey(self, effects: Effects) -> None:
        """What the core asks for, in the order of its contract."""
        if effects.write is None:
            if effects.send:
                self.sending.send(effects.send)
        else:
            is_lone = self.sending.send_beside(effects)
            may_wait = is_lone or not self.replica.is_leading
            if self._log_port.write(effects.ticket, effects.write, may_wait=may_wait):
                self.sending.let_go(effects.ticket)
                self._written.append(Written(effects.ticket))
        for notice in effects.notices:
            on_notice(notice, self._log, self.clients, self._silent_links)
            self.is_due = self.is_due or notice.kind is NoticeKind.DAMAGE_REPAIRED
            if notice.kind is NoticeKind.MEMBERSHIP_CHANGED:
                self.following.on_changed()
        if effects.release:
            self.applying.keep(effects.release)
        if self.applying.apply(self.jobs, self.read_log, self.clients.on_outcomes, self._is_over):
            self.is_due = True
        if effects.reads:
            self.clients.on_reads_confirmed(effects.reads)
        for read_id in effects.reads_refused:
            self.clients.refuse_read(read_id, Refusal.NOT_LEADER)
        if self.clients.has_reads and not self.applier.is_inside_slot:
            self.is_due = self.clients.answer_reads(partial(answer_query, self.applier), self._is_over) or self.is_due
        for slot_read in effects.slot_reads:
            self._log_port.read_for_peer(slot_read)
        for state_send in effects.chunks_to_send:
            self.jobs.send(state_send)
        for chunk in effects.chunks_received:
            self.jobs.store(chunk)
        self._core_deadline_s = effects.deadline_s

    def _is_over(self) -> bool:
        """Whether this turn has taken its time."""
        return self._clock() >= self._ends_s

    # --- peers ---

    def _on_peer_opened(self, event: PeerOpened) -> None:
        self.sending.connected.add(event.peer)
        self.replica.on_link_opened(event.peer)

    def _on_peer_closed(self, event: PeerClosed) -> None:
        self.sending.connected.discard(event.peer)
        self.replica.on_link_closed(event.peer)

    def _on_peer_messages(self, event: PeerMessages) -> None:
        on_message, peer = self.replica.on_message, event.peer
        for message in event.messages:
            on_message(peer, message)

    # --- the log ---

    def _on_written(self, event: Written) -> None:
        """What rests on the write leaves before anything else is done (P1)."""
        self.sending.let_go(event.ticket)
        self.replica.on_written(event.ticket)

    def _on_log_full(self, event: LogFull) -> None:
        self._is_log_full = event.is_full
        self._tell_full()

    def _tell_full(self) -> None:
        is_full = self._is_log_full or self.jobs.is_full
        if is_full != self.replica.is_storage_full:
            self._log.warning("storage_full" if is_full else "storage_has_room")
            self.replica.on_storage_full(is_full)

    def _feed_followers(self) -> None:
        is_whole = self.applied_through <= self.replica.chosen_through  # else a floor is missing below a received state
        if is_whole and self.clients.followers.feed(self.read_log):
            self.is_due = True

    def read_log(self, first: Slot, last: Slot, slots_max: int, bytes_max: int = APPLY_BYTES) -> list[AcceptedSlot]:
        """Slots at once; a damaged one is told to the core, once, and not given before it is repaired."""
        if self.replica.is_damaged(first):
            return []
        try:
            return self._log_port.read(first, last, slots_max=slots_max, bytes_max=bytes_max)
        except Damaged as error:
            self._log.warning("slot_damaged", slot=first, reason=str(error))
            self.put(SlotDamaged(first))
            return []

    # --- the state's jobs: ``state_jobs.Owner`` ---

    def _on_state_job_done(self, event: StateJobDone) -> None:
        self.jobs.on_done(event.job, event.result, event.error, self.now_s)
        self._tell_full()

    def send_chunk(self, target: NodeId, chunk: SnapshotChunk) -> None:
        self._peers.send(target, [chunk])

    def on_chunk_stored(self, snapshot: bytes, position: int) -> None:
        self.replica.on_chunk_stored(snapshot, position)

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
        self.applying.begin_anew()
        self.clients.ask_to_repeat()
        self._log_port.install_floor(applied_through, newest(self.replica.membership, self.applier.membership))

    def _on_floor_installed(self, event: FloorInstalled) -> None:
        self._log.info("state_installed", applied_through=event.through)
        self.jobs.on_floor_installed()
        self.applying.tell()
        self.replica.on_state_installed(event.through, self.applier.membership)

    # --- clients ---

    def _on_client_messages(self, event: ClientMessages) -> None:
        rest = self.serving.on_messages(event, self._is_over)
        if rest is not None:
            self._inbox.appendleft(rest)

    def answer_stale(self, request: bytes) -> tuple[bytes, bool]:
        """The answer to a read by this node's own state as it stands, and whether the query failed; see ``queries``.

        Raises what ends a node.
        """
        assert not self._is_inside, "a query inside a turn would see a half-done one"
        self.applying.finish_slot(self.clients.on_outcomes)
        return answer_query(self.applier, request)

    # --- leaving ---

    def _on_stop_applying(self, _event: StopApplying) -> None:
        self.applying.is_stopped = True
        self.jobs.hurry()

    # --- ``clients.Book`` ---

    @property
    def applier(self) -> Applier:
        return self.applying.applier

    @property
    def applied_through(self) -> Slot:
        return self.applier.applied_through

    @property
    def compacted_through(self) -> Slot:
        return self.replica.compacted_through

    def leader_address(self) -> tuple[NodeId, str]:
        leader = self.replica.leader
        return (NodeId(0), "") if leader is None else (leader, self.following.reach.addresses.get(leader, ""))
