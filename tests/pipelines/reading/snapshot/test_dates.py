"""Dates in the paths of a snapshot."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from corpus_audit.pipelines.reading.snapshot.dates import fill_dates
from corpus_audit.schemas.errors import NoVerdictError, UsageError
from corpus_audit.schemas.spec.audit_file import LoadedAudit, load_audit


def made(base: Path, *names: str) -> None:
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text("{}")


def loaded(base: Path, *paths: str, manifest: str | None = None) -> LoadedAudit:
    spec = {"name": "n", "snapshot": {"paths": paths, "manifest": manifest}, "tokenizer": "t"}
    (base / "audit.yaml").write_text(json.dumps(spec))
    return load_audit(base / "audit.yaml")


def filled(base: Path, *paths: str, day: date | None = None) -> tuple[str, ...]:
    return fill_dates(loaded(base, *paths), day).spec.snapshot.paths


def test_paths_without_dates_and_other_braces_stay_as_they_are(tmp_path: Path) -> None:
    audit = loaded(tmp_path, "data/{x}/*.jsonl", "{datex}", "{latest_one}")
    assert fill_dates(audit) is audit


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        ("data/{latest}", ["data/2026-01-09/a", "data/2026-01-10/a", "data/zzz/a", "data/9999/a"], "data/2026-01-10"),
        ("data/{latest}/*.jsonl", ["data/20260109/a", "data/20260110/a"], "data/20260110/*.jsonl"),
        ("d/dt={latest}/**", ["d/dt=2026-01-09/a", "d/2026-02-10/a", "d/dt=2026-01-08/b"], "d/dt=2026-01-09/**"),
        ("d/{latest}", ["d/20260109T230000Z/a", "d/20260110T010000Z/a"], "d/20260110T010000Z"),
        ("d/{latest}", ["d/2025-12/a", "d/2026-01/a"], "d/2026-01"),
        ("d/{latest:%Y/%m/%d}/x", ["d/2025/12/31/x", "d/2026/01/02/x", "d/2026/02/30/x"], "d/2026/01/02/x"),
        ("d/{latest:%d.%m.%Y}", ["d/31.12.2025/a", "d/01.02.2026/a", "d/2026-03-01/a"], "d/01.02.2026"),
        ("d/part-{latest}-[0-9]*.gz", ["d/part-20260102-01.gz", "d/part-20260103-x.gz"], "d/part-20260102-[0-9]*.gz"),
        ("*/{latest}/{latest}.jsonl", ["a/20260101/20260101.jsonl", "b/20260102/x"], "*/20260102/20260102.jsonl"),
    ],
)
def test_the_newest_name_is_selected(tmp_path: Path, pattern: str, names: list[str], expected: str) -> None:
    made(tmp_path, *names)
    assert filled(tmp_path, pattern) == (expected,)


def test_a_day_is_filled_in_and_bounds_the_latest(tmp_path: Path) -> None:
    made(tmp_path, "d/2026-01-01/a", "d/2026-01-02/a", "d/2026-01-03/a")
    assert filled(tmp_path, "x/{date}", "d/{latest}", "y/{date:%Y/%m}", day=date(2026, 1, 2)) == (
        "x/2026-01-02",
        "d/2026-01-02",
        "y/2026/01",
    )
    today = datetime.now(UTC).date()
    assert filled(tmp_path, "x/{date}")[0] in {f"x/{today}", f"x/{today + timedelta(days=1)}"}


def test_names_after_tomorrow_are_not_the_latest(tmp_path: Path) -> None:
    made(tmp_path, "d/2026-01-01/a", "d/2226-01-01/a")
    assert filled(tmp_path, "d/{latest}") == ("d/2026-01-01",)


def test_a_snapshot_has_one_date_its_manifest_too(tmp_path: Path) -> None:
    made(tmp_path, "web/2026-01-01/a", "web/2026-01-02/a", "code/20260101/a", "m/2026-01-02.txt")
    with pytest.raises(UsageError, match=r"code/\{latest\}: it has no 2026-01-02"):
        filled(tmp_path, "web/{latest}", "code/{latest}")
    made(tmp_path, "code/20260102/a")
    assert filled(tmp_path, "web/{latest}", "code/{latest}") == ("web/2026-01-02", "code/20260102")
    snapshot = fill_dates(loaded(tmp_path, "web/{latest}", manifest="m/{latest}.txt")).spec.snapshot
    assert (snapshot.paths, snapshot.manifest) == (("web/2026-01-02",), "m/2026-01-02.txt")


def test_no_date_two_names_of_one_date_and_wrong_formats_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "d/20260102/a", "d/2026-01-02/a", "e/x/a")
    with pytest.raises(NoVerdictError, match="matches no date"):
        filled(tmp_path, "e/{latest}")
    with pytest.raises(UsageError, match="2026-01-02 and 20260102 are the same date"):
        filled(tmp_path, "d/{latest}")
    assert filled(tmp_path, "d/{latest:%Y%m%d}") == ("d/20260102",)
    for wrong in ("{date:%y}", "{latest:%Y%}", "{latest:%%}"):
        with pytest.raises(UsageError, match="a date format may contain"):
            filled(tmp_path, f"d/{wrong}")


def test_other_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"s3://bucket/*": ["s3://bucket/2026-01-01", "s3://bucket/2026-01-02", "s3://bucket/old"]}
    monkeypatch.setattr("corpus_audit.pipelines.reading.snapshot.dates.match_glob", lambda pattern: listed[pattern])
    assert filled(tmp_path, "s3://bucket/{latest}/*.jsonl") == ("s3://bucket/2026-01-02/*.jsonl",)
