"""Whole audits of image corpora: the same tables from every format, any workers and shards; conservation; drift."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.schemas.tables.image_tables import IMAGE_TABLES
from tests.engine.runs import Run, run, write_audit
from tests.pipelines.reading.image_shards import png, tar

pytestmark = pytest.mark.engine

CAPTIONED = {"image": "image", "text": "caption", "id": "id", "domain": "source"}
PLAIN = {"image": "image", "domain": "source"}


@dataclass(frozen=True)
class Picture:
    id: str
    source: str
    caption: str | None
    image: bytes

    @property
    def columns(self) -> dict[str, Any]:
        return {"id": self.id, "source": self.source, "caption": self.caption}


def pictures() -> list[Picture]:
    """Sixty: every fifth without a caption, two copies of a picture, one of them under another caption."""
    made = []
    for i in range(60):
        caption = None if i % 5 == 0 else f"a picture of thing number {i % 7}, seen from the side"
        made.append(Picture(f"p{i:02}", "abc"[i % 3], caption, png(i, 16)))
    made[10] = Picture("p10", "b", made[11].caption, made[11].image)
    made[20] = Picture("p20", "c", "another caption", made[11].image)
    return made


def write_parquet(folder: Path, parts: Sequence[Sequence[Picture]]) -> None:
    for number, part in enumerate(parts):
        rows = [{**picture.columns, "image": {"bytes": picture.image, "path": None}} for picture in part]
        schema = pa.schema(
            [
                ("id", pa.string()),
                ("source", pa.string()),
                ("caption", pa.string()),
                ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ]
        )
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{number}.parquet", row_group_size=7)


def write_tars(folder: Path, parts: Sequence[Sequence[Picture]]) -> None:
    for number, part in enumerate(parts):
        members = []
        for picture in part:
            members.append((f"{picture.id}.png", picture.image))
            members.append((f"{picture.id}.json", json.dumps(picture.columns).encode()))
        (folder / f"{number}.tar").write_bytes(tar(members))


def write_folders(folder: Path, parts: Sequence[Sequence[Picture]]) -> None:
    for number, part in enumerate(parts):
        below = folder / str(number)
        below.mkdir()
        rows = [{"file_name": f"{picture.id}.png", **picture.columns} for picture in part]
        (below / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for picture in part:
            (below / f"{picture.id}.png").write_bytes(picture.image)


WRITERS = {"parquet": write_parquet, "tar": write_tars, "folder": write_folders}


def audit(
    folder: Path,
    kind: str,
    shards: int,
    workers: int,
    bpe: Path | None,
    documents: Sequence[Picture] | None = None,
    **spec: Any,
) -> Run:
    (folder / "shards").mkdir(parents=True)
    documents = pictures() if documents is None else documents
    WRITERS[kind](folder / "shards", [documents[i::shards] for i in range(shards)])
    fields = PLAIN if bpe is None else CAPTIONED
    path = write_audit(folder, [folder / "shards"], bpe or Path("none"), document=fields, **spec)
    if bpe is None:
        content = json.loads(path.read_text())
        del content["tokenizer"]
        path.write_text(json.dumps(content))
    return run(path, workers)


def copies(result: Run) -> dict[str, tuple[int, int]]:
    """By domain, copies of another document of it, and documents that also occur in another one."""
    rows = result.rows("duplicates")
    return {row["domain"]: (row["duplicate_documents"], row["across_documents"]) for row in rows}


def image_tables(result: Run) -> dict[str, list[dict[str, Any]]]:
    """Every table about the images themselves."""
    return {name: result.rows(name) for name in IMAGE_TABLES if not re.search("drift|cluster|benchmark", name)}


def test_every_format_workers_and_shards_give_the_same_tables(tmp_path: Path, bpe: Path) -> None:
    first = audit(tmp_path / "first", "parquet", 1, 1, bpe)
    tables = first.integer_tables()
    domains = {row["value"]: row["documents"] for row in first.rows("domains")}
    assert domains == {"a": 20, "b": 20, "c": 20}
    # Pictures 10 and 11 are equal with their captions; 20 has the same image with another caption.
    assert copies(first) == {"(all)": (1, 2), "a": (0, 0), "b": (0, 1), "c": (0, 1)}
    detail = next(rule for rule in first.record["integrity"] if rule["check"] == "coverage")["detail"]
    assert detail.endswith("; 10 images without a caption")
    images = image_tables(first)
    assert sum(row["images"] for row in images["image_totals"]) == len(images["image_thumbnails"]) + 1 == 60
    by_pixels = {row["domain"]: row for row in images["image_duplicates"] if row["by"] == "pixels"}
    assert by_pixels["(all)"]["duplicate_images"] == 2 and by_pixels["(all)"]["across_images"] == 3
    metrics = {(row["metric"], row["slice"]): row["value"] for row in first.rows("metrics")}
    assert metrics["images", "all"] == 60 and metrics["image_domain_share_images", "domain=a"] == 20 / 60
    for kind, shards, workers in (("tar", 1, 2), ("tar", 5, 1), ("folder", 3, 2)):
        other = audit(tmp_path / f"{kind}{shards}", kind, shards, workers, bpe)
        assert other.integer_tables() == tables and image_tables(other) == images, kind


def test_images_without_captions_run_without_a_tokenizer(tmp_path: Path) -> None:
    documents = [*pictures(), Picture("bad", "a", None, b"not an image"), Picture("cut", "a", None, png(1, 16)[:-9])]
    result = audit(tmp_path, "tar", 2, 2, None, documents, limits={"dead_letter_share": 0.1})
    record = result.record
    assert record["complete"] and record["coverage"]["conserved"]
    assert (record["coverage"]["rows"], record["coverage"]["documents"]) == (62, 60)
    assert record["tokenizer"]["name"] == "none: images without captions"
    outcomes = {row["reason"]: row["rows"] for row in result.rows("outcomes") if row["outcome"] == "dead_letter"}
    assert outcomes == {"not_an_image": 1, "image_truncated": 1}
    assert copies(result) == {"(all)": (2, 3), "a": (0, 0), "b": (0, 1), "c": (1, 2)}


def test_benchmark_images_are_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "exam"
    folder.mkdir()
    for number in (3, 7, 500):
        (folder / f"{number}.png").write_bytes(png(number, 16))
    result = audit(tmp_path, "tar", 2, 1, None, images={"benchmarks": [{"name": "exam", "path": "exam"}]})
    (row,) = result.rows("image_benchmarks")
    assert (row["items"], row["exact"]) == (3, 2)
    items = {
        match["item"]: match["domain"] for match in result.rows("image_benchmark_matches") if match["match"] == "exact"
    }
    assert items == {"3.png": "a", "7.png": "b"}
    shares = {row["slice"]: row for row in result.rows("metrics") if row["metric"] == "image_contamination_share"}
    assert shares["benchmark=exam"]["n"] == 3 and shares["benchmark=exam"]["value"] >= 2 / 3
    assert all(
        check["found"] == check["planted"] for check in result.rows("image_benchmark_check") if check["required"]
    )


def test_a_cut_archive_costs_the_verdict_and_a_new_shard_is_all_that_is_read(tmp_path: Path) -> None:
    first = audit(tmp_path, "tar", 3, 1, None)
    assert (first.splits_read, first.record["complete"]) == (3, True)
    path = tmp_path / "shards" / "3.tar"
    path.write_bytes((tmp_path / "shards" / "0.tar").read_bytes()[:-1024])
    second = run(tmp_path / "audit.yaml", 1)
    assert (second.splits_read, second.splits_cached) == (1, 3)  # the cut one, as far as it goes
    assert not second.record["complete"]
    assert "without the two blocks of zeros that end an archive" in second.record["reasons"][0]


def test_a_baseline_of_images_shows_what_changed(tmp_path: Path, bpe: Path) -> None:
    audit(tmp_path / "old", "tar", 2, 1, bpe)
    changed = [picture for picture in pictures() if picture.id != "p07"]
    changed[0] = Picture("p00", "a", None, png(999, 16))
    (tmp_path / "new" / "exam").mkdir(parents=True)
    (tmp_path / "new" / "exam" / "a.png").write_bytes(png(700, 16))
    exam = {"benchmarks": [{"name": "exam", "path": "exam"}]}  # what is looked for is no other way of reading
    new = audit(
        tmp_path / "new", "folder", 2, 1, bpe, changed, baseline={"run": str(tmp_path / "old" / "runs")}, images=exam
    )
    turnover = {row["domain"]: row for row in new.rows("turnover")}["(all)"]
    assert turnover["kept"] == 58
    kinds = {(row["property"], row["value"]): row["difference"] for row in new.rows("image_drift_kinds")}
    assert kinds["format", "PNG"] == 0
    assert {row["metric"] for row in new.rows("metrics")} >= {"image_size_drift_p", "image_kind_drift_p"}
