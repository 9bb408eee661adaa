"""The unchosen sum, kept by runs, is the sum of what a plain table would hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replog.log.unchosen_sum import UnchosenSum
from replog.paxos.ballot import Slot

slots = st.integers(1, 8).map(Slot)
checksums = st.integers(0, 2**32 - 1)
stores = st.dictionaries(slots, checksums, max_size=4).map(lambda some: dict(sorted(some.items())))


@given(st.lists(st.tuples(stores, slots | st.none())))
def test_count_and_sum_are_those_of_the_slots_that_are_not_chosen(
    steps: list[tuple[dict[Slot, int], Slot | None]],
) -> None:
    """Slots come in any runs, also again, and leave up to any slot."""
    unchosen = UnchosenSum()
    model: dict[Slot, int] = {}
    for stored, through in steps:
        unchosen.store(list(stored), list(stored.values()))
        model |= stored
        if through is not None:
            unchosen.release(through)
            model = {slot: checksum for slot, checksum in model.items() if slot > through}
        assert (unchosen.count, unchosen.sum) == (len(model), sum(model.values()))
