import numpy as np
import pytest
from scipy import stats

from corpus_audit.pipelines.statistics.sampling import draws as sampling


def test_effective_tokens_are_those_of_the_paper():
    # Muennighoff et al. (2023): D'/U at 1, 4 and 16 epochs; below one epoch nothing repeats.
    result = sampling.effective_tokens(np.ones(5), [1, 4, 16, 0.1, 0])
    assert result == pytest.approx([1, 3.7257, 10.5825, 0.1, 0], abs=5e-5)


def test_exposure_closed_forms():
    result = sampling.exposure([10, 100, 50, 0], [1, 10, 5, 0], [30, 50, 0, 0])
    assert result.epochs == pytest.approx([3, 0.5, 0, np.nan], nan_ok=True)
    # 80 training tokens in all; at 3/8 of them the first domain's 10 are used up after 80/3.
    assert result.exhaustion == pytest.approx([80 / 3, 160, np.inf, np.nan], nan_ok=True)
    assert result.coverage == pytest.approx([1, 0.5, 0, np.nan], nan_ok=True)
    assert result.coverage_replaced == pytest.approx([1 - np.exp(-3), 1 - np.exp(-0.5), 0, np.nan], nan_ok=True)
    assert result.maximum == pytest.approx([3, 1, 0, np.nan], nan_ok=True)


@pytest.mark.parametrize(("mean", "documents"), [(0.1, 10), (1, 10**6), (4, 10**9), (36.4, 500), (1000, 1)])
def test_most_draws_is_the_smallest_that_is_sure(mean, documents):
    result = int(sampling.maximum_draws(mean, documents))
    sure = [documents * stats.poisson.logcdf(m, mean) >= np.log(0.999) for m in (result - 1, result)]
    assert sure == [False, True]


def test_most_draws_without_draws_or_text():
    assert sampling.maximum_draws([0, np.nan], [5, 0]) == pytest.approx([0, np.nan], nan_ok=True)


def test_kish_is_n_over_one_plus_squared_variation():
    size, weight = np.array([30, 50, 20]), np.array([1.0, 4.0, 0.5])
    each = np.repeat(weight, size)
    expected = 100 / (1 + each.var() / each.mean() ** 2)
    assert sampling.kish_effective_size(size, weight) == pytest.approx(expected, rel=1e-12)
    assert sampling.kish_effective_size([5, 5], [0, np.nan]) == 0


def test_divergence_and_effective_number():
    share, reference = np.array([0.5, 0.5, 0]), np.array([0.25, 0.25, 0.5])
    assert sampling.kl_divergence(share, reference) == pytest.approx(1)
    assert sampling.kl_divergence(share, reference) == pytest.approx(stats.entropy(share, reference, base=2))
    assert sampling.effective_number(share) == pytest.approx(2)
    assert sampling.total_variation(share, reference) == pytest.approx(0.5)


def test_occupancy_is_calibrated():
    rng = np.random.Generator(np.random.PCG64(1))
    runs, documents, draws = 2000, 400, 600
    counts = np.stack([np.bincount(rng.integers(0, documents, draws), minlength=documents) for _ in range(runs)])
    result = sampling.occupancy(
        np.full(runs, documents),
        np.full(runs, draws),
        (counts > 0).sum(axis=1),
        (counts.astype(float) ** 2).sum(axis=1),
    )
    for z in (result.never_z, result.dispersion_z):
        assert abs(z.mean()) < 0.1 and 0.94 < z.std() < 1.06
        assert 0.035 < np.mean(np.abs(z) > 1.96) < 0.065
    assert result.dispersion.mean() == pytest.approx(1, abs=0.01)
    assert np.all(result.never == 0)


def test_drawing_without_replacement_is_underdispersed():
    # Every document once, half of them twice: 1.5 draws each, variance 1/4 of a document.
    result = sampling.occupancy([100], [150], [100], np.array([50 * 1.0 + 50 * 4]))
    assert result.dispersion[0] == pytest.approx(0.25 * 100 / 99 / 1.5)
    assert result.dispersion_z[0] < -5 and result.never_z[0] < -4
    assert sampling.occupancy([100], [30], [30], np.array([30.0])).never[0] == 70
