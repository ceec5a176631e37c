"""Scores of answers to balanced items: balanced accuracy, F1 and AUC, beside those of random answers.

Every item is of another document, and a class has as many items as the other, so that the balanced accuracy is the
share of right answers; its interval is Clopper and Pearson's (1934). That is cautious where the classes differ: the sum
of two binomials varies less than one of their mean. An item without a readable answer counts as wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, binomtest

from corpus_audit.pipelines.statistics.classifier.auc import delong
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson


@dataclass(frozen=True)
class TaskScore:
    """How well a scorer with an explanation answered the items of a task.

    Attributes:
        task: detection or fuzzing.
        items: of both classes.
        unreadable: items without a readable answer, which count as wrong.
        balanced_accuracy, low, high: mean of the shares of right answers in either class, and its 95 % interval.
        p: chance of at least as many right answers at random (one-sided).
        f1: harmonic mean of precision and recall of "yes"; 0 without a right "yes".
        auc, auc_low, auc_high: area under the ROC curve of the scores, and its 95 % interval (DeLong et al. 1988);
            None where not every readable answer has a score; no interval where the classes do not overlap.
        random_low, random_high: what 95 % of random scorers get; their mean is 0.5.
    """

    task: str
    items: int
    unreadable: int
    balanced_accuracy: float
    low: float
    high: float
    p: float
    f1: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    random_low: float
    random_high: float


def verdict_of(answer: dict[str, Any] | None) -> tuple[bool | None, float | None]:
    """The answer, None if it is not readable, and its score, None without one.

    ``answer`` is true or false, or 1 or 0; ``score`` is a number from 0 to 1, and alone means yes from 0.5 on.
    """
    if answer is None:
        return None, None
    said, score = answer.get("answer"), answer.get("score")
    number = (
        float(score) if isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1 else None
    )
    if score is not None and number is None:
        return None, None
    if isinstance(said, bool) or (isinstance(said, int) and said in (0, 1)):
        return bool(said), number
    if said is None and number is not None:
        return number >= 0.5, number
    return None, None


def task_score(task: str, truth: Sequence[bool], answers: Sequence[dict[str, Any] | None]) -> TaskScore:
    """Score the answers to the items of a task.

    Args:
        task: its name.
        truth: the right answers, as many of either kind.
        answers: JSON objects, None where there is none.

    Raises:
        ValueError: the classes are not balanced, or empty.
    """
    right = np.array(truth, bool)
    if not len(right) or right.sum() * 2 != len(right):
        raise ValueError("the items of a task are not balanced")
    verdicts = [verdict_of(answer) for answer in answers]
    readable = np.array([said is not None for said, _ in verdicts])
    said = np.array([bool(said) for said, _ in verdicts])
    correct = readable & (said == right)
    count = len(right)
    share = float(correct.mean())
    low, high = (float(bound) for bound in clopper_pearson(share, count))
    hits = int((correct & right).sum())
    # Without a readable answer an item is missed, or a false alarm.
    false_alarms = int((~correct & ~right).sum())
    f1 = 2 * hits / (2 * hits + false_alarms + int((~correct & right).sum())) if hits else 0.0
    auc = _auc(right, readable, [score for _, score in verdicts])
    ends = binom.ppf([0.025, 0.975], count, 0.5) / count
    return TaskScore(
        task, count, int((~readable).sum()), share, low, high,
        float(binomtest(int(correct.sum()), count, 0.5, alternative="greater").pvalue), f1, *auc,
        float(ends[0]), float(ends[1]),
    )  # fmt: skip


def _auc(
    right: np.ndarray, readable: np.ndarray, scores: Sequence[float | None]
) -> tuple[float | None, float | None, float | None]:
    if not readable.any() or any(score is None for score, known in zip(scores, readable, strict=True) if known):
        return None, None, None
    # Without a readable answer the score is the worst there is.
    worst = np.where(right, -1.0, 2.0)
    values = np.where(readable, [0.0 if score is None else score for score in scores], worst)
    auc, variance = delong(values, right, np.zeros(len(right), np.int64))
    if not variance:  # perfectly right or wrong: this variance says nothing
        return auc, None, None
    reach = 1.959964 * math.sqrt(variance)
    return auc, max(0.0, auc - reach), min(1.0, auc + reach)
