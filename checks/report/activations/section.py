"""The report's section on the activation index: its units, windows by meaning, drift, semantic contamination.

A run has it if its audit names a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.report.activations import projection_chart
from corpus_audit.checks.report.activations.attributions import AttributionsView, figure, load_attributions
from corpus_audit.checks.report.activations.heads import HeadsView, load_heads
from corpus_audit.checks.report.activations.marked_text import LEVELS, marked_text
from corpus_audit.checks.report.activations.projection_chart import Panel
from corpus_audit.checks.report.activations.unit_sheets import UnitSheet, load_sheets, pictures
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.run_file import AutoencoderCheck, NoIndex

PANELS = 8
"""Panels at most; the last one is of all domains without a panel of their own."""

ITEMS = 15

HEAD_TABLES = ("head_results", "head_scores", "head_domains", "head_evidence")

LINE = 68
"""Columns of a line of the terminal's summary, without the topic."""


@dataclass(frozen=True)
class ModelView:
    """What the section shows.

    Attributes:
        model, units, windows, tokens: of the index.
        reason: why there is no index; the other fields are empty then.
        panels: the domains with the most windows in the projection, then all others together.
        drawn: windows in the projection.
        drift: the row of ``embedding_drift``, or None.
        benchmarks: rows of ``semantic``; items: the nearest of ``semantic_items``, most similar first.
        near: items above the threshold, of all benchmarks.
        autoencoders: by name, what was measured of the sparse autoencoders whose latents are indexed.
        attributions: which tokens make units fire; None if nothing was computed for the index.
        heads: what induction heads do; None likewise.
        of_images: whether the model reads images, each a window.
        sheets: of an image model, contact sheets of a few units; None if the run has none.
    """

    model: str = ""
    units: int = 0
    windows: int = 0
    tokens: int = 0
    reason: str = ""
    panels: tuple[Panel, ...] = ()
    drawn: int = 0
    drift: dict[str, Any] | None = None
    benchmarks: tuple[dict[str, Any], ...] = ()
    items: tuple[dict[str, Any], ...] = ()
    near: int = 0
    autoencoders: dict[str, AutoencoderCheck] = field(default_factory=dict)
    attributions: AttributionsView | None = None
    heads: HeadsView | None = None
    of_images: bool = False
    sheets: tuple[UnitSheet, ...] | None = None

    @property
    def has_pictures(self) -> bool:
        """Whether the section holds pictures."""
        return pictures(self.sheets or ())

    @property
    def tested(self) -> dict[str, Any] | None:
        """A benchmark's row that has a threshold: it is the same for all."""
        return next((row for row in self.benchmarks if row["threshold"] is not None), None)


def load(run: RunDirectory) -> ModelView | None:
    """What the section shows; None when the audit has no embedding section.

    Raises:
        StoreError: a table is damaged.
    """
    index = run.facts.embedding
    if index is None:
        return None
    if isinstance(index, NoIndex):
        return ModelView(reason=index.reason)

    def table(name: str) -> pa.Table | None:
        return run.table(name) if (run.folder / "tables" / f"{name}.parquet").exists() else None

    points, drift, items = table("projection"), table("embedding_drift"), table("semantic_items")
    semantic = table("semantic")
    near = None if items is None else items.filter(pc.equal(items["near"], True)).sort_by([("cosine", "descending")])
    return ModelView(
        model=index.model,
        units=index.units,
        windows=index.windows,
        tokens=index.tokens,
        panels=() if points is None else tuple(domain_panels(points)),
        drawn=0 if points is None else len(points),
        drift=None if drift is None else drift.to_pylist()[0],
        benchmarks=() if semantic is None else tuple(semantic.to_pylist()),
        items=() if near is None else tuple(near.slice(0, ITEMS).to_pylist()),
        near=0 if near is None else len(near),
        autoencoders=index.autoencoders,
        attributions=_attributions(table("unit_attributions"), table("unit_attribution_tokens")),
        of_images=index.of_images,
        sheets=None if (crops := table("unit_crops")) is None else load_sheets(crops),
        heads=_heads({name: each for name in HEAD_TABLES if (each := table(name)) is not None}),
    )


def _attributions(results: pa.Table | None, tokens: pa.Table | None) -> AttributionsView | None:
    return None if results is None or tokens is None else load_attributions(results, tokens)


def _heads(tables: dict[str, pa.Table]) -> HeadsView | None:
    return load_heads(tables) if "head_results" in tables else None


def domain_panels(points: pa.Table) -> Iterator[Panel]:
    """The domains with the most windows, then all others together; ``points`` has the schema PROJECTION."""
    if not len(points):
        return
    domains = points["domain"].to_pylist()
    positions = list(zip(points["x"].to_pylist(), points["y"].to_pylist(), strict=True))
    sizes = Counter(domains)
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    named = ranked if len(ranked) <= PANELS else ranked[: PANELS - 1]
    for name in named:
        yield Panel(name, tuple(xy for xy, domain in zip(positions, domains, strict=True) if domain == name))
    others = set(ranked[len(named) :])
    if others:
        # There are at least two: with fewer domains than panels, each has its own.
        yield Panel(
            f"{len(others)} further domains",
            tuple(xy for xy, domain in zip(positions, domains, strict=True) if domain in others),
        )


