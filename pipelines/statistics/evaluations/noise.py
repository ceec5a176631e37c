"""Where the noise of a mean score comes from: the items, repeated answers (epochs), and training seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats


@dataclass(frozen=True, slots=True)
class NoiseParts:
    """Variance components of a score, and what each adds to the variance of the mean over all.

    Attributes:
        items: variance of items' expected scores, in score^2.
        epochs: mean variance of a score when its item is answered again; NaN with one epoch.
        seeds: variance of seeds' expected means; NaN with one seed.
        interaction: variance of what a seed changes at an item, beyond its mean; NaN with one seed.
        mean_items, mean_epochs, mean_seeds: what they add to the variance of the mean, interaction among the items'.
        items_used: items answered in every seed; others are left out.
    """

    items: float
    epochs: float
    seeds: float
    interaction: float
    mean_items: float
    mean_epochs: float
    mean_seeds: float
    items_used: int


def noise_parts(score: npt.ArrayLike, item: npt.ArrayLike, seed: npt.ArrayLike | None = None) -> NoiseParts:
    """Variance components by the analysis of variance of the random-effects layout seeds x items, epochs within.

    Searle, Casella and McCulloch (1992, Variance Components, chapter 4): with I items, S seeds and (on the harmonic
    mean) K epochs a cell, E MS_seeds = I s_S^2 + s_IS^2 + s_E^2 / K, E MS_items = S s_I^2 + s_IS^2 + s_E^2 / K and
    E MS_rest = s_IS^2 + s_E^2 / K, on cell means. Estimates below 0 are 0. Madaan et al. (2024, arXiv 2406.10229)
    measure seeds' variance on benchmarks; items' is what standard errors over items hold.

    Args:
        score: one value an answer, float64 [n].
        item: the item of each, [n], of any type that sorts.
        seed: the training run of each, [n]; None for a single one.

    Returns:
        The parts. With one seed, the interaction is among the items' variance.

    Raises:
        ValueError: if fewer than two items were answered in every seed.
    """
    values = np.asarray(score, dtype=np.float64)
    items, item_codes = np.unique(np.asarray(item), return_inverse=True)
    seeds, seed_codes = np.unique(np.zeros(len(values)) if seed is None else np.asarray(seed), return_inverse=True)
    cells = item_codes.reshape(-1) * len(seeds) + seed_codes.reshape(-1)
    count = np.bincount(cells, minlength=len(items) * len(seeds)).reshape(len(items), len(seeds))
    complete = (count > 0).all(axis=1)
    used = int(complete.sum())
    if used < 2:
        raise ValueError("variance components need two items that every seed answered")
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.bincount(cells, weights=values, minlength=count.size).reshape(count.shape)
        mean = total / count
        deviation = values - mean.reshape(-1)[cells]
        spread = np.bincount(cells, weights=deviation**2, minlength=count.size).reshape(count.shape)
    count, mean, spread = count[complete], mean[complete], spread[complete]
    again = int((count - 1).sum())
    epochs = float(spread.sum() / again) if again else float("nan")
    within = (epochs if again else 0.0) * float((1 / count).mean())
    return _parts(mean, epochs, within, used)


def _parts(mean: Floats, epochs: float, within: float, used: int) -> NoiseParts:
    """The parts, from cell means [I, S] and the variance that epochs give to one."""
    seeds = mean.shape[1]
    item_square = seeds * float(mean.mean(axis=1).var(ddof=1))
    if seeds == 1:
        between = max(item_square - within, 0.0)
        nan = float("nan")
        return NoiseParts(between, epochs, nan, nan, between / used, within / used, nan, used)
    seed_square = used * float(mean.mean(axis=0).var(ddof=1))
    rest = mean - mean.mean(axis=1, keepdims=True) - mean.mean(axis=0, keepdims=True) + mean.mean()
    rest_square = float((rest**2).sum()) / ((used - 1) * (seeds - 1))
    between = max((item_square - rest_square) / seeds, 0.0)
    of_seeds = max((seed_square - rest_square) / used, 0.0)
    interaction = max(rest_square - within, 0.0)
    return NoiseParts(
        items=between,
        epochs=epochs,
        seeds=of_seeds,
        interaction=interaction,
        mean_items=between / used + interaction / (used * seeds),
        mean_epochs=within / (used * seeds),
        mean_seeds=of_seeds / seeds,
        items_used=used,
    )


def seed_deviation(score: npt.ArrayLike, item: npt.ArrayLike, seed: npt.ArrayLike) -> tuple[float, int]:
    """Standard deviation of seeds' mean scores over the same items, and its degrees of freedom, seeds - 1.

    Unlike the component of `noise_parts` it holds what a seed changes at single items, and is never cut off at 0: a
    difference of two seeds is within t * sqrt(2) times it, whereas a component of 0 may be chance.

    Args:
        score, item, seed: as for `noise_parts`; the score of an item in a seed is the mean over its answers.

    Raises:
        ValueError: if there are fewer than two seeds, or no item was answered in every seed.
    """
    values = np.asarray(score, dtype=np.float64)
    items, item_codes = np.unique(np.asarray(item), return_inverse=True)
    seeds, seed_codes = np.unique(np.asarray(seed), return_inverse=True)
    cells = item_codes.reshape(-1) * len(seeds) + seed_codes.reshape(-1)
    shape = (len(items), len(seeds))
    count = np.bincount(cells, minlength=len(items) * len(seeds)).reshape(shape)
    total = np.bincount(cells, weights=values, minlength=count.size).reshape(shape)
    complete = (count > 0).all(axis=1)
    if len(seeds) < 2 or not complete.any():
        raise ValueError("the deviation of seeds needs two of them, and an item that every one answered")
    means = (total[complete] / count[complete]).mean(axis=0)
    return float(means.std(ddof=1)), len(seeds) - 1


@dataclass(frozen=True, slots=True)
class CheckpointNoise:
    """Noise of a score between neighbouring checkpoints: standard deviation, and its degrees of freedom."""

    deviation: float
    freedom: float


def checkpoint_noise(
    step: npt.ArrayLike, score: npt.ArrayLike, apart: tuple[float, float] | None = None
) -> CheckpointNoise | None:
    """Standard deviation of a checkpoint's score around the line through its two neighbours.

    Heineman et al. (2025, arXiv 2508.13144) call it the noise of a benchmark: what the score does from one checkpoint
    to the next though little was learned. Differences d of a score from the line between its neighbours remove the
    trend (von Neumann et al. 1941, for equal steps); with weights w and 1 - w, E d^2 = (1 + w^2 + (1 - w)^2) s^2.
    Overlapping d are correlated by -2/3 and 1/6, which the degrees of freedom (Satterthwaite) take into account. A
    curve that bends makes the estimate too large.

    Args:
        step: steps of the checkpoints, [n], increasing.
        score: their scores, [n].
        apart: two steps whose difference is asked about: no d across the interval between them is used, so that a
            change there is not counted as noise.

    Returns:
        The noise; None if fewer than two d are left.
    """
    steps, scores = np.asarray(step, dtype=np.float64), np.asarray(score, dtype=np.float64)
    centre = np.arange(1, len(steps) - 1)
    if apart is not None:
        centre = centre[(steps[centre + 1] <= apart[0]) | (steps[centre - 1] >= apart[1])]
    if len(centre) < 2:
        return None
    weight = (steps[centre + 1] - steps[centre]) / (steps[centre + 1] - steps[centre - 1])
    off = scores[centre] - weight * scores[centre - 1] - (1 - weight) * scores[centre + 1]
    squares = off**2 / (1 + weight**2 + (1 - weight) ** 2)
    lag = np.abs(centre[:, None] - centre[None, :])
    shared = np.select([lag == 0, lag == 1, lag == 2], [1.0, 4 / 9, 1 / 36], 0.0).sum()
    return CheckpointNoise(float(np.sqrt(squares.mean())), float(len(centre) ** 2 / shared))
