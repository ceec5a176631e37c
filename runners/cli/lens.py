"""``corpus-audit lens``: what a model would predict at every token of a text if it ended after an earlier block."""

from __future__ import annotations

from pathlib import Path

import click

from corpus_audit.runners.cli.shared.index_options import extra, index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out


@click.command(short_help="Show what a model would predict after an earlier block (logit lens).")
@click.argument("block", type=click.IntRange(min=0))
@index_option
@snapshot_option
@click.option("--text", help="The text that the model reads.")
@click.option("--unit", help="Instead of a text: the window of this unit's strongest example.")
@click.option("--rank", type=click.IntRange(min=0), default=0, show_default=True, help="With --unit: which example.")
@click.option("--model", help="Path of the model, if it has moved since indexing.")
@json_option
def lens(
    block: int,
    path: Path,
    snapshot: str | None,
    text: str | None,
    unit: str | None,
    rank: int,
    model: str | None,
    as_json: bool,
) -> None:
    """Show the logit lens after BLOCK, counted from 0, on a text or on a training example.

    The residual stream after BLOCK is read as the model reads it after its last block: by its last norm and its output
    layer. Shown are the prediction, how probable the token is that comes next (of an encoder: the token itself) and its
    rank, and how far the prediction is from the model's own (Kullback-Leibler divergence).
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.runners.terminal.attention import lens_lines
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View
    from corpus_audit.schemas.errors import UsageError

    if (text is None) == (unit is None):
        raise UsageError("give one of --text and --unit")
    index = open_index(path, snapshot)
    window = None
    if unit is not None:
        examples = index.lookup(unit, k=rank + 1)
        if len(examples) <= rank:
            raise UsageError(f"{unit} has {len(examples):,} examples: --rank counts from 0")
        window = examples[rank].window
    rows = extra("attention.lens").lens_rows(index, model, block, text, window)
    if as_json:
        shown = None if window is None else f"{window:016x}"
        emit_json("lens", {"index": str(index.folder), "block": block, "text": text, "window": shown, "tokens": rows})
        return
    for line in lens_lines(rows, View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))):
        write_out(line)
