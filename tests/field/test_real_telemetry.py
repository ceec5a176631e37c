"""Logs of public runs: what their files hold is what the readers return, and their known spikes are found.

In the folder that the environment variable CORPUS_AUDIT_INVESTIGATION names: test runs of janosh/tensorboard-reducer,
the log of llm.c in KellerJordan/modded-nanogpt, a log of bigscience-workshop/bigscience, an export of wandb/wandb, and
golden values of NVIDIA/Megatron-LM, which has losses of one recipe on two kinds of hardware.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.statistics.telemetry.interruptions import divergence, not_finite
from corpus_audit.pipelines.statistics.telemetry.level_shifts import windowed_shifts
from corpus_audit.pipelines.statistics.telemetry.spikes import (
    LocalScores,
    SpikeKind,
    crossings,
    find_spikes,
    local_scores,
)
from corpus_audit.pipelines.statistics.telemetry.twins import SAME_ORDER, InTwin, compare_twins, in_twin
from corpus_audit.pipelines.telemetry.points import FileTelemetry
from corpus_audit.pipelines.telemetry.reading import read_telemetry_file
from corpus_audit.pipelines.telemetry.segments import RunTelemetry, Series, join, main_series

FOLDER = os.environ.get("CORPUS_AUDIT_INVESTIGATION", "")


def run_of(*names: str) -> RunTelemetry:
    paths = [path for name in names for path in sorted(Path(FOLDER or "/nowhere").glob(name))]
    if not paths:
        pytest.skip(f"the logs are not here: CORPUS_AUDIT_INVESTIGATION names no folder with {names[0]}")
    files = [read_telemetry_file(path) for path in paths]
    assert all(isinstance(file, FileTelemetry) and file.account.is_conserved for file in files)
    return join([file for file in files if isinstance(file, FileTelemetry)])


def tagged(run: RunTelemetry, tag: str) -> Series:
    return next(series for series in run.series if series.tag == tag)


def test_a_resume_of_tensorboard_repeats_twenty_of_420() -> None:
    for number in (1, 2, 3):
        run = run_of(f"tfevents/tests/runs/duplicate_steps/run_{number}/*")
        assert sum(len(series) for series in run.series) == 420
        assert sum(int(series.superseded.sum()) for series in run.series) == 20
        assert all(len(np.unique(series.segment)) == 2 for series in run.series)


def test_the_log_of_llm_c() -> None:
    run = run_of("modded/llmc_main.log")
    text = run.files[0].path.read_text()
    expected = [(int(step), float(loss)) for step, loss in re.findall(r"^s:(\d+) trl:(\S+)", text, re.MULTILINE)]
    series = main_series(run)["loss"]
    assert list(zip(series.step.tolist(), series.value.tolist(), strict=True)) == expected and len(expected) == 19_560
    assert len(main_series(run)["validation_loss"]) == 80


def test_a_log_of_megatron_deepspeed() -> None:
    run = run_of("bigscience/*.out")
    text = run.files[0].path.read_text()
    expected = [float(loss) for loss in re.findall(r"^ iteration .*lm loss: (\S+)", text, re.MULTILINE)]
    assert main_series(run)["loss"].value.tolist() == expected and len(expected) == 62
    assert main_series(run)["step_time"].scaled[0] == pytest.approx(144.9156)
    assert run.files[0].account.entries == text.count("\n")


def test_an_export_of_wandb() -> None:
    run = run_of("wandb/history.parquet")
    series = tagged(run, "Mean budget")
    table = pq.read_table(run.files[0].path)
    assert series.value.tolist() == table["Mean budget"].to_pylist()
    assert series.step.tolist() == [int(step) for step in table["_step"].to_pylist()]


def test_golden_values_of_megatron_have_nan_as_text() -> None:
    run = run_of("megatron-golden/mixtral__mixtral_8x7b*h100.json")
    series = main_series(run)["loss"]
    assert len(series) == 4801 and np.isnan(series.value).sum() > 0
    assert series.value[series.step == 3850][0] > 1.5


def loss_of(*names: str) -> tuple[np.ndarray, np.ndarray, LocalScores]:
    """(steps, loss, scores)."""
    series = main_series(run_of(*names))["loss"]
    return series.step[series.rows], series.scaled, local_scores(series.scaled)


MIXTRAL = "megatron-golden/mixtral__mixtral_8x7b_alltoall_tp2pp4ep4_release__golden_values_{}.json"
GPT3 = "megatron-golden/gpt__gpt3_15b_8t_release__golden_values_{}.json"


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ("dev_dgx_h100", "lts_dgx_a100", {3800: (15, -0.6), 3850: (42, 0.4), 4260: (24, 0.7)}),
        ("lts_dgx_a100", "dev_dgx_h100", {4050: (47, -0.9), 4055: (88, -0.4)}),
    ],
)
def test_spikes_of_mixtral_are_those_of_one_of_the_twins(
    mine: str, other: str, expected: dict[int, tuple[float, float]]
) -> None:
    step, loss, scores = loss_of(MIXTRAL.format(mine))
    twin = loss_of(MIXTRAL.format(other))
    spikes = find_spikes(scores, loss, 6.0)
    covered = {int(s) for spike in spikes for s in step[spike.first : spike.last + 1]}
    for at, (z, z_twin) in expected.items():
        assert at in covered
        assert float(scores.z[step == at][0]) == pytest.approx(z, abs=1)
        assert in_twin(at, 6.0, twin[0], twin[2]) == (InTwin.ABSENT, pytest.approx(z_twin, abs=0.05))
    comparison = compare_twins(step, loss, scores, *twin)
    assert comparison is not None and comparison.low > SAME_ORDER


def test_losses_of_gpt3_on_two_kinds_of_hardware_move_together() -> None:
    comparison = compare_twins(*loss_of(GPT3.format("dev_dgx_h100")), *loss_of(GPT3.format("lts_dgx_a100")))
    assert comparison is not None and 0.982 <= comparison.correlation <= 0.999


def test_unrelated_runs_do_not() -> None:
    comparison = compare_twins(*loss_of(GPT3.format("dev_dgx_h100")), *loss_of(MIXTRAL.format("dev_dgx_h100")))
    assert comparison is not None and abs(comparison.correlation) < 0.1


def test_clean_curves_have_at_most_two_alarms() -> None:
    for name in ("dev_dgx_h100", "lts_dgx_a100"):
        step, loss, scores = loss_of(GPT3.format(name))
        up, down = crossings(scores.z, 6.0)
        shifts = [window for window in windowed_shifts(step, loss) if window.shift.p < 0.05 / 10]
        assert up + down + len(shifts) <= 2 and divergence(loss) is None


def test_twenty_of_the_spikes_of_llm_c_are_batch_outliers() -> None:
    run = main_series(run_of("modded/llmc_main.log"))
    loss = run["loss"].scaled
    spikes = find_spikes(local_scores(loss), loss, 6.0, local_scores(run["gradient_norm"].scaled).z)
    assert len(spikes) == 22 and sum(spike.kind is SpikeKind.BATCH_OUTLIER for spike in spikes) == 20


def test_mixtral_ends_in_nan() -> None:
    step, loss, _ = loss_of("megatron-golden/mixtral__mixtral_8x22b*")
    (stretch,) = not_finite(loss, step)
    assert int(step[stretch.first]) == 155 and int(step[stretch.last]) == 25_000
