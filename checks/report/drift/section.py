"""The report's section on drift: what moved since a baseline, by how much, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.report.drift import charts
from corpus_audit.checks.report.drift.edits import signed
from corpus_audit.checks.report.drift.readings import token_text
from corpus_audit.checks.report.drift.records import DriftView
from corpus_audit.checks.report.drift.sentences import (
    bits,
    bits_interval,
    change,
    headline_parts,
    lines,
    log2,
    sentences,
)
from corpus_audit.checks.report.drift.views import LISTED, drift_views
from corpus_audit.checks.report.sampling.charts import probability
from corpus_audit.checks.text.sentences import Finding
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES

SHOWN = tuple(name for name in DRIFT_TABLES if name != "document_changes")
"""Tables that the section is made of."""

NEWER = ("edit_patterns", "edit_sizes", "drift_edits", "drift_conclusion", "drift_lenses")
"""Those of them that runs of earlier versions do not have."""


def load(run: RunDirectory) -> tuple[DriftView, ...]:
    """What the sections show, one a baseline; none when the run has no drift tables.

    Raises:
        StoreError: a table is damaged.
    """
    there = {name: (run.folder / "tables" / f"{name}.parquet").exists() for name in SHOWN}
    if not all(there[name] for name in SHOWN if name not in NEWER):
        return ()
    views = drift_views({name: run.table(name) for name in SHOWN if there[name]})
    return tuple(replace(view, of_images=run.facts.of_images) for view in views)


def section(view: DriftView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    return Markup(
        environment.get_template("drift/drift.html").render(
            view=view,
            headline=headline_parts(view),
            sentences=tuple(sentences(view))[1:],
            distance_chart=charts.distances(view),
            share_chart=charts.shares(view),
            whole_chart=charts.parts(view, (view.parts,), "whole"),
            part_chart=charts.parts(view, view.part_rows, "domains"),
            token_charts=[
                (name, moves, charts.tokens(view, moves, name))
                for name, moves in (("rose", view.risers), ("fell", view.fallers))
            ],
            length_chart=charts.lengths(view),
            turnover_chart=charts.turnover(view),
            classifier_chart=charts.classifiers(view),
            bits=bits,
            probability=probability,
            signed=signed,
            bits_interval=bits_interval,
            change=change,
            log2=log2,
            token=token_text,
            name_of=charts.name_of,
            most=LISTED,
            charted=charts.ROWS,
        )
    )


def findings(views: Sequence[DriftView]) -> tuple[Finding, ...]:
    """What a reader should know of each comparison after a minute."""
    return tuple(Finding("Drift", view.anchor, tuple(sentences(view)), tuple(lines(view))) for view in views)
