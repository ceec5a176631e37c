"""Lists of documents in windows by simulation; findings about units that were moved, and about experts, by planting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtr

from corpus_audit.checks.representations.unit_findings import unit_findings
from corpus_audit.checks.representations.unit_records import MovedUnits, SpecialExperts, UnitAnalysis
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.sampling.listed_in_windows import ListedInWindow, listed_in_window
from corpus_audit.schemas.run.findings import Finding, Reading

UNITS, K, DOCUMENTS, WINDOWS = 60, 10, 400, 120


def compared(rng: np.random.Generator, planted: int | None = None) -> ListedInWindow:
    """Lists of 10 of 400 documents; every window draws each with 3 %, and the first one all of a planted list's."""
    lists = np.repeat(np.arange(UNITS), K)
    documents = np.concatenate([rng.choice(DOCUMENTS, K, replace=False) for _ in range(UNITS)])
    drawn = rng.random((WINDOWS, DOCUMENTS)) < 0.03
    if planted is not None:
        drawn[0, documents[lists == planted][:5]] = True
    return listed_in_window(lists, documents, UNITS, drawn, 0)


def test_windows_without_anything_planted_are_shown_in_five_percent() -> None:
    rng = np.random.default_rng(2)
    results = [compared(rng) for _ in range(200)]
    assert 3 <= sum(each.p <= 0.05 for each in results) <= 19  # of 200: 5 % gives 10, with standard deviation 3.1
    assert sum(each.adjusted.min() <= 0.05 for each in results) <= 19


def test_the_unit_whose_examples_were_drawn_is_the_one() -> None:
    result = compared(np.random.default_rng(3), planted=7)
    assert result.p <= 2 / WINDOWS and result.controls == WINDOWS - 1
    assert np.argmin(result.adjusted) == 7 and result.adjusted[7] == 1 / WINDOWS and result.counts[7] >= 5
    assert (result.adjusted <= 0.05).sum() <= 3 and 0.1 < result.expected[7] < 0.6


def moved(planted: bool, **changes: object) -> Finding:
    """1,000 units with an error of 0.1 sd, of which three may have moved by 1 sd."""
    rng = np.random.default_rng(5)
    first = rng.normal(size=1000)
    change = 0.1 * rng.standard_normal(1000)
    if planted:
        change[[5, 50, 500]] += (1.0, -1.0, 1.2)
    q = benjamini_hochberg(2 * ndtr(-np.abs(change / 0.1)))
    sd = np.full(1000, 2.0)
    low, high = 2 * (change - 0.196), 2 * (change + 0.196)
    record = MovedUnits("b", False, True, first, first + 2 * change, low, high, sd, q, 2 * change, (300, 400))
    record = replace(record, **changes)  # type: ignore[arg-type]
    analysis = UnitAnalysis("i", "m", [f"mlp.0:{i}" for i in range(1000)], moved=record)
    (finding,) = unit_findings(analysis)
    return finding


def test_planted_movements_are_named_and_their_sizes_covered() -> None:
    finding = moved(True)
    assert finding.reading is Reading.SHOWN and "units moved between the two snapshots" in finding.claim
    assert all(name in finding.detail for name in ("mlp.0:5 ", "mlp.0:50 -", "mlp.0:500 "))
    assert finding.effect is not None and finding.effect.low is not None and finding.effect.high is not None
    assert finding.effect.low < 1.2 < finding.effect.high and finding.explanations[0].state == "ruled out"
    mixture = moved(True, within=np.zeros(1000))
    assert mixture.explanations[0].state == "not ruled out" and "within domains mlp.0:500 changes by +0" in (
        mixture.explanations[0].figure
    )
    other = moved(True, model_differs=True)
    assert "checkpoints" in other.claim and other.explanations[1].state == "not ruled out"
    same = moved(True, model_differs=True, corpus_differs=False)
    assert [each.state for each in same.explanations] == ["ruled out"]
    none = moved(False)
    assert none.reading is Reading.NOT_SHOWN and none.detail.startswith("at most 0.")
    few = moved(True, q=np.full(1000, np.nan))
    assert few.reading is Reading.NOT_ENOUGH and "300 and 400 documents are too few" in few.detail


def test_experts_by_domain() -> None:
    load = np.array([[0.1, 0.5], [0.4, 0.5]])
    low, high = np.array([[-0.4, -0.1], [0.2, -0.1]]), np.array([[-0.2, 0.1], [0.4, 0.1]])
    q = np.array([[0.01, 0.9], [0.01, 0.9]])
    experts = SpecialExperts(
        ["expert.0:0", "expert.0:1"], ["web", "code"], load, load[::-1], load - load[::-1], low, high, q,
        [("expert.0", 1.5, 1.4, 1.6)],
    )  # fmt: skip
    (finding,) = unit_findings(UnitAnalysis("i", "m", (), experts=experts))
    assert finding.reading is Reading.SHOWN and finding.claim.startswith("1 of 2 experts take")
    assert "expert.0:0 takes 10.0% of web, 40.0% of the rest" in finding.detail and "1.5 (1.4 to 1.6)" in finding.detail
    (none,) = unit_findings(UnitAnalysis("i", "m", (), experts=replace(experts, q=np.full((2, 2), 0.5))))
    assert none.reading is Reading.NOT_SHOWN and none.detail.startswith("at most 40 percentage points")
    (missing,) = unit_findings(UnitAnalysis("i", "m", (), no_experts="the index has no units of the kind expert"))
    assert missing.reading is Reading.NOT_ENOUGH
