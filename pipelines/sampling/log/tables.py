"""Audits a sampler's log: what it drew by window of steps, by domain and by document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.figures.facet_totals import sort_all_first
from corpus_audit.pipelines.sampling.log.reader import SamplerLogReader
from corpus_audit.pipelines.sampling.log.rows import UNKNOWN, TargetMixture, rows_of
from corpus_audit.pipelines.sampling.log.tally import Repeats, Tally, read_log
from corpus_audit.pipelines.sampling.log.windows import window_rows
from corpus_audit.pipelines.statistics import special
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.sampling import log as statistics
from corpus_audit.pipelines.statistics.sampling.draws import maximum_draws, occupancy
from corpus_audit.pipelines.statistics.sampling.log import Draws
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.spec.sampling import SamplerLogSpec
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_LOG_DOCUMENTS, SAMPLING_LOG_DOMAINS

_LIMIT = 3.0  # standard deviations beyond which repeats are not those of drawing with replacement


def log_tables(run: RunDirectory, spec: SamplerLogSpec, base: Path, intended: TargetMixture) -> dict[str, pa.Table]:
    """Tables ``sampling_log_windows``, ``sampling_log_domains`` and ``sampling_log_documents`` of a sampler's log.

    A row of the log is one drawn document. Its domain is read from the log, or looked up by id in table
    ``per_document``.

    Raises:
        UsageError: the log does not fit the spec, or ids cannot be joined because the run has no such table.
    """
    tally = read_log(run, SamplerLogReader(spec, base), spec.windows, intended.names)
    totals = tally.totals
    count = totals.tokens if intended.unit == "tokens" else totals.documents
    squares = totals.squares if intended.unit == "tokens" else totals.documents.astype(np.float64)
    draws = Draws(count, squares, totals.documents)
    shares = np.append(intended.shares, 0.0)
    return {
        "sampling_log_windows": window_rows(tally, draws, shares, intended),
        "sampling_log_domains": _domains(tally, draws, shares, intended),
        "sampling_log_documents": _documents(tally, intended),
    }


def _domains(tally: Tally, draws: Draws, shares: Floats, intended: TargetMixture) -> pa.Table:
    totals, size = tally.totals, len(shares)
    all_draws = draws.pooled()
    test = statistics.mixture_test(all_draws, shares)
    slope = statistics.trend(draws)
    half = len(draws.count) // 2
    early, late = (_share(part) for part in (draws.count[:half], draws.count[len(draws.count) - half :]))
    reasons = np.full(size, None, dtype=object)
    reasons[test.rare[0]] = f"fewer than {statistics.EXPECTED:g} documents are expected in the whole log"
    reasons[(shares == 0) & (all_draws.count[0] > 0)] = "drawn, but not intended"
    if tally.unknown_domains:
        reasons[-1] = f"domains that the run lacks: {', '.join(tally.unknown_domains[:3])}" + (
            " and more" if len(tally.unknown_domains) > 3 else ""
        )
    columns = {
        "domain": np.array([*intended.names, UNKNOWN], dtype=object),
        "draws": all_draws.documents[0],
        "tokens": totals.tokens.sum(axis=0),
        "share": _share(all_draws.count),
        "intended": shares,
        "z": test.z[0],
        "p": test.p[0],
        "q": benjamini_hochberg(test.p[0]),
        "early_share": early,
        "late_share": late,
        "trend_z": slope,
        "trend_q": benjamini_hochberg(statistics.two_sided(slope)),
        "reason": reasons,
    }
    shown = (shares > 0) | (all_draws.documents[0] > 0)
    joint: dict[str, object] = {
        "domain": ALL_DOMAINS,
        "draws": int(all_draws.documents.sum()),
        "tokens": int(totals.tokens.sum()),
        "share": 1.0,
        "intended": 1.0,
        "p": float(test.p_joint[0]),
    }
    if tally.repeats is not None:
        foreign = ~_known(tally.repeats, intended)[:-1]
        reasons[:-1][foreign] = (
            "more ids were drawn than the corpus has documents: they are not its ids"
            if intended.complete
            else "the audit read a part of the corpus: repeats cannot be told"
        )
        columns |= _repeats(tally.repeats, intended)
        sums = {name: columns[name][:-1].sum() for name in ("documents", "drawn_documents", "never_drawn")}
        joint |= sums | {"repeats_maximum": int(tally.repeats.most.max())}
    else:
        joint["reason"] = "the log has no ids of documents: repeats cannot be told"
    each = rows_of(
        SAMPLING_LOG_DOMAINS,
        int(shown.sum()),
        {"unit": intended.unit} | {name: column[shown] for name, column in columns.items()},
    )
    return sort_all_first(
        pa.concat_tables([each, rows_of(SAMPLING_LOG_DOMAINS, 1, {"unit": intended.unit} | joint)]), []
    )


def _repeats(repeats: Repeats, intended: TargetMixture) -> dict[str, npt.NDArray[Any]]:
    """Columns of SAMPLING_LOG_DOMAINS about documents, [G + 1]; NaN or None for the unknown domain."""
    documents = np.append(intended.documents, 0)
    expectation = occupancy(documents, repeats.draws, repeats.distinct, repeats.squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(documents > 0, repeats.draws / documents, np.nan)
    limit = maximum_draws(mean, documents)
    even = repeats.most <= np.ceil(np.nan_to_num(mean))
    drawing = np.full(len(documents), None, dtype=object)
    drawing[np.abs(expectation.dispersion_z) <= _LIMIT] = "with replacement"
    drawing[expectation.dispersion_z > _LIMIT] = "uneven"
    drawing[even & (expectation.dispersion_z < -_LIMIT)] = "without replacement"
    columns = {
        "documents": documents,
        "drawn_documents": repeats.distinct,
        "never_drawn": np.maximum(documents - repeats.distinct, 0),
        "never_expected": expectation.never,
        "never_expected_replaced": expectation.never_replaced,
        "never_z": expectation.never_z,
        "repeats_mean": mean,
        "repeats_maximum": repeats.most,
        "repeats_limit": limit,
        "dispersion": expectation.dispersion,
        "dispersion_z": expectation.dispersion_z,
    }
    known = _known(repeats, intended)
    drawing[~known] = None
    masked: dict[str, npt.NDArray[Any]] = {
        name: np.where(known, column.astype(np.float64), np.nan) for name, column in columns.items()
    }
    return masked | {"drawing": drawing}


def _known(repeats: Repeats, intended: TargetMixture) -> npt.NDArray[np.bool_]:
    """Whether the run knows how many documents of a domain there are to draw, bool [G + 1]."""
    return np.append(intended.complete & (repeats.distinct[:-1] <= intended.documents), False)


def _documents(tally: Tally, intended: TargetMixture) -> pa.Table:
    if tally.repeats is None or not tally.repeats.top:
        return SAMPLING_LOG_DOCUMENTS.empty_table()
    keys = list(tally.repeats.top)
    draws, tokens, domain = (np.array(column) for column in zip(*tally.repeats.top.values(), strict=True))
    known = _known(tally.repeats, intended)
    documents = np.where(known, np.append(intended.documents, 0), 0)[domain].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(documents > 0, tally.repeats.draws[domain] / documents, np.nan)
        # P(any of D Poisson counts reaches m) = 1 - P(X < m)^D.
        tail = special.pdtrc(draws - 1, np.nan_to_num(expected))
        p = np.where(documents > 0, -np.expm1(documents * np.log1p(-tail)), np.nan)
    names = np.array([*intended.names, UNKNOWN], dtype=object)
    table = rows_of(
        SAMPLING_LOG_DOCUMENTS,
        len(keys),
        {
            "document": np.array([tally.ids[key] for key in keys], dtype=object),
            "domain": names[domain],
            "draws": draws,
            "tokens": tokens,
            "expected": expected,
            "p": p,
        },
    )
    return table.sort_by([("draws", "descending"), ("document", "ascending")]).combine_chunks()


def _share(count: Integers) -> Floats:
    """Shares of the windows together, [G]; NaN if nothing was drawn."""
    total = count.sum()
    return count.sum(axis=0) / total if total else np.full(count.shape[1], np.nan)
