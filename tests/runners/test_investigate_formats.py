"""``investigate init`` on files of W&B and compressed logs, and the investigation of what it proposes."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.spec.investigation_file import load_investigation

FILES = Path(__file__).parents[1] / "pipelines" / "telemetry" / "wandb_files"


def test_offline_files_of_one_name_are_one_run_and_compressed_logs_are_read(tmp_path: Path) -> None:
    for number, version in enumerate(("0.16.6", "0.31.0")):
        folder = tmp_path / "wandb" / f"offline-run-2026110{number}_101010-abc"
        folder.mkdir(parents=True)
        shutil.copyfile(FILES / f"wandb_{version}.wandb", folder / "run-abc.wandb")
    text = "".join(f" iteration {step}/ 900 | lm loss: {2 + 1 / (1 + step)} |\n" for step in range(900))
    (tmp_path / "old.out.gz").write_bytes(gzip.compress(text.encode()))
    path = tmp_path / "investigation.yaml"
    assert run_command(["investigate", "init", str(tmp_path), "-o", str(path)], Session()) == 0
    runs = load_investigation(path).spec.runs
    assert {run.id: len(run.telemetry) for run in runs} == {"run-abc": 2, "run": 1}
    assert run_command(["investigate", str(path)], Session()) == 0
    output = tmp_path / "investigations"
    tables = output / (output / "LATEST").read_text().strip() / "tables"
    files = pq.read_table(tables / "telemetry_files.parquet").to_pylist()
    assert sorted(row["format"] for row in files) == ["megatron", "wandb", "wandb"]
    notes = {row["format"]: row["notes"] for row in files}
    assert notes["megatron"].startswith("gzip: ") and "run fixture of demo" in notes["wandb"]
    series = pq.read_table(tables / "telemetry_series.parquet").to_pylist()
    loss = next(row for row in series if row["tag"] == "train/loss")
    assert (loss["quantity"], loss["points"], loss["superseded"], loss["not_finite"]) == ("loss", 120, 60, 4)
