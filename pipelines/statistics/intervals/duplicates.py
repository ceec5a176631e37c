"""Shares of duplicates, exact for the snapshot, with bounds for a corpus of the same size from the same process."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.intervals.proportions import LEVEL


def duplicate_share(
    duplicates: npt.ArrayLike, total: npt.ArrayLike, squares: npt.ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Share of documents (or tokens) that repeat a text already counted, with bounds.

    A full scan counts duplicates exactly. Whether a document is one depends on all others, so neither a binomial
    interval nor a clustered ratio holds. What does hold: replacing one of n independent documents changes the number of
    distinct texts by at most 1, hence (McDiarmid 1989, the method of bounded differences)

        P(|share - E share| >= t) <= 2 exp(-2 t^2 n),  a half-width of sqrt(ln(2 / (1 - `LEVEL`)) / (2 n)).

    In tokens, document d can change the duplicate tokens by its length n_d, which gives n = (sum n_d)^2 / sum n_d^2; as
    lengths are random too, that is an approximation. The bounds are for the expected share of a corpus of this size:
    the share grows with the corpus, so it is no estimate for a larger one, and a part of the splits gives no bounds.

    The share of documents whose text occurs in another domain too has no such interval (one document can change the
    standing of a whole class of copies), so it is published as the snapshot's exact share.

    Args:
        duplicates: duplicate documents or tokens, integers [G].
        total: documents or tokens, integers [G].
        squares: sums over documents of the squared size, Python integers [G]; the documents themselves, if those count.

    Returns:
        Shares, lower and upper bounds, [G] each, within [0, 1]; NaN where ``total`` is 0.
    """
    totals = np.asarray(total, dtype=object).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(totals > 0, np.asarray(duplicates, dtype=object).astype(np.float64) / totals, np.nan)
        size = totals**2 / np.asarray(squares, dtype=object).astype(np.float64)
        reach = np.sqrt(np.log(2 / (1 - LEVEL)) / (2 * size))
    return share, np.maximum(share - reach, 0.0), np.minimum(share + reach, 1.0)
