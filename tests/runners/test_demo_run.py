"""The demo as a stranger runs it: two audits, and what it says of what it planted."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus_audit.pipelines.storage.run_directory import open_run
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.demo.benchmark import LEAKS
from corpus_audit.runners.demo.part import MISSING
from corpus_audit.runners.demo.summary import item_outcomes, sources_named
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

pytestmark = pytest.mark.engine

MEGABYTES = "6"


@pytest.fixture(scope="module", autouse=True)
def without_the_extra() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corpus_audit.runners.demo.part.find_model", lambda: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stranger") / "corpus-audit-demo"


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    """What the demo writes to standard output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run_command(["demo", "--folder", str(folder), "--megabytes", MEGABYTES, "-q"], Session()) == 0
    return out.getvalue()


def test_the_planted_items_are_found_and_no_other(output: str, folder: Path) -> None:
    run = open_run(folder / "runs")
    actual = item_outcomes(run)
    for rule in ("gpt3", "palm", "llama2", "tulu3"):
        outcomes = actual[rule]
        assert set(outcomes["copied"]) == {"contaminated"} and outcomes["copied"].total() >= 6
        assert set(outcomes["shuffled"]) == {"clean"} and outcomes["shuffled"].total() >= 6
    assert all(set(outcomes["short"]) == {"untestable"} for outcomes in actual.values())
    assert actual["decon_idf"]["shuffled"]["contaminated"] == 0
    # Eleven words in a row are enough for an 8-gram and not for a 13-gram.
    assert set(actual["gpt3"]["edited"]) == {"clean"} and set(actual["tulu3"]["edited"]) == {"contaminated"}
    copied = actual["gpt3"]["copied"].total()
    assert sources_named(run, folder / "benchmark.jsonl") == (copied, copied)
    assert re.search(rf"^gpt3 +{copied} +0 +0  untestable$", output, flags=re.MULTILINE)
    leaks = {row["domain"]: row["items"] for row in run.table("contamination_domains").to_pylist()}
    assert (
        sum(leaks.get(domain, 0) for domain in LEAKS)
        >= copied
        > 2 * sum(items for domain, items in leaks.items() if domain not in LEAKS)
    )


def test_turnover_is_what_was_done(output: str, folder: Path) -> None:
    summary = json.loads((folder / "demo.json").read_text())["summary"]
    run = open_run(folder / "runs")
    row = next(row for row in run.table("turnover").to_pylist() if row["domain"] == ALL_DOMAINS)
    assert row["kept"] + row["edited"] + row["added"] == summary["documents"]
    assert row["kept"] + row["edited"] + row["removed"] == summary["documents_before"]
    assert row["added"] and row["removed"]
    new = summary["new_domain"]
    shares = {row["domain"]: row for row in run.table("drift_domains").to_pylist() if row["unit"] == "tokens"}
    assert shares[new]["share_baseline"] == 0 < shares[new]["share_current"]
    assert f"The domain {new} is new." in " ".join(output.split())


def test_the_output_fits_a_terminal_and_names_what_exists(output: str, folder: Path) -> None:
    end = output[output.index("What the demo put in") : output.index("More  ")]
    assert max(map(len, end.splitlines())) <= 80
    topics = ["Put in", "Documents", "Drift", "Mix or text", "Domains", "Sampling", "Benchmark"]
    assert [line[:12].strip() for line in end.splitlines() if line[:12].strip() in topics] == topics
    assert MISSING in output.splitlines() and not (folder / "index").exists()
    assert str(folder / "runs-before") in output and (folder / "runs-before" / "LATEST").is_file()


@pytest.mark.usefixtures("output")
def test_a_second_time_everything_is_reused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stamp = (folder / "data" / "both" / "part-00.parquet").stat().st_mtime_ns
    arguments = ["demo", "--folder", str(folder), "--megabytes", MEGABYTES, "-q", "--json"]
    assert run_command(arguments, Session()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == "corpus-audit/demo/1"
    assert (result["complete"], result["splits_read"]) == (True, 0)
    assert (folder / "data" / "both" / "part-00.parquet").stat().st_mtime_ns == stamp
    assert open_run(folder / "runs").folder.resolve() == Path(result["run"]).resolve()
