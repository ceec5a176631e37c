"""The sections that only some runs have: images, drift, sampling, contamination and the activation index.

Their modules are imported for a run that has them, and for no other: with their records, charts and sentences, and what
they import of the pipelines, they would take an audit of a megabyte a twentieth of its processor time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

from corpus_audit.checks.text.sentences import Finding
from corpus_audit.pipelines.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    from jinja2 import Environment

    from corpus_audit.checks.report.activations.section import ModelView
    from corpus_audit.checks.report.contamination.records import ContaminationView
    from corpus_audit.checks.report.drift.records import DriftView
    from corpus_audit.checks.report.images.records import ImagesView
    from corpus_audit.checks.report.page.model import ReportModel
    from corpus_audit.checks.report.sampling.records import SamplingView


def load_images(run: RunDirectory) -> ImagesView | None:
    """What the section of images shows; None without tables of images."""
    if not _has(run, "image_totals"):
        return None
    from corpus_audit.checks.report.images import section

    return section.load(run)


def load_drift(run: RunDirectory) -> tuple[DriftView, ...]:
    """What the sections of drift show, one a baseline; none without drift tables."""
    if not _has(run, "drift"):
        return ()
    from corpus_audit.checks.report.drift import section

    return section.load(run)


def load_sampling(run: RunDirectory) -> SamplingView | None:
    """What the section of sampling shows; None without sampling tables."""
    if not _has(run, "sampling"):
        return None
    from corpus_audit.checks.report.sampling import section

    return section.load(run)


def load_contamination(run: RunDirectory) -> ContaminationView | None:
    """What the section of contamination shows; None without contamination tables."""
    if not _has(run, "contamination"):
        return None
    from corpus_audit.checks.report.contamination import section

    return section.load(run)


def load_index(run: RunDirectory) -> ModelView | None:
    """What the section of the activation index shows; None when the audit has no embedding section."""
    if run.facts.embedding is None:
        return None
    from corpus_audit.checks.report.activations import section

    return section.load(run)


def _has(run: RunDirectory, table: str) -> bool:
    return (run.folder / "tables" / f"{table}.parquet").exists()


def further_findings(model: ReportModel) -> Iterator[Finding]:
    """The findings of these sections, in the order of the page."""
    if model.pictures:
        from corpus_audit.checks.report.images import section as images_section

        yield from images_section.findings(model.pictures)
    if model.drift:
        from corpus_audit.checks.report.drift import section as drift_section

        yield from drift_section.findings(model.drift)
    if model.sampling:
        from corpus_audit.checks.report.sampling import section as sampling_section

        yield from sampling_section.findings(model.sampling)
    if model.contamination:
        from corpus_audit.checks.report.contamination import section as contamination_section

        yield from contamination_section.findings(model.contamination)
    if model.indexed:
        from corpus_audit.checks.report.activations import section as model_section

        yield from model_section.findings(model.indexed)


def further_markup(model: ReportModel, environment: Environment) -> dict[str, Markup | list[Markup] | str]:
    """The sections as markup by their names in the page's template; empty for those that the run does not have."""
    sections: dict[str, Markup | list[Markup] | str] = {
        "images_section": "",
        "drift_sections": [],
        "sampling_section": "",
        "contamination_section": "",
        "model_section": "",
    }
    if model.pictures:
        from corpus_audit.checks.report.images import section as images_section

        sections["images_section"] = images_section.section(model.pictures, environment)
    if model.drift:
        from corpus_audit.checks.report.drift import section as drift_section

        sections["drift_sections"] = [drift_section.section(view, environment) for view in model.drift]
    if model.sampling:
        from corpus_audit.checks.report.sampling import section as sampling_section

        sections["sampling_section"] = sampling_section.section(model.sampling, environment)
    if model.contamination:
        from corpus_audit.checks.report.contamination import section as contamination_section

        sections["contamination_section"] = contamination_section.section(model.contamination, environment)
    if model.indexed:
        from corpus_audit.checks.report.activations import section as model_section

        sections["model_section"] = model_section.section(model.indexed, environment)
    return sections
