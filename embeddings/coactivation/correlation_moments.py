"""Correlation of one unit with many others over tokens, with intervals that take documents as clusters.

Sums, squares and products of tokens are kept by group of documents, so that memory is groups by units whatever the
number of tokens. The variance of Fisher's z = atanh(r) is that of the delete-a-group jackknife, or, where that is
larger, the variance that two independent units would have: 1/n times the design effect of a product, 1 + (l - 1)
rho_x rho_y, with l the mean length of a token's document and rho the correlations within documents (Moulton 1986).
The second matters for units that are rarely active: where they were never seen together the jackknife has nothing
that varies, and takes an accident for certainty.

Degrees of freedom are those of the squares: groups count by the share of the variance that they hold, so that two units
active in few documents have few degrees and a wide interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GROUPS = 64
"""Groups of documents; with fewer documents, one a document."""

_LARGEST_Z = float(np.arctanh(1 - 1e-15))


@dataclass(frozen=True)
class Correlations:
    """Pearson correlations of one unit with R others, float64 [R]; NaN where one of the two does not vary.

    Attributes:
        r: the correlation over tokens.
        low, high: its 95 % interval; NaN where there is none.
        p: two-sided, of no correlation; NaN where there is no interval.
        degrees: of freedom; 0 where there is no interval.
    """

    r: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    degrees: np.ndarray


class CorrelationMoments:
    """Sums over tokens by group of documents, of one unit and R others, float64 [G, R]."""

    def __init__(self, units: int, lengths: np.ndarray) -> None:
        """Begin with no tokens.

        Args:
            units: R.
            lengths: int64 [D], tokens of each document that are going to be added; document d is of group d modulo G.
        """
        self.documents = int((lengths > 0).sum())
        self.groups = min(GROUPS, max(len(lengths), 1))
        self._length = float((lengths.astype(np.float64) ** 2).sum() / max(int(lengths.sum()), 1))
        self._tokens, self._x, self._xx = (np.zeros(self.groups) for _ in range(3))
        self._y, self._yy, self._xy = (np.zeros((self.groups, units)) for _ in range(3))

    def add_unit(self, document: np.ndarray, values: np.ndarray, counted: np.ndarray) -> None:
        """Add the one unit's activations of all windows.

        Args:
            document: int64 [T], of every token.
            values: float32 [T].
            counted: bool [T], which tokens are looked at.
        """
        group = document[counted] % self.groups
        exact = values[counted].astype(np.float64)
        for total, weights in ((self._tokens, None), (self._x, exact), (self._xx, exact**2)):
            total += np.bincount(group, weights, self.groups)

    def add_others(
        self,
        document: np.ndarray,
        unit: np.ndarray,
        counted: np.ndarray,
        columns: slice | np.ndarray,
        values: np.ndarray,
    ) -> None:
        """Add activations of some of the others in windows of one length.

        Args:
            document: int64 [B], of each window.
            unit: float32 [B, L], the one unit's.
            counted: bool [B, L].
            columns: which of the R units.
            values: float32 [B, L, C], theirs.
        """
        exact = values.astype(np.float64)
        weights = np.stack([counted, counted * unit.astype(np.float64)], axis=1)  # [B, 2, L]
        firsts = weights @ exact
        squares = weights[:, :1] @ np.square(exact, out=exact)
        group = document % self.groups
        for g in np.unique(group).tolist():
            same = group == g
            self._y[g, columns] += firsts[same, 0].sum(axis=0)
            self._xy[g, columns] += firsts[same, 1].sum(axis=0)
            self._yy[g, columns] += squares[same, 0].sum(axis=0)

    def result(self, least_documents: int) -> Correlations:
        """Correlations; with fewer documents than ``least_documents`` there are no intervals."""
        from scipy.special import stdtr, stdtrit

        parts = (self._tokens[:, None], self._x[:, None], self._xx[:, None], self._y, self._yy, self._xy)
        with np.errstate(all="ignore"):
            whole = [part.sum(axis=0) for part in parts]
            r = _correlation(*whole)
            left_out = _correlation(*(total - part for total, part in zip(whole, parts, strict=True)))
            z = np.arctanh(np.clip(r, -np.tanh(_LARGEST_Z), np.tanh(_LARGEST_Z)))
            moved = np.arctanh(np.clip(left_out, -1, 1)) - z
            # A group without which a unit does not vary holds all of its variance: nothing is known of others.
            jackknife = np.where(np.isfinite(moved), moved**2, 0.0).sum(axis=0)
            error = np.sqrt(np.maximum(jackknife, self._null_variance(whole)))
            degrees = self._degrees(whole)
            known = np.isfinite(r) & np.isfinite(error) & (error > 0) & (degrees >= 1)
            if self.documents < least_documents:
                known[:] = False
            degrees = np.where(known, degrees, 1.0)
            reach = stdtrit(degrees, 0.975) * error
            p = 2 * stdtr(degrees, -np.abs(z / error))
        no = np.full(len(r), np.nan)
        return Correlations(
            r,
            np.where(known, np.tanh(z - reach), no),
            np.where(known, np.tanh(z + reach), no),
            np.where(known, p, no),
            np.where(known, degrees, 0.0),
        )

    def _null_variance(self, whole: list[np.ndarray]) -> np.ndarray:
        """Variance of r where both units are independent, by the design effects of their means over groups, [R]."""
        tokens = float(whole[0][0])

        def excess(sums: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
            mean = total / tokens
            residuals = sums - self._tokens[:, None] * mean
            effect = (residuals**2).sum(axis=0) / (squares - tokens * mean**2)
            above: np.ndarray = np.maximum(effect - 1, 0.0)
            return above

        product = excess(self._x[:, None], whole[1], whole[2]) * excess(self._y, whole[3], whole[4])
        variance: np.ndarray = (1 + product / max(self._length - 1, 1.0)) / tokens
        return variance

    def _degrees(self, whole: list[np.ndarray]) -> np.ndarray:
        """Effective groups less one (Satterthwaite 1946), of either unit's squares and of their product, [R]."""
        tokens = self._tokens[:, None]
        squares = []
        for sums, squared, total in ((self._x[:, None], self._xx[:, None], whole[1]), (self._y, self._yy, whole[3])):
            mean = total / whole[0]
            squares.append(squared - 2 * mean * sums + tokens * mean**2)
        product = np.where(tokens > 0, squares[0] * squares[1] / np.where(tokens > 0, tokens, 1.0), 0.0)
        effective = [part.sum(axis=0) ** 2 / (part**2).sum(axis=0) for part in (*squares, product)]
        least: np.ndarray = np.minimum(np.minimum(effective[0], effective[1]), effective[2]) - 1
        # Below one degree a quantile says nothing; one is the widest interval that Student's t has.
        return np.where(least > 0, np.maximum(least, 1.0), 0.0)


def _correlation(
    tokens: np.ndarray, x: np.ndarray, xx: np.ndarray, y: np.ndarray, yy: np.ndarray, xy: np.ndarray
) -> np.ndarray:
    """Pearson's r of sums over tokens; NaN where one of the two does not vary beyond rounding."""
    spread_x, spread_y = xx - x * x / tokens, yy - y * y / tokens
    rounding = 1e-12
    varies = (spread_x > rounding * xx) & (spread_y > rounding * yy)
    r: np.ndarray = np.where(varies, (xy - x * y / tokens) / np.sqrt(spread_x * spread_y), np.nan)
    return r
