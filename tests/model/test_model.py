"""The small instances of the model; ``make model`` checks all of them."""

from __future__ import annotations

import pytest

from .instances import FAULTS, HOLD, Instance
from .tlc import check, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def _small(instances: tuple[Instance, ...]) -> list[Instance]:
    return [instance for instance in instances if instance.is_small]


@pytest.mark.parametrize("instance", _small(HOLD), ids=lambda instance: instance.name)
def test_the_rules_hold(instance: Instance) -> None:
    """TLC looks at every state and finds nothing."""
    verdict = check(instance)
    assert verdict.is_whole, verdict.text


@pytest.mark.parametrize("instance", _small(FAULTS), ids=lambda instance: instance.name)
def test_a_rule_that_is_left_out_is_missed(instance: Instance) -> None:
    """Else the model would hold for another reason than its rules."""
    verdict = check(instance)
    assert verdict.violated, verdict.text
