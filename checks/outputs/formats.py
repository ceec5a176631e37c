"""Every output by name, and writing them into a run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from corpus_audit.checks.outputs.card import render_card
from corpus_audit.checks.outputs.context import RenderContext
from corpus_audit.checks.outputs.croissant import render_croissant
from corpus_audit.checks.outputs.junit import render_junit
from corpus_audit.checks.outputs.markdown import render_markdown
from corpus_audit.checks.outputs.openlineage import render_openlineage
from corpus_audit.checks.outputs.sarif import render_sarif

OUTPUTS_FOLDER = "outputs"


@dataclass(frozen=True)
class Format:
    """An output: its file in `OUTPUTS_FOLDER` of a run, and the function that renders its text."""

    file: str
    render: Callable[[RenderContext], str]


FORMATS: dict[str, Format] = {
    "markdown": Format("summary.md", render_markdown),
    "junit": Format("junit.xml", render_junit),
    "sarif": Format("results.sarif", render_sarif),
    "openlineage": Format("openlineage.json", render_openlineage),
    "croissant": Format("croissant.json", render_croissant),
    "card": Format("dataset_card.md", render_card),
}


def write_outputs(run_dir: Path, context: RenderContext) -> None:
    """Write every output into a run directory that is being staged."""
    folder = run_dir / OUTPUTS_FOLDER
    folder.mkdir(exist_ok=True)
    for format_ in FORMATS.values():
        (folder / format_.file).write_text(format_.render(context), encoding="utf-8")
