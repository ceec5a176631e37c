"""The section on images: what it says, pictures within the page, and text from the corpus that does nothing."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from corpus_audit.checks.report.images import section
from corpus_audit.checks.report.images.records import BenchmarkRow, ImagesView, Part
from corpus_audit.checks.report.page.html import _environment, render_html
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.text.sentences import Name
from corpus_audit.pipelines.image_figures.drift import image_drift_tables
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.pipelines.image_figures.making import tables_of
from tests.pipelines.image_measures.making import album, block_of
from tests.run_files import write_run_json


def run_of(folder: Path, numbers: range) -> RunDirectory:
    (folder / "run" / "tables").mkdir(parents=True)
    write_run_json(folder / "run")
    for name, table in tables_of(folder / "partials", [block_of(numbers)]).items():
        write_table(folder / "run" / "tables" / f"{name}.parquet", IMAGE_TABLES[name], [table])
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("images")
    now = run_of(folder / "now", range(len(album())))
    for name, table in image_drift_tables("last", run_of(folder / "then", range(12)), now).items():
        write_table(now.folder / "tables" / f"{name}.parquet", IMAGE_TABLES[name], [table])
    return now


@pytest.fixture(scope="module")
def view(run: RunDirectory) -> ImagesView:
    loaded = section.load(run)
    assert loaded is not None
    return loaded


def page(view: ImagesView) -> str:
    return str(section.section(view, _environment()))


def test_the_view_is_of_the_tables(run: RunDirectory, view: ImagesView) -> None:
    assert [row.name for row in view.rows] == ["all domains", "scans", "studio", "web"]
    assert view.everything.images == len(album()) == sum(row.images for row in view.rows[1:])
    distinct = {row["domain"]: row["distinct"] for row in run.table("image_duplicates").to_pylist()}  # by pixels
    assert {sheet.domain: sheet.distinct for sheet in view.sheets} | {"(all)": distinct["(all)"]} == distinct
    assert {row.baseline for row in view.sizes_then} == {"last"} and len(view.sizes_then) == 4
    assert view.kinds_then and all(row.difference for row in view.kinds_then)
    formats = {row.value: row.images for row in view.kinds if row.property == "format"}
    assert sum(formats.values()) == len(album())


def test_sentences_say_the_figures(view: ImagesView) -> None:
    (finding,) = section.findings(view)
    text = " ".join(part.text if isinstance(part, Name) else part for words in finding.sentences for part in words)
    assert text.startswith("25 images have 61,") and "2 images are named as another format" in text
    assert "are near another picture of their domain" in text
    (finding,) = section.findings(replace(view, near_reason="too many"))
    assert ("Near duplicates have no share: too many.",) in finding.sentences


def test_benchmarks_and_their_planted_copies(view: ImagesView) -> None:
    copies = (("jpeg", False, 20, 19), ("rewritten", True, 20, 20))
    row = BenchmarkRow("exam", 21, 1, 4, 2, Part(6 / 21, 0.1, 0.5), copies)
    text = page(replace(view, benchmarks=(row,)))
    assert "exam: rewritten, must be found" in text and "95.0" in text and "28.57" in text
    assert "Planted copies" not in page(view)
    (finding,) = section.findings(replace(view, benchmarks=(row,)))
    assert (
        "Of ",
        Name("exam"),
        ", the corpus holds 4 of 21 images and near duplicates of 2 more.",
    ) in finding.sentences
    missed = replace(row, copies=(("rewritten", True, 20, 19),))
    assert "broken" in page(replace(view, benchmarks=(missed,)))
    (finding,) = section.findings(replace(view, benchmarks=(missed,)))
    assert any("missed planted copies: do not use its figures." in str(words[-1]) for words in finding.sentences)


def test_pictures_are_within_the_page_and_say_what_they_are(view: ImagesView) -> None:
    text = page(view)
    images = re.findall(r'<img src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)" alt="([^"]+)">', text)
    assert len(images) == text.count("<img") == sum(len(sheet.pictures) for sheet in view.sheets)
    assert len({alt for _, alt in images}) == len(images)
    for data, alt in images:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            width, height = map(int, re.search(r"(\d+) × (\d+) pixels", alt).groups())  # type: ignore[union-attr]
            assert picture.format == "JPEG" and picture.size == (width, height)
    assert "Picture 1 of 8 of the domain scans" in text


def test_every_table_has_a_caption_and_every_heading_a_scope(view: ImagesView) -> None:
    text = page(view)
    assert text.count("<table") == text.count("<caption") == text.count("</table") == 6
    assert text.count("<th ") == text.count(" scope=")
    rows = re.findall(r"<tr>.*?</tr>", text[text.index("table-image-copies") :], re.DOTALL)
    assert {len(re.findall(r"<t[hd]", row)) for row in rows[:5]} == {10}


def test_the_policy_of_the_page_allows_pictures_only_where_there_are_some(model: ReportModel, view: ImagesView) -> None:
    assert "img-src" not in render_html(model)
    assert "img-src" not in render_html(replace(model, pictures=replace(view, sheets=())))
    text = render_html(replace(model, pictures=view))
    assert re.search(r"style-src 'sha256-[^']+'; img-src data:; base-uri 'none'", text)
    assert 'href="#images"' in text and text.index('id="images"') < text.index('id="limits"')


def test_no_images_make_no_section(tmp_path: Path) -> None:
    assert section.load(run_of(tmp_path, range(0))) is None


def test_without_thumbnails_and_baseline_the_rest_is_there(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    write_run_json(tmp_path)
    for name in IMAGE_TABLES.keys() - {"image_thumbnails", "image_drift_sizes", "image_drift_kinds"}:
        if (path := run.folder / "tables" / f"{name}.parquet").exists():
            (tmp_path / "tables" / path.name).write_bytes(path.read_bytes())
    view = section.load(RunDirectory(tmp_path))
    assert view is not None and not view.sheets and not view.sizes_then
    assert "<img" not in page(view) and "Contact sheets" not in page(view)


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_text_from_the_corpus_does_nothing(view: ImagesView, payload: str) -> None:
    plain, hostile = page(with_every_text(view, "plain")), page(with_every_text(view, payload))
    for tag in ("<script", "<img", "<iframe", "<a ", "<meta", "<link", "<form", "<base", "<style", "<svg", "<section"):
        assert hostile.count(tag) == plain.count(tag), tag
    assert not any(character in hostile for character in "\x1b\x9b\u202e\u2066\u200b")


def test_sizes_have_the_digits_that_are_known() -> None:
    sizes = [1.2345, 12.0, 12.34, 148.0, 999.4, 1_000.0, 29_643.0, 412_492.0, None]
    shown = ["1.23", "12", "12.3", "148", "999", "1,000", "29,600", "412,000", "–"]
    assert [section._size_text(size) for size in sizes] == shown
