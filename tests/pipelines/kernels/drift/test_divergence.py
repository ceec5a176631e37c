"""Sums over exchanges and without a group at a time, against plain numpy, with rare tokens in classes and without."""

from __future__ import annotations

import numpy as np
import pytest

from corpus_audit.pipelines.kernels.drift.divergence import exchange_sums
from corpus_audit.pipelines.kernels.drift.group_rows import add_masked
from corpus_audit.pipelines.kernels.drift.leave_one_out import left_out_sums
from corpus_audit.pipelines.kernels.drift.token_classes import MOST_MOVED, token_classes

RARE, FREQUENT = 600, 40


def _groups(rng: np.random.Generator, size: int) -> np.ndarray:
    """Occurrences by group: most tokens in none to three groups, some in all, one of more than a byte holds."""
    groups = np.zeros((size, RARE + FREQUENT), np.int64)
    for token in range(RARE):
        at = rng.integers(0, size, rng.integers(0, 4))
        np.add.at(groups[:, token], at, rng.integers(1, 3, len(at)))
    groups[:, RARE:] = rng.poisson(rng.gamma(1.0, 8.0, FREQUENT), (size, FREQUENT))
    groups[0, RARE] = MOST_MOVED + 1
    return groups


def _moved_and_occupied(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return groups.sum(axis=0), np.count_nonzero(groups, axis=0)


def _numpy_sums(first: np.ndarray, second: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The five sums [5, P] for sides [P, K]."""
    p, q = first * scales[0][:, None], second * scales[1][:, None]
    smooth = (first + 0.5) * scales[2][:, None], (second + 0.5) * scales[3][:, None]
    present = (first + second).any(axis=0)

    def entropy(shares: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(shares > 0, shares * np.log(2 * shares / (p + q)), 0.0)

    ratio = np.log(smooth[1] / smooth[0])
    terms = (
        entropy(p) + entropy(q),
        np.abs(p - q),
        (np.sqrt(p) - np.sqrt(q)) ** 2,
        (smooth[1] - smooth[0]) * ratio,
        smooth[1] * ratio,
    )
    return np.stack([np.where(present, term, 0.0).sum(axis=1) for term in terms])


@pytest.mark.parametrize("signs", [(1, -1), (1, 0), (0, -1)])
@pytest.mark.parametrize("versions", [0, 6])
def test_sums_are_those_of_numpy(signs: tuple[int, int], versions: int) -> None:
    rng = np.random.default_rng(7)
    groups = _groups(rng, 12 + versions)
    groups[12:, 100:] = 0  # most tokens are in no edited document
    groups[12:] -= groups[12:][::-1]
    base = rng.poisson(1.0, groups.shape[1])
    lost = np.abs(groups[12:]).sum(axis=0)
    fixed = base + lost, base + lost + groups[:12].sum(axis=0)
    selection = rng.integers(0, 2, (12 + versions, 150)).astype(np.float64)
    x, y = (selection[part].T @ groups[part] for part in (slice(0, 12), slice(12, None)))
    first, second = fixed[0] + signs[0] * x + y, fixed[1] + signs[1] * x - y
    scales = 1 / np.stack([first.sum(1), second.sum(1), first.sum(1) + 30, second.sum(1) + 30])
    _, left = token_classes([groups[:12]], *fixed, *_moved_and_occupied(groups[:12]))
    assert 0 < left.sum() < RARE  # both ways are taken
    tables = groups[:5], groups[5:]
    sums = exchange_sums(tables, fixed, signs, selection, scales, 1, 12)
    np.testing.assert_allclose(sums, _numpy_sums(first, second, scales), rtol=1e-9)
    np.testing.assert_array_equal(sums, exchange_sums(tables, fixed, signs, selection, scales, 3, 12))


@pytest.mark.parametrize("signs", [(-1, 0), (0, -1), (-1, -1)])
def test_sums_without_a_group_are_those_of_numpy(signs: tuple[int, int]) -> None:
    rng = np.random.default_rng(8)
    groups = _groups(rng, 10)
    total = groups.sum(axis=0)
    shared = rng.poisson(0.5, len(total))
    fixed = (total if signs[0] else 0) + shared, (total if signs[1] else 0) + 2 * shared
    first, second = fixed[0] + signs[0] * groups, fixed[1] + signs[1] * groups
    scales = 1 / np.stack([first.sum(axis=1), second.sum(axis=1)])
    expected = _numpy_sums(first, second, np.concatenate([scales, scales]))[0]
    np.testing.assert_allclose(left_out_sums(groups, fixed, signs, scales), expected, rtol=1e-9)
    np.testing.assert_allclose(left_out_sums(groups.astype(np.float64), fixed, signs, scales), expected, rtol=1e-9)


def test_tokens_of_a_class_are_alike_and_every_other_is_left() -> None:
    rng = np.random.default_rng(9)
    groups = _groups(rng, 12)
    first, second = rng.poisson(0.3, (2, groups.shape[1]))
    largest, occupied = _moved_and_occupied(groups)
    classes, left = token_classes([groups], first, second, largest, occupied)
    assert left[RARE]  # more than a byte
    assert classes.ends[-1] == (~left).sum() == len(classes.starts)
    tables = {}
    for token in np.flatnonzero(~left):
        key = first[token], second[token], largest[token]
        tables.setdefault(key, []).append(tuple(map(tuple, np.argwhere(groups[:, token]))))
    assert sorted(map(len, tables.values())) == sorted(np.diff(classes.ends, prepend=0).tolist())
    keys = zip(classes.first.tolist(), classes.second.tolist(), classes.largest.tolist(), strict=True)
    assert set(keys) == set(tables)
    cells = [
        (c, g)
        for a, b in zip(classes.starts, classes.stops, strict=True)
        for c, g in zip(classes.counts[a:b].tolist(), classes.groups[a:b].tolist(), strict=True)
    ]
    assert sum(c for c, _ in cells) == largest[~left].sum()
    by_group = np.bincount([g for _, g in cells], [c for c, _ in cells], minlength=12)
    np.testing.assert_array_equal(by_group, groups[:, ~left].sum(axis=1))


def test_rows_of_masks_add_to_a_table() -> None:
    groups = np.ones((64, 3), np.int64)
    masks = np.array([1 | 1 << 63, 0, 1 << 5], np.uint64)
    add_masked(groups, np.array([2, 1, 2]), masks, np.array([4, 5, 6]))
    expected = np.ones((64, 3), np.int64)
    expected[[0, 63, 5], 2] += 4, 5, 6
    np.testing.assert_array_equal(groups, expected)
