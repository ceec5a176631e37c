"""Table ``sampling_log_windows``: what a sampler drew in each window of steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.sampling.log.rows import UNKNOWN, TargetMixture, rows_of
from corpus_audit.pipelines.sampling.log.tally import LogTotals, Tally
from corpus_audit.pipelines.statistics.intervals.clustered import DocumentClusters, Floats
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.intervals.proportions import share_intervals
from corpus_audit.pipelines.statistics.sampling import log as statistics
from corpus_audit.pipelines.statistics.sampling.log import Draws
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_LOG_WINDOWS


def window_rows(tally: Tally, draws: Draws, shares: Floats, intended: TargetMixture) -> pa.Table:
    """Table ``sampling_log_windows``, with the domains of ``intended`` and the unknown one.

    Args:
        tally: the log, added up.
        draws: the same in the unit of the intended shares, [W, G + 1].
        shares: the intended shares, [G + 1].
        intended: names and unit.
    """
    test = statistics.mixture_test(draws, shares)
    q = benjamini_hochberg(test.p)
    q_joint = benjamini_hochberg(test.p_joint)
    jump_q = benjamini_hochberg(statistics.mixture_changes(draws))
    totals = tally.totals
    loss, error, of_mixture = _losses(totals)
    jumps = statistics.loss_jumps(loss, error)
    both = (np.abs(np.nan_to_num(jumps)) >= statistics.JUMP) & (np.nan_to_num(jump_q, nan=1.0) <= statistics.ALPHA)
    return _in_order(
        pa.concat_tables(
            [
                table
                for w in range(len(draws.count))
                for table in (
                    _window_rows(w, tally, draws, shares, test, q, intended),
                    _joint_row(w, tally, test, q_joint, intended, (loss, of_mixture, jumps, jump_q, both)),
                )
            ]
        )
    )


def _in_order(table: pa.Table) -> pa.Table:
    """Sort rows of SAMPLING_LOG_WINDOWS: by window, the row of all domains first, then by domain."""
    domain_rank = pc.not_equal(table["domain"], ALL_DOMAINS).cast(pa.int8())
    order = [("window", "ascending"), ("domain_rank", "ascending"), ("domain", "ascending")]
    return table.append_column("domain_rank", domain_rank).sort_by(order).drop_columns(["domain_rank"]).combine_chunks()


def _window_rows(
    w: int,
    tally: Tally,
    draws: Draws,
    shares: Floats,
    test: statistics.MixtureTest,
    q: Floats,
    intended: TargetMixture,
) -> pa.Table:
    totals = tally.totals
    shown = (shares > 0) | (draws.documents.sum(axis=0) > 0)
    count = draws.count[w]
    share = low = high = np.full(len(count), np.nan)
    if count.sum() > 0:
        squares = np.array([int(value) for value in draws.squares[w]], dtype=object)
        interval = share_intervals(DocumentClusters(count, squares, int(draws.documents[w].sum())))
        share, low, high = interval.share, interval.low, interval.high
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = totals.loss[w] / totals.loss_tokens[w]
    names = np.array([*intended.names, UNKNOWN], dtype=object)
    reasons = np.full(len(count), None, dtype=object)
    reasons[test.rare[w]] = f"fewer than {statistics.EXPECTED:g} documents expected; tested with other rare domains"
    reasons[(shares == 0) & (count > 0)] = "drawn, but not intended"
    return rows_of(
        SAMPLING_LOG_WINDOWS,
        int(shown.sum()),
        _span(w, tally)
        | {
            "domain": names[shown],
            "unit": intended.unit,
            "documents": draws.documents[w][shown],
            "tokens": totals.tokens[w][shown],
            "share": share[shown],
            "intended": shares[shown],
            "low": low[shown],
            "high": high[shown],
            "z": test.z[w][shown],
            "p": test.p[w][shown],
            "q": q[w][shown],
            "loss": loss[shown],
            "both_move": False,
            "reason": reasons[shown],
        },
    )


def _joint_row(
    w: int,
    tally: Tally,
    test: statistics.MixtureTest,
    q: Floats,
    intended: TargetMixture,
    losses: tuple[Floats, Floats, Floats, Floats, npt.NDArray[np.bool_]],
) -> pa.Table:
    totals = tally.totals
    loss, of_mixture, jumps, jump_q, both = losses
    tested = test.freedom[w] > 0
    return rows_of(
        SAMPLING_LOG_WINDOWS,
        1,
        _span(w, tally)
        | {
            "domain": ALL_DOMAINS,
            "unit": intended.unit,
            "documents": int(totals.documents[w].sum()),
            "tokens": int(totals.tokens[w].sum()),
            "distance": float(test.distance[w]),
            "statistic": float(test.statistic[w]),
            "freedom": int(test.freedom[w]),
            "p": float(test.p_joint[w]),
            "q": float(q[w]),
            "loss": float(loss[w]),
            "loss_of_mixture": float(of_mixture[w]),
            "loss_jump": float(jumps[w]),
            "mixture_jump_q": float(jump_q[w]),
            "both_move": bool(both[w]),
            "reason": None if tested else f"fewer than two domains are to give {statistics.EXPECTED:g} documents",
        },
    )


def _span(w: int, tally: Tally) -> dict[str, object]:
    return {"window": w, "first_step": int(tally.edges[w]), "last_step": int(tally.edges[w + 1]) - 1}


def _losses(totals: LogTotals) -> tuple[Floats, Floats, Floats]:
    """By window: mean loss, its standard error over documents, and the loss if domains had their overall losses."""
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = totals.loss_tokens.sum(axis=1)
        loss = totals.loss.sum(axis=1) / weight
        squares, first, second = totals.loss_squares
        error = np.sqrt(np.maximum(second - 2 * loss * first + loss**2 * squares, 0.0)) / weight
        overall = np.nan_to_num(totals.loss.sum(axis=0) / totals.loss_tokens.sum(axis=0))
        of_mixture = (totals.loss_tokens @ overall) / weight
    return loss, error, of_mixture
