"""Who belongs to a cluster, and changing it, as a client sees it.

A change is decided by the order of the log: it is done when the Membership that is released with the version that the
leader named is the one that was asked for, and not done when it is another's.

Never: ask for a change again whose outcome is open.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import anyio
import attrs

from ..errors import ChangeRefused, OutcomeUnknown
from ..paxos.ballot import NodeId, node_name, parse_node
from ..paxos.effects import NoChangeCode as Code
from ..paxos.membership import INCARNATION_BYTES_MAX, Member
from ..wire.client_messages import ChangeMembersAnswer, ChangeMembersRequest, Status, StatusRequest, TransferAnswer
from ..wire.status import NodeStatus, decode_status
from .backoff import Backoff
from .door import address_checked
from .options import ClientOptions
from .reads import Asking

if TYPE_CHECKING:
    from .traffic import Traffic

_Reply = TypeVar("_Reply", Status, TransferAnswer, ChangeMembersAnswer)

LOST_TO_ANOTHER = "lost"

REFUSAL_STEPS = {
    Code.NOT_LEADER: "ask again",
    Code.OTHER_VERSION: "look at the members again, then ask for what is still wanted",
    Code.NO_VOTERS: "name one at least",
    Code.TWO_ROLES: "name each node once",
    Code.ID_USED: "give the node one of those, in a directory of its own",
    Code.NO_LEARNER: "add it as one, and promote it when it has caught up",
    Code.NOTHING_TO_DO: "nothing is to be done",
    Code.CHANGE_OPEN: "ask again in a moment",
    Code.ABSTAINING: "let its machine join anew, under a new id",
    Code.BEHIND: "see that it runs and is reached, and wait for it",
    Code.NO_QUORUM: "bring back those that are away, or name others",
    Code.ADDRESS_TAKEN: "give each member its own",
    Code.OTHER_INCARNATION: "let the new directory join under a new id",
}
"""What to do about each refusal."""


@attrs.frozen(kw_only=True)
class Members:
    """Who belongs, as one node's log says it.

    Parameters
    ----------
    version: counts changes, from 1.
    voters, learners: their names.
    addresses: where each is reached, by name.
    incarnations: which directory of a member counts, in hex, where the log says it.
    next_node: the lowest name that no member ever had: a newcomer's.
    """

    version: int
    voters: tuple[str, ...]
    learners: tuple[str, ...] = ()
    addresses: Mapping[str, str] = attrs.field(factory=dict)
    incarnations: Mapping[str, str] = attrs.field(factory=dict)
    next_node: str = ""

    @property
    def quorum_count(self) -> int:
        """How many voters have to be up for writes and linearizable reads."""
        return len(self.voters) // 2 + 1

    @property
    def failures_survived(self) -> int:
        """How many voters may be lost at once."""
        return len(self.voters) - self.quorum_count


def members_of(status: NodeStatus) -> Members:
    """What a node says of them."""
    return Members(
        version=status.membership_version,
        voters=tuple(status.voters),
        learners=tuple(status.learners),
        addresses=status.members,
        incarnations=status.incarnations,
        next_node=status.next_node,
    )


@attrs.frozen(kw_only=True)
class Wanted:
    """A change as its caller asks for it, checked."""

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...]
    described: tuple[Member, ...]
    if_version: int
    is_dry_run: bool

    def request(self, number: int) -> ChangeMembersRequest:
        return ChangeMembersRequest(
            number, self.voters, self.learners, self.if_version, self.described, self.is_dry_run
        )

    def is_in(self, members: Members) -> bool:
        """Whether this is what stands in the log."""
        is_same = _names(self.voters) == members.voters and _names(self.learners) == members.learners
        return is_same and all(
            members.addresses.get(node_name(one.node)) == one.address for one in self.described if one.address
        )


def wanted(
    voters: Iterable[str],
    learners: Iterable[str],
    addresses: Mapping[str, str],
    incarnations: Mapping[str, str],
    if_version: int | None,
    *,
    is_dry_run: bool,
) -> Wanted:
    """Raises ``TypeError`` and ``ValueError`` at what can't be meant."""
    if isinstance(voters, str) or isinstance(learners, str):
        raise TypeError("voters and learners are several names, like ['n1', 'n2', 'n3']")
    if if_version is not None and (not isinstance(if_version, int) or if_version < 1):
        raise ValueError(f"if_version = {if_version!r}: versions count from 1")
    described = [
        Member(
            parse_node(node),
            address_checked(addresses[node], f"addresses[{node!r}]") if node in addresses else "",
            _incarnation(incarnations.get(node, "")),
        )
        for node in sorted({*addresses, *incarnations}, key=parse_node)
    ]
    return Wanted(
        voters=tuple(sorted({*map(parse_node, voters)})),
        learners=tuple(sorted({*map(parse_node, learners)})),
        described=tuple(described),
        if_version=if_version or 0,
        is_dry_run=is_dry_run,
    )


