"""A synthetic run and its model, read once a session."""

from pathlib import Path

import pytest

from corpus_audit.checks.report.page.model import ReportModel, load_report
from tests.checks.report.synthetic import build_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("complete") / "run")


@pytest.fixture(scope="session")
def model(run_dir: Path) -> ReportModel:
    return load_report(run_dir)


@pytest.fixture(scope="session")
def incomplete(tmp_path_factory: pytest.TempPathFactory) -> ReportModel:
    names = [f"domain-{number:03d}.example.org" for number in range(60)]
    run = build_run(tmp_path_factory.mktemp("incomplete") / "run", names, mixture=False, complete=False)
    return load_report(run)


@pytest.fixture(scope="session")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> ReportModel:
    return load_report(build_run(tmp_path_factory.mktemp("sampled") / "run", sample_share=0.25, cluster="column url"))
