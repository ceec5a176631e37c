import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.model import ReportModel, load_report
from tests.checks.report.hostile import EVERY_PAYLOAD, with_every_text
from tests.checks.report.synthetic import build_run

VOID = {"meta", "br", "link", "img", "input", "hr", "base"}
PLAIN = "plain words"


class Page(HTMLParser):
    """Elements and attributes of a page; complains of tags that do not pair up."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.values: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.stack: list[str] = []
        self.children: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.children.append((self.stack[-1] if self.stack else "", tag))
        assert len({name for name, _ in attrs}) == len(attrs)
        for name, value in attrs:
            self.attributes[f"{tag}@{name}"] += 1
            self.values.append((tag, name, value or ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, tag
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module", params=["model", "incomplete", "sampled"])
def page(request: pytest.FixtureRequest) -> Page:
    return Page(render_html(request.getfixturevalue(request.param)))


def test_structure(page: Page) -> None:
    assert page.elements["h1"] == 1
    assert page.elements["main"] == 1
    assert page.elements["title"] == 1 + sum(1 for tag, name, value in page.values if (tag, name) == ("svg", "role"))
    assert ("html", "lang", "en") in page.values
    assert page.elements["caption"] == page.elements["table"] == page.children.count(("table", "caption"))
    assert page.elements["th"] == page.attributes["th@scope"] > 0
    identities = [value for _, name, value in page.values if name == "id"]
    assert len(identities) == len(set(identities))
    for _, name, value in page.values:
        if name in ("aria-labelledby", "for"):
            assert value in identities
        if name == "href":
            assert value.startswith("#")
            assert value[1:] in identities


def test_headings_do_not_skip_levels(page: Page) -> None:
    levels = [int(tag[1]) for _, tag in page.children if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_nothing_runs_and_nothing_is_loaded(page: Page) -> None:
    assert not {"script", "iframe", "object", "embed", "link", "img", "form", "base", "use", "image"} & set(
        page.elements
    )
    assert not [name for name in page.attributes if name.split("@")[1].startswith("on")]
    assert not [name for name in page.attributes if name.split("@")[1] in ("style", "src", "srcset", "action")]
    assert not [value for _, _, value in page.values if "//" in value]
    assert "@import" not in "".join(page.text)
    assert "url(" not in "".join(page.text)


def test_charts_are_labelled_and_each_has_a_table(page: Page) -> None:
    charts = [value for tag, name, value in page.values if (tag, name) == ("svg", "role")]
    assert charts
    assert set(charts) == {"img"}
    assert page.elements["table"] >= 9


def test_the_policy_allows_the_style_sheet_by_its_digest(model: ReportModel) -> None:
    text = render_html(model)
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    directives = policy[1].replace("&#39;", "'").split("; ")
    assert directives[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]


def test_the_same_run_gives_the_same_bytes(run_dir: Path, model: ReportModel) -> None:
    assert render_html(load_report(run_dir)) == render_html(model)


def test_the_page_answers_the_questions_of_a_lead(model: ReportModel, incomplete: ReportModel) -> None:
    text = "".join(Page(render_html(model)).text)
    for phrase in (
        "Complete",
        "434 M",
        "of tokens would have to be in another domain to match the intended mixture",
        "are exact repeats of another",
        "All 24 shards were read",
        "32 (0.008\u00a0%) could not be counted",
        "compared with the reference on 12,408 documents",
        "No manifest was given",
        model.snapshot.digest,
    ):
        assert phrase in text
    assert text.index("Complete") < text.index("Summary") < text.index("Exact duplicates") < text.index("Provenance")
    failed = "".join(Page(render_html(incomplete)).text)
    assert failed.index("No verdict") < failed.index("2 of 24 shards could not be read") < failed.index("Summary")
    assert "the stream ends inside a member" in failed


@pytest.mark.slow
@pytest.mark.parametrize("payload", EVERY_PAYLOAD)
def test_hostile_text_changes_no_element_and_no_attribute(
    incomplete: ReportModel, model: ReportModel, payload: str
) -> None:
    for honest in (incomplete, model):
        benign = Page(render_html(with_every_text(honest, PLAIN)))
        text = render_html(with_every_text(honest, payload))
        attacked = Page(text)
        assert attacked.elements == benign.elements
        assert attacked.attributes == benign.attributes
        own = {value for _, _, value in benign.values}
        assert {value for _, name, value in attacked.values if name != "content"} <= own
        shown = [c for c in text if not c.isprintable() and c != "\n" and c != "\u00a0"]
        assert shown == []


def test_every_text_of_the_model_is_reached(tmp_path: Path) -> None:
    """The replacement behind the hostile tests leaves no text of the model as it was."""
    model = load_report(build_run(tmp_path / "run", ["domain a", "domain b"]))
    changed = repr(with_every_text(model, "REPLACED"))
    assert "domain a" not in changed
    assert "part-000" not in changed
    assert "gpt2" not in changed
    assert model.snapshot.digest not in changed


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes(model: ReportModel) -> dict[str, dict[str, str]]:
    style = re.search("<style>(.*?)</style>", render_html(model), re.DOTALL)
    assert style
    blocks = re.findall(r":root \{(.*?)\}", style[1], re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block)) for block in blocks[:2])
    return {"light": light, "dark": dark}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(model: ReportModel, theme: str) -> None:
    colours = themes(model)[theme]
    assert set(themes(model)["light"]) == set(themes(model)["dark"])
    for ink in ("ink", "quiet", "link", "good", "bad"):
        for ground in ("paper", "raised"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for mark in ("bar", "rest", "target", "bad", "whisker"):
        assert contrast(colours[mark], colours["paper"]) >= 3, mark
    for mark in ("bar", "rest"):
        assert contrast(colours["whisker"], colours[mark]) >= 3, mark


def test_of_images_the_page_says_what_is_counted_of_captions(model: ReportModel) -> None:
    captioned = render_html(replace(model, images=True))
    assert "bytes too, are those of their captions" in captioned and "Lengths of captions" in captioned
    bare = render_html(replace(model, images=True, text=False, unit="documents"))
    assert "Tokens within" in captioned and "Tokens within" not in bare
    assert "those of their captions" not in bare and "Share of tokens" not in bare
    assert bare.count("Share of documents, %") == len(model.facets) > 0
