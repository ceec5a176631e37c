"""All pairs of images whose perceptual hashes are close, found exactly, and verified by the colours of their patches.

Multi-index hashing (Norouzi, Punjani and Fleet 2012, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR):
hashes are cut into 4 chunks of 16 bits. Let the threshold be t = 4 a + r. If two hashes differ in at most t bits, then
at most a bits differ in one of the first r + 1 chunks, or at most a - 1 in one of the others: otherwise they would
differ in (a + 1) (r + 1) + a (3 - r) = t + 1. So pairs are looked up by chunks that differ in so many bits, and then
compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.images.perceptual import hamming, patch_distances

THRESHOLD = 8
"""Most bits of 64 that differ. Hashes have 32 ones each, so that distances are even, ties aside."""

PATCH_THRESHOLD = 400
"""Most mean squared difference of patches of 8 x 8 colours: 20 of 255 levels."""

MOST_PAIRS = 20_000_000
"""Pairs within the threshold that are listed; so many hashes that are alike make no list that anybody reads."""

_CHUNKS, _CHUNK_BITS = 4, 16
_SLICE = 2**21


class TooManyPairs(Exception):
    """More than `MOST_PAIRS` pairs are within the threshold."""


@dataclass(frozen=True, slots=True, eq=False)
class NearPairs:
    """P pairs of images, by position, sorted by (first, second), first < second.

    Attributes:
        first, second: int64 [P].
        bits: uint8 [P], Hamming distance of the perceptual hashes.
        distance: int64 [P], mean squared difference of the patches.
    """

    first: np.ndarray
    second: np.ndarray
    bits: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def close_pairs(hashes: np.ndarray, threshold: int = THRESHOLD) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of uint64 [N] hashes that differ in at most ``threshold`` bits.

    Returns:
        (first, second), int64 [P] positions, sorted, first < second.

    Raises:
        TooManyPairs: when there are more than `MOST_PAIRS`.
    """
    parts = []
    total = 0
    for first, second in _pairs(hashes, threshold):
        total += len(first)
        if total > MOST_PAIRS:
            raise TooManyPairs(f"more than {MOST_PAIRS:,} pairs of images are within {threshold} bits of each other")
        parts.append((np.minimum(first, second), np.maximum(first, second)))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, second = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((second, first))
    return first[order], second[order]


