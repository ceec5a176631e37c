"""What the sampler drew before every spike of a run, against control windows; not yet findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus_audit.checks.investigation.run_analysis import RunAnalysis
from corpus_audit.checks.investigation.spike_findings import spikes_within
from corpus_audit.checks.text.numbers import grouped
from corpus_audit.pipelines.sampling.log.comparison import WindowComparison, compare_window, excess_of
from corpus_audit.pipelines.sampling.log.drawn import DrawnLog, DrawnRows, TooManyRowsError, drawn_rows
from corpus_audit.pipelines.sampling.log.reader import SamplerLogReader
from corpus_audit.pipelines.sampling.log.repetition import TextComparison, compare_texts, keys_of
from corpus_audit.pipelines.sampling.log.texts import read_texts
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg
from corpus_audit.pipelines.statistics.sampling.control_windows import LEAST_CONTROLS, MOST_CONTROLS, control_starts
from corpus_audit.pipelines.statistics.sampling.excess_loss import OffsetTest, offset_test
from corpus_audit.pipelines.storage.run_directory import LATEST
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.pipelines.telemetry.points import encodable
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.investigation import DrawnDocuments
from corpus_audit.schemas.spec.sampling import SamplerLogSpec

MOST_WINDOWS = 20
"""Spikes before which the documents are compared, the highest."""

OFFSETS = 5
"""Offsets on either side of the stated one that are correlated with the loss of the run."""

NEIGHBOURS = 2
"""Offsets on either side of the one used at which the comparison is repeated."""


@dataclass(frozen=True, slots=True)
class SpikeDocuments:
    """The documents before a spike.

    Attributes:
        step: of the peak; first: of the window, which ends with the peak; both of the run.
        comparison: None if nothing was compared, and then ``why``.
        neighbours: p at other offsets.
        q: of the window among all of the run; NaN if there is none.
        why: why there is no test; empty if there is one.
        avoided: steps of the run that no control window holds, from the lag before the spike to its last point: what
            was drawn in a later part of the same spike says nothing of other steps.
    """

    step: int
    first: int
    comparison: WindowComparison | None
    neighbours: dict[int, float]
    q: float
    why: str
    avoided: tuple[int, int]


@dataclass(frozen=True, slots=True)
class DrawnAnalysis:
    """What was drawn before the spikes of a run.

    Attributes:
        run: id of the run.
        log: path of the log.
        steps: first and last step of the log.
        offset: step of the run minus step of the log, as used.
        test: of the offset; None if the log has no loss, or no steps near a spike.
        spikes: by step.
        untested: spikes beyond `MOST_WINDOWS`.
    """

    run: str
    log: str
    steps: tuple[int, int]
    offset: int
    test: OffsetTest | None
    spikes: dict[int, SpikeDocuments]
    untested: int


def open_log(spec: DrawnDocuments, base: Path) -> SamplerLogReader:
    """The log that an investigation names.

    Raises:
        UsageError: it does not exist, or lacks a column.
    """
    columns = {name: getattr(spec, name) for name in ("step", "tokens", "document", "domain", "loss")}
    return SamplerLogReader(SamplerLogSpec(path=spec.log, **columns), base)


def audit_of(spec: DrawnDocuments, base: Path) -> Path | None:
    """The run directory that the spec names, or the newest of the folder that it names.

    Raises:
        UsageError: there is none.
    """
    if spec.audit is None:
        return None
    path = base / spec.audit
    latest = path / LATEST
    if not (path / "run.json").is_file() and latest.is_file():
        path = path / latest.read_text(encoding="utf-8").strip()
    if not (path / "run.json").is_file():
        raise UsageError(f"drawn.audit: {path} holds no finished run")
    return path


def analyse_drawn(spec: DrawnDocuments, base: Path, run: RunAnalysis, windows: list[tuple[int, int]]) -> DrawnAnalysis:
    """Compare the documents before the spikes of a run with those of control windows.

    Args:
        spec: the log.
        base: folder of the spec.
        run: the run that trained on these draws.
        windows: steps that findings are limited to; none is all.

    Raises:
        UsageError: the log, or the audit, cannot be read.
    """
    return analyse_log(open_log(spec, base), spec, audit_of(spec, base), run, windows)


def analyse_log(
    log: DrawnLog, spec: DrawnDocuments, audit: Path | None, run: RunAnalysis, windows: list[tuple[int, int]]
) -> DrawnAnalysis:
    """The same of an open log, and an audit's run directory if there is one."""
    steps = log.step_range()
    spikes = spikes_within(run, windows)
    loss = run.loss
    peaks = [] if loss is None else [int(loss.step[spike.peak]) for spike in spikes[:MOST_WINDOWS]]
    # A point of a series that is logged every few steps may be the mean of all of them.
    lag = max(spec.lag, run.usual_distance - 1)
    targets = [(step - lag - spec.step_offset, step - spec.step_offset) for step in peaks]
    avoided = (
        []
        if loss is None
        else [(int(loss.step[spike.first]) - lag, int(loss.step[spike.last])) for spike in spikes[:MOST_WINDOWS]]
    )
    in_log = [(a - spec.step_offset, b - spec.step_offset) for a, b in avoided]
    reach = OFFSETS + NEIGHBOURS
    inside = [(a, b) for a, b in targets if a - reach >= steps[0] and b + reach <= steps[1]]
    test, offset, rows = None, spec.step_offset, None
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    usable = (steps[0] + reach, steps[1] - reach)
    if inside:
        rows, spans = _gathered(log, inside, usable, reach, audit, in_log)
    if rows is not None and run.loss is not None:
        test = _tested(rows, run, spec.step_offset)
        if test is not None and test.differs and test.best is not None:
            offset = test.best
    shift = spec.step_offset - offset
    results: list[tuple[WindowComparison | None, dict[int, float], str]] = []
    for first, last in targets:
        if (first, last) not in inside:
            begin, end = (grouped(step + spec.step_offset) for step in steps)
            why = f"the log has draws at steps {begin} to {end} only, and offsets of {reach} steps are tried"
            results.append((None, {}, why))
        elif rows is None:
            results.append((None, {}, "the log has too many draws a step for control windows of this length"))
        else:
            window = (first + shift, last + shift)
            starts = control_starts(window, usable, [(a + shift, b + shift) for a, b in in_log])
            low, high = spans[(first, last)]
            starts = starts[(starts >= low + shift) & (starts + last - first <= high + shift)]
            results.append(_compared(rows, window, starts, test is not None and test.best == offset))
    p = [c.p if c is not None and not why else np.nan for c, _, why in results]
    q = benjamini_hochberg(p).tolist()
    return DrawnAnalysis(
        run.spec.id,
        encodable(str(log.path)),
        steps,
        offset,
        test,
        {
            step: SpikeDocuments(step, step - lag, comparison, neighbours, value, why, span)
            for step, (comparison, neighbours, why), value, span in zip(peaks, results, q, avoided, strict=True)
        },
        len(spikes) - len(peaks),
    )


