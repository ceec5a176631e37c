"""Contact sheets of units in the report: pictures with alternative text and captions, and names made safe."""

import base64
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.report.activations import section
from corpus_audit.checks.report.activations.section import ModelView
from corpus_audit.checks.report.activations.unit_sheets import SIDE
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.embedding_tables import UNIT_CROPS
from tests.checks.report.activations.test_section import KNOWN, page
from tests.checks.report.hostile import HOSTILE
from tests.run_files import run_record

PNG, JPEG = b"\x89PNG\r\n\x1a\n and so on", b"\xff\xd8\xff and so on"
UNIT = {
    "unit": "conv.stem:3", "label": None, "domain": "studio", "mean": 1.25, "elsewhere": 0.5, "low": 0.6, "high": 0.9,
    "fired": 0.25,
}  # fmt: skip
CROP = {
    "value": -2.5, "image_domain": "studio", "document": "photo-7", "shows": "field", "share": None,
    "box": [0, 0, 9, 7], "width": 9, "height": 7, "crop": PNG, "reason": None,
}  # fmt: skip
NO_CROP = dict.fromkeys(("shows", "share", "box", "width", "height", "crop"))


def rows() -> list[dict[str, object]]:
    logit = UNIT | {"unit": "logit:1", "label": "shirt"}
    logit |= dict.fromkeys(("domain", "mean", "elsewhere", "low", "high"))
    return [
        UNIT | CROP | {"rank": 0},
        UNIT | CROP | {"rank": 1, "image_domain": "street", "width": 64, "height": 60, "crop": JPEG},
        UNIT | CROP | NO_CROP | {"rank": 2, "reason": "its shard does not hold the image any more"},
        logit | CROP | {"rank": 0, "shows": "effective", "share": 0.961},
    ]


def view_of(folder: Path, crops: list[dict[str, object]] | None, **known: object) -> ModelView:
    (folder / "tables").mkdir(parents=True)
    if crops is not None:
        pq.write_table(pa.Table.from_pylist(crops, UNIT_CROPS), folder / "tables" / "unit_crops.parquet")
    view = section.load(RunDirectory(folder, run_record(embedding=KNOWN | {"of_images": True} | known)))
    assert view is not None
    return view


def test_every_picture_has_alternative_text_and_a_caption(tmp_path: Path) -> None:
    text = page(view_of(tmp_path, rows()))
    assert re.findall(r'alt="([^"]*)"', text) == [
        "Receptive field of image photo-7 of the domain studio, activation −2.500",
        "Receptive field of image photo-7 of the domain street, activation −2.500",
        "Effective field of image photo-7 of the domain studio, activation −2.500",
    ]
    assert text.count("<b>−2.500</b> <bdi>") == 4 and text.count("<bdi>photo-7</bdi>") == 4
    kinds = re.findall(r'src="data:image/(\w+);base64,([^"]*)"', text)
    assert [(kind, base64.b64decode(data)) for kind, data in kinds] == [("png", PNG), ("jpeg", JPEG), ("png", PNG)]
    assert "no picture: its shard does not hold the image any more" in text and "96.1 % of the squared gradient" in text


def test_small_crops_are_enlarged_by_whole_factors(tmp_path: Path) -> None:
    text = page(view_of(tmp_path, rows()))
    assert re.findall(r'<img( class="enlarged")? .*?width="(\d+)" height="(\d+)"', text) == [
        (' class="enlarged"', str(SIDE // 9 * 9), str(SIDE // 9 * 7)),
        ("", "64", "60"),
        (' class="enlarged"', str(SIDE // 9 * 9), str(SIDE // 9 * 7)),
    ]


def test_a_sheet_says_why_its_unit_is_listed_and_where_its_images_are_from(tmp_path: Path) -> None:
    text = page(view_of(tmp_path, rows()))
    assert "mean 1.25 against 0.5, difference at 95 % 0.6 to 0.9" in text
    assert "Of the 3 strongest images, 2 are of <bdi>studio</bdi>, 1 is of <bdi>street</bdi>." in text
    assert "<code>logit:1</code> <bdi>shirt</bdi>" in text and "Of the strongest image, 1 is of" in text
    assert text.count("More active in") == 1 and text.count("shown is the effective field") == 1


def test_without_crops_the_section_says_why(tmp_path: Path) -> None:
    none = page(view_of(tmp_path / "none", None))
    assert "There are no contact sheets of units" in none and "<img" not in none
    assert "There are no contact sheets" not in page(view_of(tmp_path / "text", None, of_images=False))
    assert "No unit stands out" in page(view_of(tmp_path / "empty", []))


def test_names_are_made_safe(tmp_path: Path) -> None:
    name = "".join(HOSTILE).encode("utf-8", "ignore").decode()  # a table holds no lone surrogates
    hostile = UNIT | {"label": name, "domain": name} | CROP | {"rank": 0, "document": name, "image_domain": name}
    text = page(view_of(tmp_path, [hostile]))
    assert "<script" not in text and "\u202e" not in text and "\x1b" not in text and text.count("<img") == 1


@pytest.mark.parametrize("crops", [True, False])
def test_the_page_allows_pictures_only_where_it_has_some(model: ReportModel, tmp_path: Path, crops: bool) -> None:
    given = rows() if crops else [row | NO_CROP | {"reason": "gone"} for row in rows()]
    text = render_html(replace(model, pictures=None, indexed=view_of(tmp_path, given)))
    assert ("img-src data:" in text) == ("<img" in text) == crops
