"""``python -m tests.model``: every instance of the model, small and large, with what TLC says of it; some minutes."""

from __future__ import annotations

import sys
import time

from .instances import FAULTS, HOLD
from .tlc import check, missing


def main() -> int:
    """Print a line an instance; 1 if one does not end as it has to."""
    if reason := missing():
        print(f"skipped: {reason}")
        return 0
    is_wrong = False
    for instance in (*HOLD, *FAULTS):
        began_s = time.monotonic()
        verdict = check(instance)
        is_right = bool(verdict.violated) if instance.fault else verdict.is_whole
        is_wrong = is_wrong or not is_right
        left_out = f"without: {', '.join(instance.fault)}" if instance.fault else "all rules"
        found = f"violates {verdict.violated}" if verdict.violated else "holds" if verdict.is_whole else "did not end"
        wrong = "" if is_right else "   WRONG"
        seconds = time.monotonic() - began_s
        print(f"{instance.name}: {left_out}: {found}, {verdict.states} states, {seconds:.0f} s{wrong}", flush=True)
        if not is_right:
            print(verdict.text)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
