"""Measures of attention weights against plain loops."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from corpus_audit.embeddings.heads.corpus import match_length  # noqa: E402
from corpus_audit.embeddings.heads.measures import MEASURES, measured, targets_of  # noqa: E402


def by_loops(weights, ids, counted):
    """Every measure of one head and window at every query, by its definition; None of queries that do not count."""
    rows = []
    for p, token in enumerate(ids):
        copies = [j for j in range(p) if ids[j] == token and counted[j]]
        after = [j + 1 for j in copies if j + 1 < p]
        right = [j for j in after if p + 1 < len(ids) and ids[j] == ids[p + 1]]
        row = {
            "previous": weights[p][p - 1] if p else None,
            "first": weights[p][0] if p else None,
            "duplicate": sum(weights[p][j] for j in copies) if copies else None,
            "induction": sum(weights[p][j] for j in after) if after else None,
            "completing": sum(weights[p][j] for j in right) if right else None,
            "entropy": -sum(w * np.log(w) for w in weights[p] if w > 0),
        }
        rows.append({name: value if counted[p] else None for name, value in row.items()})
    return rows


def test_measures_are_their_definitions():
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 5, (3, 17))
    ids[0, :6] = [1, 1, 2, 1, 1, 2]
    counted = rng.random((3, 17)) < 0.8
    weights = rng.random((3, 2, 17, 17)) * np.tri(17)
    weights /= weights.sum(-1, keepdims=True)
    targets = targets_of(torch.from_numpy(ids), torch.from_numpy(counted))
    values = measured(torch.from_numpy(weights), targets)
    checked = dict.fromkeys(MEASURES, 0)
    for b in range(3):
        for h in range(2):
            for p, row in enumerate(by_loops(weights[b, h], ids[b], counted[b])):
                for name, expected in row.items():
                    assert bool(targets.valid[name][b, p]) == (expected is not None), (name, b, p)
                    if expected is not None:
                        assert float(values[name][b, h, p]) == pytest.approx(expected, abs=1e-6)
                        checked[name] += 1
    assert min(checked.values()) >= 10
    even = np.tri(17) / np.arange(1, 18)[:, None]
    for name in MEASURES[:5]:
        masses = measured(torch.from_numpy(even)[None, None].repeat(3, 1, 1, 1), targets)[name][:, 0]
        difference = (masses - targets.uniform(name)) * targets.valid[name]
        assert float(difference.abs().max()) < 1e-6


def test_match_length_counts_tokens_up_to_two_positions():
    tokens = np.array([7, 1, 2, 3, 9, 1, 2, 3])
    assert [match_length(tokens, 7, 3), match_length(tokens, 6, 1), match_length(tokens, 5, 1)] == [3, 0, 1]
    assert match_length(np.array([1, 1, 1]), 2, 1) == 2
