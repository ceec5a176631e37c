"""Which hash groups of documents a permutation may exchange between two snapshots, and what the pseudo-sides then hold.

Documents that both snapshots hold are on both sides of every permutation; only the others are exchanged. In the picture
a line is a side, # is a hash group that stays, and o one that was drawn at random, or was left::

                      removed       shared      added
    baseline          ##########    ########
    current                         ########    ##########

    pseudo-baseline   oo o  o oo    ########    o  o oo       random groups, as many tokens as were removed
    pseudo-current      o oo o      ########     oo o  ooo    all the others

Where a side has no documents of its own (an append-only corpus) nothing could be exchanged, so its shared part stands
in, and the other side stays whole::

    baseline                        ########
    current                         ########    ####

    pseudo-baseline                 oo oo oo    o o           random groups, as many tokens as the baseline has
    pseudo-current                  ########    ####          everything

Documents that were edited are on both sides in two versions, b and c. A version is not independent of the other, so
what chance may do is to exchange the two, group by group, each with probability 1/2: if edits have no direction, either
version could have been the earlier one. This goes on beside the exchange of the others::

    baseline          bbbbbbbbbb
    current           cccccccccc

    pseudo-baseline   bcbbccbcbc                              random groups have their versions exchanged
    pseudo-current    cbccbbcbcb
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from corpus_audit.pipelines.kernels.drift.divergence import exchange_sums
from corpus_audit.pipelines.statistics.drift.divergence import LN2
from corpus_audit.pipelines.statistics.drift.token_sample import (
    GROUPS,
    EditedPairs,
    Floats,
    Integers,
    TokenContrast,
    TokenSample,
)

FEWEST_GROUPS = 16.0
"""Effective hash groups, T^2 / sum_g T_g^2, that a side needs: about 21 documents of equal length, more of unequal."""

FEWEST_DRAWN = 4.0
"""Groups of typical size that the smaller pseudo-side must be made of."""

FEWEST_PAIRED_GROUPS = 8.0
"""Effective hash groups of edited documents, by changed tokens: with fewer than 6, p could not fall below 1/64."""

EXACT = 0.005
"""Share of its tokens that the smaller pseudo-side may have more or less of than the smaller side."""

MOST_CARRIED = 0.75
"""Of a drift by edits that draws are taken to carry: sides of more unlike size show too little of it."""

NEGLIGIBLE = 1 / 32
"""Unshared documents of one side with at most this share of the other's unshared tokens count as shared."""


