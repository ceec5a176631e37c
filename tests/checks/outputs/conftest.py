"""A judged run with a manifest and timings, as its outputs see it."""

import hashlib
import json
from pathlib import Path

import pytest

from corpus_audit.checks.outputs.evidence import Evidence, load_evidence
from tests.checks.report.judged_runs import write_results
from tests.checks.report.synthetic import build_run


def dated(run: Path, finished: str = "2026-11-22T07:15:00+01:00") -> Path:
    """Give a run timings and a manifest, and list the manifest in run.json."""
    (run / "timings.json").write_text(json.dumps({"started": finished, "finished": finished}))
    (run / "MANIFEST.sha256").write_text("")
    facts = json.loads((run / "run.json").read_bytes())
    facts["files"]["MANIFEST.sha256"] = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
    (run / "run.json").write_text(json.dumps(facts))
    return run


@pytest.fixture(scope="session")
def judged_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dated(write_results(build_run(tmp_path_factory.mktemp("judged") / "run")))


@pytest.fixture(scope="session")
def evidence(judged_run: Path) -> Evidence:
    return load_evidence(judged_run)


@pytest.fixture(scope="session")
def unjudged(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return load_evidence(dated(build_run(tmp_path_factory.mktemp("unjudged") / "run", mixture=False, complete=False)))
