"""How often an investigation is right where the truth is known: nothing planted, and a team with three faults.

    python -m tests.benchmarks.calibration.investigations [--replicates 1000]

Simulates a team (`tests/checks/investigation/simulated_team.py`): two runs with the same batches and losses that
scatter as those of public runs do, the log of the sampler, and evaluations of two checkpoints with three tasks. One of
the runs has a spike. In half of the replicates nothing else happened: everything that is shown but this spike and the
common order is false, and so is what its own tests show and the investigation calls not beyond chance among all
questions. In the others bad documents caused the spike, one task got worse by the difference that its test detects with
a power of 80 %, and of another task the contaminated items got better. Shares have their exact 95 % intervals. Exits 1,
each beyond what the number of replicates explains,

* if more than 5 % of the investigations without faults have any false answer that is shown;
* if the tests of a question answer falsely in more than 5 %;
* if bad documents are not shown and ranked first in 95 %;
* if an interval covers less than 93 or more than 97 %;
* if the regression's own test has a power outside of 76 to 84 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus_audit.checks.investigation.cause_findings import NO_CAUSE
from corpus_audit.checks.investigation.investigation import Investigation
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.schemas.run.findings import Finding, Reading
from tests.checks.investigation.simulated_team import LEAK, SPIKE, Planted, detectable, simulated_team

QUESTIONS = ("cause", "documents", "offset", "shift", "divergence", "step_time", "spike", "evals", "leak")
"""Questions of which an answer *shown* is false where nothing was planted."""

BY_ITSELF = (Reading.SHOWN, Reading.CHANCE)
"""Readings of an answer that its own tests show."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a team in which nothing but a spike of one run was planted, by question.

    Attributes:
        tested: how many there are.
        alone: false ones by their own tests.
        shown: false ones that the investigation shows.
        no_cause: whether the spike is said to have no cause in the data.
    """

    tested: Counter[str]
    alone: Counter[str]
    shown: Counter[str]
    no_cause: bool


def question_of(identity: str) -> str:
    """The question that a finding answers: ``shift`` of both ``now.shifts`` and ``now.shift.700``."""
    name = "offset" if identity.endswith(".offset") else identity.split(".")[1]
    return {"shifts": "shift", "spikes": "spike"}.get(name, name)


def answers_of(team: Investigation) -> Answers:
    """What the investigation of a team says in which nothing but a spike of one run was planted."""
    tested, alone, stated = Counter[str](), Counter[str](), Counter[str]()
    for finding in team.findings:
        name = question_of(finding.id)
        if name in QUESTIONS and finding.id != f"now.spike.{SPIKE}":
            tested[name] += 1
            alone[name] += finding.reading in BY_ITSELF
            stated[name] += finding.reading is Reading.SHOWN
    return Answers(tested, alone, stated, says_no_cause(team))


def says_no_cause(team: Investigation) -> bool:
    """Whether the spike of a team without bad documents is said to have no cause in the data."""
    return any(f.id == f"now.cause.{SPIKE}" and f.detail.startswith(NO_CAUSE) for f in team.findings)


def right(team: Investigation) -> dict[str, bool]:
    """What is right about a team in which everything was planted."""
    findings = {finding.id: finding for finding in team.findings}
    peaks = [step for step in (SPIKE - 1, SPIKE) if f"now.documents.{step}" in findings]
    documents = findings.get(f"now.documents.{peaks[0]}") if peaks else None
    cause = findings.get(f"now.cause.{peaks[0]}") if peaks else None
    regressed, leak = findings["now.evals.1100.regressed:acc"], findings["now.leak.1100.leaked:acc"]
    row = next(
        row for row in team.comparisons[0].result.tables["evaluation_leaks"].to_pylist() if row["task"] == "leaked"
    )
    return {
        "bad documents shown": documents is not None and documents.reading is Reading.SHOWN,
        "bad documents ranked first": documents is not None
        and all(row.shown.startswith("document bad") for row in documents.evidence[:10]),
        "cause shown": cause is not None and cause.reading is Reading.SHOWN,
        "regression shown by its own test": regressed.reading in BY_ITSELF,
        "regression shown among all questions": regressed.reading is Reading.SHOWN,
        "regression covered": _covers(regressed, -detectable()),
        "leak shown by its own test": leak.reading in BY_ITSELF,
        "leak shown among all questions": leak.reading is Reading.SHOWN,
        "leak covered": _covers(leak, LEAK * row["contaminated"] / row["items"]),
    }


def _covers(finding: Finding, truth: float) -> bool:
    effect = finding.effect
    return (
        effect is not None and effect.low is not None and effect.high is not None and effect.low <= truth <= effect.high
    )


def measured(replicates: int) -> tuple[list[Answers], list[dict[str, bool]]]:
    """Results of teams without and with faults."""
    rng = np.random.default_rng(20)
    nothing = [answers_of(simulated_team(rng, Planted())) for _ in range(replicates)]
    planted = Planted(documents=True, regression=detectable(), leak=LEAK)
    return nothing, [right(simulated_team(rng, planted)) for _ in range(replicates)]


def shown(name: str, flags: Sequence[bool], low: float, high: float) -> bool:
    """Print a share with its exact interval; whether it is outside of the bounds beyond chance."""
    count, total = sum(flags), len(flags)
    low_bound, high_bound = clopper_pearson([count / total], [total])
    least, most = float(low_bound[0]), float(high_bound[0])
    wrong = most < low or least > high
    print(f"{name:44}{count:6d} of {total:6d} {count / max(total, 1):7.1%} [{least:.1%}, {most:.1%}]{' !' * wrong}")
    return wrong


def main() -> int:
    """Print the table; 1 if a share is outside of its bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    nothing, faults = measured(parser.parse_args().replicates)
    wrong = 0
    print("Nothing planted: false answers by their own tests")
    for name in QUESTIONS:
        wrong += shown(
            f"  {name}", [i < each.alone[name] for each in nothing for i in range(each.tested[name])], 0.0, 0.05
        )
    flags = [i < each.alone[name] for each in nothing for name in QUESTIONS for i in range(each.tested[name])]
    wrong += shown("  all questions", flags, 0.0, 0.05)
    shown("  investigations with any", [bool(each.alone.total()) for each in nothing], 0.0, 1.0)
    print("Nothing planted: false answers shown among all questions")
    flags = [i < each.shown[name] for each in nothing for name in QUESTIONS for i in range(each.tested[name])]
    wrong += shown("  all questions", flags, 0.0, 0.05)
    wrong += shown("  investigations with any", [bool(each.shown.total()) for each in nothing], 0.0, 0.05)
    wrong += shown("  'no cause in the data' is said", [each.no_cause for each in nothing], 0.95, 1.0)
    print("Bad documents, a regression and a leak planted")
    limits = {
        "regression shown by its own test": (0.76, 0.84), "regression covered": (0.93, 0.97),
        "leak covered": (0.93, 0.97), "leak shown by its own test": (0.0, 1.0),
        "regression shown among all questions": (0.0, 1.0), "leak shown among all questions": (0.0, 1.0),
    }  # fmt: skip
    for name in faults[0]:
        wrong += shown(f"  {name}", [each[name] for each in faults], *limits.get(name, (0.95, 1.0)))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
