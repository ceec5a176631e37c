"""How often an investigation is right where the truth is known: nothing planted, and a team with three faults.

    python -m tests.benchmarks.calibration.investigations [--replicates 1000]

Simulates a team (`tests/checks/investigation/simulated_team.py`): two runs with the same batches and losses that
scatter as those of public runs, the log of the sampler, and evaluations of two checkpoints with three tasks. One of the
runs has a spike. In half of the replicates nothing else happened: everything that is shown but this spike and the
common order is false. In the others bad documents caused the spike, one task got worse by the difference that its test
detects with a power of 80 %, and of another task the contaminated items got better. Shares have their exact 95 %
intervals. Exits 1 if more than 5 % of the answers to a question, or of all questions that were asked, are false, if bad
documents are not ranked first in 95 %, if an interval covers less than 93 or more than 97 %, or if the power is outside
of 76 to 84 %, each beyond what the number of replicates explains.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np

from corpus_audit.checks.investigation.cause_findings import NO_CAUSE
from corpus_audit.checks.investigation.investigation import Investigation
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson
from corpus_audit.schemas.run.findings import Reading
from tests.checks.investigation.simulated_team import LEAK, SPIKE, Planted, detectable, simulated_team

ASKED = ("cause", "documents", "offset", "shift", "divergence", "step_time", "spike", "evals", "leak")
"""Questions of which an answer *shown* is false where nothing was planted."""


def question_of(identity: str) -> str:
    """The question that a finding answers: ``shift`` of both ``now.shifts`` and ``now.shift.700``."""
    name = "offset" if identity.endswith(".offset") else identity.split(".")[1]
    return {"shifts": "shift", "spikes": "spike"}.get(name, name)


def false_findings(team: Investigation) -> tuple[Counter[str], Counter[str]]:
    """(questions asked, those answered falsely) of a team in which nothing but a spike of one run was planted."""
    questions: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for finding in team.findings:
        name = question_of(finding.id)
        if name in ASKED and finding.id != f"now.spike.{SPIKE}":
            questions[name] += 1
            false[name] += finding.reading is Reading.SHOWN
    for row in team.comparisons[0].result.tables["evaluation_leaks"].to_pylist():
        questions["leak"] += 1
        false["leak"] += row["reading"] == "shown"
    return questions, false


def says_no_cause(team: Investigation) -> bool:
    """Whether the spike of a team without bad documents is said to have no cause in the data."""
    return any(f.id == f"now.cause.{SPIKE}" and f.detail.startswith(NO_CAUSE) for f in team.findings)


def right(team: Investigation) -> dict[str, bool]:
    """What is right about a team in which everything was planted."""
    findings = {finding.id: finding for finding in team.findings}
    peaks = [step for step in (SPIKE - 1, SPIKE) if f"now.documents.{step}" in findings]
    documents = findings.get(f"now.documents.{peaks[0]}") if peaks else None
    cause = findings.get(f"now.cause.{peaks[0]}") if peaks else None
    tables = team.comparisons[0].result.tables
    regressed = next(r for r in tables["evaluation_differences"].to_pylist() if r["task"] == "regressed")
    leak = next(row for row in tables["evaluation_leaks"].to_pylist() if row["task"] == "leaked")
    share = leak["contaminated"] / leak["items"]
    return {
        "bad documents shown": documents is not None and documents.reading is Reading.SHOWN,
        "bad documents ranked first": documents is not None
        and all(row.shown.startswith("document bad") for row in documents.evidence[:10]),
        "cause shown": cause is not None and cause.reading is Reading.SHOWN,
        "regression shown": regressed["reading"] == "shown",
        "regression covered": regressed["low"] <= -detectable() <= regressed["high"],
        "leak shown": leak["reading"] == "shown",
        "leak covered": leak["low"] <= share * LEAK <= leak["high"],
    }


def measured(replicates: int) -> tuple[list[tuple[Counter[str], Counter[str], bool]], list[dict[str, bool]]]:
    """Results of teams without and with faults."""
    rng = np.random.default_rng(20)
    nothing = []
    for _ in range(replicates):
        team = simulated_team(rng, Planted())
        nothing.append((*false_findings(team), says_no_cause(team)))
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
    print("Nothing planted: answers *shown* that are false")
    for name in ASKED:
        flags = [i < false[name] for questions, false, _ in nothing for i in range(questions[name])]
        wrong += shown(f"  {name}", flags, 0.0, 0.05)
    answers = [i < false[name] for questions, false, _ in nothing for name in ASKED for i in range(questions[name])]
    wrong += shown("  all questions", answers, 0.0, 0.05)
    shown("  investigations with any", [bool(false.total()) for _, false, _ in nothing], 0.0, 1.0)
    wrong += shown("  'no cause in the data' is said", [each for _, _, each in nothing], 0.95, 1.0)
    print("Bad documents, a regression and a leak planted")
    limits = {
        "regression shown": (0.76, 0.84), "regression covered": (0.93, 0.97), "leak covered": (0.93, 0.97),
        "leak shown": (0.0, 1.0),
    }  # fmt: skip
    for name in faults[0]:
        wrong += shown(f"  {name}", [each[name] for each in faults], *limits.get(name, (0.95, 1.0)))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
