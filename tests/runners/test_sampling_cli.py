import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.runners.cli.sampling import amount, sampling
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_TABLES
from tests.pipelines.finished_run import finished_run

DOMAINS = {
    "web\x1b[31m": (10, 10, 1000, 1000),
    "a domain of a name that is much longer than its column": (60, 50, 12_000, 10_000),
    "code": (1000, 1000, 100_000, 100_000),
}


@pytest.fixture
def run_dir(tmp_path):
    return finished_run(tmp_path / "run-1", DOMAINS).folder


def invoke(*arguments):
    done = CliRunner().invoke(sampling, [str(argument) for argument in arguments], catch_exceptions=False)
    return done.exit_code, done.stdout


@pytest.mark.parametrize(
    ("text", "value"), [("300B", 3e11), ("1.5T", 1.5e12), ("3e11", 3e11), ("7 m", 7e6), ("60_000", 6e4), ("12k", 12e3)]
)
def test_amounts(text, value):
    assert amount(text) == pytest.approx(value)


def test_summary_is_calm_and_fits(run_dir):
    options = ["--budget", "60k", "--parameters", "1k", "--strategy", "proportional", "--strategy", "unimax:4"]
    code, out = invoke(run_dir, *options, *("--strategy", "temperature:0.3"), *("--strategy", "temperature:0"))
    assert code == 0
    assert all(cell_width(line) <= 80 for line in out.splitlines()), out
    assert "60,000 training tokens from 111 k unique ones in 3 domains" in out
    assert "unimax 4" in out and "\x1b" not in out and "temperature 0.3" in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []


def test_json_and_tables(run_dir, tmp_path):
    code, out = invoke(run_dir, "--budget", "60000", "--strategy", "unimax:4", "--out", tmp_path / "out", "--json")
    result = json.loads(out)
    assert code == 0 and result["schema"] == "corpus-audit/sampling/1" and result["run"] == str(run_dir)
    assert sorted(result["sampling"], key=lambda row: row["drawn"])[0]["drawn"] == 4000
    table = pq.read_table(tmp_path / "out" / "sampling.parquet")
    assert table.schema.equals(SAMPLING_TABLES["sampling"]) and table.to_pylist() == result["sampling"]


def test_a_log_is_reported(run_dir, tmp_path):
    rng = np.random.Generator(np.random.PCG64(1))
    log = {"step": np.arange(4000), "domain": rng.choice(list(DOMAINS), 4000), "tokens": np.full(4000, 100)}
    pq.write_table(pa.table(log), tmp_path / "log.parquet")
    code, out = invoke(run_dir, "--budget", "60k", "--log", tmp_path / "log.parquet")
    assert code == 0 and "The log: 4,000 documents" in out
    assert "differs from the intended one in 20 of 20 tested windows" in out
    assert all(cell_width(line) <= 80 for line in out.splitlines()), out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no token budget"),
        (["--budget", "1k", "--strategy", "uniform"], "expected proportional"),
        (["--budget", "1k", "--strategy", "unimax:many"], "expected proportional"),
        (["--budget", "1k", "--strategy", "unimax:0"], "greater than 0"),
        (["--budget", "1k", "--strategy", "unimax:4", "--strategy", "unimax:4"], "same name"),
    ],
)
def test_wrong_use(run_dir, options, message):
    with pytest.raises(UsageError, match=message):
        invoke(run_dir, *options)


def test_a_budget_that_is_no_count(run_dir):
    done = CliRunner().invoke(sampling, [str(run_dir), "--budget", "plenty"])
    assert done.exit_code == 2 and "not a count such as 300B" in done.output
