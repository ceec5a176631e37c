"""jsonlite#405: integers of JSON beyond 64 bits became floats, and two ids became one (1.2345678901234568e+29).

Right: two ids with all their digits, in facets and clusters too. The text of floats stays as it was (as Arrow writes
it, so that every format agrees). A number beyond the range of floats is JSON, and costs no document either.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.reading.documents.batches import ReadSettings
from corpus_audit.schemas.spec.audit import DocumentSpec
from tests.pipelines.reading.shard_files import read

LABELS = ReadSettings(DocumentSpec.model_validate({"id": "m.id", "domain": "d", "cluster": "d"}))


def write(path: Path, numbers: list[str]) -> Path:
    path.write_text("".join(f'{{"text": "t", "m": {{"id": {n}}}, "d": {n}}}\n' for n in numbers))
    return path


def test_ids_of_30_digits_stay_two(tmp_path: Path) -> None:
    numbers = ["123456789012345678901234567890", "123456789012345678901234567891"]
    result = read(write(tmp_path / "a.jsonl", numbers), LABELS)
    assert result.ids == result.domains == numbers
    assert result.batches[0].cluster is not None and result.batches[0].cluster.to_pylist() == numbers


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("1e30", "1e+30"),
        ("0.1", "0.1"),
        ("12345678.9", "12345678.9"),
        ("1" * 400, "1" * 400),
        ("9" * 5000, "9" * 5000),
        ("1e400", "1e400"),
    ],
)
def test_numbers_as_labels(tmp_path: Path, number: str, shown: str) -> None:
    result = read(write(tmp_path / "a.jsonl", [number, "1"]), LABELS)
    assert (result.ids, result.dead) == ([shown, "1"], {})


@settings(deadline=None, max_examples=60)
@given(numbers=st.lists(st.integers(-(2**200), 2**200), min_size=1, max_size=20))
def test_integers_keep_their_digits(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    path = write(tmp_path_factory.mktemp("numbers") / "a.jsonl", [json.dumps(number) for number in numbers])
    assert read(path, LABELS).ids == [str(number) for number in numbers]


def test_nan_is_no_json_and_the_reason_says_so(tmp_path: Path) -> None:
    """Strict JSON has no NaN: the row stays a dead letter, under a reason of its own; also in other fields."""
    lines = [
        json.dumps({"text": "good"}),
        json.dumps({"text": "t", "score": float("nan")}),
        json.dumps({"text": "t", "score": [float("-inf")]}),
        '{"text": "t", "score": nan}',
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    result = read(path, ReadSettings(DocumentSpec()))
    assert (result.texts, result.dead) == (["good"], {"nan_in_json": 2, "not_json": 1})


def test_a_lone_surrogate_beside_a_number_beyond_floats_stays_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "\\ud800", "x": 1e999}\n{"text": "\\ud83d\\ude00", "x": 1e999}\n')
    result = read(path, ReadSettings(DocumentSpec()))
    assert (result.texts, result.dead) == (["\U0001f600"], {"lone_surrogate": 1})