def section(view: ModelView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    chart = projection_chart.panel_charts(view.panels) if view.panels else ()
    template = environment.get_template("activations/model.html")
    given = {"drift_sentence": drift_sentence, "marked_text": marked_text, "levels": LEVELS, "figure": figure}
    return Markup(template.render(view=view, chart=chart, **given))


def findings(view: ModelView) -> tuple[Finding, ...]:
    """The summary's finding on the model's view of the corpus."""
    return (Finding("Model", "model", tuple(_sentences(view)), tuple(_lines(view))),)


def _sentences(view: ModelView) -> Iterator[Sentence]:
    if view.reason:
        yield (f"The audit names a model, but there is {view.reason}.",)
        return
    yield (
        f"{numbers.plural(view.units, 'unit')} of the model ",
        Name(view.model),
        f" {agree(view.units, 'is', 'are')} indexed over "
        f"{numbers.plural(view.windows, 'image' if view.of_images else 'window')}.",
    )
    for name, check in view.autoencoders.items():
        explained = check.explained_variance
        if explained is not None and explained < check.least_explained:
            yield (
                "The autoencoder ",
                Name(name),
                f" explains {numbers.percent(explained)} of the variance of what it reads, less than "
                f"{numbers.percent(check.least_explained)}, as with a wrong hook, model or normalisation: its "
                "examples may mean nothing.",
            )
        for text in check.notes:
            yield ("Autoencoder ", Name(name), f": {text}.")
    yield from _result_sentences(view)
    if view.drift is not None:
        yield (drift_sentence(view.drift),)
    for row in view.benchmarks:
        if row["share"] is not None:
            bounds = numbers.interval(row["low"], row["high"])
            share = f" {numbers.percent(row['share'])} {bounds} of {numbers.plural(row['items'], 'item')}"
            yield ("Of ", Name(row["benchmark"]), f"{share} are near in meaning to text of the corpus.")


def _result_lines(view: ModelView) -> Iterator[str]:
    if view.attributions is not None and view.attributions.units:
        count = len(view.attributions.units) + view.attributions.further
        yield f"tokens of {numbers.plural(count, 'unit')} attributed"
    if view.heads is not None and view.heads.provenance is not None:
        count = len(view.heads.induction) + view.heads.further
        yield f"{numbers.grouped(count)} of {numbers.plural(view.heads.scored, 'head')} for induction"


def _result_sentences(view: ModelView) -> Iterator[Sentence]:
    """What results that were computed for the index say, and that some could not be read."""
    if view.attributions is not None and view.attributions.units:
        count = len(view.attributions.units) + view.attributions.further
        yield (f"The tokens that make {numbers.plural(count, 'unit')} fire are attributed.",)
    if view.heads is not None and view.heads.provenance is not None:
        count = len(view.heads.induction) + view.heads.further
        yield (
            f"{numbers.grouped(count)} of {numbers.plural(view.heads.scored, 'attention head')} "
            f"{agree(count, 'is an induction head', 'are induction heads')}.",
        )
    unread = [*(view.attributions.unread if view.attributions else ()), *(view.heads.unread if view.heads else ())]
    if unread:
        what = numbers.plural(len(unread), "stored result")
        yield (f"{what} beside the index {agree(len(unread), 'is', 'are')} left out, as not readable.",)


def drift_sentence(row: dict[str, Any]) -> str:
    """Embedding drift in a sentence."""
    if row["auc"] is None:
        return f"Embedding drift could not be tested: {row['reason']}."
    p = f"p = {row['p']:.2g}" if row["p"] is not None else "no p-value"
    auc = f"{row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    sentence = (
        "A classifier distinguishes this snapshot's documents from the baseline's with an AUC of "
        f"{auc} ({p}; 0.5 is no difference)"
    )
    if row["units_moved"] is not None:
        sentence += f"; {numbers.grouped(row['units_moved'])} of {numbers.plural(row['units'], 'unit')} moved"
    return sentence + "."


def _lines(view: ModelView) -> Iterator[str]:
    if view.reason:
        lines = [view.reason]
    else:
        lines = [f"{numbers.plural(view.units, 'unit')} of {safe_text(view.model, 30)} indexed"]
        lines += _result_lines(view)
        if view.drift is not None and view.drift["auc"] is not None:
            lines.append(
                f"embedding drift: AUC {view.drift['auc']:.3f} [{view.drift['low']:.3f}, {view.drift['high']:.3f}]"
            )
        if view.tested is not None:
            items = sum(row["items"] for row in view.benchmarks)
            lines.append(f"{numbers.grouped(view.near)} of {numbers.plural(items, 'benchmark item')} near in meaning")
    yield from (fit(safe_text(line, 400), LINE).rstrip() for line in lines)
