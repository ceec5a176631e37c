"""Every way in which two runs cannot be compared is refused, and nothing else is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from corpus_audit.pipelines.drift.comparable import RunReading, check_comparable
from corpus_audit.schemas.errors import UsageError
from tests.run_files import record_of, run_json

FACTS = run_json(
    tokenizer={"name": "gpt2", "sha256": "a" * 64},
    spec={
        "name": "corpus",
        "snapshot": {"paths": ["one/"]},
        "document": {"text": "text", "id": "id", "domain": "source", "cluster": None},
        "filter": [],
        "limits": {"document_bytes": 1000, "bad_rows": 5},
    },
)


def changed(path: str, value: Any) -> dict[str, Any]:
    facts = copy.deepcopy(FACTS)
    part = facts
    *parents, last = path.split(".")
    for name in parents:
        part = part[name]
    part[last] = value
    return facts


def check(baseline: dict[str, Any], current: dict[str, Any]) -> None:
    check_comparable(RunReading.of(record_of(baseline)), RunReading.of(record_of(current)), "last month")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.name", "another"),
        ("spec.snapshot.paths", ["two/"]),
        ("spec.document.id", None),
        ("spec.limits.bad_rows", 9),
        ("tokenizer.name", "the same under another name"),
    ],
)
def test_what_does_not_matter(path: str, value: Any) -> None:
    check(FACTS, changed(path, value))
    check(changed(path, value), FACTS)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("tokenizer.sha256", "b" * 64, "sha256 aaaaaaaaaaaa.*sha256 bbbbbbbbbbbb"),
        ("spec.document.text", "body", r"the text field \('text' and 'body'\)"),
        ("spec.document.cluster", "host", r"the cluster field \(None and 'host'\)"),
        ("spec.document.domain", "language", r"the domain \('source' and 'language'\)"),
        ("spec.document.domain", {"path": "(.*)"}, r"the domain \('source' and 'path'\)"),
        ("spec.filter", [{"field": "x"}], "the filter"),
        ("spec.limits.document_bytes", 10, "limits.document_bytes"),
        ("spec.limits", None, "limits.document_bytes"),
        ("coverage.sample_share", 0.5, "the current run read a sample"),
    ],
)
def test_what_is_refused(path: str, value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(FACTS, changed(path, value))
    with pytest.raises(UsageError, match="last month"):
        check(changed(path, value), FACTS)


def test_patterns_of_paths_may_differ() -> None:
    """Snapshots lie in different folders."""
    one, two = (changed("spec.document.domain", {"path": f"{name}/([^/]+)/"}) for name in ("one", "two"))
    check(one, two)


def test_all_differences_are_said_at_once() -> None:
    other = changed("spec.document.text", "body")
    other["spec"]["filter"] = [{"field": "x"}]
    with pytest.raises(UsageError, match=r"the text field.*the filter.*differ"):
        check(FACTS, other)


def test_limits_of_images_matter_and_their_benchmarks_do_not() -> None:
    def with_images(images: Any) -> dict[str, Any]:
        return changed("spec", FACTS["spec"] | {"document": {"image": "image", "domain": "source"}, "images": images})

    limits = {"max_pixels": 100_000_000, "max_bytes": 64 * 2**20, "max_frames": 1000}
    check(with_images(None), with_images(limits | {"benchmarks": [{"name": "exam", "path": "exam"}]}))
    with pytest.raises(UsageError, match=r"images.max_frames \(1000 and 3\) differ"):
        check(with_images(None), with_images(limits | {"max_frames": 3}))
