import numpy as np
import pytest
from scipy import stats

from corpus_audit.pipelines.statistics.sampling import log as sampling_log
from corpus_audit.pipelines.statistics.sampling.log import Draws, loss_jumps, mixture_changes, mixture_test, trend

CHANCES = np.array([50, 20, 10, 8, 5, 3, 2, 1, 0.5, 0.2])
LOGARITHMS = np.linspace(4, 7, len(CHANCES))


def intended(sigma):
    share = CHANCES * np.exp(LOGARITHMS + sigma**2 / 2)
    return share / share.sum()


def simulated(rng, windows, documents, sigma, chances=None):
    """Documents of log-normal lengths, drawn independently; ``chances`` [W, G] or those of every window."""
    per_window = np.broadcast_to(CHANCES if chances is None else chances, (windows, len(CHANCES)))
    domain = np.stack([rng.choice(len(row), documents, p=row / row.sum()) for row in per_window])
    tokens = np.maximum(1, np.round(np.exp(LOGARITHMS[domain] + sigma * rng.standard_normal(domain.shape))))
    totals = np.zeros((3, windows, len(CHANCES)))
    at = np.repeat(np.arange(windows), documents), domain.ravel()
    for total, value in zip(totals, (tokens, tokens**2, np.ones_like(tokens)), strict=True):
        np.add.at(total, at, value.ravel())
    return Draws(totals[0].astype(np.int64), totals[1], totals[2].astype(np.int64))


def rejected(p, level=0.05):
    result = np.asarray(p)
    return float(np.mean(result[np.isfinite(result)] <= level))


@pytest.mark.parametrize(("sigma", "documents"), [(0.0, 300), (0.7, 3000), (1.0, 3000)])
def test_tests_reject_five_per_cent_of_what_was_intended(sigma, documents):
    rng = np.random.Generator(np.random.PCG64(7))
    logs = [simulated(rng, 10, documents, sigma) for _ in range(120)]
    tests = [mixture_test(log, intended(sigma)) for log in logs]
    assert 0.04 < rejected([test.p for test in tests]) < 0.06
    assert 0.035 < rejected([test.p_joint for test in tests]) < 0.07
    assert 0.03 < rejected([sampling_log.two_sided(trend(log)) for log in logs]) < 0.07
    assert 0.03 < rejected([mixture_changes(log) for log in logs]) < 0.07
    joint = np.concatenate([test.p_joint for test in tests])
    assert stats.kstest(joint, "uniform").pvalue > 0.001


def test_counting_tokens_instead_of_documents_would_reject_most():
    rng = np.random.Generator(np.random.PCG64(7))
    share = intended(0.7)
    naive = []
    for _ in range(20):
        log = simulated(rng, 1, 3000, 0.7)
        total = log.count.sum()
        naive.append(sampling_log.two_sided((log.count[0] - share * total) / np.sqrt(total * share * (1 - share))))
    assert rejected(naive) > 0.5


def test_a_wrong_window_a_trend_and_a_jump_are_found():
    rng = np.random.Generator(np.random.PCG64(3))
    chances = np.tile(CHANCES, (10, 1))
    chances[6, 1] *= 2
    chances[:, 2] *= np.linspace(0.6, 1.4, 10)
    log = simulated(rng, 10, 2000, 0.7, chances)
    test = mixture_test(log, intended(0.7))
    assert np.nanargmin(test.p_joint) == 6 and test.p_joint[6] < 1e-9
    assert test.z[6, 1] > 6 and test.distance[6] > 0.05
    slope = trend(log)
    assert slope[2] > 5 and abs(slope[4]) < 4
    changes = mixture_changes(log)
    assert np.isnan(changes[0]) and set(np.argsort(changes[1:])[:2] + 1) == {6, 7}


def test_closed_form_of_two_domains_of_documents():
    # With documents as unit and two domains the tests are the binomial z and its square.
    log = Draws(np.array([[60, 40]]), np.array([[60.0, 40.0]]), np.array([[60, 40]]))
    test = mixture_test(log, np.array([0.5, 0.5]))
    assert test.z == pytest.approx(np.array([[2.0, -2.0]]))
    assert test.statistic == pytest.approx([4.0]) and test.freedom.tolist() == [1]
    assert test.p_joint == pytest.approx(test.p[0, 0]) and test.distance == pytest.approx([0.1])


def test_rare_domains_are_tested_together_and_unintended_ones_not_at_all():
    counts = np.array([[900, 6, 5, 89]])
    log = Draws(counts, counts.astype(float), counts)
    test = mixture_test(log, np.array([0.988, 0.006, 0.006, 0.0]))
    assert test.rare.tolist() == [[False, True, True, False]]
    assert np.isnan(test.z[0, 1:]).all() and test.freedom.tolist() == [1]
    assert np.isnan(mixture_test(log, np.array([0.9999, 0.0001, 0, 0])).p_joint).all()


def test_nothing_drawn_is_no_test():
    empty = Draws(np.zeros((3, 2), np.int64), np.zeros((3, 2)), np.zeros((3, 2), np.int64))
    assert np.isnan(mixture_test(empty, np.array([0.5, 0.5])).p_joint).all()
    assert np.isnan(trend(empty)).all() and np.isnan(mixture_changes(empty)).all()


def test_loss_jumps_stand_out_from_a_falling_loss():
    rng = np.random.Generator(np.random.PCG64(5))
    loss = 3 + 5 / np.sqrt(1 + np.arange(30)) + 0.01 * rng.standard_normal(30)
    error = np.full(30, 0.01)
    assert np.nanmax(np.abs(loss_jumps(loss, error)[3:])) < 3
    loss[17] += 0.5
    result = loss_jumps(loss, error)
    assert result[17] > 5 and result[18] < -5 and np.isnan(result[0])
    assert np.isnan(loss_jumps(loss[:4], error[:4])).all()
