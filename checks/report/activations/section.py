"""The report's section on what a model makes of the corpus: its windows drawn, embedding drift, semantic contamination.

It is there when the run's snapshot had an activation index.
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
from corpus_audit.checks.report.activations.projection_chart import Panel
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.run.run_file import AutoencoderCheck, NoIndex

PANELS = 8
"""Pictures at most; the last is of all domains that have none of their own."""
ITEMS = 15
LINE = 68


@dataclass(frozen=True)
class ModelView:
    """What the section shows.

    Attributes:
        model, units, windows, tokens: of the index.
        reason: why there is none; the rest is empty then.
        panels: the domains with most windows in the projection, then the others together, if those are several.
        drawn: windows in the projection.
        drift: the row of ``embedding_drift``, or None.
        benchmarks: rows of ``semantic``; items: the nearest of ``semantic_items``, most similar first.
        near: items above the threshold, of all benchmarks.
        autoencoders: by name, what was measured of the sparse autoencoders whose latents are indexed.
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
        panels=() if points is None else tuple(_panels(points)),
        drawn=0 if points is None else len(points),
        drift=None if drift is None else drift.to_pylist()[0],
        benchmarks=() if semantic is None else tuple(semantic.to_pylist()),
        items=() if near is None else tuple(near.slice(0, ITEMS).to_pylist()),
        near=0 if near is None else len(near),
        autoencoders=index.autoencoders,
    )


def _panels(points: pa.Table) -> Iterator[Panel]:
    if not len(points):
        return
    domains = points["domain"].to_pylist()
    places = list(zip(points["x"].to_pylist(), points["y"].to_pylist(), strict=True))
    sizes = Counter(domains)
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    named = ranked if len(ranked) <= PANELS else ranked[: PANELS - 1]
    for name in named:
        yield Panel(name, tuple(place for place, domain in zip(places, domains, strict=True) if domain == name))
    rest = set(ranked[len(named) :])
    if rest:
        held = tuple(place for place, domain in zip(places, domains, strict=True) if domain in rest)
        yield Panel(f"{len(rest)} further domains", held)


def section(view: ModelView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    chart = projection_chart.panels(view.panels) if view.panels else ()
    return Markup(environment.get_template("activations/model.html").render(view=view, chart=chart))


def findings(view: ModelView) -> tuple[Finding, ...]:
    """What a reader should know after a minute."""
    return (Finding("Model", "model", tuple(_sentences(view)), tuple(_lines(view))),)


def _sentences(view: ModelView) -> Iterator[Sentence]:
    if view.reason:
        yield (f"The audit names a model, but there is {view.reason}.",)
        return
    yield (
        f"{numbers.grouped(view.units)} units of the model ",
        Name(view.model),
        f" are indexed over {numbers.plural(view.windows, 'window')}.",
    )
    for name, checked in view.autoencoders.items():
        explained = checked.explained_variance
        if explained is not None and explained < checked.least_explained:
            yield (
                "The autoencoder ",
                Name(name),
                f" explains {numbers.percent(explained)} of the variance of what it reads, less than "
                f"{numbers.percent(checked.least_explained)}, as with a wrong hook, model or normalisation: its "
                "examples may mean nothing.",
            )
        for text in checked.notes:
            yield ("Of the autoencoder ", Name(name), f": {text}.")
    if view.drift is not None:
        yield (drift_sentence(view.drift),)
    for row in view.benchmarks:
        if row["share"] is not None:
            bounds = numbers.interval(row["low"], row["high"])
            share = f" {numbers.percent(row['share'])} {bounds} of {numbers.plural(row['items'], 'item')}"
            yield ("Of ", Name(row["benchmark"]), f"{share} are near in meaning to text of the corpus.")


def drift_sentence(row: dict[str, Any]) -> str:
    """Embedding drift in a sentence."""
    if row["auc"] is None:
        return f"Embedding drift could not be tested: {row['reason']}."
    p = f"p = {row['p']:.2g}" if row["p"] is not None else "no p"
    told = f"A classifier tells this snapshot's documents from the baseline's with an AUC of {row['auc']:.3f}"
    text = f"{told} [{row['low']:.3f}, {row['high']:.3f}] ({p}; 0.5 is no difference)"
    if row["units_moved"] is not None:
        text += f"; {numbers.grouped(row['units_moved'])} of {numbers.plural(row['units'], 'unit')} moved"
    return text + "."


def _lines(view: ModelView) -> Iterator[str]:
    if view.reason:
        lines = [view.reason]
    else:
        lines = [f"{numbers.grouped(view.units)} units of {safe_text(view.model, 30)} indexed"]
        if view.drift is not None and view.drift["auc"] is not None:
            lines.append(
                f"embedding drift: AUC {view.drift['auc']:.3f} [{view.drift['low']:.3f}, {view.drift['high']:.3f}]"
            )
        if view.tested is not None:
            items = sum(row["items"] for row in view.benchmarks)
            lines.append(f"{numbers.grouped(view.near)} of {numbers.plural(items, 'benchmark item')} near in meaning")
    yield from (fit(safe_text(line, 400), LINE).rstrip() for line in lines)
