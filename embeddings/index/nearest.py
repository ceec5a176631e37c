"""The vectors nearest to a query, exactly: 8-bit codes with certified errors first, then the vectors themselves.

A vector x is stored as float32 and as a code: integers c of 8 bits, a scale s and an error r >= |x - s c|. For a query
u = t z + e, with z of 16 bits, the triangle inequality and Cauchy and Schwarz give

    |x.u - s t c.z|  =  |(x - s c).u + s c.e|  <=  r |u| + s |c| |e|.

Every vector whose upper bound reaches the k-th largest lower bound is then compared in full, so that no near one can be
missed, whatever the data: the bounds decide how many vectors are compared, and not the result.

The bounds hold for the products as they are computed, not only for the true ones. A float64 sum of D products is off by
at most D 2^-53 |x| |u|, and |x| <= r + s |c|: the part of s |c| is added to |e|, that of r is far below the last bit of
a float32, to which r was rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.kernels.activations.vectors import bound_products, products

LARGEST = 127
"""Largest magnitude of a code."""

LEAST_CODED = 4096
"""With fewer vectors an index has no codes: comparing all takes a millisecond, and codes a quarter of their bytes."""

ROWS_A_THREAD = 50_000
"""With fewer, another thread costs more than it saves."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Codes:
    """N vectors of D dimensions in 8 bits; the arrays may be mapped.

    Attributes:
        codes: int8 [N, D], none below -127; a vector is near ``scale * codes``.
        scale: float32 [N].
        error: float32 [N], at least the Euclidean distance from there to the vector.
    """

    codes: np.ndarray
    scale: np.ndarray
    error: np.ndarray


@dataclass(frozen=True, slots=True)
class NearestRows:
    """Rows of the n <= k nearest vectors.

    Attributes:
        rows: int64 [n], by score descending, then by row ascending.
        scores: float64 [n], dot products with the query of length 1: cosines, if the vectors have length 1.
        compared: rows that the codes could not rule out and that were compared in full.
    """

    rows: np.ndarray
    scores: np.ndarray
    compared: int


