"""Run directories that hold just what the history reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.schemas.run.results import Results
from corpus_audit.schemas.tables.run_tables import METRICS
from tests.checks.report.judged_runs import results
from tests.run_files import digest, write_run_json

Figures = dict[str, dict[str, float | None]]


def make_run(
    output: Path,
    name: str,
    figures: Figures,
    tokenizer: str = "gpt2",
    complete: bool = True,
    judged: bool | Results = False,
    started: str | None = None,
    table: pa.Table | None = None,
) -> Path:
    """Publish a run with these figures by metric and slice; bounds are 10 % away, n is 1,000, the unit is share."""
    run = output / name
    (run / "tables").mkdir(parents=True)
    rows = [
        {"metric": metric, "slice": part, "value": value, "n": 1000, "unit": "share"}
        | {"low": None if value is None else 0.9 * value, "high": None if value is None else 1.1 * value}
        for metric, slices in figures.items()
        for part, value in slices.items()
    ]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=METRICS) if table is None else table,
        run / "tables" / "metrics.parquet",
        write_page_checksum=True,
    )
    if judged:
        (run / "results.json").write_bytes((results() if judged is True else judged).to_json())
    if started is not None:
        (run / "timings.json").write_text(json.dumps({"started": started}))
    files = {
        path.relative_to(run).as_posix(): {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in run.rglob("*")
        if path.is_file()
    }
    write_run_json(
        run,
        name="made corpus",
        run=name,
        complete=complete,
        snapshot={"digest": digest(name)},
        tokenizer={"sha256": digest(tokenizer)},
        spec={"document": {"text": "text"}},
        files=files,
    )
    return run


def sign(output: Path, run: str) -> str:
    """Put something in the place of a run's sign-off; returns its SHA-256."""
    (output / "signoffs").mkdir(exist_ok=True)
    data = b'{"payloadType":"application/vnd.in-toto+json"}'
    (output / "signoffs" / f"{run}.dsse.json").write_bytes(data)
    return hashlib.sha256(data).hexdigest()
