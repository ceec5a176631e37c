"""Logs of public runs: what their files hold is what the readers return.

In the folder that the environment variable CORPUS_AUDIT_INVESTIGATION names: test runs of janosh/tensorboard-reducer,
the log of llm.c in KellerJordan/modded-nanogpt, a log of bigscience-workshop/bigscience, an export of wandb/wandb.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

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