MOST_TEXT_WINDOWS = 199
"""Control windows whose texts are compared, the nearest."""

_TEXT_TOKENS = 40_000_000  # of all windows together: about 200 MB of text


def compare_steps(
    spec: DrawnDocuments, base: Path, first: int, last: int
) -> tuple[WindowComparison, TextComparison | None]:
    """What was drawn in steps of the run, at the stated offset, against as many control windows as fit into memory.

    Returns:
        The draws, and their texts where the spec names them.

    Raises:
        UsageError: the log, the audit or the texts cannot be read, or there are no draws at these steps.
    """
    log, audit = open_log(spec, base), audit_of(spec, base)
    steps = log.step_range()
    window = (first - spec.step_offset, last - spec.step_offset)
    if window[1] < steps[0] or window[0] > steps[1]:
        low, high = (grouped(step + spec.step_offset) for step in steps)
        raise UsageError(f"the sampler's log has draws at steps {low} to {high} only")
    rows, spans = _gathered(log, [window], steps, 0, audit, [])
    starts = control_starts(window, steps, [])
    if rows is None:
        starts = starts[:0]
        try:
            rows = drawn_rows(log, [window], [window], audit)
        except TooManyRowsError:
            raise UsageError(
                f"steps {grouped(first)} to {grouped(last)} have more draws than fit into memory"
            ) from None
    else:
        low_step, high_step = spans[window]
        starts = starts[(starts >= low_step) & (starts + last - first <= high_step)]
    comparison = compare_window(rows, excess_of(rows), window, starts)
    if not comparison.documents:
        raise UsageError(f"the sampler's log has no draws at steps {grouped(first)} to {grouped(last)}")
    if spec.texts is None:
        return comparison, None
    if rows.key is None:
        raise UsageError(f"drawn.texts: the sampler's log has no column {spec.document!r} to look texts up by")
    starts = _with_texts(rows, window, starts)
    length = last - first + 1
    named = keys_of(rows, window[0], length)
    keys = np.unique(np.concatenate([named, *(keys_of(rows, start, length) for start in starts.tolist())]))
    texts = read_texts(base, spec.texts.paths, (spec.texts.id, spec.texts.text), keys, named)
    if not len(texts.keys):
        raise UsageError(f"drawn.texts: no document of these steps is in column {spec.texts.id!r} of the files")
    return comparison, compare_texts(rows, texts, window, starts)


