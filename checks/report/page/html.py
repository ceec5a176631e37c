"""The report as one self-contained page: no scripts, nothing loaded, every name from the corpus made safe."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from corpus_audit.checks.report.charts.svg import divided_bar
from corpus_audit.checks.report.page.findings import decimals, findings
from corpus_audit.checks.report.page.further_sections import further_markup
from corpus_audit.checks.report.page.limits import limits
from corpus_audit.checks.report.page.model import ReportModel
from corpus_audit.checks.report.page.template_cache import CompiledTemplates
from corpus_audit.checks.report.profile import charts, labels
from corpus_audit.checks.report.verdict import section as verdict_section
from corpus_audit.checks.report.verdict import trends
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.checks.text.sentences import Name, Sentence
from corpus_audit.schemas.run.snapshot import UNREAD_WORDS

REPORT = Path(__file__).parents[1]

TEXT_LIMIT = 400
"""Most characters of any one text from the corpus, a shard's name or an error message."""


def _finalize(value: object) -> object:
    """Applied by Jinja to every value before it is escaped: whatever is not our own markup is made safe to show."""
    return value if isinstance(value, Markup | int | float) else safe_text(str(value), TEXT_LIMIT)


def _sentence(parts: Sentence) -> Markup:
    """A sentence as markup: names isolated from the text around them, no line break between a figure and its unit."""
    pieces = []
    for part in parts:
        if isinstance(part, Name):
            pieces.append(Markup("<b><bdi>{}</bdi></b>").format(safe_text(part.text, TEXT_LIMIT)))
        else:
            pieces.append(Markup(re.sub(r"(?<=\d) (?=%|points)", "\u00a0", str(escape(safe_text(part, TEXT_LIMIT))))))
    return Markup("").join(pieces)


@cache
def _style() -> str:
    return "".join((REPORT / "page" / name).read_text("utf-8") for name in ("report.css", "sections.css"))


def _compiled_from() -> list[Path]:
    """The modules whose functions Jinja may call while it compiles a template."""
    return [Path(__file__), *sorted(Path(numbers.__file__).parent.glob("*.py"))]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(REPORT),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=CompiledTemplates(Path(__file__).parent / "__pycache__", _compiled_from()),
    )
    environment.filters.update(
        grouped=numbers.grouped,
        compact=numbers.compact,
        size=numbers.byte_size,
        as_length=numbers.length,
        plural=numbers.plural,
        percent=numbers.percent_figure,
        points=numbers.points,
        sentence=_sentence,
    )
    environment.globals.update(
        agree=agree,
        unread_words={reason.value: words for reason, words in UNREAD_WORDS.items()},
        interval=numbers.interval,
        points_interval=numbers.points_interval,
        share_label=labels.share_label,
        length_label=labels.length_label,
        duplicate_label=labels.duplicate_label,
        NONE=numbers.NONE,
    )
    return environment


def render_html(model: ReportModel) -> str:
    """The page as a string; the same model gives the same bytes.

    The style sheet is the only thing its content security policy allows, by digest.
    """
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    shown = decimals(model.domains, model)
    lost = [row for row in model.outcomes if row.outcome != "document"]
    dead = sorted((row for row in lost if row.outcome == "dead_letter"), key=lambda row: (-row.rows, row.reason))
    dropped = sorted((row for row in lost if row.outcome == "filtered"), key=lambda row: (-row.rows, row.reason))
    return (
        _environment()
        .get_template("page/report.html")
        .render(
            model=model,
            style=Markup(style),
            style_digest=digest,
            decimals=shown,
            findings=findings(model),
            limits=limits(model),
            dead=dead,
            dropped=dropped,
            clauses={clause.name: clause.clause for clause in model.filter},
            share_chart=charts.shares(model.domains, model.unit, shown),
            length_charts=[charts.lengths(panel) for panel in model.lengths],
            duplicate_chart=charts.duplicates(model.duplicates, 2),
            dead_letter_chart=charts.dead_letters(dead),
            coverage_charts=[
                (label, parts, divided_bar(f"chart-{label.lower()}", label, parts))
                for label, parts in charts.coverage_parts(model.coverage)
            ],
            spec_lines=model.spec.splitlines(),
            verdict_words=verdict_section.WORDS[model.verdict.verdict] if model.verdict else None,
            verdict_headline=verdict_section.headline(model.verdict) if model.verdict else "",
            verdict_section=verdict_section.section(model.verdict, _environment()) if model.verdict else "",
            trend_section=trends.section(model.trends, _environment()) if model.trends else "",
            **further_markup(model, _environment()),
        )
    )
