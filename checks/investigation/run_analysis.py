"""Everything that is computed about one training run, before it is put into findings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from corpus_audit.pipelines.statistics.telemetry.interruptions import Divergence, Stretch, divergence, gaps, not_finite
from corpus_audit.pipelines.statistics.telemetry.level_shifts import WindowShift, windowed_shifts
from corpus_audit.pipelines.statistics.telemetry.rates import RateChange, rate_changes
from corpus_audit.pipelines.statistics.telemetry.spikes import (
    LocalScores,
    Spike,
    find_spikes,
    local_scores,
    spike_threshold,
)
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.pipelines.telemetry.points import encodable
from corpus_audit.pipelines.telemetry.reading import UnreadFile
from corpus_audit.pipelines.telemetry.segments import RunTelemetry, Series, is_summed, main_series
from corpus_audit.schemas.run.findings import Evidence
from corpus_audit.schemas.spec.investigation import TrainingRun

RATES = (Quantity.STEP_TIME, Quantity.THROUGHPUT)


@dataclass(frozen=True, slots=True)
class Curve:
    """The rows of a series that count, by step.

    Attributes:
        series: what it is from.
        rows: int64 [N], positions in the series.
        step: int64 [N].
        value: float64 [N], scaled.
        segment: int32 [N].
    """

    series: Series
    rows: np.ndarray
    step: np.ndarray
    value: np.ndarray
    segment: np.ndarray


@dataclass(frozen=True, slots=True)
class RunAnalysis:
    """A run and what was computed of it.

    Attributes:
        spec: of the run.
        telemetry: its series.
        unread: files that were not read.
        curves: by quantity.
        scores: of the loss; None without a loss.
        threshold: of spikes.
        spikes: of the loss, in order.
        no_numbers: stretches of the loss that are NaN or infinite.
        usual_distance, gaps: of the steps of the loss.
        shifts: tested windows of the loss, spikes replaced by their local medians.
        divergence: of the loss, if it diverged.
        rates: changes of step time and throughput, and how many tests were made.
        summed: whether the loss is too large for a mean per token.
    """

    spec: TrainingRun
    telemetry: RunTelemetry
    unread: tuple[UnreadFile, ...]
    curves: dict[str, Curve]
    scores: LocalScores | None = None
    threshold: float = 0.0
    spikes: tuple[Spike, ...] = ()
    no_numbers: tuple[Stretch, ...] = ()
    usual_distance: int = 0
    gaps: tuple[Stretch, ...] = ()
    shifts: tuple[WindowShift, ...] = ()
    divergence: Divergence | None = None
    rates: dict[str, tuple[list[RateChange], int]] = field(default_factory=dict)
    summed: bool = False

    @property
    def loss(self) -> Curve | None:
        """The training loss."""
        return self.curves.get(Quantity.LOSS)

    def evidence(self, curve: Curve, position: int) -> Evidence:
        """The row of a file that a point of a curve comes from."""
        series, row = curve.series, int(curve.rows[position])
        file = self.telemetry.files[int(series.file[row])]
        value = float(series.value[row])
        return Evidence(
            file=encodable(str(file.path)),
            offset=int(series.offset[row]),
            unit=file.offset_unit,
            series=series.tag,
            step=int(series.step[row]),
            value=value if np.isfinite(value) else None,
            shown=f"{value:.6g}",
        )


def analyse_run(spec: TrainingRun, telemetry: RunTelemetry, unread: tuple[UnreadFile, ...]) -> RunAnalysis:
    """Compute everything that concerns one run alone."""
    curves = {quantity: _curve(series) for quantity, series in main_series(telemetry).items()}
    rates = {str(name): rate_changes(curves[name].value) for name in RATES if name in curves}
    loss = curves.get(Quantity.LOSS)
    if loss is None:
        return RunAnalysis(spec, telemetry, unread, curves, rates=rates)
    scores = local_scores(loss.value)
    threshold = spike_threshold(scores.z)
    with np.errstate(invalid="ignore"):
        calm = np.where(np.abs(scores.z) > threshold, scores.median, loss.value)
    usual, missing = gaps(loss.step)
    return RunAnalysis(
        spec=spec,
        telemetry=telemetry,
        unread=unread,
        curves=curves,
        scores=scores,
        threshold=threshold,
        spikes=tuple(find_spikes(scores, loss.value, threshold, _gradient_scores(curves, loss))),
        no_numbers=tuple(not_finite(loss.value, loss.step)),
        usual_distance=usual,
        gaps=tuple(missing),
        shifts=tuple(windowed_shifts(loss.step, calm)),
        divergence=divergence(loss.value),
        rates=rates,
        summed=is_summed(loss.series),
    )


def _curve(series: Series) -> Curve:
    rows = series.rows
    scale = series.mapped.scale if series.mapped else 1.0
    return Curve(series, rows, series.step[rows], series.value[rows] * scale, series.segment[rows])


def _gradient_scores(curves: dict[str, Curve], loss: Curve) -> np.ndarray | None:
    """Scores of the gradient norm at the steps of the loss; None if none is logged, or only zeros are."""
    gradient = curves.get(Quantity.GRADIENT_NORM)
    if gradient is None or not np.any(np.nan_to_num(gradient.value)):
        return None  # some programs log 0.000 where the norm was not computed
    scores = local_scores(gradient.value).z
    at = np.searchsorted(gradient.step, loss.step)
    inside = np.minimum(at, len(gradient.step) - 1)
    return np.where(gradient.step[inside] == loss.step, scores[inside], np.nan)
