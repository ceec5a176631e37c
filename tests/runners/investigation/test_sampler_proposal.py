"""``investigate init`` recognises a sampler's log by its columns, and nothing else as one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.investigation.proposal import propose_investigation
from corpus_audit.runners.investigation.sampler_proposal import is_sampler_log
from corpus_audit.schemas.spec.investigation_file import load_investigation


def write_run(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"step": step, "loss": 3 - step / 100, "tokens": 8}) for step in range(60)]
    (folder / name).write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b'{"step": 1, "tokens": 3, "document": "x"}\n', True),
        ("a.jsonl", b'{"step": 1, "tokens": 3, "domain": "x", "loss": 2}\n', True),
        ("a.jsonl", b'{"step": 1, "tokens": 3, "loss": 2}\n', False),
        ("a.jsonl", b'{"step": 1, "document": "x"}\n', False),
        ("a.jsonl", b"[" * 100_000, False),
        ("a.jsonl", b"\xff\xfe{", False),
        ("a.parquet", b"PAR1broken", False),
        ("a.csv", b"step,tokens,document\n1,2,x\n", False),
    ],
)
def test_a_log_is_recognised_by_its_columns(tmp_path: Path, name: str, content: bytes, expected: bool) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert is_sampler_log(path) is expected


def test_logs_are_proposed_and_the_spec_loads(tmp_path: Path) -> None:
    write_run(tmp_path / "now", "metrics.jsonl")
    write_run(tmp_path / "twin", "metrics.jsonl")
    folder = tmp_path / "sampler [1]"
    folder.mkdir()
    table = pa.table({"step": [1], "tokens": [5], "document": ["d"], "loss": [2.0]})
    for number in range(2):
        pq.write_table(table, folder / f"{number}.parquet")
    output = tmp_path / "investigation.yaml"
    proposal = propose_investigation([tmp_path / "now", tmp_path / "twin", folder], output)
    assert proposal.drawn == ("sampler [1]/0.parquet", "sampler [1]/1.parquet") and not proposal.not_recognised
    output.write_text(proposal.text)
    spec = load_investigation(output).spec
    assert [run.id for run in spec.runs] == ["now", "twin"]
    assert spec.drawn is not None and spec.drawn.run == "now" and spec.drawn.log == "sampler [[]1]/*.parquet"
    assert "change it, if it is not" in proposal.text


def test_without_a_log_the_section_is_a_comment(tmp_path: Path) -> None:
    write_run(tmp_path / "now", "metrics.jsonl")
    text = propose_investigation([tmp_path / "now"], tmp_path / "investigation.yaml").text
    assert "\n# drawn: {log: sampler/*.parquet}" in text