def _incarnation(text: str) -> bytes:
    found = bytes.fromhex(text)
    if len(found) > INCARNATION_BYTES_MAX:
        raise ValueError(f"an incarnation has at most {INCARNATION_BYTES_MAX} bytes, not {len(found)}")
    return found


class MemberCalls:
    """What a client may ask about its cluster's members."""

    _options: ClientOptions
    _random: random_module.Random
    _traffic: Traffic

    async def members(self, *, is_stale: bool = False, timeout: float = 5.0) -> Members:  # noqa: ASYNC109
        """Who belongs to the cluster, as its leader's log says it.

        Parameters
        ----------
        is_stale: as the log of whatever node is connected says it; needs no leader.
        timeout: seconds.

        Raises
        ------
        Unavailable: no leader, or no node, answered in time.
        """
        deadline_s = self._deadline_s(timeout)
        version = 0
        if not is_stale:  # members that there can't be: the leader says which version it has, and refuses
            probe = ChangeMembersRequest(self._traffic.reads.take_id(), (), is_dry_run=True)
            version = (await self._ask(probe, ChangeMembersAnswer, deadline_s)).version
        backoff = Backoff(self._options.retry_first_s, self._options.retry_max_s, self._random)
        while True:
            found = await self._look(deadline_s)
            if found.version >= version:
                return found
            await anyio.sleep(backoff.next_s())

    async def change_members(
        self,
        voters: Iterable[str],
        learners: Iterable[str] = (),
        *,
        addresses: Mapping[str, str] = {},
        incarnations: Mapping[str, str] = {},
        if_version: int | None = None,
        is_dry_run: bool = False,
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Members:
        """Make others the members, in one step, and wait until the log says so; returns them.

        A newcomer is a learner first, under a name that was never used (``Members.next_node``), and may be a voter when
        it has caught up. A change that was made already is a success.

        Parameters
        ----------
        voters, learners: all of them, by name, from the change on.
        addresses: ``host:port`` by name, of newcomers and of members that moved.
        incarnations: which directory of a newcomer counts, in hex; of others the one that was met first does.
        if_version: refuse, unless the members have this version.
        is_dry_run: change nothing; returns the members as they are if the change would not be refused.
        timeout: seconds, for what stands in the way to pass and for the log to say so.

        Raises
        ------
        ChangeRefused: definitely not done; the message says why, and what to do first.
        OutcomeUnknown: proposed, and not seen in the log in time.
        Unavailable: no leader answered in time; it may have been proposed, and asking again is safe.
        TypeError, ValueError: a name is no node's, or an address no ``host:port``.
        """
        asked = wanted(voters, learners, addresses, incarnations, if_version, is_dry_run=is_dry_run)
        deadline_s = self._deadline_s(timeout)
        backoff = Backoff(self._options.retry_first_s, self._options.retry_max_s, self._random)
        while True:
            answer = await self._ask(asked.request(self._traffic.reads.take_id()), ChangeMembersAnswer, deadline_s)
            if not answer.code or answer.code == Code.NOTHING_TO_DO.value:
                return await self._done(asked, answer.version, deadline_s, backoff)
            if answer.code == Code.OTHER_VERSION.value and answer.version == asked.if_version + 1:
                return await self._done(asked, answer.version, deadline_s, backoff)  # it may have been asked twice
            pause_s = backoff.next_s()
            if not answer.may_pass or anyio.current_time() + pause_s > deadline_s:
                told = f"the members are as before: {answer.reason}; {_step(answer.code)}."
                raise ChangeRefused(told, code=answer.code)
            await anyio.sleep(pause_s)

    async def _look(self, deadline_s: float) -> Members:
        answer = await self._ask(StatusRequest(self._traffic.reads.take_id()), Status, deadline_s)
        return members_of(decode_status(answer.report))

    async def _done(self, asked: Wanted, version: int, deadline_s: float, backoff: Backoff) -> Members:
        """The members of ``version``, if they are those that were asked for."""
        while (members := await self._look(deadline_s)).version < version:
            if anyio.current_time() > deadline_s:
                raise OutcomeUnknown(f"members of version {version} were proposed, and are not in the log yet: look.")
            await anyio.sleep(backoff.next_s())
        if asked.is_dry_run or asked.is_in(members):
            return members
        if members.version > version:
            raise OutcomeUnknown(f"the members have version {members.version} by now: look whether {version} was this.")
        told = f"not done: another change took version {version}; {REFUSAL_STEPS[Code.OTHER_VERSION]}."
        raise ChangeRefused(told, code=LOST_TO_ANOTHER)

    # --- the client's own ---

    def _deadline_s(self, timeout: float | None) -> float:
        raise NotImplementedError

    async def _ask(self, message: Asking, wanted: type[_Reply], deadline_s: float) -> _Reply:
        raise NotImplementedError


def _step(code: str) -> str:
    """A release that knows more reasons says more codes."""
    return next((step for known, step in REFUSAL_STEPS.items() if known.value == code), "see its log")


def _names(nodes: Iterable[NodeId]) -> tuple[str, ...]:
    return tuple(map(node_name, nodes))
