"""``corpus-audit index plot``: draw the windows of an index in two dimensions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corpus_audit.runners.cli.shared.index_options import index_option, model_option, snapshot_option
from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import write_out

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from corpus_audit.checks.report.activations.projection_chart import Panel
    from corpus_audit.checks.report.activations.projection_page import Group
    from corpus_audit.embeddings.index.reader import Index


@click.command(short_help="Draw windows in two dimensions, by domain, unit or snapshot.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--unit", metavar="UNIT", help="Colour windows by the highest activation of UNIT.")
@click.option("--new-since", "before", type=click.Path(path_type=Path), metavar="INDEX",
              help="Colour windows that this index of an earlier snapshot lacks.")  # fmt: skip
@click.option("--block", type=click.IntRange(min=0),
              help="Place windows by their mean after this block; by default, the one that is stored.")  # fmt: skip
@click.option("--windows", type=click.IntRange(10, 20_000), default=2000, show_default=True,
              help="Windows that are drawn at most, chosen by hash.")  # fmt: skip
@index_option
@snapshot_option
@model_option
@json_option
def plot(
    file: Path,
    unit: str | None,
    before: Path | None,
    block: int | None,
    windows: int,
    path: Path,
    snapshot: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Draw the windows of an index to FILE, a page (.html) or a picture (.svg): near windows are similar.

    Without --unit and --new-since there is one small chart a domain, which needs a page. What takes the model (a
    unit's activations, another block) is computed when it is first needed and kept beside the index.
    """
    from corpus_audit.checks.report.activations.projection_page import page, picture
    from corpus_audit.embeddings import open_index
    from corpus_audit.pipelines.storage.atomic import atomic_write
    from corpus_audit.schemas.errors import UsageError, needs_extra

    if file.suffix not in (".html", ".svg"):
        raise UsageError(f"{file} is neither a page (.html) nor a picture (.svg)")
    if unit is not None and before is not None:
        raise UsageError("--unit and --new-since exclude each other")
    if unit is None and before is None and file.suffix == ".svg":
        raise UsageError("a picture needs --unit or --new-since; a page has one chart a domain")
    index = open_index(path, snapshot)
    index.facts.check_reads_text("drawings of windows")
    with needs_extra("embeddings"):
        from corpus_audit.embeddings.build.projection import stored_projection

        points = stored_projection(index.folder, windows, block, model)
        if not len(points):
            raise UsageError("the index has too few windows with vectors for a drawing")
        groups, panels = _coloured(index, points, unit, before, windows, model)
    at = index.facts.vectors["block"] if block is None and index.facts.vectors else block
    title = f"Windows by domain, after block {at}"
    if unit is not None:
        title = f"Windows by activation of {unit}, placed after block {at}"
    elif before is not None:
        title = f"New windows since {before.name}, placed after block {at}"
    about = [
        f"{len(points):,} of {index.facts.counts['windows']:,} windows of {index.facts.name}, as "
        f"{Path(str(index.facts.model['name'])).name} sees them: means over a window's tokens after block {at}, in two "
        "dimensions by principal components and t-SNE (seed 0). Near windows are similar; axes have no unit, and the "
        "distance between two groups says nothing.",
    ]
    text = page(title, about, groups, panels) if file.suffix == ".html" else picture(groups, title)
    atomic_write(file, text.encode())
    counts = [{"label": each.label, "windows": len(each.positions)} for each in groups]
    counts += [{"label": each.name, "windows": len(each.positions)} for each in panels]
    if as_json:
        emit_json("index-plot", {"index": str(index.folder), "file": str(file), "block": at, "windows": len(points),
                                 "groups": counts})  # fmt: skip
        return
    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.checks.text.safe_text import fit, safe_text

    write_out(f"{plural(len(points), 'window')} drawn in {file}")
    for count in counts:
        write_out(f"{count['windows']:7,}  {fit(safe_text(str(count['label']), 60), 60).rstrip()}")


def _coloured(
    index: Index, points: pa.Table, unit: str | None, before: Path | None, windows: int, model: str | None
) -> tuple[list[Group], list[Panel]]:
    """Groups by activation or by novelty, or panels by domain."""
    from corpus_audit.checks.report.activations.projection_page import Group
    from corpus_audit.checks.report.activations.section import domain_panels
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.build.window_groups import new_windows, window_peaks
    from corpus_audit.schemas.units import parse_unit

    positions = list(zip(points["x"].to_pylist(), points["y"].to_pylist(), strict=True))

    def some(mask: np.ndarray) -> tuple[tuple[float, float], ...]:
        return tuple(xy for xy, is_in in zip(positions, mask.tolist(), strict=True) if is_in)

    if unit is not None:
        return _by_activation(window_peaks(index, parse_unit(unit), windows, model), some), []
    if before is not None:
        new = new_windows(open_index(before), index, windows)
        return [Group("in both snapshots", "faint", 3.0, some(~new)), Group("new", "new", 4.5, some(new))], []
    return [], list(domain_panels(points))


def _by_activation(peaks: np.ndarray, some: Callable[[np.ndarray], tuple[tuple[float, float], ...]]) -> list[Group]:
    """Six groups: not above 0, then fifths of the highest activation among the windows."""
    import numpy as np

    from corpus_audit.checks.report.activations.projection_page import STEPS, Group

    highest = float(peaks.max())
    if highest <= 0:
        return [Group("not above 0", "g0", 3.0, some(np.ones(len(peaks), bool)))]
    edges = [-np.inf, 0.0, *(highest * n / (STEPS - 1) for n in range(1, STEPS - 1)), np.inf]
    groups = []
    for step, (low, high) in enumerate(pairwise(edges)):
        label = "not above 0" if not step else f"above {low:.3g}, up to {min(high, highest):.3g}"
        mask = (peaks > low) & (peaks <= high)
        groups.append(Group(label, f"g{step}", 3.4 + 0.9 * step, some(mask)))
    return groups
