"""evidently#241: drift of columns without a single value ended in a traceback.

Five empty texts with a baseline ended in exit 5 (ValueError), and with ``sampling:`` in a message that named a staging
folder. Right: there are not enough data, said in one line; the run is published; and a message speaks of the corpus.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests import corpora
from tests.engine.runs import write_audit

pytestmark = pytest.mark.engine

FIELDS = {"text": "text", "domain": "domain"}


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora.small_bpe(tmp_path_factory.mktemp("bpe"), vocabulary=600)


def audit(folder: Path, bpe: Path, texts: list[str], **spec: object) -> int:
    folder.mkdir(exist_ok=True)
    (folder / "part.jsonl").write_text("".join(json.dumps({"text": text, "domain": "a"}) + "\n" for text in texts))
    return run_command(
        ["run", str(write_audit(folder, [folder / "part.jsonl"], bpe, document=FIELDS, **spec))], Session()
    )


@pytest.mark.parametrize(
    ("before", "now", "wording", "headline", "code"),
    [
        ([""] * 5, [""] * 5, "neither snapshot holds a token", "Identical: both hold the same 5 documents.", 0),
        ([""] * 5, ["some text"] * 5, "the baseline holds no tokens", "Not tested: 5 documents were added;", 4),
        (["some text"] * 5, [""] * 5, "the current snapshot holds no tokens", "Not tested: 5 documents were added;", 4),
    ],
)
def test_no_tokens_are_not_enough_data(
    tmp_path: Path,
    bpe: Path,
    capsys: pytest.CaptureFixture[str],
    before: list[str],
    now: list[str],
    wording: str,
    headline: str,
    code: int,
) -> None:
    assert audit(tmp_path / "one", bpe, before) == 0
    assert audit(tmp_path / "two", bpe, now, baseline={"run": "../one/runs"}) == 0
    out = capsys.readouterr().out
    assert f"Drift {headline}" in " ".join(out.split())
    (run,) = (path.parent for path in (tmp_path / "two" / "runs").glob("*/run.json"))
    for row in pq.read_table(run / "tables" / "drift.parquet").to_pylist():
        assert row["value"] is None and row["reason"] == wording
    for row in pq.read_table(run / "tables" / "metrics.parquet").to_pylist():
        assert (row["value"] is None) <= bool(row["reason"]), row
    page = (run / "report.html").read_text()
    assert headline in page and (code == 0 or f"drifted was not tested: {wording}" in page)
    assert run_command(["drift", str(tmp_path / "one" / "runs"), str(run)], Session()) == code
    assert (f"{wording}." if code else headline) in " ".join(capsys.readouterr().out.split())


def test_a_sampling_section_of_no_tokens_says_what_is_wrong(
    tmp_path: Path, bpe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(tmp_path / "one", bpe, [""] * 5, sampling={"budget": 1000}) == 4
    message = capsys.readouterr().err
    assert "the corpus has no tokens in 5 documents, so there is nothing to sample" in message
    assert "staging" not in message and str(tmp_path) not in message


def test_a_sampler_log_that_cannot_be_looked_up_shows_no_staging_folder(
    tmp_path: Path, bpe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "tokens": 5, "document": "x"}) + "\n")
    sampling = {"budget": 1000, "log": {"path": "../log.jsonl"}}
    assert audit(tmp_path / "one", bpe, ["some text"] * 5, sampling=sampling) == 2
    message = capsys.readouterr().err
    assert "has no table per_document" in message and "staging" not in message