def _with_texts(rows: DrawnRows, window: tuple[int, int], starts: np.ndarray) -> np.ndarray:
    """The nearest control windows whose texts are compared: at most `MOST_TEXT_WINDOWS`, and as fit into memory."""
    nearest = starts[np.argsort(np.abs(starts - window[0]), kind="stable")[:MOST_TEXT_WINDOWS]]
    length = window[1] - window[0] + 1
    sizes = [int(rows.tokens[rows.between(start, start + length - 1)].sum()) for start in nearest.tolist()]
    own = int(rows.tokens[rows.between(*window)].sum())
    return np.sort(nearest[own + np.cumsum(sizes, dtype=np.int64) <= _TEXT_TOKENS])


def span_of(starts: np.ndarray, window: tuple[int, int], reach: int = 0) -> tuple[int, int]:
    """First and last step of a window and its controls."""
    first, last = window
    low, high = (first, first) if not len(starts) else (min(first, int(starts[0])), max(first, int(starts[-1])))
    return low - reach, high + last - first + reach


def _gathered(
    log: DrawnLog,
    targets: list[tuple[int, int]],
    steps: tuple[int, int],
    reach: int,
    audit: Path | None,
    avoided: list[tuple[int, int]],
) -> tuple[DrawnRows | None, dict[tuple[int, int], tuple[int, int]]]:
    """The rows of the windows and of as many control windows as fit into memory, and the span of each window's."""
    named = [(a - reach, b + reach) for a, b in targets]
    most = MOST_CONTROLS
    while most >= LEAST_CONTROLS:
        spans = {}
        for window in targets:
            spans[window] = span_of(control_starts(window, steps, avoided, most), window)
        try:
            wide = [(low - reach, high + reach) for low, high in spans.values()]
            return drawn_rows(log, wide, named, audit), spans
        except TooManyRowsError:
            most = max(most // 2, LEAST_CONTROLS) if most > LEAST_CONTROLS else 0
    return None, {}


def _tested(rows: DrawnRows, run: RunAnalysis, stated: int) -> OffsetTest | None:
    if rows.loss is None or run.loss is None:
        return None
    usable = np.isfinite(rows.loss)
    step, at = np.unique(rows.step[usable], return_inverse=True)
    weight = np.bincount(at, weights=rows.tokens[usable], minlength=len(step))
    total = np.bincount(at, weights=rows.tokens[usable] * rows.loss[usable], minlength=len(step))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(weight > 0, total / weight, np.nan)
    loss = run.curves[Quantity.LOSS]
    offsets = np.arange(stated - OFFSETS, stated + OFFSETS + 1)
    return offset_test(step, mean, loss.step, loss.value, offsets, stated)


def _compared(
    rows: DrawnRows, window: tuple[int, int], starts: np.ndarray, confirmed: bool
) -> tuple[WindowComparison, dict[int, float], str]:
    """The comparison, its p at neighbouring offsets where no loss confirms one, and why it is no test."""
    near = rows.part(*span_of(starts, window, NEIGHBOURS))
    excess = excess_of(near)
    comparison = compare_window(near, excess, window, starts)
    if not comparison.documents:
        return comparison, {}, "the log has no draws at these steps"
    if comparison.controls < LEAST_CONTROLS:
        why = f"{comparison.controls} control windows of this length; at least {LEAST_CONTROLS} are needed"
        return comparison, {}, why
    if not comparison.each:
        return comparison, {}, "the log has neither two domains, nor ids of documents, nor losses"
    neighbours = {}
    for by in (by for by in range(-NEIGHBOURS, NEIGHBOURS + 1) if by and not confirmed):
        # The offset is what is added to the step of the log: a larger one looks at earlier steps of the log.
        other = (window[0] - by, window[1] - by)
        neighbours[by] = compare_window(near, excess, other, starts - by).p
    return comparison, neighbours, ""
