"""How much drift adds to the variance of the excess divergence: the documents' influences on it, less their noise.

To second order the Jensen-Shannon divergence of shares p and q is a square, D = |q - p|^2 with tokens weighted by
1 / (8 ln 2 m), m their mean. Hash group g adds y_g to the difference q - p = mu + sum_g y_g, mu the true one. The
excess, D less what chance gives, has the variance

    L + Q,   L = 4 sum_g E (mu y_g)^2,   Q = 2 sum_{g != h} E (y_g y_h)^2.

Q is that of the permutations. L is there only if there is drift. The square of the influence of a group, y_g times the
difference without it, has the mean (mu y_g)^2 + sum_{h != g} E (y_g y_h)^2, so that L is estimated without bias by

    4 sum_g ((influence of g)^2 - sum_{h != g} (y_g y_h)^2),

the influences about their mean within the removed, the added, the shared and the edited documents, each a sample of its
own. The two versions of an edited document are in one group, which adds the one to either side.

* Groups are compared with the shares of their side, which they are a part of: y_g y_h is too small by what g and h are
  of those shares. It is added back (`_Products.expected`).
* m is the mean of the sides' shares for tokens in many documents. By it, a rare token of the smaller side would weigh
  more if the other documents that hold it are on that side too, and documents with many rare tokens would seem to have
  an influence where there is no drift. So for rare tokens m is the share among all documents, each counted once.
* How many documents were removed, added and kept is given, and not chance: with h_d the influence of one of N documents
  of a set, their sum has the variance sum h_d^2 - (sum h_d)^2 / N, not sum h_d^2. Where the added documents make up for
  the whole drift, and their lengths vary little, the difference is nearly all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.drift.divergence import LN2
from corpus_audit.pipelines.statistics.drift.scatter import token_weights
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, Floats, Integers, TokenContrast

TOKENS_OF_A_BLOCK = 4_096
"""Tokens of which the groups' shares are in memory at a time, as float64."""

FEW_DOCUMENTS = 20
"""Documents with a token at which its weight is halfway from the share among all to the mean of the sides' shares."""

GRADIENT = 1 / (2 * LN2)
"""Bits of the divergence for a change of the weighted difference of shares, times that difference."""


@dataclass(frozen=True)
class _Products:
    """Weighted products of what G groups add to the difference of shares; see the module's docstring.

    Attributes:
        pairs: of each two groups, [G, G].
        difference: of each group and the difference of shares, [G].
        first, second: of each group and what it adds to the first, and to the second side's shares, [G].
        sides: what is added to the sides' shares: first with first, first with second, second with second.
        in_first, in_second: share of the side's tokens that a group has, [G].
    """

    pairs: Floats
    difference: Floats
    first: Floats
    second: Floats
    sides: tuple[float, float, float]
    in_first: Floats
    in_second: Floats

    @property
    def expected(self) -> Floats:
        """What ``pairs`` has on average for two groups that have nothing to do with each other, [G, G]."""
        one, two = self.in_first, self.in_second
        half = np.outer(self.first, one) - np.outer(self.second, two)
        across = np.outer(two, one)
        both, mixed, other = self.sides
        return np.asarray(
            half + half.T + both * np.outer(one, one) - mixed * (across + across.T) + other * np.outer(two, two)
        )

    @property
    def influences(self) -> Floats:
        """Of each group on half of the squared difference of shares, [G]: with the difference that others make."""
        both, mixed, other = self.sides
        shared = self.in_second * (other - mixed) - self.in_first * (mixed - both)
        return np.asarray(self.difference - np.diag(self.pairs) + shared)


FEWEST_DEGREES = 8.0
"""Degrees of freedom that the variance is taken to have at least."""


