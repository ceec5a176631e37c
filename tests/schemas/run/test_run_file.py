"""`run.json` through its schema and back, runs of earlier versions, and what is refused, by the path of the key."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.run.run_file import IntegrityRule, PublishedFile, RunFile, parse_run_file, read_run_file
from tests.run_files import ADDED_LATER, digest, early_run_json, run_json, run_record, write_run_json

AUTOENCODER = {
    "hook": "blocks.0.hook_resid_post", "tokens": 256, "largest": 1e-7, "undecided": 0, "active": 12.5,
    "explained_variance": None, "least_explained": 0.3, "notes": ["it was trained on 128 tokens at once"],
}  # fmt: skip
INDEX = {
    "index": "20261126T000000Z", "sha256": digest("index"), "model": "minilm", "model_sha256": digest("model"),
    "units": 12, "windows": 3, "tokens": 400,
}  # fmt: skip
EVERYTHING = {
    "cluster": "column host",
    "mixture": {"unit": "tokens", "shares": {"web": 0.75, "code": 0.25}},
    "filter": [{"name": "long", "clause": "length >= 200"}],
    "listing": {
        "seen": 3, "read": 1,
        "unread": {"hidden": {"files": 2, "bytes": 10, "may_be_data": False, "endings": {".tmp": 2}, "names": ["_a"]}},
    },
    "baselines": [
        {"label": "last", "run": "r", "name": "n", "snapshot": digest("s"), "documents": digest("d")}
    ],
    "inputs": digest("inputs"),
    "spec": {"version": 1, "document": {"text": "text"}, "filter": [{"value": [1, 2.5, None, True]}]},
    "files": {"tables/domains.parquet": {"sha256": digest("file"), "bytes": 7}},
}  # fmt: skip


def round_trip(value: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(parse_run_file(json.dumps(value).encode()).to_json())
    return written


@pytest.mark.parametrize(
    "value",
    [
        run_json(),
        run_json(**EVERYTHING),
        run_json(embedding=INDEX),
        run_json(embedding=INDEX | {"autoencoders": {"sae": AUTOENCODER}}),
        run_json(embedding={"index": None, "reason": "no index of this snapshot"}),
        early_run_json(),
    ],
    ids=["whole", "everything", "index", "autoencoder", "no-index", "early"],
)
def test_a_run_file_is_the_same_json_after_it_was_read_and_written(value: dict[str, Any]) -> None:
    assert round_trip(value) == value
    assert parse_run_file(strict_json.dumps(value)).to_json() == strict_json.dumps(value, indent=2) + b"\n"


def test_a_run_of_an_earlier_version_is_read_and_what_it_lacks_stays_absent() -> None:
    early = parse_run_file(strict_json.dumps(early_run_json()))
    assert (early.listing, early.inputs, early.baselines, early.documents_without_cluster) == (None, None, (), 0)
    assert (early.coverage.row_bytes, early.coverage.dead_letter_bytes, early.tokenizer.engine) == (0, 0, "auto")
    for name, *_ in (path for path in ADDED_LATER if len(path) == 1):
        assert name not in json.loads(early.to_json())


Path = tuple[str | int, ...]

BY_NAME = ("unread", "endings", "sources", "shares", "versions", "files")
"""Records whose keys are data; any key may stand there, and what is below `spec` is the audit file's."""


def keys(value: Any, path: Path = ()) -> list[Path]:
    """The path of every key."""
    if path == ("spec",):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, entry in items for p in [(*path, key), *keys(entry, (*path, key))]]


def at(value: Any, path: Path) -> Any:
    """What stands at a path."""
    for key in path:
        value = value[key]
    return value


FULL = run_json(**EVERYTHING)
RECORDS = [
    (),
    *(path for path in keys(FULL) if isinstance(at(FULL, path), dict) and path[-1] not in (*BY_NAME, "spec")),
]
KEY_PATHS = [
    path for path in keys(FULL) if isinstance(path[-1], str) and path[-2:-1] not in [(name,) for name in BY_NAME]
]


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def refusal(value: dict[str, Any]) -> str:
    """What is said of a record that is refused."""
    with pytest.raises(StoreError) as refused:
        parse_run_file(strict_json.dumps(value))
    return str(refused.value)


@pytest.mark.parametrize("path", keys(FULL), ids=dotted)
def test_a_mistyped_value_is_refused_by_the_path_of_its_key(path: Path) -> None:
    value = copy.deepcopy(FULL)
    at(value, path[:-1])[path[-1]] = [["wrong"]]  # no field is a list of lists
    assert refusal(value).startswith(f"run.json: {dotted(path)}")


@pytest.mark.parametrize("path", RECORDS, ids=dotted)
def test_an_unknown_key_is_refused_by_its_path(path: Path) -> None:
    value = copy.deepcopy(FULL)
    at(value, path)["x"] = 1
    assert refusal(value).startswith(f"run.json: {dotted((*path, 'x'))}: Extra inputs are not permitted")


@pytest.mark.parametrize("path", KEY_PATHS, ids=dotted)
def test_a_key_that_is_missing_is_named_unless_earlier_versions_lack_it(path: Path) -> None:
    value = copy.deepcopy(FULL)
    del at(value, path[:-1])[path[-1]]
    if path in ADDED_LATER:
        assert round_trip(value) == value
    else:
        assert refusal(value).startswith(f"run.json: {dotted(path)}: Field required")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"format": 2}, "format: Input should be 1"),
        ({"coverage": {"documents": "10"}}, "coverage.documents: Input should be a valid integer"),
        ({"coverage": {"documents": -1}}, "coverage.documents: Input should be greater than or equal to 0"),
        ({"coverage": {"sample_share": 0.0}}, "coverage.sample_share: Input should be greater than 0"),
        ({"complete": 1}, "complete: Input should be a valid boolean"),
        ({"tokenizer": {"sha256": "12"}}, "tokenizer.sha256: String should match pattern"),
        ({"embedding": INDEX | {"units": None}}, "embedding.RunIndex.units: Input should be a valid integer"),
    ],
)
def test_what_is_no_run_file_is_refused(value: dict[str, Any], message: str) -> None:
    assert message in refusal(run_json(**value))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"format": 1, "format": 1}', b'{"format": NaN}', b"\xff", b"1", b"{} {}"]
)
def test_what_is_not_strict_json_or_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(StoreError, match=r"^run\.json"):
        parse_run_file(data)


def test_a_folder_without_a_run_file_is_no_run(tmp_path) -> None:
    with pytest.raises(StoreError, match="not a published run directory"):
        read_run_file(tmp_path)
    write_run_json(tmp_path, name="mine")
    assert read_run_file(tmp_path).name == "mine"
    (tmp_path / "run.json").unlink()
    (tmp_path / "run.json").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        read_run_file(tmp_path)


def test_a_rule_that_does_not_hold_makes_a_run_incomplete() -> None:
    run = run_record()
    extended = run.with_rule(IntegrityRule.of("contamination_self_check", True, "not all found", "all found"))
    assert (extended.complete, extended.reasons, extended.integrity[-1].detail) == (True, (), "all found")
    broken = extended.with_rule(IntegrityRule.of("other", False, "it is wrong", "it is right"))
    assert (broken.complete, broken.reasons, broken.integrity[-1].status) == (False, ("it is wrong",), "fail")
    assert run.complete and len(broken.integrity) == len(run.integrity) + 2
    listed = broken.with_files({"report.html": PublishedFile(sha256=digest("r"), bytes=1)})
    assert RunFile.model_validate_json(listed.to_json()) == listed