def encode(vectors: np.ndarray) -> Codes:
    """The codes of vectors, float32 [N, D].

    Raises:
        ValueError: a vector has a part that is not finite.
    """
    n, width = vectors.shape
    codes, scale, error = np.empty((n, width), np.int8), np.empty(n, np.float32), np.empty(n, np.float32)
    rows = max(1, _BLOCK // max(1, width))
    for begin in range(0, n, rows):
        part = slice(begin, begin + rows)
        exact = np.asarray(vectors[part], np.float64)
        if not np.isfinite(exact).all():
            raise ValueError("a vector has a part that is not finite")
        scale[part] = np.abs(exact).max(axis=1, initial=0) / LARGEST
        # As rounded to float32, that is: its error is then part of the distance. It is 0 for the smallest subnormals.
        steps = scale[part, None].astype(np.float64)
        rounded = np.clip(np.rint(exact / np.where(steps > 0, steps, 1)), -LARGEST, LARGEST)
        codes[part] = rounded
        away = np.linalg.norm(exact - rounded * steps, axis=1) * (1 + _rounding(width))
        error[part] = np.nextafter(away.astype(np.float32), np.float32(np.inf))
    return Codes(codes, scale, error)


def nearest(
    vectors: np.ndarray,
    codes: Codes | None,
    query: np.ndarray,
    k: int,
    allowed: np.ndarray | None = None,
    workers: int = 2,
) -> NearestRows:
    """The k vectors with the largest dot products with the query's direction.

    Args:
        vectors: float32 [N, D], may be mapped.
        codes: theirs; None compares all vectors in full, with the same result.
        query: [D], of any length but 0.
        k: how many.
        allowed: bool [N], which rows may be found; all, if None.
        workers: threads; tests and benchmarks vary them, which changes no result.

    Raises:
        ValueError: the query is zero or not finite, k is below 1, or shapes do not fit.
    """
    n, width = vectors.shape
    if query.shape != (width,):
        raise ValueError(f"shapes differ: vectors {vectors.shape}, query {query.shape}")
    if codes is not None and (codes.codes.shape != (n, width) or not len(codes.scale) == len(codes.error) == n):
        raise ValueError(f"shapes differ: vectors {vectors.shape}, codes {codes.codes.shape}")
    if allowed is not None and allowed.shape != (n,):
        raise ValueError(f"shapes differ: {n} vectors, allowed {allowed.shape}")
    if k < 1:
        raise ValueError(f"k is {k}")
    direction = _direction(query)
    if codes is not None:
        candidates = _candidates(codes, direction, k, allowed, workers)
    else:
        candidates = np.arange(n) if allowed is None else np.flatnonzero(allowed)
    scores = np.empty(len(candidates))

    def compare(thread: int, first: int, last: int) -> None:
        products(_read_only(vectors), direction, candidates[first:last], scores[first:last])

    _share(compare, len(candidates), max(1, min(workers, len(candidates) // ROWS_A_THREAD)))
    best = _largest(scores, k)
    return NearestRows(candidates[best], scores[best], len(candidates))


def _candidates(codes: Codes, direction: np.ndarray, k: int, allowed: np.ndarray | None, workers: int) -> np.ndarray:
    """Rows that may be among the k nearest by the bounds of their codes, int64 ascending; arguments as in `nearest`."""
    n, width = codes.codes.shape
    z, step, missed = _quantised(direction)
    mask = _read_only(np.empty(0, np.bool_) if allowed is None else allowed)
    upper = np.full(n, np.nan)
    threads = max(1, min(workers, n // ROWS_A_THREAD))
    heaps = np.full((threads, max(1, min(k, n))), -np.inf)
    reach = LARGEST * np.sqrt(width) * missed
    code_rows, scale, error = map(_read_only, (codes.codes, codes.scale, codes.error))

    def bound(thread: int, first: int, last: int) -> None:
        bound_products(code_rows, scale, error, z, step, reach, mask, first, last, upper, heaps[thread])

    _share(bound, n, threads)
    threshold = np.sort(heaps, axis=None)[-heaps.shape[1]]
    return np.flatnonzero(upper >= threshold)


def _direction(query: np.ndarray) -> np.ndarray:
    """A query of length 1, float64."""
    exact = np.asarray(query, np.float64)
    largest = np.abs(exact).max(initial=0)
    if not 0 < largest < np.inf:
        raise ValueError("the query is zero, or has a part that is not finite")
    exact = exact / largest  # so that squares neither overflow nor vanish
    return np.ascontiguousarray(exact / np.linalg.norm(exact))


def _quantised(direction: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A direction as t z with z int16 [D]: returns z, t, and the largest possible distance, rounding included.

    t is large enough that a sum of D products of codes and z is below 2^31, as the kernel adds them in int32.
    """
    width = len(direction)
    step = float(np.abs(direction).max()) / min(2**15 - 1, (2**31 - 1) // (LARGEST * width))
    z = np.rint(direction / step)
    return z.astype(np.int16), step, float(np.linalg.norm(direction - z * step)) + _rounding(width)


def _rounding(width: int) -> float:
    """At least the relative error of a norm or dot product of ``width`` parts in float64, and of the bounds."""
    return (width + 16) * 2.0**-52


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest values, the largest first; of equal values the first ones."""
    candidates = np.arange(len(values))
    if k < len(values):
        candidates = np.flatnonzero(values >= np.partition(values, len(values) - k)[len(values) - k])
    return candidates[np.argsort(-values[candidates], kind="stable")[:k]]


def _read_only(array: np.ndarray) -> np.ndarray:
    """A view that is not a memmap and cannot be written: one type of argument, so that a kernel is compiled once."""
    view = np.ascontiguousarray(array).view(np.ndarray)
    view.flags.writeable = False
    return view


def _share(work: Callable[[int, int, int], None], n: int, threads: int) -> None:
    """Do work (thread, first, last) over 0 to n in threads."""
    edges = [n * i // threads for i in range(threads + 1)]
    if threads == 1:
        work(0, 0, n)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads), edges[:-1], edges[1:]))
