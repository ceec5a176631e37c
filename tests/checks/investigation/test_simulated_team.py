"""A simulated team: what was planted is found, ranked and covered; where nothing was, no cause in the data is said.

`tests/benchmarks/calibration/investigations.py` prints the same over a thousand teams.
"""

from __future__ import annotations

import pytest

from tests.benchmarks.calibration.investigations import ASKED, measured

pytestmark = pytest.mark.slow

TEAMS = 60


@pytest.fixture(scope="module")
def results() -> tuple[list, list]:
    return measured(TEAMS)


def test_without_faults_no_cause_in_the_data_is_said_and_few_findings_are_false(results: tuple[list, list]) -> None:
    nothing, _ = results
    asked = sum(asked.total() for asked, _, _ in nothing)
    false = sum(false.total() for _, false, _ in nothing)
    assert asked >= 12 * TEAMS and {name for asked, _, _ in nothing for name in asked} == set(ASKED)
    assert false <= 0.03 * asked  # about 1 % in a thousand teams
    # The documents of one team in twenty are unlike others by chance.
    assert sum(said for _, _, said in nothing) >= 0.88 * TEAMS


def test_bad_documents_a_regression_and_a_leak_are_found_and_covered(results: tuple[list, list]) -> None:
    _, faults = results
    counts = {name: sum(each[name] for each in faults) for name in faults[0]}
    for name in ("bad documents shown", "bad documents ranked first", "cause shown"):
        assert counts[name] == TEAMS, name
    # Of 60 with a chance of 95 %, 51 or fewer have a chance of 0.3 %; with one of 80 %, 38 or fewer one of 0.2 %.
    assert counts["regression covered"] >= 52 and counts["leak covered"] >= 52
    assert 39 <= counts["regression shown"] <= 57