def close_between(left: np.ndarray, right: np.ndarray, threshold: int = THRESHOLD) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a uint64 [N] hash and a uint64 [M] hash that differ in at most ``threshold`` bits.

    Returns:
        (positions in ``left``, positions in ``right``), int64 [P], sorted.

    Raises:
        TooManyPairs: when there are more than `MOST_PAIRS`.
    """
    pieces = [np.empty((0, 2), np.int64)]
    total = 0
    for chunk, radius in enumerate(_radii(threshold)):
        values = _chunk(right, chunk)
        order = np.argsort(values, kind="stable")
        counts = np.bincount(values, minlength=2**_CHUNK_BITS)
        starts = np.concatenate(([0], np.cumsum(counts)))
        wanted = _chunk(left, chunk)
        for mask in _masks(radius):
            sizes = counts[wanted ^ mask]
            ends = np.cumsum(sizes)
            for start in range(0, int(ends[-1]) if len(ends) else 0, _SLICE):
                number = np.arange(start, min(start + _SLICE, int(ends[-1])))
                first = np.searchsorted(ends, number, side="right")
                second = order[starts[wanted[first] ^ mask] + number - (ends[first] - sizes[first])]
                close = hamming(left[first], right[second]) <= threshold
                total += int(close.sum())  # pairs that several chunks lead to are counted for each
                if total > _CHUNKS * MOST_PAIRS:
                    raise TooManyPairs(f"more than {MOST_PAIRS:,} pairs of images are within {threshold} bits")
                pieces.append(np.stack([first[close], second[close]], axis=1))
    pairs = np.unique(np.concatenate(pieces), axis=0)
    return pairs[:, 0], pairs[:, 1]


def verified_pairs(
    hashes: np.ndarray,
    patches: np.ndarray,
    threshold: int = THRESHOLD,
    patch_threshold: int = PATCH_THRESHOLD,
) -> NearPairs:
    """Near duplicates: pairs within ``threshold`` bits whose patches differ by at most ``patch_threshold``.

    Args:
        hashes: uint64 [N], of images that are not flat: those of flat ones are noise.
        patches: uint8 [N, 192].
        threshold, patch_threshold: see `THRESHOLD` and `PATCH_THRESHOLD`.

    Raises:
        TooManyPairs: when more than `MOST_PAIRS` pairs are within the threshold.
    """
    first, second = close_pairs(hashes, threshold)
    distance = np.empty(len(first), np.int64)
    for start in range(0, len(first), 2**16):
        part = slice(start, start + 2**16)
        distance[part] = patch_distances(patches[first[part]], patches[second[part]])
    kept = distance <= patch_threshold
    first, second = first[kept], second[kept]
    return NearPairs(first, second, hamming(hashes[first], hashes[second]), distance[kept])


def groups(pairs: NearPairs, count: int) -> np.ndarray:
    """int64 [count], for every image the lowest position among those that pairs connect it with, itself included."""
    label = np.arange(count)
    while True:
        lowest = np.minimum(label[pairs.first], label[pairs.second])
        before = label.copy()
        np.minimum.at(label, pairs.first, lowest)
        np.minimum.at(label, pairs.second, lowest)
        label = label[label]
        if (label == before).all():
            return label


def chance_of_closeness(hashes: np.ndarray, threshold: int = THRESHOLD, draws: int = 1_000_000) -> tuple[int, int]:
    """(pairs within the threshold, pairs): how often two images of this corpus that were drawn at random are close.

    Nearly all random pairs are unrelated, so this is what the threshold lets through by chance, and near duplicates
    that happen to be drawn. The draws are seeded: the same hashes give the same numbers.
    """
    if len(hashes) < 2:
        return 0, 0
    random = np.random.default_rng(0)
    first = random.integers(len(hashes), size=draws)
    second = random.integers(len(hashes) - 1, size=draws)
    second += second >= first
    return int((hamming(hashes[first], hashes[second]) <= threshold).sum()), draws


def _pairs(hashes: np.ndarray, threshold: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair once, in any order, in slices."""
    radii = _radii(threshold)
    for chunk, radius in enumerate(radii):
        if radius < 0:
            continue
        values = _chunk(hashes, chunk)
        order = np.argsort(values, kind="stable")
        counts = np.bincount(values, minlength=2**_CHUNK_BITS)
        starts = np.concatenate(([0], np.cumsum(counts)))
        for mask in _masks(radius):
            for left, right in _joined(counts, starts, mask):
                first, second = order[left], order[right]
                close = hamming(hashes[first], hashes[second]) <= threshold
                first, second = first[close], second[close]
                # A pair that an earlier chunk leads to as well was given there.
                new = np.ones(len(first), bool)
                for earlier in range(chunk):
                    differing = hamming(_chunk(hashes[first], earlier), _chunk(hashes[second], earlier))
                    new &= differing.astype(np.int64) > radii[earlier]
                if new.any():
                    yield first[new], second[new]


def _radii(threshold: int) -> list[int]:
    whole, rest = divmod(threshold, _CHUNKS)
    return [whole if chunk <= rest else whole - 1 for chunk in range(_CHUNKS)]


def _chunk(hashes: np.ndarray, chunk: int) -> np.ndarray:
    values: np.ndarray = (hashes >> np.uint64(_CHUNK_BITS * chunk)) & np.uint64(2**_CHUNK_BITS - 1)
    return values.astype(np.int64)


def _masks(radius: int) -> Iterator[int]:
    for bits in range(radius + 1):
        for positions in itertools.combinations(range(_CHUNK_BITS), bits):
            yield sum(1 << position for position in positions)


def _joined(counts: np.ndarray, starts: np.ndarray, mask: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of positions in the sorted order whose chunks differ by ``mask``, each pair once, in slices."""
    value = np.flatnonzero(counts)
    partner = value ^ mask
    kept = (counts[partner] > 0) & (value <= partner)
    value, partner = value[kept], partner[kept]
    products = counts[value] * counts[partner]
    ends = np.cumsum(products)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _SLICE):
        number = np.arange(start, min(start + _SLICE, total))
        bucket = np.searchsorted(ends, number, side="right")
        within = number - (ends[bucket] - products[bucket])
        width = counts[partner[bucket]]
        left = starts[value[bucket]] + within // width
        right = starts[partner[bucket]] + within % width
        if not mask:
            once = left < right
            left, right = left[once], right[once]
        yield left, right
