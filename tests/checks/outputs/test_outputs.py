"""What other programs read of a run: the right things in the right shape, and the same bytes every time."""

import json
import uuid
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from markdown_it import MarkdownIt

from corpus_audit.checks.outputs.context import HashedShard, RenderContext, load_context
from corpus_audit.checks.outputs.formats import FORMATS, write_outputs
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.run.results import Status
from tests.checks.outputs.sarif_shape import LOG


def rendered(context: RenderContext, kind: str) -> str:
    return FORMATS[kind].render(context)


def test_junit_counts_what_the_results_count(context: RenderContext) -> None:
    root = ElementTree.fromstring(rendered(context, "junit"))
    integrity, policy = root
    statuses = [entry.status for entry in context.judgements if entry.kind == "rule"]
    assert (integrity.get("name"), integrity.get("tests"), integrity.get("errors")) == ("integrity", "1", "0")
    assert policy.get("name") == "policy pretraining 3"
    expected = {
        "failure": statuses.count(Status.FAIL),
        "error": statuses.count(Status.INSUFFICIENT),
        "skipped": statuses.count(Status.WAIVED),
        "system-out": statuses.count(Status.WARN),
    }
    assert {tag: len(policy.findall(f"testcase/{tag}")) for tag in expected} == expected
    assert [policy.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["6", "1", "1", "1"]
    assert [root.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["7", "1", "1", "1"]
    failure = policy.find("testcase/failure")
    assert failure is not None and failure.get("message") == "3.1 % is more than 2 %."
    for phrase in (
        "observed: 3.12 %",
        "fails unless: at most 2 %",
        "next step: Deduplicate",
        "owner: data@example.org",
    ):
        assert phrase in (failure.text or "")


def test_a_corpus_of_images_is_not_called_text(context: RenderContext) -> None:
    of_images = replace(context, report=replace(context.report, images=True))
    bare = replace(context, report=replace(context.report, images=True, text=False, unit="documents"))
    assert "of a corpus of images" in json.loads(rendered(of_images, "croissant"))["description"]
    (domains,) = json.loads(rendered(bare, "croissant"))["recordSet"]
    assert "tokens are those of their captions" in domains["description"]
    assert "| bytes of captions |" in rendered(of_images, "card")
    assert " of captions in " in rendered(of_images, "markdown")
    for kind in ("croissant", "card", "markdown"):
        assert "of text" not in rendered(of_images, kind) and "text corpus" not in rendered(of_images, kind)
    assert "text-generation" not in rendered(bare, "card") and "Tokens" not in rendered(bare, "card")
    assert ", without captions" in json.loads(rendered(bare, "croissant"))["description"]
    assert "images in " in rendered(bare, "markdown")


def test_a_run_without_a_verdict_has_integrity_cases_that_are_errors(unjudged: RenderContext) -> None:
    assert unjudged.results is None
    (suite,) = ElementTree.fromstring(rendered(unjudged, "junit"))
    assert int(suite.get("errors", "0")) > 0 and suite.get("failures") == "0"
    log = json.loads(rendered(unjudged, "sarif"))
    assert log["runs"][0]["properties"]["verdict"] == "not judged"
    assert log["runs"][0]["results"] and all(entry["level"] == "error" for entry in log["runs"][0]["results"])


def test_sarif_has_the_shape_of_the_standard_and_points_at_lines_of_the_policy(context: RenderContext) -> None:
    log = json.loads(rendered(replace(context, policy_path="audits/my policy.yaml"), "sarif"))
    jsonschema.validate(log, LOG, format_checker=jsonschema.FormatChecker())
    (run,) = log["runs"]
    open_ = [entry for entry in context.judgements if entry.status is not Status.PASS]
    assert len(run["results"]) == len(open_)
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        location = result["locations"][0]["physicalLocation"]
        assert location["artifactLocation"]["uri"] == "audits/my%20policy.yaml"
        line = next(entry.line for entry in open_ if entry.rule == result["ruleId"])
        assert location["region"]["startLine"] == (line or 1)
    assert [entry["level"] for entry in run["results"] if entry["properties"]["status"] == "warn"] == ["warning"]
    waived = [entry for entry in run["results"] if entry["properties"]["status"] == "waived"]
    assert "bob@example.org until 2026-12-31" in waived[0]["suppressions"][0]["justification"]
    assert len({json.dumps(entry["partialFingerprints"]) for entry in run["results"]}) == len(open_)


def test_sarif_lists_the_most_urgent_of_too_many(context: RenderContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus_audit.checks.outputs.sarif.MOST_RESULTS", 2)
    (run,) = json.loads(rendered(context, "sarif"))["runs"]
    assert [entry["properties"]["status"] for entry in run["results"]] == ["fail", "insufficient"]
    assert run["properties"]["resultsLeftOut"] == 2


def test_openlineage_has_the_required_parts_and_a_lasting_id(context: RenderContext) -> None:
    event = json.loads(rendered(context, "openlineage"))
    assert event["eventType"] == "COMPLETE" and event["eventTime"] == "2026-11-22T06:15:00Z"
    datetime.fromisoformat(event["eventTime"])
    assert uuid.UUID(event["run"]["runId"]).version == 5
    assert event["job"] == {"namespace": "corpus-audit", "name": context.report.name}
    (snapshot,) = event["inputs"]
    assert snapshot["facets"]["version"]["datasetVersion"] == context.report.snapshot.digest
    facets = [*event["run"]["facets"].values(), *snapshot["facets"].values(), *snapshot["inputFacets"].values()]
    assert all({"_producer", "_schemaURL"} <= facet.keys() for facet in facets)
    assertions = snapshot["inputFacets"]["dataQualityAssertions"]["assertions"]
    successes = {entry["assertion"]: entry["success"] for entry in assertions}
    assert successes["duplicates [domain=web/common-crawl]"] is False and successes["duplicates [domain=books]"] is True
    assert successes["few [domain=papers]"] is False and successes["leak [benchmark=exam,rule=gpt3]"] is False
    assert event["run"]["facets"]["corpusAudit_verdict"]["verdict"] == "fail"
    assert json.loads(rendered(context, "openlineage"))["run"] == event["run"]


def test_croissant_is_accepted_by_the_reference_validator(context: RenderContext) -> None:
    validator = pytest.importorskip("mlcroissant")
    dataset = validator.Dataset(jsonld=json.loads(rendered(context, "croissant")))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    missing = {"citeAs", "datePublished", "license"}  # the publisher's to give
    assert all(any(f"/{name}" in warning for name in missing) for warning in issues.warnings)
    records = list(dataset.records("domains"))
    assert len(records) == len(context.report.domains)
    biggest = context.report.domains[0]
    assert {entry["domains/tokens"] for entry in records} >= {biggest.tokens.count}


def test_croissant_lists_shards_with_digests_and_says_what_was_measured(context: RenderContext) -> None:
    dataset = json.loads(rendered(context, "croissant"))
    manifest, *shards = dataset["distribution"]
    assert manifest["sha256"] == context.manifest
    assert [entry["sha256"] for entry in shards] == [shard.sha256 for shard in context.shards] != []
    assert any("exact repeats" in text for text in dataset["rai:dataLimitations"])
    assert "Failed" in dataset["rai:dataReleaseMaintenancePlan"]
    assert "license" not in dataset
    remote = replace(context, shards=(HashedShard("s3://bucket/a b.parquet", "00", 1, "parquet"),
                                       HashedShard("javascript:alert(1)", "00", 1, "jsonl")))  # fmt: skip
    urls = [entry["contentUrl"] for entry in json.loads(rendered(remote, "croissant"))["distribution"]]
    assert urls[1:] == ["s3://bucket/a%20b.parquet", "javascript%3Aalert%281%29"]


def test_markdown_says_verdict_and_every_judgement_that_does_not_pass(context: RenderContext) -> None:
    text = rendered(context, "markdown")
    assert text.startswith("# ✗ Failed: `pretraining-mix 2026-11`\n")
    table = text.split("## What does not pass")[1].split("## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    open_ = [entry for entry in context.judgements if entry.status is not Status.PASS]
    assert len(rows) == len(open_) == 4
    for phrase in ("`domain=web/common-crawl`", "3.12 %", "fails unless at most 2 %", "`data@example.org`"):
        assert phrase in rows[0]
    assert "`W-1` | used | `leak` | `benchmark=exam,rule=gpt3` | at most 5 % |" in text
    assert "Last signed: `20261001T000000Z`" in text
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert html.count("<table>") == 2 and html.count("<h2>") == 5


def test_the_card_has_the_measured_numbers_and_leaves_the_rest_to_people(context: RenderContext) -> None:
    text = rendered(context, "card")
    _, front, body = text.split("---\n", 2)
    assert "size_categories:\n- 100K<n<1M" in front and "license" not in front
    assert f"{context.report.totals.tokens:,}" in body
    biggest = context.report.domains[0]
    assert f"| `{biggest.name}` | {biggest.documents.count:,} | {biggest.tokens.count:,} |" in body
    assert body.count("[More Information Needed]") == 8


def test_every_output_is_the_same_for_the_same_run(judged_run: Path, context: RenderContext) -> None:
    again = load_context(judged_run)
    for kind in FORMATS:
        text = rendered(context, kind)
        assert text == rendered(again, kind)
        assert text.endswith("\n") and str(judged_run.parent) not in text


def test_outputs_are_written_side_by_side(tmp_path: Path, context: RenderContext) -> None:
    write_outputs(tmp_path, context)
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == sorted(
        entry.file for entry in FORMATS.values()
    )


def test_timings_that_say_nothing_are_an_error_with_its_reason(judged_run: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(judged_run, run)
    (run / "timings.json").write_text("{}")
    with pytest.raises(StoreError, match="does not say when"):
        load_context(run)
