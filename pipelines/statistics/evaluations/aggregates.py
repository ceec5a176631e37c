"""Standard errors as evaluation programs publish them, to hold their figures against the items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def published_error(scores: npt.ArrayLike) -> float:
    """Standard error of a mean as lm-evaluation-harness, Inspect and alpaca_eval publish it: sd / sqrt(n), n - 1 in sd.

    Returns:
        The error; NaN for fewer than two scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def pooled_error(errors: npt.ArrayLike, sizes: npt.ArrayLike) -> float:
    """Standard error of a group of tasks weighted by size, as lm-evaluation-harness 0.4 pools it.

    sqrt(sum_t (n_t - 1) n_t se_t^2 / (N - T) / N) with T tasks of n_t items, N in all. It leaves out what the tasks'
    means differ by, so it is the error of the mean over these tasks and no statement on others.

    Returns:
        The error; NaN if there are no more items than tasks.
    """
    error, n = np.asarray(errors, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    total = n.sum()
    if total <= len(n):
        return float("nan")
    variance = ((n - 1) * n * error**2).sum() / (total - len(n))
    return float(np.sqrt(variance / total))


def items_from_error(share: float, error: float) -> float:
    """Items behind a share and its published error: n = p (1 - p) / se^2 + 1.

    lm-evaluation-harness 0.3 wrote no number of items; for scores of 0 and 1, sd^2 = p (1 - p) n / (n - 1).

    Returns:
        The number of items, not rounded; NaN at an error of 0, or a share outside (0, 1).
    """
    if not (0 < share < 1 and error > 0):
        return float("nan")
    return share * (1 - share) / error**2 + 1
