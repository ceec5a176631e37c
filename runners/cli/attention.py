"""``corpus-audit attention``: show what an attention head attends to and writes at its strongest examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.head_images import head_on_examples, head_on_image
from corpus_audit.runners.cli.shared.image_options import output_option
from corpus_audit.runners.cli.shared.index_options import audit_option, extra, index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out

if TYPE_CHECKING:
    from corpus_audit.embeddings.attention.images.results import HeadResult
    from corpus_audit.embeddings.index.reader import Example, Index
    from corpus_audit.schemas.units import Unit


@click.command(short_help="Show what an attention head attends to and writes.")
@click.argument("head")
@index_option
@snapshot_option
@click.option("--domain", help="Show the highest examples of this domain.")
@click.option("--k", "k", type=click.IntRange(1, 100), default=3, show_default=True, help="Maximum number of examples.")
@click.option("--per-document", type=click.IntRange(min=1), help="Maximum number shown from one document.")
@click.option("--text", help="Show the head on this text instead of on its examples.")
@click.option(
    "--pattern", is_flag=True, help="Also show the attention of every token of the example (runs the model again)."
)
@click.option("--model", help="Path of the model, if it has moved since indexing; needed with --image.")
@click.option("--image", type=click.Path(path_type=Path), help="Show a vision transformer's head on this image.")
@click.option("--from", "query", help="With images: seen from the class token (class), from the patch where the head "
              "writes most (peak), or from a patch, ROW,COLUMN.")  # fmt: skip
@audit_option
@output_option
@json_option
def attention(
    head: str,
    path: Path,
    snapshot: str | None,
    domain: str | None,
    k: int,
    per_document: int | None,
    text: str | None,
    pattern: bool,
    model: str | None,
    image: Path | None,
    query: str | None,
    audit: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Show what HEAD, such as head.1:7, attends to at the peaks of its strongest examples.

    For each token: how much attention it gets, and the length of what the head writes from it, ||A v W_O||. The peak is
    where what it writes in all is longest. Where the model offers it, also the output logits that the head raises and
    lowers directly. With --text, the token of the text where the head writes most takes the peak's place.

    Of a vision transformer, give --image and --model, or --audit with an index of images: the attention to each patch
    is drawn on the image.
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.images.card import is_of_images
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.units import Kind, parse_unit

    unit = parse_unit(head)
    if unit.point.kind is not Kind.HEAD:
        raise UsageError(f"{head} is no attention head: write head.1:7")
    if text is not None and (domain is not None or per_document is not None):
        raise UsageError("--text goes with neither --domain nor --per-document")
    if image is not None:
        if domain is not None or per_document is not None or text is not None or pattern:
            raise UsageError("--image goes with --model, --from and --output alone")
        _show_on_images([head_on_image(unit, image, model, query, output)], None, as_json)
        return
    index = open_index(path, snapshot)
    if is_of_images(index.facts.model):
        if text is not None or pattern:
            raise UsageError("--text and --pattern are for language models; this index is of an image model")
        examples = index.lookup(unit, domain=domain, k=k, per_document=per_document)
        _show_on_images(head_on_examples(index, unit, examples, audit, model, query, output), index, as_json)
        return
    if query is not None or audit is not None:
        raise UsageError("--from and --audit are for vision transformers; this index is of a language model")
    if text is not None:
        _of_text(index, unit, text, pattern, model, as_json)
        return
    examples = index.lookup(unit, domain=domain, k=k, per_document=per_document)
    _of_examples(index, unit, examples, pattern, model, as_json)


def _show_on_images(results: list[HeadResult], index: Index | None, as_json: bool) -> None:
    from corpus_audit.runners.terminal.images.attention import head_image_json, head_image_lines

    if as_json:
        emit_json("image-attention", {
            "index": None if index is None else str(index.folder),
            "results": [head_image_json(each) for each in results],
        })  # fmt: skip
        return
    for number, result in enumerate(results):
        if number:
            write_out("")
        for line in head_image_lines(result, width_on_stdout()):
            write_out(line)
        for label, path in zip(("File", "PNG", "SVG"), result.files, strict=True):
            write_out(f"{label:14}{path}")


def _of_examples(
    index: Index, unit: Unit, examples: list[Example], pattern: bool, model: str | None, as_json: bool
) -> None:
    from corpus_audit.checks.text.safe_text import fit, safe_text
    from corpus_audit.embeddings.heads.results import EXAMPLES, example_settings, known_results
    from corpus_audit.embeddings.index.files import facts_text
    from corpus_audit.runners.terminal.attention import key_line, pattern_lines, row_lines, token_label
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View, example_json, head_line

    results = known_results(index, "examples", example_settings(unit, examples), EXAMPLES)
    if results is None:
        results = extra("heads.analysis").example_results(index, unit, examples, model)
    patterns = _patterns(index, unit, examples, model) if pattern else []
    rows = results.tables["attention_examples"]
    if as_json:
        shown = []
        for number, (example, row) in enumerate(zip(examples, rows, strict=True)):
            more = {"pattern": patterns[number].tolist()} if pattern else {}
            shown.append({**example_json(example), "attention": row | {"window": f"{example.window:016x}"}, **more})
        emit_json("attention", {"unit": str(unit), "index": str(index.folder), "results": str(results.folder),
                                "provenance": results.provenance, "examples": shown})  # fmt: skip
        return
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    write_out(fit(f"{unit}  {safe_text(facts_text(index.facts))}", view.width).rstrip())
    write_out(key_line(view.colour))
    causal = bool(index.facts.model.get("causal", True))
    for number, (example, row) in enumerate(zip(examples, rows, strict=True)):
        write_out("")
        write_out(head_line(example, view.width))
        for line in row_lines(row, example.text, example.starts, example.ends, view, causal):
            write_out(line)
        if pattern:
            spans = zip(example.starts.tolist(), example.ends.tolist(), strict=True)
            labels = [token_label(example.text, start, end) for start, end in spans]
            for line in pattern_lines(patterns[number], labels, example.position, view):
                write_out(line)
    if not examples:
        write_out("No example: the head never writes above its floor there.")


def _patterns(index: Index, unit: Unit, examples: list[Example], model: str | None) -> list[Any]:
    heads = extra("attention.head_reader").open_head(index, unit, model)
    return [heads.row_of(index, example, pattern=True).pattern for example in examples]


def _of_text(index: Index, unit: Unit, text: str, pattern: bool, model: str | None, as_json: bool) -> None:
    from corpus_audit.runners.terminal.attention import key_line, pattern_lines, row_lines, token_label
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View

    module = extra("attention.head_reader")
    heads = module.open_head(index, unit, model)
    window = module.text_window(heads.model, text)
    row = heads.row(window.tokens, None, pattern)
    values = heads.row_values(row)
    spans = zip(window.starts.tolist(), window.ends.tolist(), strict=True)
    labels = [token_label(text, start, end) for start, end in spans]
    if as_json:
        more = {"pattern": row.pattern.tolist()} if pattern else {}
        emit_json("attention", {"unit": str(unit), "index": str(index.folder), "text": text,
                                "tokens": labels, "attention": values, **more})  # fmt: skip
        return
    view = View(width_on_stdout(), terminal_has_colours(colour_on_stdout()))
    write_out(f"{unit}  {row.value:.3f} at {labels[row.position]}, the highest of {len(labels):,} tokens")
    write_out(key_line(view.colour))
    write_out("")
    for line in row_lines(values, text, window.starts, window.ends, view, heads.model.card.causal):
        write_out(line)
    if pattern:
        for line in pattern_lines(row.pattern, labels, row.position, view):
            write_out(line)
