from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from corpus_audit.checks.report.drift import charts as drift_charts
from corpus_audit.checks.report.drift import section
from corpus_audit.checks.report.drift.edits import with_edits
from corpus_audit.checks.report.drift.readings import bounds_agree, move, separation, token_text
from corpus_audit.checks.report.drift.records import DriftView, PartRow
from corpus_audit.checks.report.page.html import _environment
from corpus_audit.checks.text.safe_text import cell_width
from corpus_audit.checks.text.sentences import Name
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from tests.checks.report.drifted_runs import DOMAINS, DRIFT, INSUFFICIENT, NONE, SAME, write_drift
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.run_files import run_record


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> DriftView:
    return only(write_drift(tmp_path_factory.mktemp("drifted") / "run"))


def only(run: RunDirectory) -> DriftView:
    (view,) = section.load(run)
    return view


def sentences(view: DriftView) -> list[str]:
    (finding,) = section.findings((view,))
    return ["".join(p.text if isinstance(p, Name) else p for p in sentence) for sentence in finding.sentences]


def lines(view: DriftView) -> tuple[str, ...]:
    return section.findings((view,))[0].lines


def page(view: DriftView) -> str:
    return str(section.section(view, _environment()))


def charts(view: DriftView) -> Iterator[ET.Element]:
    made = (
        drift_charts.distances(view),
        drift_charts.shares(view),
        drift_charts.parts(view, (view.parts,), "whole"),
        drift_charts.parts(view, view.part_rows, "domains"),
        drift_charts.tokens(view, view.risers, "rose"),
        drift_charts.tokens(view, view.fallers, "fell"),
        drift_charts.lengths(view),
        drift_charts.turnover(view),
        drift_charts.classifiers(view),
    )
    yield from (ET.fromstring(str(chart)) for chart in made)


