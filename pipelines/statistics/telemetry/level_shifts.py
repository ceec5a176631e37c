"""Level shifts of a series whose points depend on each other.

A shift at an unknown point is tested by the largest of the t statistics of all points (Quandt 1960, Andrews 1993),
which are cumulative sums of residuals, weighted. Points of a loss depend on their neighbours: a test that takes them
as independent, or permutes them, rejects in half of all series without a shift. So the series and its trend are
prewhitened by an autoregression first (Andrews and Monahan 1992), whose order the BIC selects and whose coefficients,
which estimates from short series make too small, are corrected (Shaman and Stine 1988, for the first order). The null
distribution is simulated with independent numbers; what estimating the autoregression takes from the largest
statistic was simulated once (`_SHRUNK`). The size of the shift is that of generalised least squares at the position
that fits best, and its interval is of all positions that fit about as well, as a profile likelihood is: where
dependence is strong the best position is often wrong, and an interval given it covers as few as half of the shifts.
`tests/benchmarks/calibration/level_shifts.py` prints the false alarms and the coverage that result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

LEAST_POINTS = 100
"""Points of a window below which nothing is said."""

TRIM = 0.1
"""Share of the points at either end where no shift is looked for."""

MOST_LAGS = 4
"""Largest order of the autoregression."""

REPLICATES = 3_999
"""Simulated series of the null distribution."""

WINDOW = 1_000
"""Points of a window."""

MOST_WINDOWS = 100
"""Windows of a series."""

LEFT_OUT = 0.1
"""Share of a series, from its start, that is not tested."""

_WIDE = 10
"""Times the usual distance of points, beyond which there is a gap."""

_SIZES = (100, 200, 500, 1000)

_PHI = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
_SHRUNK = {
    0: {
        100: (0.966, 0.971, 0.942, 0.920, 0.876, 0.855, 1.058),
        200: (0.987, 0.981, 0.967, 0.953, 0.902, 0.862, 0.904),
        500: (0.989, 0.984, 0.988, 0.979, 0.962, 0.916, 0.865),
        1000: (1.012, 1.005, 1.004, 0.990, 0.984, 0.959, 0.911),
    },
    3: {
        100: (0.978, 0.975, 0.943, 0.931, 0.927, 0.942, 1.122),
        200: (0.997, 0.977, 0.973, 0.956, 0.931, 0.916, 1.026),
        500: (0.996, 0.985, 0.992, 0.972, 0.950, 0.915, 0.936),
        1000: (0.999, 0.995, 0.996, 0.989, 0.975, 0.958, 0.920),
    },
}
"""95 % quantile of the largest statistic over that of independent numbers, by degree of the trend, points, and the sum
of the coefficients as estimated: so that 5 % of 8,000 simulated series of each of these coefficients exceed it."""

_QUANTILE = 1.959964
_SHORT = 30.0  # what the interval of a short series is wider by, in standard errors times points; simulated


@dataclass(frozen=True, slots=True)
class LevelShift:
    """The most likely shift of a window, whether it is one or not.

    Attributes:
        position: of the first point after the shift.
        size: of the shift, in the unit of the series.
        low, high: its 95 % interval, of all positions that fit about as well as the best.
        p: of the hypothesis that there is none; at least 1 / 4,000.
        coefficients: of the autoregression.
        n: points used.
    """

    position: int
    size: float
    low: float
    high: float
    p: float
    coefficients: tuple[float, ...]
    n: int


def level_shift(
    values: np.ndarray, degree: int = 3, time: np.ndarray | None = None, noise: np.ndarray | None = None
) -> LevelShift | None:
    """Test a window for one level shift on top of a polynomial trend.

    Args:
        values: float64 [N], finite, equally spaced.
        degree: of the trend: 0 is a constant level, 3 a curve.
        time: float64 [N], what the trend is a polynomial of; the position by default.
        noise: float64 [N], what the autoregression is estimated from; the residuals of the trend by default.

    Returns:
        The most likely shift; None with fewer than `LEAST_POINTS` points, or if the series does not vary.
    """
    n = len(values)
    if n < LEAST_POINTS:
        return None
    trend = _trend(np.linspace(-1.0, 1.0, n) if time is None else time, degree)
    residuals = values - trend @ (trend.T @ values)
    spread = float(np.sqrt(np.mean(residuals**2)))
    if spread <= 1e-12 * max(float(np.abs(values).max()), 1e-300):
        return None
    phi = autoregression(residuals if noise is None else noise, degree + 1)
    white, basis = filtered(values, phi), filtered(trend, phi)
    order, _ = np.linalg.qr(basis)
    statistics, positions = _t_statistics(white - order @ (order.T @ white), order)
    best = int(np.argmax(np.abs(statistics)))
    size_class = min(_SIZES, key=lambda points: abs(points - n))
    null = _null(size_class, degree)
    largest = abs(statistics[best]) / _shrinkage(n, degree, sum(phi))
    exceeded = int((null >= largest).sum())
    profile = _profile(values, trend, int(positions[best]) + len(phi))
    low, high = profile.interval(_QUANTILE + _SHORT / n)
    return LevelShift(
        position=int(profile.positions[profile.best]),
        size=float(profile.size[profile.best]),
        low=low,
        high=high,
        p=(1 + exceeded) / (1 + len(null)),
        coefficients=tuple(phi),
        n=n,
    )


@dataclass(frozen=True, slots=True)
class WindowShift:
    """The test of one window: points ``start`` to ``stop`` (not included), and where in the series its shift is."""

    start: int
    stop: int
    position: int
    shift: LevelShift


def windowed_shifts(step: np.ndarray, values: np.ndarray) -> list[WindowShift]:
    """Test windows of about `WINDOW` points, after the first tenth of a series, where a loss falls too fast to tell.

    Windows do not cross gaps. Of a series with more than `MOST_WINDOWS` windows, medians of neighbouring points are
    tested.

    Args:
        step: int64 [N], increasing.
        values: float64 [N]; what is not finite is left out.
    """
    finite = np.flatnonzero(np.isfinite(values))
    usable = finite[finite >= LEFT_OUT * len(values)]
    width = max(-(-len(usable) // (WINDOW * MOST_WINDOWS)), 1)
    rows = usable[: len(usable) // width * width].reshape(-1, width)
    if not len(rows):
        return []
    level, begins = np.median(values[rows], axis=1), rows[:, 0]
    distance = np.diff(step[begins])
    usual = max(float(np.median(distance)), 1.0) if len(distance) else 1.0
    cuts = np.flatnonzero(distance > _WIDE * usual) + 1
    results = []
    for stretch in np.split(np.arange(len(rows)), cuts):
        parts = max(round(len(stretch) / WINDOW), 1)
        for window in np.array_split(stretch, parts):
            # A loss is close to a power law of the step, smooth in its logarithm; a parabola leaves enough of the
            # curves of real runs to be taken for shifts.
            shift = level_shift(level[window], 3, np.log(np.maximum(step[begins[window]], 0) + 1.0))
            if shift is not None:
                at = int(begins[window[0] + shift.position])
                results.append(WindowShift(int(begins[window[0]]), int(rows[window[-1], -1]) + 1, at, shift))
    return results


def _trend(time: np.ndarray, degree: int) -> np.ndarray:
    """[N, degree + 1] orthonormal polynomials."""
    low, high = float(time.min()), float(time.max())
    basis, _ = np.linalg.qr(np.vander((2 * time - low - high) / (high - low), degree + 1, increasing=True))
    return basis


def filtered(values: np.ndarray, phi: list[float]) -> np.ndarray:
    """What an autoregression leaves of a series, or of every column."""
    p = len(phi)
    white: np.ndarray = values[p:].copy()
    for lag, coefficient in enumerate(phi, start=1):
        white -= coefficient * values[p - lag : len(values) - lag]
    return white


def autoregression(residuals: np.ndarray, regressors: int) -> list[float]:
    """Coefficients by Levinson and Durbin, the order by BIC; corrected for what the trend and a short series take."""
    n = len(residuals)
    covariances = [float(residuals[: n - lag] @ residuals[lag:]) / (n - lag) for lag in range(MOST_LAGS + 1)]
    phi: list[float] = []
    variance = covariances[0]
    best, criterion = phi, np.inf  # first order at least: a weak dependence that the BIC overlooks doubles false alarms
    for order in range(1, MOST_LAGS + 1):
        reflection = (covariances[order] - sum(c * covariances[order - 1 - i] for i, c in enumerate(phi))) / variance
        reflection = min(max(reflection, -0.98), 0.98)
        phi = [c - reflection * phi[order - 2 - i] for i, c in enumerate(phi)] + [reflection]
        variance *= 1 - reflection**2
        bic = n * np.log(variance) + order * np.log(n)
        if bic < criterion:
            best, criterion = phi, bic
    total = sum(best)
    if best:  # with r regressors an autoregression of first order is too small by about (r + (r + 2) phi) / n
        corrected = min(total + (regressors + (regressors + 2) * total) / n, 0.98)
        best = [best[0] + corrected - total, *best[1:]]
    return best


def _shrinkage(n: int, degree: int, phi: float) -> float:
    """What estimating the autoregression takes from the largest statistic, between the simulated cases."""
    by_degree = []
    for sizes in _SHRUNK.values():
        of_sizes = [float(np.interp(phi, _PHI, row)) for row in sizes.values()]
        by_degree.append(float(np.interp(-1 / n, [-1 / points for points in sizes], of_sizes)))
    return float(np.interp(degree, list(_SHRUNK), by_degree))


@dataclass(frozen=True, slots=True)
class _Profile:
    """Shift, its scale and the squares left by generalised least squares, for every position of the middle; all [K].

    Attributes:
        positions: of the first point after the shift.
        size: of the shift.
        scale: standard error of the size over that of the noise.
        left: sum of squares left.
        freedom: degrees of freedom of it.
        coefficients: of the autoregression.
    """

    positions: np.ndarray
    size: np.ndarray
    scale: np.ndarray
    left: np.ndarray
    freedom: int
    coefficients: list[float]

    @property
    def best(self) -> int:
        """Index of the position that leaves least."""
        return int(np.argmin(self.left))

    def interval(self, limit: float) -> tuple[float, float]:
        """Sizes that some position fits about as well as the best does: within ``limit`` standard errors squared."""
        least = float(self.left.min())
        margin = limit**2 * least / self.freedom - (self.left - least)
        usable = margin >= 0
        reach = self.scale[usable] * np.sqrt(margin[usable])
        return float((self.size[usable] - reach).min()), float((self.size[usable] + reach).max())


def _profile(values: np.ndarray, trend: np.ndarray, position: int) -> _Profile:
    """Fit a shift at every position, from a first guess of it.

    The autoregression is that of what trend and shift leave: a shift that is left in would pass for dependence, hide
    where it is and widen its interval. So the position is looked for again with the one that leaves it out.
    """
    for _ in range(2):
        design = np.column_stack([trend, np.arange(len(values)) >= position])
        residuals = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
        profile = _fits(values, trend, autoregression(residuals, design.shape[1]))
        position = int(profile.positions[profile.best])
    return profile


def _fits(values: np.ndarray, trend: np.ndarray, phi: list[float]) -> _Profile:
    """Fit a shift at every position, given the autoregression.

    Filtered, a step is ``1 - sum(phi)`` after as many points as there are coefficients, and larger before.
    """
    lags = len(phi)
    white = filtered(values, phi)
    basis, _ = np.linalg.qr(filtered(trend, phi))
    residuals = white - basis @ (basis.T @ white)
    n, r = basis.shape
    edge = max(int(TRIM * n), 2)
    at = np.arange(edge, n - edge)
    level = 1.0 - sum(phi)
    product = level * np.cumsum(residuals[::-1])[::-1][at]
    projected = level * np.cumsum(basis[::-1], axis=0)[::-1][at]
    squares = level**2 * (n - at).astype(np.float64)
    for lag in range(lags):
        above = sum(phi[lag:])  # what the point has above the level
        product += above * residuals[at + lag]
        projected += above * basis[at + lag]
        squares += (level + above) ** 2 - level**2
    weight = np.maximum(squares - (projected**2).sum(1), 1e-12)
    left = np.maximum(float(residuals @ residuals) - product**2 / weight, 1e-300)
    return _Profile(at + lags, product / weight, 1 / np.sqrt(weight), left, n - r - 1, phi)


def _t_statistics(residuals: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(t statistics [..., K], positions [K]) of a step at every point of the middle.

    Args:
        residuals: [..., N], orthogonal to the basis.
        basis: [N, R], orthonormal.
    """
    n, r = basis.shape
    edge = max(int(TRIM * n), 2)
    positions = np.arange(edge, n - edge)
    after = np.cumsum(residuals[..., ::-1], axis=-1)[..., ::-1][..., positions]
    trend = np.cumsum(basis[::-1], axis=0)[::-1][positions]
    weight = np.maximum((n - positions) - (trend**2).sum(1), 1e-12)
    total = (residuals**2).sum(-1, keepdims=True)
    variance = np.maximum(total - after**2 / weight, 1e-300) / (n - r - 1)
    return after / np.sqrt(weight * variance), positions


@cache
def _null(n: int, degree: int) -> np.ndarray:
    """Sorted largest statistics of `REPLICATES` series of independent normal numbers."""
    generator = np.random.default_rng([n, degree])
    basis = _trend(np.linspace(-1.0, 1.0, n), degree)
    largest = []
    for start in range(0, REPLICATES, 500):
        noise = generator.standard_normal((min(500, REPLICATES - start), n))
        noise -= (noise @ basis) @ basis.T
        largest.append(np.abs(_t_statistics(noise, basis)[0]).max(-1))
    return np.sort(np.concatenate(largest))
