"""The page that people sign: what they have to know comes first, nothing is said that is not so, all of it prints."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.report.page import html
from corpus_audit.checks.report.page.findings import findings
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.limits import limits
from corpus_audit.checks.report.verdict import section
from corpus_audit.checks.text.sentences import Name
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.results import PastJudgement, Status
from tests.checks.report.judged_runs import LAST, judgement, results
from tests.checks.report.test_report_page import Page, contrast


def text_of(context: RenderContext, near: bool) -> str:
    model = replace(context.report, near_duplicates=near)
    return " ".join("".join(p.text if isinstance(p, Name) else p for p in sentence) for sentence in limits(model))


def test_near_duplicates_are_called_estimated_exactly_when_they_are(context: RenderContext) -> None:
    assert "Near-duplicates are estimated from a sample" in text_of(context, True)
    assert "not counted here" not in text_of(context, True)
    assert "Near-duplicates are not counted here" in text_of(context, False)


def test_verdict_and_coverage_come_first(everything: RenderContext) -> None:
    assert [finding.topic for finding in findings(everything.report)][:3] == ["Verdict", "Coverage", "Mixture"]
    text = render_html(everything.report)
    sections = re.findall(r'<section id="([^"]+)"', text)
    assert sections[:4] == ["summary", "verdict", "coverage", "dead-letters"]
    assert sections.index("limits") == len(sections) - 2
    shown = "".join(Page(text).text)
    assert shown.index("Failed") < shown.index("Every shard was read") < shown.index("Summary")


def test_every_judgement_has_what_a_signer_asks_for(everything: RenderContext) -> None:
    assert everything.report.verdict and everything.results
    text = re.sub(r"\s+", " ", "".join(Page(render_html(everything.report)).text)).replace("\u00a0", " ")
    for row in everything.report.verdict.judgements:
        for figure in (row.title, row.slice, row.observed, row.interval, row.n, row.warns, row.fails, row.reason,
                       row.owner, row.next_step):  # fmt: skip
            assert figure in text
    for phrase in ("W-1", "DATA-7", "bob@example.org", "2026-12-31", "20261001T000000Z", "was pass"):
        assert phrase in text


def test_charts_have_a_title_and_are_described_in_words(everything: RenderContext) -> None:
    text = render_html(everything.report)
    charts = re.findall(r'<svg [^>]*role="img"[^>]*>(.*?)</svg>', text, re.DOTALL)
    assert len(charts) > 15
    assert all(re.match(r"\s*<title[^>]*>[^<]+</title>", chart) for chart in charts)
    page = Page(text)
    assert page.elements["main"] == page.elements["header"] == page.elements["h1"] == 1
    assert page.elements["th"] == page.attributes["th@scope"]


def test_the_page_with_every_section_is_one_small_file(everything: RenderContext) -> None:
    assert len(render_html(everything.report).encode()) < 2_000_000


def test_ten_thousand_failures_leave_the_page_small_and_are_counted_on_it(
    context: RenderContext, judged_run: Path
) -> None:
    long = {"rationale": "because " * 40, "next_step": "do it " * 60, "owner": "o" * 200, "reason": "worse " * 60}
    failing = [judgement("d", Status.FAIL, f"domain=host-{n}.example.org", **long) for n in range(10_000)]
    passing = [judgement("d", Status.PASS, f"domain=good-{n}") for n in range(500)]
    past = tuple(PastJudgement(rule="d", slice=entry.slice, status=Status.PASS) for entry in failing)
    judged = results((*failing, *passing), LAST.model_copy(update={"judgements": past}))
    view = section.view_of(judged, RunDirectory(judged_run))
    text = render_html(replace(context.report, verdict=view))
    assert len(text.encode()) < 2_000_000
    phrase = "".join(Page(text).text)
    for count in (
        "10,000 fail",
        "9,300 further judgements do not pass",
        "500 further judgements pass",
        "9,300 further judgements changed",
    ):
        assert count in phrase


def _palettes(css: str) -> dict[str, dict[str, str]]:
    """Colours by name, of the light, dark and printed page."""
    named = r"--([\w-]+):\s*(#[0-9a-fA-F]{3,6})"

    def block(text: str) -> dict[str, str]:
        return {
            name: colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
            for rule in re.findall(r":root\s*{([^}]*)}", text)
            for name, colour in re.findall(named, rule)
        }

    dark = "".join(re.findall(r"@media \(prefers-color-scheme: dark\) {(.*?\n)}", css, re.DOTALL))
    printed = "".join(re.findall(r"@media print {(.*?\n)}", css, re.DOTALL))
    light = block(css.replace(dark, "").replace(printed, ""))
    return {"light": light, "dark": light | block(dark), "print": light | block(printed)}


def test_every_colour_of_text_reads_on_every_ground_in_light_dark_and_print() -> None:
    css = "".join((Path(html.__file__).parent / name).read_text("utf-8") for name in ("report.css", "sections.css"))
    used = set(re.findall(r"(?<![-\w])color:\s*var\(--([\w-]+)\)", css))
    assert {"ink", "quiet", "link", "good", "warn", "bad"} <= used
    palettes = _palettes(css)
    assert palettes["light"]["paper"] != palettes["dark"]["paper"]
    for theme, colours in palettes.items():
        for name in used:
            for ground in ("paper", "raised"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (theme, name, ground)


def test_every_mark_of_a_chart_stands_out_from_the_paper() -> None:
    css = "".join((Path(html.__file__).parent / name).read_text("utf-8") for name in ("report.css", "sections.css"))
    used = set(re.findall(r"(?:fill|stroke):\s*var\(--([\w-]+)\)", css)) - {"paper", "grid", "shade", "faint"}
    assert {"bar", "whisker", "target"} <= used
    for theme, colours in _palettes(css).items():
        for name in used & colours.keys():  # a series' own colour stands for one of these
            assert contrast(colours[name], colours["paper"]) >= 3.0, (theme, name)


def test_dots_of_a_domain_stand_out_from_the_others_and_those_can_be_seen() -> None:
    css = "".join((Path(html.__file__).parent / name).read_text("utf-8") for name in ("report.css", "sections.css"))
    assert ".dots.own { stroke: var(--s0)" in css and ".dots.all { stroke: var(--faint)" in css
    for theme, colours in _palettes(css).items():
        assert contrast(colours["s0"], colours["raised"]) >= 4.5, theme
        assert contrast(colours["s0"], colours["faint"]) >= 2.5, theme
        assert contrast(colours["faint"], colours["raised"]) >= 1.7, theme
