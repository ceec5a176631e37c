"""Damaged and hostile evaluation files: clear outcomes within bounds, nothing executed, what was read before stays."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.evaluations.reading import read_evaluation
from corpus_audit.pipelines.evaluations.records.bounded_files import ReadLimits, parse_json
from tests.pipelines.evaluations import making

SMALL = ReadLimits(line=2_000, document=20_000, member=20_000, expansion=4, free=10_000)


@pytest.mark.parametrize("method", [8, 93])
def test_a_member_that_expands_too_far_is_a_dead_letter(tmp_path: Path, method: int) -> None:
    members = {
        "header.json": making.inspect_header(2, 0.5),
        "samples/0_epoch_1.json": making.inspect_sample(0, "C", events=["x" * 1_000_000]),
        "samples/1_epoch_1.json": making.inspect_sample(1, "C"),
    }
    path = making.write_archive(tmp_path / "bomb.eval", members, method)
    result = read_evaluation(path, limits=SMALL)
    assert result.items["item"].to_pylist() == ["1"]
    assert [letter.reason for letter in result.dead_letters] == ["unreadable sample"]
    assert "more than is allowed" in result.dead_letters[0].detail


def test_a_directory_that_lies_about_sizes_is_bounded_all_the_same(tmp_path: Path) -> None:
    path = making.inspect_log(tmp_path / "a.eval", ["C", "I"])
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("samples/0_epoch_1.json").file_size
    at = data.rindex(size.to_bytes(4, "little") + len("samples/0_epoch_1.json").to_bytes(2, "little"))
    data[at : at + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    result = read_evaluation(path, limits=SMALL)
    assert result.files[0].rows == 2 and result.items.num_rows + result.files[0].dead_letters == 2


@pytest.mark.parametrize("method", [8, 93])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_truncated_archives_have_a_reason(tmp_path: Path, method: int, share: float) -> None:
    path = making.inspect_log(tmp_path / "a.eval", ["C"] * 20, method)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    (outcome,) = read_evaluation(path).files
    assert outcome.reason and "zip archive is damaged" in outcome.reason


@pytest.mark.parametrize("method", [8, 93])
def test_flipped_bytes_never_change_a_score_silently(tmp_path: Path, method: int) -> None:
    path = making.inspect_log(tmp_path / "a.eval", ["C"] * 4, method)
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        result = read_evaluation(path)
        assert set(result.items["score"].to_pylist()) <= {1.0}


def test_compressed_lines_that_expand_too_far_or_end_early_keep_what_was_read(tmp_path: Path) -> None:
    lines = [{"id": i, "score": 1} for i in range(20_000)]
    text = making.write_lines(tmp_path / "x.jsonl", lines).read_bytes()
    (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "short.jsonl.gz").write_bytes(gzip.compress(text)[:-2_000])
    (tmp_path / "short.jsonl.zst").write_bytes(pa.Codec("zstd").compress(text, asbytes=True)[:-2_000])
    for name, limits, why in (
        ("bomb.jsonl.gz", SMALL, "bomb"), ("short.jsonl.gz", ReadLimits(), "truncated"),
        ("short.jsonl.zst", ReadLimits(), ""),
    ):  # fmt: skip
        result = read_evaluation(tmp_path / name, limits=limits)
        assert result.files[0].reason and why in result.files[0].reason, name
        assert result.items.num_rows < 20_000


def test_long_lines_and_deep_documents_are_named(tmp_path: Path) -> None:
    path = making.write_lines(tmp_path / "x.jsonl", [
        {"id": 1, "score": 1}, {"id": 2, "score": 1, "text": "y" * 5_000}, {"id": 3, "score": 1},
    ])  # fmt: skip
    result = read_evaluation(path, limits=SMALL)
    assert result.items["item"].to_pylist() == ["1", "3"] and result.dead_letters[0].reason == "line too long"
    making.write_json(tmp_path / "big.json", {"results": "z" * 50_000})
    (tmp_path / "deep.json").write_text("[" * 100_000)
    outcomes = {outcome.file: outcome.reason for outcome in read_evaluation(tmp_path, limits=SMALL).files}
    assert "more than" in str(outcomes["big.json"]) and outcomes["deep.json"]
    with pytest.raises(ValueError, match="surrogate"):
        parse_json(b'{"a": NaN, "b": "\\ud800"}')
    assert parse_json(b'{"a": -Infinity}') == {"a": float("-inf")}


def test_a_damaged_parquet_file_has_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": [str(i) for i in range(1000)], "score": [1.0] * 1000}), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    (outcome,) = read_evaluation(path).files
    assert outcome.reason and "damaged" in outcome.reason


def test_a_zip_of_something_else_and_equal_names(tmp_path: Path) -> None:
    making.write_archive(tmp_path / "model.zip", {"weights.json": [1]})
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("samples/0_epoch_1.json", '{"id": 1, "scores": {"m": {"value": "C"}}}')
        archive.writestr("header.json", '{"status": "success", "eval": {"task": "t"}}')
    result = read_evaluation(tmp_path)
    assert result.items.num_rows == 1 and "repeated members" in {remark.what for remark in result.remarks}
    assert "not a log of Inspect" in str(result.files[1].reason)


@pytest.mark.parametrize("stored", [True, False])
def test_long_labels_that_a_parquet_dictionary_repeats_are_dead_letters(tmp_path: Path, stored: bool) -> None:
    rows = 10_000  # times the text: 20 GB
    codes = pa.array([0] * (rows - 1) + [1], pa.int32())
    items = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 2_000_000, "short"]))
    table = pa.table({"id": items, "score": [1.0] * rows})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=rows, store_schema=stored)
    result = read_evaluation(tmp_path / "x.parquet")
    assert result.items["item"].to_pylist() == ["short"]
    assert result.dead_counts == {("x.parquet", "labels too long"): rows - 1}
