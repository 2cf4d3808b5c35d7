"""No schedule of processes, failures and deaths breaks what a job promises; faults that are put back are found."""

from __future__ import annotations

from collections import Counter

import pytest
from simulation.reverted import REVERTED, count_until_found
from simulation.schedule import play

SCHEDULES = 3000  # `make simulate` plays a million
PARTS = 4
MOST_UNTIL_FOUND = 4000


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_breaks_a_promise(part: int, capsys: pytest.CaptureFixture[str]) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    each = SCHEDULES // PARTS
    failures = [failure for seed in range(part * each, (part + 1) * each) if (failure := play(seed, seen))]
    with capsys.disabled():
        print(f"{each} schedules, {len(failures)} violations")
    assert not failures, "\n".join(map(str, failures[:3]))
    assert len(seen) > 80, "pairs of an operation and an event"


@pytest.mark.parametrize("fault", REVERTED)
def test_a_fault_that_is_put_back_is_found(fault: str) -> None:
    assert count_until_found(fault, MOST_UNTIL_FOUND) is not None
