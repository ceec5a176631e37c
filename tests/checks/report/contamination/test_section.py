from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from corpus_audit.checks.report.contamination import charts, section
from corpus_audit.checks.report.contamination.records import ContaminationView
from corpus_audit.checks.report.contamination.sentences import summary_lines
from corpus_audit.checks.report.page.html import _environment
from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.checks.text.sentences import Name
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.checks.report.scanned_runs import NAMES, write_contamination
from tests.run_files import run_record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return write_contamination(tmp_path_factory.mktemp("scanned") / "run", items=80)


@pytest.fixture(scope="module")
def view(run: RunDirectory) -> ContaminationView:
    return loaded(run)


def loaded(run: RunDirectory) -> ContaminationView:
    found = section.load(run)
    assert found is not None
    return found


def sentences(view: ContaminationView) -> list[str]:
    return [
        "".join(part.text if isinstance(part, Name) else part for part in sentence)
        for finding in section.findings(view)
        for sentence in finding.sentences
    ]


def page(view: ContaminationView) -> str:
    return str(section.section(view, _environment()))


def test_a_run_without_the_tables_has_no_section(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    assert section.load(RunDirectory(tmp_path, run_record())) is None


def test_counts_are_of_items_and_not_of_rows(view: ContaminationView, run: RunDirectory) -> None:
    rows = run.table("contamination_items").to_pylist()
    items = {(row["benchmark"], row["item"]) for row in rows}
    contaminated = {(row["benchmark"], row["item"]) for row in rows if row["outcome"] == "contaminated"}
    spared = {(row["benchmark"], row["item"]) for row in rows if row["outcome"] == "boilerplate"}
    assert (view.items, view.contaminated) == (len(items), len(contaminated)) and contaminated
    assert view.boilerplate == len(spared - contaminated) > 0
    assert view.untestable == len(NAMES) * 10
    for row in view.benchmarks:
        assert row.contaminated == sum(benchmark == row.name for benchmark, _ in contaminated)


def test_the_same_item_id_in_two_benchmarks_is_two_items(tmp_path: Path) -> None:
    view = loaded(write_contamination(tmp_path / "run", ["a", "a"], items=16, rate=1.0))
    assert view.items == 16
    assert all(item.benchmark == "a" for item in view.worst)


def test_benchmarks_come_by_their_largest_share(view: ContaminationView) -> None:
    largest = [max(rule.share or 0.0 for rule in row.rules) for row in view.benchmarks]
    assert largest == sorted(largest, reverse=True) and {row.name for row in view.benchmarks} == set(NAMES)
    assert view.reasons == (("llama3", "the threshold is an input and was not given", len(NAMES)),)
    assert "llama3</bdi> has no share in 4 benchmarks" in page(view)


def test_a_scan_that_finds_what_was_planted_passes_its_check(view: ContaminationView) -> None:
    assert view.check_passed and not view.failed
    found = page(view)
    assert found.index("The scan passed its own check") < found.index("Contaminated items")
    assert sentences(view)[0] == (
        "Planted copies found, lowest to highest rule: verbatim, opening quoted, NFC/NFD 100 %; "
        "white space, line wraps 50 % to 100 %; case, quotes, no answer 50 %."
    )
    assert "Planted copies found, by kind of copy" in found
    assert "call 0.0 % to 2.5 % contaminated (most: decon_idf)" in sentences(view)[1]
    lines = summary_lines(view)
    assert lines[0].startswith("scan checked")
    assert " ".join(line.strip() for line in lines[1:4]).startswith("verbatim, opening quoted, NFC/NFD 100 %; white")
    every = replace(view, copies=tuple(replace(row, found=((7, 7),) * 6) for row in view.copies))
    assert sentences(every)[0].startswith("Every planted copy of a benchmark item was found, of every kind")


def test_a_scan_that_misses_one_is_not(tmp_path: Path) -> None:
    view = loaded(write_contamination(tmp_path / "run", missed=1))
    assert not view.check_passed and [row.rule for row in view.failed] == ["palm"]
    found = page(view)
    assert "The scan failed its own check" in found and "99 of 100 found" in found
    assert "99 of 100" in sentences(view)[0]
    assert summary_lines(view)[0] == "scan failed its check: planted copies missed by palm"
    assert 'class="bar lost"' in charts.check(view)


def test_a_scan_without_canaries_is_neither(tmp_path: Path) -> None:
    view = loaded(write_contamination(tmp_path / "run", canaries=0))
    assert not view.check_passed and not view.failed and len(view.unchecked) == len(view.checks)
    assert "not fully checked" in page(view) and "✓" not in page(view)
    assert "not fully checked" in summary_lines(view)[0]
    assert not replace(view, checks=()).check_passed


def test_worst_items_stand_with_their_documents(view: ContaminationView, run: RunDirectory) -> None:
    longest = [(-len(item.rules), -item.longest) for item in view.worst]
    assert longest == sorted(longest)
    matches = run.table("contamination_matches").to_pylist()
    for item in view.worst:
        mine = [row for row in matches if (row["benchmark"], row["item"]) == (item.benchmark, item.item)]
        assert len(item.matches) + item.hidden == len(mine) and len(item.matches) <= 3
        first = max(mine, key=lambda row: row["covered"])
        shown = item.matches[0]
        assert (shown.document, shown.domain, shown.offset) == (first["id"], first["domain"], first["offset"])
    hashes = {row["document"] for row in matches if row["id"] is None}
    named = {match.document for item in view.worst for match in item.matches}
    assert named & hashes


def test_leaks_add_up_over_the_benchmarks(view: ContaminationView, run: RunDirectory) -> None:
    rows = run.table("contamination_domains").to_pylist()
    for leak in view.leaks:
        assert leak.items == sum(row["items"] for row in rows if row["domain"] == leak.domain)
        assert sum(leak.by_benchmark) == leak.items
    assert [leak.items for leak in view.leaks] == sorted((leak.items for leak in view.leaks), reverse=True)


def test_one_benchmark_has_no_columns_of_its_own(tmp_path: Path) -> None:
    view = loaded(write_contamination(tmp_path / "run", ["only"]))
    assert view.leak_benchmarks == () and view.leaks and all(leak.by_benchmark == () for leak in view.leaks)


def test_a_clean_corpus(tmp_path: Path) -> None:
    view = loaded(write_contamination(tmp_path / "run", rate=0.0))
    assert view.contaminated == 0 and view.worst == () and view.leaks == ()
    found = page(view)
    assert "No item is contaminated." in found and "No domain contains" in found
    assert "largest share" not in " ".join(sentences(view))


def test_many_benchmarks_and_domains_stay_readable(tmp_path: Path) -> None:
    names, domains = [f"bench-{i}" for i in range(30)], [f"site-{i}.example.org" for i in range(1000)]
    view = loaded(write_contamination(tmp_path / "run", names, domains, items=24, rate=0.9))
    assert (len(view.benchmarks), view.hidden_benchmarks) == (12, 18)
    assert len(view.leaks) == 20 and view.hidden_leaks > 0
    assert len(view.worst) == 20 and len(view.leak_benchmarks) == 6
    found = page(view)
    assert "18 further benchmarks" in found and "further domains with fewer items" in found
    assert len(found) < 250_000


def test_charts_are_well_formed_and_hold_every_row(view: ContaminationView) -> None:
    check = ET.fromstring(str(charts.check(view)))
    assert [text.text for text in check.iter("text")].count("100 of 100") == len(view.checks)
    shares = ET.fromstring(str(charts.shares(view)))
    bars = [rect for rect in shares.iter("rect") if rect.get("class") == "bar"]
    assert len(bars) == sum(rule.share is not None for row in view.benchmarks for rule in row.rules)
    assert [text.text for text in shares.iter("text")].count("no threshold") == len(NAMES)
    ET.fromstring(str(charts.leaks(view)))


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_text_from_the_corpus_does_nothing(view: ContaminationView, payload: str) -> None:
    plain, hostile = page(with_every_text(view, "plain")), page(with_every_text(view, payload))
    for tag in ("<script", "<img", "<iframe", "<a ", "<meta", "<link", "<form", "<base", "<style", "<svg", "<section"):
        assert hostile.count(tag) == plain.count(tag), tag
    assert not any(character in hostile for character in "\x1b\x9b\u202e\u2066\u200b")


@pytest.mark.parametrize("payload", ["plain", *EVERY_PAYLOAD])
def test_summary_lines_fit(view: ContaminationView, payload: str) -> None:
    lines = summary_lines(with_every_text(view, payload))
    assert 1 <= len(lines) <= 8
    assert all(cell_width(line) <= 68 and line.isprintable() for line in lines)


def test_the_same_run_gives_the_same_bytes(run: RunDirectory, view: ContaminationView) -> None:
    again = loaded(RunDirectory(run.folder))
    assert again == view and page(again) == page(view)


def test_of_images_the_section_says_that_captions_were_searched(run: RunDirectory, view: ContaminationView) -> None:
    spec = run.facts.spec | {"document": {"image": "image", "text": "caption"}}
    captions = loaded(RunDirectory(run.folder, run.facts.model_copy(update={"spec": spec})))
    assert captions == replace(view, of_images=True) and not view.of_images
    text = page(captions)
    assert "Benchmarks in the captions" in text and "a document here is a caption" in text
    assert any("in captions of images." in sentence for sentence in sentences(captions))
    assert any("in captions of images" in line for line in summary_lines(captions))
    assert all(len(line) <= 68 for line in summary_lines(captions))
    for word in ("captions", "a document here"):
        assert word not in page(view) + "".join(sentences(view)) + "".join(summary_lines(view))
