"""Hostile strings in every text of a run, through every output: nothing acts, nothing hides, the shape stays."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.escaping import code, message, plain, prose
from corpus_audit.checks.outputs.formats import FORMATS
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.terminal import render_summary
from corpus_audit.checks.text.safe_text import cell_width, safe_text
from tests.checks.outputs.sarif_shape import LOG
from tests.checks.report.hostile import EVERY_PAYLOAD, HOSTILE, with_every_text
from tests.checks.report.test_report_page import Page

PLAIN = "plain words"

PLACE = re.compile(r"-?[\d.]+%?")
"""A position in a chart; those follow the lengths of labels."""

every_payload = pytest.mark.parametrize("payload", EVERY_PAYLOAD)


def test_there_are_enough() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 50


_RENDERED: dict[tuple[str, str], str] = {}


def attacked(context: RenderContext, payload: str) -> RenderContext:
    return with_every_text(context, payload)  # type: ignore[no-any-return]


def rendered(context: RenderContext, kind: str, payload: str) -> str:
    """An output of the run with every text replaced; what is made once is kept."""
    if (kind, payload) not in _RENDERED:
        output = attacked(context, payload)
        _RENDERED.update({(name, payload): entry.render(output) for name, entry in FORMATS.items()})
        _RENDERED["html", payload] = render_html(output.report)
    return _RENDERED[kind, payload]


def test_every_text_of_the_evidence_is_reached(everything: RenderContext) -> None:
    changed = repr(attacked(everything, "REPLACED"))
    for text in ("domain=web/common-crawl", "bob@example.org", "Repeated text", "part-000", "arithmetic", "recipes",
                 "length >= 200", everything.report.name, everything.manifest):  # fmt: skip
        assert text in repr(everything)
        assert text not in changed


def strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value but keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)


def shape(value: Any) -> Any:
    """A JSON value without what its strings say."""
    if isinstance(value, dict):
        return {key: shape(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [shape(entry) for entry in value]
    return "" if isinstance(value, str) else value


@every_payload
@pytest.mark.parametrize("kind", ["sarif", "openlineage", "croissant"])
def test_json_keeps_its_shape_and_its_strings_are_visible(everything: RenderContext, kind: str, payload: str) -> None:
    text = rendered(everything, kind, payload)
    assert text.isascii()
    output, honest = json.loads(text), json.loads(rendered(everything, kind, PLAIN))
    assert shape(output) == shape(honest)
    actual = list(strings(output))
    assert all(entry.isprintable() and safe_text(entry, 10**6) == entry for entry in actual)
    assert max(map(len, actual)) < 100_000
    assert any((message(payload) if kind == "sarif" else plain(payload)) in entry for entry in actual)


@every_payload
def test_sarif_keeps_to_the_standard_and_has_no_links_or_placeholders(everything: RenderContext, payload: str) -> None:
    log = json.loads(rendered(everything, "sarif", payload))
    jsonschema.validate(log, LOG, format_checker=jsonschema.FormatChecker())
    for result in log["runs"][0]["results"]:
        text = re.sub(r"\\\\", "", result["message"]["text"])
        assert not re.search(r"(?<!\\)[\[\]]", text)
        assert not re.search(r"(?<!{){(?:{{)*(?!{)|(?<!})}(?:}})*(?!})", text)


@every_payload
def test_croissant_addresses_have_no_scheme(everything: RenderContext, payload: str) -> None:
    for file in json.loads(rendered(everything, "croissant", payload))["distribution"]:
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", file["contentUrl"])


@every_payload
def test_junit_parses_and_keeps_its_elements(everything: RenderContext, payload: str) -> None:
    text = rendered(everything, "junit", payload)
    assert all(c.isprintable() or c == "\n" for c in text)
    honest = ElementTree.fromstring(rendered(everything, "junit", PLAIN))
    output = ElementTree.fromstring(text)
    assert [entry.tag for entry in output.iter()] == [entry.tag for entry in honest.iter()]
    assert [sorted(entry.attrib) for entry in output.iter()] == [sorted(entry.attrib) for entry in honest.iter()]
    assert {entry.get("classname") for entry in output.iter("testcase")} == {plain(payload)}


@cache
def parsed(text: str) -> list[Token]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [entry for token in parser.parse(text) for entry in (token, *(token.children or ()))]


SPANS = {"text", "code_inline", "text_special", "softbreak", "html_inline", "strong_open", "strong_close"}


def blocks(tokens: list[Token]) -> Counter[str]:
    return Counter(f"{token.type} {token.tag}" for token in tokens if token.type not in SPANS)


@every_payload
@pytest.mark.parametrize("kind", ["markdown", "card"])
def test_markdown_keeps_its_blocks_and_makes_no_link_or_markup(
    everything: RenderContext, kind: str, payload: str
) -> None:
    text = rendered(everything, kind, payload)
    assert all(c.isprintable() or c == "\n" for c in text)
    honest = rendered(everything, kind, PLAIN)
    assert len(text.splitlines()) == len(honest.splitlines())
    front, body = text.split("---\n", 2)[1:] if kind == "card" else ("", text)
    assert front.isascii()
    output, plainly = parsed(body), parsed(honest.split("---\n", 2)[2] if kind == "card" else honest)
    assert blocks(output) == blocks(plainly)
    assert {entry.content for entry in output if entry.type == "html_inline"} <= {"<code>", "</code>"}
    assert [entry.type for entry in output].count("strong_open") == [entry.type for entry in plainly].count(
        "strong_open"
    )
    assert safe_text(payload, 2000) in {entry.content for entry in output if entry.type == "code_inline"} or re.search(
        "[`|]|^ | $", payload
    )


@every_payload
def test_what_github_looks_for_after_markdown_is_broken_up(everything: RenderContext, payload: str) -> None:
    """Bare links, mentions and references to issues are found in text outside of code."""
    for text in (prose(payload), code(payload)):
        outside = re.sub(r"`[^`]*`|<code>.*?</code>", "", text)
        assert not re.search(r"(?<!\\)://|(?i:\bwww\.)|@|#\d(?!\d*;)", outside)


@cache
def page(text: str) -> Page:
    return Page(text)


@every_payload
def test_the_page_keeps_its_elements(everything: RenderContext, payload: str) -> None:
    benign = page(rendered(everything, "html", PLAIN))
    text = rendered(everything, "html", payload)
    output = Page(text)
    assert output.elements == benign.elements and output.attributes == benign.attributes
    own = {value for _, _, value in benign.values}
    foreign = {value for _, name, value in output.values if name != "content"} - own
    assert [value for value in foreign if not PLACE.fullmatch(value)] == []
    assert all(c.isprintable() or c in "\n\u00a0" for c in text)


@every_payload
def test_the_summary_stays_within_its_columns(everything: RenderContext, payload: str) -> None:
    output = render_summary(with_every_text(everything.report, payload), "report.html")
    assert all(c.isprintable() or c == "\n" for c in output)
    assert max(map(cell_width, output.splitlines())) <= 80
