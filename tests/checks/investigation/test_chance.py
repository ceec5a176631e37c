"""Answers that are beyond chance among all questions of an investigation, and those that only their own tests show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from corpus_audit.checks.investigation.chance import LEVEL, beyond_chance
from corpus_audit.pipelines.statistics.intervals.multiplicity import holm, over_parts, simes
from corpus_audit.schemas.run.findings import Finding, Reading


def finding(identity: str, family: str | None, q: float | None, bucket: str = "capabilities", **more: Any) -> Finding:
    """A finding that its own tests show at 5 %; without a q it is shown."""
    reading = Reading.SHOWN if q is None or q <= LEVEL else Reading.NOT_SHOWN
    facts = {"reading": reading, "p": q, "q": q, "family": family} | more
    return Finding.model_validate({"id": identity, "bucket": bucket, "question": "?", "claim": "it is", **facts})


def test_parts_are_adjusted_by_holm_and_questions_within_them_to_no_less() -> None:
    adjusted = over_parts({"a": [0.01, 0.5], "b": [0.04], "c": [1.0]})
    assert simes([0.01, 0.5]) == 0.02
    assert adjusted["a"] == pytest.approx([0.06, 0.5]) and adjusted["b"] == pytest.approx([0.08])
    assert [float(values.min()) for values in adjusted.values()] == pytest.approx(holm([0.02, 0.04, 1.0]))


def test_false_rejections_where_nothing_is_there_and_in_parts_beside_a_real_one() -> None:
    """Nulls in three parts of 1, 2 and 4 correlated tests; then the first part has an effect that is always seen."""
    rng = np.random.default_rng(1)
    common, own = rng.standard_normal((4_000, 1)), rng.standard_normal((4_000, 7))
    z = np.sqrt(0.3) * common + np.sqrt(0.7) * own
    p = 1 - np.abs(1 - 2 * np.argsort(np.argsort(z, axis=0), axis=0) / len(z))
    any_false = beside = 0
    for row in p:
        nulls = over_parts({"a": row[:1], "b": row[1:3], "c": row[3:]})
        any_false += min(values.min() for values in nulls.values()) <= LEVEL
        real = over_parts({"a": [1e-9], "b": row[1:3], "c": row[3:]})
        assert real["a"][0] <= LEVEL
        beside += min(real["b"].min(), real["c"].min()) <= LEVEL
    assert any_false <= 0.058 * len(p) and beside <= 0.058 * len(p)  # 5 %, and 2.3 standard errors
    assert any_false >= 0.02 * len(p)


def test_an_answer_among_many_questions_is_listed_as_not_beyond_chance_with_its_own_figures() -> None:
    listed = [
        finding("weak", "primary", 0.03, detail="by 2 points"),
        finding("shifts", "level shifts of the loss, 3 windows", 0.8, "training"),
        finding("documents", "documents before spikes, 2 of now", 0.5, "data"),
        finding("log", None, None, "training"),
    ]
    judged, questions = beyond_chance(listed)
    assert questions == 3 and [each.id for each in judged] == [each.id for each in listed]
    weak = judged[0]
    assert (weak.reading, weak.p, weak.q) == (Reading.CHANCE, 0.03, 0.03) and weak.p_adjusted == pytest.approx(0.09)
    assert weak.detail == (
        "by 2 points; beyond chance by its own tests (q 0.03), but not among 3 tested questions (adjusted p 0.09)"
    )
    assert judged[1:] == listed[1:]  # what is not shown, and a fact, stay as they are


def test_one_question_alone_is_judged_at_its_own_level_and_a_strong_answer_lifts_others() -> None:
    alone, questions = beyond_chance([finding("x", "primary", 0.04), finding("y", "primary", 0.9)])
    assert questions == 1 and alone[0].reading is Reading.SHOWN and alone[0].p_adjusted == 0.04
    judged, questions = beyond_chance(
        [
            finding("x", "primary", 0.02),
            finding("cause", "documents", 0.001, "data"),
            finding("y", "shifts", 0.9, "training"),
        ]
    )
    assert questions == 3 and [each.reading for each in judged[:2]] == [Reading.SHOWN] * 2
    assert judged[0].p_adjusted == pytest.approx(0.04)  # Holm: the strongest part is left out of the count


def test_windows_of_one_family_are_one_question_and_those_without_data_none() -> None:
    judged, questions = beyond_chance(
        [
            finding("a.shift.1", "level shifts of the loss, 3 windows of this run", 0.01, "training"),
            finding("b.shifts", "level shifts of the loss, 9 windows of this run", 0.4, "training"),
            finding("none", "primary", None, reading=Reading.NOT_ENOUGH),
        ]
    )
    assert questions == 1 and judged[0].p_adjusted == 0.01
