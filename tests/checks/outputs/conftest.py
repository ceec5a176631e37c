"""A judged run with a manifest and timings, as its outputs see it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from corpus_audit.checks.outputs.context import RenderContext, load_context
from corpus_audit.checks.report.contamination import section as contamination_section
from corpus_audit.checks.report.drift import section as drift_section
from corpus_audit.checks.report.sampling import section as sampling_section
from corpus_audit.checks.report.verdict import trends
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.run_file import RunFilter
from tests.checks.report.drifted_runs import write_drift
from tests.checks.report.judged_runs import write_results
from tests.checks.report.sampled_runs import sampler_log, write_sampling
from tests.checks.report.scanned_runs import write_contamination
from tests.checks.report.synthetic import build_run
from tests.checks.report.trend_runs import write_trends
from tests.run_files import run_record


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
def context(judged_run: Path) -> RenderContext:
    return load_context(judged_run)


@pytest.fixture(scope="session")
def everything(context: RenderContext, tmp_path_factory: pytest.TempPathFactory) -> RenderContext:
    """A run with every section that a report can have."""
    folder = tmp_path_factory.mktemp("everything")
    report = context.report
    assert report.verdict
    return replace(
        context,
        report=replace(
            report,
            drift=drift_section.load(write_drift(folder / "drift")),
            sampling=sampling_section.load(write_sampling(folder / "sampling", log=sampler_log())),
            contamination=contamination_section.load(write_contamination(folder / "contamination")),
            trends=trends.load(RunDirectory(write_trends(folder), run_record()), report.verdict.verdict),
            filter=(RunFilter(name="short", clause="length >= 200"),),
        ),
    )


@pytest.fixture(scope="session")
def unjudged(tmp_path_factory: pytest.TempPathFactory) -> RenderContext:
    return load_context(dated(build_run(tmp_path_factory.mktemp("unjudged") / "run", mixture=False, complete=False)))
