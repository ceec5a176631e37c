"""datasets#6460 as a user meets it: a whole run over a shard that is one JSON array ends without a verdict (exit 4)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import corpora
from tests.engine.runs import write_audit
from tests.field.test_lost_bytes import array_on_one_line, good_shards

pytestmark = pytest.mark.engine


def test_a_run_over_a_lost_shard_has_no_verdict_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    good_shards(tmp_path / "data")
    array = array_on_one_line()
    (tmp_path / "data" / "z.jsonl").write_bytes(array)
    spec = write_audit(tmp_path, [tmp_path / "data"], corpora.small_bpe(tmp_path, 300), document={"text": "text"})
    for _ in range(2):  # a second run, whose store holds what the first one counted, says the same
        program = "from corpus_audit.runners.cli.main import main; main()"
        done = subprocess.run([sys.executable, "-c", program, "run", str(spec)], capture_output=True, text=True)
        output = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 4, output
        assert "z.jsonl: not one document could be read from it" in output
        assert "is a JSON array on one line; write one document per line" in output
    (folder, _) = sorted(path.parent for path in (tmp_path / "runs").glob("*/run.json"))[:2]
    facts = json.loads((folder / "run.json").read_bytes())
    assert not facts["complete"]
    assert facts["coverage"]["dead_letter_bytes"] == len(array)
    assert facts["coverage"]["shards_error"] == 1
    assert facts["coverage"]["documents"] == 12_000