def test_a_run_without_a_baseline_has_no_section(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    assert section.load(RunDirectory(tmp_path, run_record())) == ()


@pytest.mark.parametrize(
    ("change", "p", "adjusted", "expected"),
    [
        (0.01, 0.001, 0.01, "moved"),
        (-0.01, 0.001, 0.2, "no move shown"),
        (0.01, 0.01, None, "not enough data"),
        (0.0, None, None, "no move shown"),
        (None, None, None, "not enough data"),
    ],
)
def test_three_readings_of_a_difference(
    change: float | None, p: float | None, adjusted: float | None, expected: str
) -> None:
    assert move({"change": change, "low": -1.0, "high": 1.0, "p": p, "p_adjusted": adjusted}) == expected


def test_lengths_of_an_earlier_version_are_read_from_their_interval() -> None:
    assert move({"change": 0.2, "low": 0.1, "high": 0.3}) == "moved"
    assert move({"change": 0.2, "low": 0.1, "high": 0.3, "p": 0.2}) == "no move shown"
    assert move({"change": 0.2, "low": None, "high": 0.3}) == "not enough data"


def test_an_interval_stands_beside_a_reading_only_where_they_agree() -> None:
    assert bounds_agree(True, 0.1, 0.2) and bounds_agree(False, -0.1, 0.2) and bounds_agree(True, -0.2, -0.1)
    assert not bounds_agree(True, -0.1, 0.2) and not bounds_agree(False, 0.1, 0.2) and not bounds_agree(True, None, 1.0)


def test_a_classifier_is_read_by_its_adjusted_p() -> None:
    assert separation({"auc": 0.7, "p": 0.01}) == "distinguished"
    assert separation({"auc": 0.7, "p": 0.2}) == "not distinguished"
    assert separation({"auc": 0.7, "p": 0.01, "p_adjusted": 0.06}) == "not distinguished"
    assert separation({"auc": None, "p": None}) == "not enough data"


def test_tokens_are_shown_with_their_spaces() -> None:
    assert token_text(" the") == "␣the"
    assert token_text("\n         x") == "\\n␣×9x"
    assert "\x1b" not in token_text("\x1b[2J") and "\u202e" not in token_text("a\u202eb")
    assert cell_width(token_text("x" * 99, 24)) == 24


def test_drift_is_reported_with_figure_interval_and_chance(view: DriftView) -> None:
    output = sentences(view)
    assert "drifted apart by 0.01000 bits [0.00400, 0.01600] beyond chance, adjusted p = 0.0005" in output[0]
    assert "recipes +2.00 points [+10.00, +20.00]" in " ".join(output)
    assert "60.0 % is the mix of domains and 40.0 % is the text" in " ".join(output)
    assert "drift is shown within 1 of 5 domains (web); 1 has not enough data; 1 is new; 1 holds the same" in " ".join(
        output
    )
    assert "Changed</p>" in page(view)


def test_what_edits_make_of_the_change_says_of_how_many_documents(view: DriftView) -> None:
    parts = replace(view.parts, causes=(0.2, 0.1, 0.1), followed=(1_000, 7_126))
    assert "(edits of 1,000 of the 7,126 edited documents 20.0 %, added" in " ".join(
        sentences(replace(view, parts=parts))
    )
    assert "(edits 20.0 %, added" in " ".join(sentences(replace(view, parts=replace(parts, followed=(7_120, 7_126)))))


@pytest.mark.parametrize(("edited", "followed", "known"), [(None, 0, False), (9, 0, False), (9, 9, True), (0, 0, True)])
def test_edits_that_are_not_known_are_not_0_per_cent(edited: int | None, followed: int, known: bool) -> None:
    rows = [{"documents": followed}] if followed else []
    whole = PartRow("(all)", True, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, (), causes=(0.0, 0.25, 0.25))
    assert bool(with_edits(whole, {"edited": edited}, rows).causes) == known


def test_parts_that_work_against_each_other_are_explained(view: DriftView) -> None:
    says = "A part below 0 % works against the change"
    assert says not in " ".join(sentences(view))
    opposed = replace(view, parts=replace(view.parts, mixture=-2.893, content=3.893))
    assert f"389.3 % is the text within them. {says}" in " ".join(sentences(opposed))


def test_without_drift_its_upper_bound_is_reported(tmp_path: Path) -> None:
    view = only(write_drift(tmp_path / "run", overall=NONE))
    assert sentences(view)[0].endswith("If there is any, it is at most 0.00400 bits.")
    assert lines(view)[0].startswith("no drift shown, at most 0.00400 bits: 0.00100 bits [−0.00200, 0.00400]")
    assert "No significant drift</p>" in page(view) and "Changed</p>" not in page(view)


def test_too_little_data_are_never_a_pass(tmp_path: Path) -> None:
    view = only(write_drift(tmp_path / "run", {"papers": INSUFFICIENT}, INSUFFICIENT))
    output, result = " ".join(sentences(view)), page(view)
    assert "Whether the token distributions as a whole drifted was not tested: too few documents" in output
    assert "Whether domain shares moved was not tested: too few documents" in output
    assert "The classifier test does not have enough data: too few" in output
    assert 'class="status bad"' in result and 'class="status good"' not in result
    assert lines(view)[:2] == ("not enough data: too few documents", "domain shares: not enough data")


def test_the_same_documents_are_the_same(tmp_path: Path) -> None:
    view = only(write_drift(tmp_path / "run", {"code": SAME}, SAME))
    assert sentences(view)[0].startswith("Both hold the same documents")
    assert view.distances == () and view.same == ("code",) and view.unchanged == 1
    assert "Not drawn, as both sides hold the same documents: <bdi>code</bdi>" in page(view)


def test_two_baselines_are_two_sections(tmp_path: Path) -> None:
    views = section.load(write_drift(tmp_path / "run", labels=("reference", "last run")))
    assert [view.label for view in views] == ["reference", "last run"]
    pages = [page(view) for view in views]
    assert 'id="drift"' in pages[0] and 'id="drift-2"' in pages[1]
    assert "Drift from <bdi>last run</bdi>" in pages[1]
    named = [{chart.get("aria-labelledby") for chart in charts(view)} for view in views]
    assert not named[0] & named[1]
    assert [finding.anchor for finding in section.findings(views)] == ["drift", "drift-2"]
    assert all("from " in finding.lines[0] for finding in section.findings(views))


def test_charts_are_well_formed_and_named(view: DriftView) -> None:
    names = set()
    for root in charts(view):
        title = root.find("title")
        assert title is not None and title.text and root.get("aria-labelledby") == title.get("id")
        names.add(title.get("id"))
    assert len(names) == 9


def test_every_row_of_a_chart_says_its_reading_in_words(view: DriftView) -> None:
    output = [text.text for text in next(charts(view)).iter("text")]
    for words in ("drift", "no drift shown", "not enough data", "not in the baseline"):
        assert words in output
    shown = [text.text for text in list(charts(view))[1].iter("text")]
    assert {"moved", "no move shown", "not enough data"} <= set(shown)


def test_domains_with_drift_come_first_and_same_ones_are_left_out(view: DriftView) -> None:
    assert [row.domain for row in view.distances] == ["web", "forums", "recipes", "papers"]
    assert view.same == ("code",)


def test_parts_against_the_change_are_left_of_zero(view: DriftView) -> None:
    row = replace(view.part_rows[0], mixture=-0.25, content=0.5)
    root = ET.fromstring(str(drift_charts.parts(view, (row,), "domains")))
    mix, text = (rect for rect in root.iter("rect"))
    zero = float((next(line for line in root.iter("line") if line.get("class") == "range").get("x1") or "").rstrip("%"))
    assert float((mix.get("x") or "").rstrip("%")) < zero
    assert float((text.get("x") or "").rstrip("%")) == pytest.approx(zero, abs=0.01)


@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_text_from_the_corpus_does_nothing(view: DriftView, payload: str) -> None:
    plain, hostile = page(with_every_text(view, "plain")), page(with_every_text(view, payload))
    for tag in ("<script", "<img", "<iframe", "<a ", "<meta", "<link", "<form", "<base", "<style", "<svg", "<section"):
        assert hostile.count(tag) == plain.count(tag), tag
    assert not any(character in hostile for character in "\x1b\x9b\u202e\u2066\u200b")


@pytest.mark.parametrize("payload", ["plain", *EVERY_PAYLOAD])
def test_lines_of_a_terminal_are_safe(view: DriftView, payload: str) -> None:
    result = lines(with_every_text(replace(view, baselines=2), payload))
    assert 1 <= len(result) <= 3
    assert all(line.isprintable() for line in result)


def test_many_domains_stay_small_and_are_counted(tmp_path: Path) -> None:
    names = {f"domain-{number:04d}": DRIFT if number % 2 else NONE for number in range(1000)}
    view = only(write_drift(tmp_path / "run", names))
    result = page(view)
    assert len(result.encode()) < 300_000
    assert "970 further domains are in tables/drift.parquet" in result
    assert "shown within 500 of 1,000" in " ".join(sentences(view))


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = write_drift(tmp_path / "run", DOMAINS)
    assert page(only(run)) == page(only(RunDirectory(run.folder, run_record())))


def test_a_night_without_a_change_is_one_sentence_and_its_count(tmp_path: Path) -> None:
    view = only(write_drift(tmp_path / "run", {"code": SAME}, SAME))
    assert view.nothing_changed and len(sentences(view)) == 2
    assert sentences(view)[0] == "Both hold the same documents: nothing changed."
    assert lines(view) == ("nothing changed: both hold the same documents",)
    assert "Nothing changed</p>" in page(view)
    moved = only(write_drift(tmp_path / "moved", {"code": DRIFT}, SAME))
    assert not moved.nothing_changed and "Nothing changed</p>" not in page(moved)


def test_what_is_not_there_is_a_dash_and_never_a_figure(tmp_path: Path) -> None:
    view = only(write_drift(tmp_path / "run"))
    gone = [
        replace(row, before=None, difference=None, low=None, high=None, reading="not enough data")
        for row in view.shares
    ]
    parts = replace(view.parts, mixture=None, content=None, mixture_tvd=None, content_tvd=None, reason="no tokens")
    tokens = tuple(replace(row, ratio=None, low=None, high=None) for row in view.new)
    empty = replace(view, shares=tuple(gone), parts=parts, new=tokens, part_rows=(parts,))
    shown = page(empty)
    assert "Nothing is explained: <bdi>no tokens</bdi>" in shown and "None" not in shown.replace(">None.<", "")
    assert all(chart.tag.endswith("svg") for chart in charts(empty))
    assert "Whether domain shares moved was not tested" in " ".join(sentences(empty))


def test_of_images_near_duplicates_are_captions(tmp_path: Path) -> None:
    run = write_drift(tmp_path / "run")
    spec = run.facts.spec | {"document": {"image": "image", "text": "caption"}}
    captions = only(RunDirectory(run.folder, run.facts.model_copy(update={"spec": spec})))
    assert captions == replace(only(run), of_images=True) and captions.near
    of_images, of_texts = page(captions), page(only(run))
    for phrase in ("Captions near one that was there before", "Sampled captions", "Captions of now that are"):
        assert phrase in of_images and phrase not in of_texts
    assert "Sampled documents" in of_texts and "Documents of now that are" in of_texts
