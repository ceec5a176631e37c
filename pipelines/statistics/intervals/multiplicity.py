"""Adjusts p-values for many tests at once; NaN is a test that was not made and is not counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values q, in the shape of ``p``: rejecting q <= a keeps the false discovery rate at or below a.

    Benjamini and Hochberg (1995, JRSS B 57): q_(i) = min over j >= i of m p_(j) / j, m the tests made. Holds for
    independent and for positively dependent tests.

    Raises:
        ValueError: if a p-value is outside [0, 1].
    """
    values, made, tests = _tests(p)
    rank = np.arange(1, len(tests) + 1)
    order = np.argsort(tests, kind="stable")
    scaled = tests[order] * (len(tests) / rank)
    adjusted = np.empty(len(tests))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    result = np.full(values.shape, np.nan)
    result[made] = adjusted
    return result


def holm(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values, in the shape of ``p``: rejecting those <= a keeps the chance of any false rejection at a.

    Holm (1979, Scandinavian Journal of Statistics 6): p'_(i) = max over j <= i of (m - j + 1) p_(j), m the tests made.
    Holds whatever the dependence of the tests.

    Raises:
        ValueError: if a p-value is outside [0, 1].
    """
    values, made, tests = _tests(p)
    order = np.argsort(tests, kind="stable")
    scaled = np.maximum.accumulate(tests[order] * np.arange(len(tests), 0, -1))
    adjusted = np.empty(len(tests))
    adjusted[order] = np.minimum(scaled, 1.0)
    result = np.full(values.shape, np.nan)
    result[made] = adjusted
    return result


def simes(p: npt.ArrayLike) -> float:
    """One p-value for the hypothesis that all tests are nulls, NaN of none.

    Simes (1986, Biometrika 73): the smallest Benjamini-Hochberg q. At most the level if nothing is there, for
    independent and positively dependent tests.

    Raises:
        ValueError: if a p-value is outside [0, 1].
    """
    q = benjamini_hochberg(p)
    return float(np.nanmin(q)) if np.isfinite(q).any() else float("nan")


def over_parts(parts: Mapping[str, npt.ArrayLike]) -> dict[str, Floats]:
    """Adjusted p-values of hypotheses that belong to parts, in the order of each part.

    A part has Simes's p over its hypotheses; these are adjusted over the parts by Holm, and a hypothesis to its
    Benjamini-Hochberg q within the part, but to no less than the p of the part. Rejecting those <= a keeps the chance
    of any false rejection at a where nothing is there, and that of rejecting in a part in which nothing is there at a
    whatever is in the others (whatever the dependence of the parts); within a part the false discovery rate is at most
    a.

    Raises:
        ValueError: if a p-value is outside [0, 1].
    """
    of_parts = holm([simes(p) for p in parts.values()])
    return {
        name: np.maximum(benjamini_hochberg(p), adjusted)
        for (name, p), adjusted in zip(parts.items(), of_parts, strict=True)
    }


def _tests(p: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_], Floats]:
    """All values, which of them are of tests that were made, and those."""
    values = np.asarray(p, dtype=np.float64)
    made = ~np.isnan(values)
    tests = values[made]
    if tests.size and (tests.min() < 0 or tests.max() > 1):
        raise ValueError("p-values must be from 0 to 1")
    return values, made, tests