@dataclass(frozen=True)
class Exchange:
    """Which groups may change sides, and what the two pseudo-sides hold for every choice among them.

    Selections of groups are [2 GROUPS, P], or [3 GROUPS, P] with edited documents, whose groups come last.

    Attributes:
        first: the baseline's exchangeable documents.
        second: the current snapshot's.
        fixed_first: int64 [K], what the pseudo-baseline holds whatever is drawn.
        fixed_second: int64 [K], what the pseudo-current holds before drawn groups are added or taken away.
        sign_first: 1 if the pseudo-baseline gains the drawn groups, 0 if it is the same for every draw.
        sign_second: -1 if the pseudo-current loses them, else 0. Both are 0 where only versions are exchanged.
        pairs: the edited documents whose versions are exchanged, None where there are none.
    """

    first: TokenSample
    second: TokenSample
    fixed_first: Integers
    fixed_second: Integers
    sign_first: int
    sign_second: int
    pairs: EditedPairs | None = None

    @classmethod
    def of(cls, contrast: TokenContrast) -> Exchange:
        """Unshared against unshared documents; where one side has next to none, its shared part stands in."""
        removed, added, shared = contrast.only_baseline, contrast.only_current, contrast.shared
        pairs = contrast.edited
        everything = removed.count + added.count + shared.count
        none = np.zeros_like(everything)
        before, now = (none, none) if pairs is None else (pairs.before.count, pairs.current.count)
        first, second = none + before, everything + now
        if removed.total_tokens <= added.total_tokens * NEGLIGIBLE and shared.total_tokens:
            return cls(removed + shared, added, first, second, 1, 0, pairs)
        if added.total_tokens <= removed.total_tokens * NEGLIGIBLE and shared.total_tokens:
            return cls(removed, added + shared, everything + before, second, 0, -1, pairs)
        return cls(removed, added, shared.count + before, second, 1, -1, pairs)

    def with_versions_alone(self, contrast: TokenContrast) -> Exchange:
        """The same with all documents but the edited ones where they are."""
        first, second = contrast.counts
        return replace(self, fixed_first=first, fixed_second=second, sign_first=0, sign_second=0)

    def without_versions(self) -> Exchange:
        """The same with the edited documents where they are."""
        return replace(self, pairs=None)

    @property
    def moves_documents(self) -> bool:
        """Whether documents of one side alone are exchanged; versions of edited ones may be in any case."""
        return bool(self.sign_first or self.sign_second)

    @property
    def nested(self) -> bool:
        """Whether one side of every permutation holds all documents, as in a corpus that only grew or only shrank."""
        return bool(self.sign_first) != bool(self.sign_second)

    @property
    def token_totals(self) -> tuple[float, float]:
        """Tokens of the two sides as they are."""
        first, second = self.side_totals(self.observed())
        return float(first[0]), float(second[0])

    @cached_property
    def paired_difference(self) -> Integers:
        """What the pseudo-baseline gains where a group of edited documents is exchanged, int64 [GROUPS, K]."""
        assert self.pairs is not None, "there are no edited documents"
        return self.pairs.current.groups - self.pairs.before.groups

    def too_few_pairs(self) -> str | None:
        """Why the edited documents are too few to tell, or None; they must be there."""
        effective = _effective(np.abs(self.paired_difference).sum(axis=1).astype(np.float64))
        if effective >= FEWEST_PAIRED_GROUPS:
            return None
        return (
            f"too few edited documents: their changes are spread as over {effective:.1f} equal hash groups, and "
            f"{FEWEST_PAIRED_GROUPS:.0f} are needed"
        )

    @cached_property
    def sizes(self) -> Floats:
        """Tokens of the groups, [2 GROUPS]: the first side's, then the second's."""
        return np.concatenate([self.first.groups.sum(axis=1), self.second.groups.sum(axis=1)]).astype(np.float64)

    def too_few(self) -> str | None:
        """Why the documents are too few to tell, or None."""
        for side, sizes in (("baseline", self.sizes[:GROUPS]), ("current snapshot", self.sizes[GROUPS:])):
            effective = _effective(sizes)
            if effective < FEWEST_GROUPS:
                return (
                    f"too few documents in the {side} that can be exchanged: their tokens are spread as over "
                    f"{effective:.1f} equal hash groups, and {FEWEST_GROUPS:.0f} are needed"
                )
        return None

    def too_coarse(self) -> str | None:
        """Why pseudo-sides of the right size cannot be drawn, or None."""
        smaller = min(self.sizes[:GROUPS].sum(), self.sizes[GROUPS:].sum())
        drawn = smaller * self.sizes.sum() / (self.sizes**2).sum()
        if drawn < FEWEST_DRAWN:
            return (
                f"the sides differ so much in size that the smaller is made of {drawn:.1f} hash groups, and "
                f"{FEWEST_DRAWN:.0f} are needed to draw its like: the upper bound includes chance"
            )
        return None

    def observed(self) -> Floats:
        """The selection [2 or 3 GROUPS, 1] that the two snapshots are."""
        rows = [1.0, 0.0] if self.pairs is None else [1.0, 0.0, 0.0]
        return np.repeat(rows, GROUPS)[:, None]

    def draws(self, permutations: int, seed: int) -> Floats:
        """Groups of the pseudo-baseline in each permutation, 0 or 1, [2 or 3 GROUPS, permutations].

        The smaller side is a run of groups in a random circular order whose tokens are those of the side within
        `EXACT`, or come nearest to them: the first such run around the circle. To fill the side with whatever group
        still fits would leave groups of long documents out more often than chance does, and with them part of the
        noise. A group of edited documents has its versions exchanged with probability 1/2.
        """
        if not self.moves_documents:
            drawn = np.repeat(self.observed()[: 2 * GROUPS], permutations, axis=1)
        else:
            drawn = self._document_draws(permutations, seed)
        if self.pairs is None:
            return drawn
        swaps = np.random.default_rng([seed, 1]).integers(2, size=(GROUPS, permutations)).astype(np.float64)
        return np.concatenate([drawn, swaps])

    def _document_draws(self, permutations: int, seed: int) -> Floats:
        """Groups of the pseudo-baseline, [2 GROUPS, permutations]; see `draws`."""
        sizes = self.sizes
        first, second = sizes[:GROUPS].sum(), sizes[GROUPS:].sum()
        smaller = min(first, second)
        occupied = np.flatnonzero(sizes)
        order = np.random.default_rng(seed).random((permutations, len(occupied))).argsort(axis=1)
        around = np.tile(sizes[occupied][order], 2).cumsum(axis=1)
        start, last = np.zeros((2, permutations), np.int64)
        gap = np.full(permutations, np.inf)
        rows = np.arange(permutations)
        for at in range(len(occupied)):
            filled = around[rows, at : at + len(occupied)] - (around[rows, at - 1, None] if at else 0.0)
            miss = np.abs(filled - smaller)
            nearest = miss.argmin(axis=1)
            miss = np.take_along_axis(miss, nearest[:, None], axis=1)[:, 0]
            better = miss < gap[rows]
            closer = rows[better]
            start[closer], last[closer], gap[closer] = at, nearest[better], miss[better]
            rows = rows[gap[rows] > EXACT * smaller]
            if not len(rows):
                break
        position = np.empty_like(order)
        np.put_along_axis(position, order, np.arange(len(occupied))[None, :], axis=1)
        selection = np.zeros((2 * GROUPS, permutations))
        selection[occupied] = ((position - start[:, None]) % len(occupied) <= last[:, None]).T
        return selection if first <= second else 1.0 - selection

    def first_order_noise(self, scatters: Sequence[Floats], totals: Sequence[Floats], paired: Floats) -> Floats:
        """What the null mean is proportional to, where a difference of shares counts squared over the shares.

        A group adds its scatter times the square of the difference that one of its tokens makes between the sides'
        shares: the null mean is scaled by which groups are on which side (`scatter.side_noise`). A group of edited
        documents adds the square of what its change makes of that difference, whichever version is where.

        Args:
            scatters: sums over groups of the scatter (see `excess_variance`) of the removed, the added and
                the shared documents, [...].
            totals: their tokens, [...].
            paired: sum over groups of what the edited documents add, [...]; 0 where their versions stay.
        """
        if not self.moves_documents:
            return paired + 0 * totals[0]
        removed, added, shared = totals
        before, now = (
            (0, 0) if self.pairs is None else (self.pairs.before.total_tokens, self.pairs.current.total_tokens)
        )
        first, second = shared + removed + before, shared + added + now
        same = (1 / first - 1 / second) ** 2
        if self.sign_first and self.sign_second:
            return paired + scatters[0] / first**2 + scatters[1] / second**2 + scatters[2] * same
        if self.sign_first:
            return paired + (scatters[0] + scatters[2]) * same + scatters[1] / second**2
        return paired + (scatters[1] + scatters[2]) * same + scatters[0] / first**2

    def carried(self, selection: Floats) -> float:
        """What part of a drift P draws [2 or 3 GROUPS, P] carry on average, of the divergence; 0 to 1.

        A draw seldom takes the two sides' groups in exact proportion, so drift between them is between the pseudo-sides
        as well, and the null mean is noise plus ``carried`` times the divergence rather than noise: with 64 equal
        groups a side and nothing shared, 1 / 127 of it. To second order the divergence goes with the square of the
        difference of the sides' shares. Where text of the second side is Q and all other P, that is (Q - P) times the
        difference of Q's share on the two sides; ``carried`` is the mean square of that over draws, over its square as
        observed. With it (D - null mean) / (1 - carried) is the excess, and under the null, where both are the same on
        average, only a change of scale.

        Edits of one direction are carried by the groups whose versions happen not to be exchanged evenly: of groups of
        w tokens, sum w^2 / (sum w)^2, 1 / 64 of equal ones. Between sides of T_1 and T_2 tokens an edit e makes a
        difference of e / T_2, and -e / T_1 after the exchange; every draw has the mean of the two, (1 - T_2 / T_1) / 2
        of what the edit makes. Where documents and versions are exchanged at once, a drift may be of either kind, and
        the smaller of the two is taken: the excess is then at most too small.
        """
        parts = []
        if self.pairs is not None:
            uneven = 1 / _effective((self.pairs.before.groups + self.pairs.current.groups).sum(axis=1))
            first, second = self.token_totals
            parts.append(min(uneven + ((1 - second / first) / 2) ** 2, MOST_CARRIED))
        if self.moves_documents:
            documents = selection[: 2 * GROUPS]
            observed = self.observed()[: 2 * GROUPS]
            parts.append(float((self._leverage(documents) ** 2).mean() / self._leverage(observed)[0] ** 2))
        return min(parts)

    def _leverage(self, selection: Floats) -> Floats:
        """Share of the second side's exchangeable tokens in the pseudo-current less in the pseudo-baseline, [P]."""
        tokens = self.sizes[GROUPS:]
        first, second = self.side_totals(selection)
        drawn = tokens @ selection[GROUPS:]
        in_first = self.sign_first * drawn if self.sign_first else tokens.sum()
        return np.asarray((tokens.sum() + self.sign_second * drawn) / second - in_first / first)

    def side_totals(self, selection: Floats) -> tuple[Floats, Floats]:
        """Tokens of the two pseudo-sides, [P] each; without rows for edited documents their versions stay."""
        drawn = self.sizes @ selection[: 2 * GROUPS]
        gained = np.zeros(selection.shape[1])
        if len(selection) > 2 * GROUPS:
            gained = self.paired_difference.sum(axis=1).astype(np.float64) @ selection[2 * GROUPS :]
        first = self.fixed_first.sum() + self.sign_first * drawn + gained
        return first, self.fixed_second.sum() + self.sign_second * drawn - gained

    def permuted(self, selection: Floats, workers: int = 1) -> dict[str, Floats]:
        """The statistics [P] for each of P selections of groups that the pseudo-baseline gets."""
        tokens = np.count_nonzero(self.fixed_first + self.fixed_second)
        first, second = self.side_totals(selection)
        scales = np.stack([1 / first, 1 / second, 1 / (first + tokens / 2), 1 / (second + tokens / 2)])
        moved = [self.first.groups, self.second.groups] if self.moves_documents else []
        swapped = len(moved) * GROUPS
        if not moved:
            selection = selection[2 * GROUPS :]
        if self.pairs is not None:
            moved.append(self.paired_difference)
        return statistics_of(
            exchange_sums(
                moved,
                (self.fixed_first, self.fixed_second),
                (self.sign_first, self.sign_second),
                selection,
                scales,
                workers,
                swapped,
            )
        )


def _effective(sizes: Floats | Integers) -> float:
    """Kish's effective number of groups."""
    sizes = sizes.astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if sizes.any() else 0.0


def statistics_of(sums: Floats) -> dict[str, Floats]:
    """The six statistics of `permutation.STATISTICS`, [P] each, from the sums [SUMS, P] of `exchange_sums`."""
    entropy_gap, absolute, hellinger, jeffreys, kullback = np.maximum(sums, 0.0)
    jsd = entropy_gap / (2 * LN2)
    return {
        "jsd": jsd,
        "jsd_root": np.sqrt(jsd),
        "tvd": absolute / 2,
        "hellinger": np.sqrt(hellinger / 2),
        "psi": jeffreys,
        "kl": kullback / LN2,
    }
