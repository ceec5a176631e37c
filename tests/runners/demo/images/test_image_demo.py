"""The demo of images without torch: the audit finds what was planted, and says so."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus_audit.pipelines.storage.run_directory import open_run
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.demo.images import pictures
from corpus_audit.runners.demo.images.network import MISSING
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

pytestmark = pytest.mark.engine

COUNTS = {"street": (0, 40, 40), "market": (0, 40, 40), "archive": (20, 20, 20), "studio": (30, 20, 20)}


@pytest.fixture(scope="module", autouse=True)
def drawn_without_torch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("corpus_audit.runners.demo.images.network.is_available", lambda: False)
        patch.setattr("corpus_audit.runners.demo.images.sprites.STAMPS", tmp_path_factory.mktemp("none"))
        patch.setattr(pictures, "COUNTS", COUNTS)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stranger") / "corpus-audit-demo"


@pytest.fixture(scope="module")
def output(folder: Path) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run_command(["demo", "--images", "--folder", str(folder), "-q"], Session()) == 0
    return out.getvalue()


def test_what_was_planted_is_found_and_nothing_else(output: str, folder: Path) -> None:
    run = open_run(folder / "images" / "runs")
    copies = {(row["domain"], row["by"]): row for row in run.table("image_duplicates").to_pylist()}
    assert copies[ALL_DOMAINS, "pixels"]["across_images"] == 2 * pictures.EXACT
    near = {(row["domain"], row["scope"]): row["near_images"] for row in run.table("image_near_duplicates").to_pylist()}
    assert near[ALL_DOMAINS, "across"] == 2 * pictures.NEAR and near[ALL_DOMAINS, "within"] == 0
    dead = [row for row in run.table("outcomes").to_pylist() if row["outcome"] == "dead_letter"]
    assert sum(row["rows"] for row in dead) == len(pictures.DAMAGED)
    (exam,) = run.table("image_benchmarks").to_pylist()
    assert (exam["items"], exam["exact"], exam["near"]) == (20, 4, 4)
    items = {row["item"].partition("-")[0] for row in run.table("image_benchmark_matches").to_pylist()}
    assert items == {"copied"}
    turnover = {row["domain"]: row for row in run.table("turnover").to_pylist()}[ALL_DOMAINS]
    came = sum(COUNTS["studio"]) + pictures.EXACT + pictures.NEAR
    assert (turnover["kept"], turnover["added"], turnover["removed"]) == (160, came, sum(COUNTS["archive"]))


def test_the_summary_says_it(output: str, folder: Path) -> None:
    text = " ".join(output.split())
    assert f"{2 * pictures.EXACT} images show exactly what one of another domain shows, and {2 * pictures.NEAR}" in text
    assert "Dead letters: image_empty 1, image_truncated 3, not_an_image 1." in text
    assert "finds 4 exact and 4 near copies of 20 images" in text
    assert "The verdict of images sign-off is fail" in text
    assert "All 30 pictures of shirt in the second snapshot are from studio" in text
    assert MISSING in output and "$ corpus-audit" not in output
    assert max(map(len, (line for line in output.splitlines() if str(folder) not in line))) <= 80


def test_a_second_call_is_the_same_and_foreign_files_stay(
    output: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["demo", "--images", "--folder", str(folder), "-q", "--json"], Session()) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["schema"], result["verdict"], result["index"]) == ("corpus-audit/demo/1", "fail", None)
    assert result["splits_read"] == 0, "the same bytes are not read again"
    (tmp_path / "images" / "data").mkdir(parents=True)
    assert run_command(["demo", "--images", "--folder", str(tmp_path), "-q"], Session()) == 2
    assert "not from a demo" in capsys.readouterr().err and list((tmp_path / "images").iterdir()) == [
        tmp_path / "images" / "data"
    ]