def drift_variance(contrast: TokenContrast) -> tuple[float, float]:
    """L: what drift adds to the variance of the excess divergence by chance alone, and how well it is known.

    Args:
        contrast: the slice's documents. In clusters, the numbers of documents are not taken for given, as those of
            clusters are not known.

    Returns:
        ``(variance, freedom)``: squared bits, at least 0; and degrees of freedom, 2 L^2 / the variance of its estimate,
        which is that of the sum of squared influences (Satterthwaite 1946, Biometrics Bulletin 2): few where a few long
        documents make most of it, or most of it is noise.
    """
    products = _products(contrast)
    influences = products.influences
    noise = (products.pairs - products.expected) ** 2
    np.fill_diagonal(noise, 0.0)
    terms = influences**2 - noise.sum(axis=1)
    variance, spread, start = 0.0, 0.0, 0
    for documents in (each.documents for each in _sets(contrast)):
        of_set = slice(start, start + GROUPS)
        whole = float(influences[of_set].sum())
        variance += (float(terms[of_set].sum()) - whole**2 / GROUPS) * GROUPS / (GROUPS - 1)
        about = (influences[of_set] - whole / GROUPS) ** 2
        spread += float(((about - about.mean()) ** 2).sum())
        if not contrast.clustered:
            variance -= whole**2 / documents
        start = of_set.stop
    variance = max(variance, 0.0)
    freedom = 2 * variance**2 / spread if spread > 0 else 0.0
    return GRADIENT**2 * variance, max(freedom, FEWEST_DEGREES)


@dataclass(frozen=True)
class _Set:
    """Documents of one kind: the hash groups [GROUPS, K] that they make on each side, None if on that side are none."""

    documents: int
    first: Integers | None
    second: Integers | None


def _sets(contrast: TokenContrast) -> list[_Set]:
    """The removed, the added, the shared and the edited documents, as far as there are any.

    The versions of an edited document are in one group, so that groups have nothing to do with each other.
    """
    removed, added, shared, edited = contrast.only_baseline, contrast.only_current, contrast.shared, contrast.edited
    sets = [
        _Set(removed.total_documents, removed.groups, None),
        _Set(added.total_documents, None, added.groups),
        _Set(shared.total_documents, shared.groups, shared.groups),
    ]
    if edited is not None:
        sets.append(_Set(edited.before.total_documents, edited.before.groups, edited.current.groups))
    return [each for each in sets if each.documents]


def _columns(groups: Integers | None, block: Integers) -> Floats:
    """Some tokens' columns, [GROUPS, block]; zeros for a side that the documents are not on."""
    return np.zeros((GROUPS, len(block))) if groups is None else groups[:, block].astype(np.float64)


def _products(contrast: TokenContrast) -> _Products:
    """Sums over all tokens, a block of them at a time."""
    sets = _sets(contrast)
    counts = contrast.counts
    t1, t2 = (float(count.sum()) for count in counts)
    none = np.zeros(GROUPS)
    in_first = np.concatenate([none if each.first is None else each.first.sum(axis=1) / t1 for each in sets])
    in_second = np.concatenate([none if each.second is None else each.second.sum(axis=1) / t2 for each in sets])
    total = len(in_first)
    pairs, difference = np.zeros((total, total)), np.zeros(total)
    own_first, own_second = np.zeros(total), np.zeros(total)
    both = mixed = other = 0.0
    samples = [contrast.only_baseline, contrast.only_current, contrast.shared]
    holders, once = (sum(getattr(sample, name) for sample in samples) for name in ("documents", "count"))
    if contrast.edited is not None:  # every document once, on whichever sides it is
        before, current = contrast.edited.before, contrast.edited.current
        holders = holders + contrast.edited.documents
        once = once + (before.count + current.count) / 2
    several = np.flatnonzero(holders > 1)  # a token of one document has no part in what two of them make together
    for start in range(0, len(several), TOKENS_OF_A_BLOCK):
        block = several[start : start + TOKENS_OF_A_BLOCK]
        p, q = counts[0][block] / t1, counts[1][block] / t2
        among_all = token_weights(2 * once[block] / once.sum())
        many = holders[block] / (holders[block] + FEW_DOCUMENTS)
        root = np.sqrt(many * token_weights(p + q) + (1 - many) * among_all)
        on_first = np.concatenate([_columns(each.first, block) / t1 for each in sets])
        on_first = (on_first - np.outer(in_first, p)) * root
        on_second = np.concatenate([_columns(each.second, block) / t2 for each in sets])
        on_second = (on_second - np.outer(in_second, q)) * root
        added = on_second - on_first
        pairs += added @ added.T
        difference += added @ (root * (q - p))
        own_first += (added * on_first).sum(axis=1)
        own_second += (added * on_second).sum(axis=1)
        both += float((on_first**2).sum())
        mixed += float((on_first * on_second).sum())
        other += float((on_second**2).sum())
    return _Products(pairs, difference, own_first, own_second, (both, mixed, other), in_first, in_second)
