"""Many pairs of one scenario: token tests by document frequency, p-values and intervals of the summary, rivals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from corpus_audit.pipelines.statistics.drift.permutation import STATISTICS, drift_summary
from corpus_audit.pipelines.statistics.drift.score_tests import FEWEST_DOCUMENTS
from corpus_audit.pipelines.statistics.drift.token_drift import token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import TokenContrast
from tests.benchmarks.calibration.pairs import pair, seeded
from tests.benchmarks.nulls import PLANS

BANDS = (FEWEST_DOCUMENTS, 50, 200, 1_000)
"""Lower ends of the bands of document frequency in the pool."""

PERMUTATIONS = 99
MAJOR_SHIFT = 0.25  # the customary limit of the population stability index
_NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Snapshots:
    """What R pairs of one scenario gave; counts of tokens are by `BANDS`.

    Attributes:
        tested: tokens tested.
        clustered, monroe: rejected at 5 % by the clustered z and by Monroe's z over the root of the design effect.
        g_test, monroe_plain: rejected by tests that take tokens for independent.
        p: permutation p-values by statistic, R each.
        low, high: bounds of the excess divergence, R each.
        truth: the divergence of the sources, R.
        psi, psi_filled: pairs above the "major shift" limit, with Jeffreys' prior and with absent tokens filled as
            monitoring tools do.
    """

    source: str
    plan: str
    drift: str
    tested: tuple[int, ...]
    clustered: tuple[int, ...]
    monroe: tuple[int, ...]
    g_test: tuple[int, ...]
    monroe_plain: tuple[int, ...]
    p: dict[str, tuple[float, ...]]
    low: tuple[float, ...]
    high: tuple[float, ...]
    truth: tuple[float, ...]
    psi: int
    psi_filled: int

    @property
    def scenario(self) -> str:
        """Source, plan and drift."""
        return f"{self.source}, {self.plan}, drift {self.drift}"

    @property
    def covered(self) -> int:
        """Intervals that hold the truth; a missing one does not."""
        return sum(a <= t <= b for a, t, b in zip(self.low, self.truth, self.high, strict=True))

    @property
    def failed(self) -> int:
        """Pairs that a policy of zero drift fails: the lower bound is above 0."""
        return sum(low > 0 for low in self.low)

    @property
    def rejected(self) -> int:
        """Pairs whose divergence has p <= 0.05."""
        return sum(p <= 0.05 for p in self.p["jsd"])

    def __add__(self, other: Snapshots) -> Snapshots:
        """Both together, which must be of one scenario."""
        assert self.scenario == other.scenario, "pairs of another scenario"
        counts = {
            name: tuple(a + b for a, b in zip(getattr(self, name), getattr(other, name), strict=True))
            for name in ("tested", "clustered", "monroe", "g_test", "monroe_plain")
        }
        pairs = {name: getattr(self, name) + getattr(other, name) for name in ("low", "high", "truth")}
        p = {name: values + other.p[name] for name, values in self.p.items()}
        filled = {"psi": self.psi + other.psi, "psi_filled": self.psi_filled + other.psi_filled}
        return replace(self, p=p, **counts, **pairs, **filled)


def snapshots(
    source: str, plan: str, drift: str, seed: int, replicates: int, tokens_tested: bool = True, first: int = 0
) -> Snapshots:
    """Draw pairs and test them.

    Args:
        source: one of `pairs.SOURCES`.
        plan: name of one of `nulls.PLANS`.
        drift: one of `pairs.DRIFTS`.
        seed: of the whole benchmark.
        replicates: R.
        tokens_tested: whether tokens are tested, and rivals; else their counts are 0.
        first: number of the first pair; pairs 0 to 99 and 100 to 199 are together those of 200.
    """
    selected = next(entry for entry in PLANS if entry.name == plan)
    counts = np.zeros((5, len(BANDS)), dtype=np.int64)
    p: dict[str, list[float]] = {name: [] for name in STATISTICS}
    bounds: list[tuple[float, float, float]] = []
    psi = psi_filled = 0
    for replicate in range(first, first + replicates):
        drawn = pair(source, selected, drift, seeded(seed, source, plan, drift, replicate))
        summary = drift_summary(drawn.contrast, PERMUTATIONS, seed + replicate)
        if summary.low is None or summary.high is None:
            bounds.append((np.nan, np.nan, drawn.truth))
        else:
            bounds.append((summary.low, summary.high, drawn.truth))
        for name, distance in summary.distances.items():
            p[name].append(np.nan if distance.p is None else distance.p)
        if not tokens_tested:
            continue
        counts += _token_tests(drawn.contrast)
        psi += int((summary.distances["psi"].value or 0.0) > MAJOR_SHIFT)
        psi_filled += int(filled_psi(drawn.contrast) > MAJOR_SHIFT)
    low, high, truth = (tuple(column) for column in zip(*bounds, strict=True))
    rows = [tuple(row.tolist()) for row in counts]
    values = {name: tuple(result) for name, result in p.items()}
    return Snapshots(source, plan, drift, *rows, values, low, high, truth, psi, psi_filled)


def _token_tests(contrast: TokenContrast) -> npt.NDArray[np.int64]:
    """Tokens tested, and rejected by the four tests, by band, [5, BANDS]."""
    result = token_drift(contrast)
    tested = ~np.isnan(result.z)
    pool = contrast.only_baseline.documents + contrast.only_current.documents + contrast.shared.documents
    band = np.searchsorted(BANDS, pool[tested], side="right") - 1
    g = likelihood_ratio(contrast)[tested]
    rejections = (
        np.ones(tested.sum(), bool),
        np.abs(result.z[tested]) > _NORMAL,
        np.abs(result.log_odds_z[tested]) > _NORMAL,
        special.chdtrc(1, g) < 0.05,
        np.abs(result.log_odds_z[tested]) * np.sqrt(result.design_effect[tested]) > _NORMAL,
    )
    return np.stack([np.bincount(band[hit], minlength=len(BANDS)) for hit in rejections])


def likelihood_ratio(contrast: TokenContrast) -> npt.NDArray[np.float64]:
    """G of each token's 2 by 2 table, [K], the sides' tokens taken for independent (Dunning 1993)."""
    counts = np.stack([contrast.baseline.count, contrast.current.count]).astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    share = counts.sum(axis=0) / totals.sum()
    inside = special.xlogy(counts, counts) - special.xlogy(counts, totals * share)
    rest = totals - counts
    outside = special.xlogy(rest, rest) - special.xlogy(rest, totals * (1 - share))
    return np.asarray(np.maximum(2 * (inside + outside).sum(axis=0), 0.0))


def filled_psi(contrast: TokenContrast) -> float:
    """Population stability index whose absent tokens get a millionth of the side's smallest share, at most 0.0001."""
    sides = []
    for count in (contrast.baseline.count, contrast.current.count):
        share = count / count.sum()
        least = share[share > 0].min()
        sides.append(np.where(share > 0, share, least / 1e6 if least <= 1e-4 else 1e-4))
    return float(((sides[1] - sides[0]) * np.log(sides[1] / sides[0])).sum())
