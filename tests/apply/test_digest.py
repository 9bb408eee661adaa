"""The running digest: what decides it, and what does not."""

from __future__ import annotations

import msgspec
import pytest
import xxhash

from replog.apply.digest import DIGEST_VERSION, RunningDigest
from replog.apply.outcomes import Replies, SequenceGap, SessionGone, SessionOpened, SubmissionRefused
from replog.paxos.ballot import Slot

KEY = b"k" * 16
REPLIES = Replies(1, 5, Slot(7), 3, [b"a", b"text of an error"], [1])


def test_the_layout_is_as_written() -> None:
    """Golden: whoever changes these bytes raises ``DIGEST_VERSION``."""
    digest = RunningDigest(b"before")
    digest.writes += [(b"k", b"v"), (b"gone", None)]
    digest.tell(KEY, REPLIES)
    digest.tell(KEY, SessionOpened(KEY, 9))
    digest.tell(KEY, SessionGone(9))
    digest.tell(KEY, SequenceGap(9, 4, 2))
    digest.tell(KEY, SubmissionRefused(0, 0, "overloaded", "a sentence"))
    told = [(0, 1, 5, 3, [b"a", b""], [1]), (1, KEY, 9), (2, 9), (3, 9, 4), (4,)]
    layout = (DIGEST_VERSION, 7, [(b"k", b"v"), (b"gone", None)], told)
    assert digest.close(Slot(7)) == xxhash.xxh3_128_digest(b"before" + msgspec.msgpack.encode(layout))
    assert digest.value.hex() == "fc5cbb285604cbf7bdfaec600f8f59b8"


@pytest.mark.parametrize(
    "other",
    [
        Replies(2, 5, Slot(7), 3, [b"a", b"b"], [1]),
        Replies(1, 6, Slot(7), 3, [b"a", b"b"], [1]),
        Replies(1, 5, Slot(7), 4, [b"a", b"b"], [1]),
        Replies(1, 5, Slot(7), 3, [b"c", b"b"], [1]),
        Replies(1, 5, Slot(7), 3, [b"a", b""], []),
    ],
)
def test_whatever_a_client_was_told_counts(other: Replies) -> None:
    """But for the text of an error, which may name an address or follow a library's version."""
    digests = [RunningDigest(b"") for _ in range(3)]
    digests[0].tell(KEY, REPLIES)
    digests[1].tell(KEY, msgspec.structs.replace(REPLIES, replies=[b"a", b"another text"]))
    digests[2].tell(KEY, other)
    same, again, differs = (digest.close(Slot(7)) for digest in digests)
    assert same == again != differs
    assert REPLIES.replies == [b"a", b"text of an error"]


def test_a_slot_that_did_nothing_counts() -> None:
    """A replica that skipped one differs from then on."""
    one, other = RunningDigest(b""), RunningDigest(b"")
    one.close(Slot(1))
    assert one.close(Slot(2)) != other.close(Slot(2))
