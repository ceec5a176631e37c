"""``corpus-audit lookup``: show the training examples that make a unit fire."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.index_options import index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import colour_on_stdout, emit_json, json_option, width_on_stdout
from corpus_audit.runners.cli.shared.streams import write_out

if TYPE_CHECKING:
    from corpus_audit.embeddings.attribution.stored import StoredShares
    from corpus_audit.embeddings.index.reader import DomainRate, Example, Index, Which
    from corpus_audit.embeddings.unit_reading.receptive import ReceptiveField


class RangeParameter(click.ParamType[tuple[float, float]]):
    """Two numbers with a colon between them; without a number, that end is open."""

    name = "low:high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Parse it."""
        if isinstance(value, tuple):
            return value
        low, colon, high = str(value).partition(":")
        try:
            ends = float(low or "-inf"), float(high or "inf")
        except ValueError:
            ends = (1.0, 0.0)  # refused below
        if not colon or not ends[0] <= ends[1]:
            self.fail(f"{value!r} is not a range such as 0.5:2 or :0", param, ctx)
        return ends


@click.command(short_help="Show the training examples that make a unit fire.")
@click.argument("unit")
@index_option
@snapshot_option
@click.option("--domain", help="Show the highest examples of this domain.")
@click.option(
    "--k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="Maximum number of results."
)
@click.option("--min", "lowest", is_flag=True, help="Show the lowest examples (before the activation function).")
@click.option(
    "--range",
    "between",
    type=RangeParameter(),
    help="Show samples whose peak is between LOW and HIGH, spread over that range, lowest first.",
)
@click.option("--per-document", type=click.IntRange(min=1), help="Maximum number shown from one document.")
@click.option(
    "--heat/--no-heat",
    default=None,
    help="Compute the activation of every token that is shown; the model runs once, and the result is stored. By "
    "default with --json and on terminals with colours, if it is stored already or the model runs without torch.",
)
@click.option("--context", is_flag=True, help="Show how much of each example the unit needs (runs the model once).")
@click.option("--tokens", is_flag=True,
              help="Also list the tokens and n-grams with the highest mean activation (runs the model over windows of "
              "the corpus).")  # fmt: skip
@click.option("--windows", type=click.IntRange(min=1), default=2000, show_default=True,
              help="With --tokens: windows that are read at most, chosen by hash.")  # fmt: skip
@click.option("--logits", is_flag=True, help="Also list the tokens whose logits the unit raises and lowers most.")
@click.option("--model", help="Path of the model, if it has moved since indexing.")
@click.option(
    "--audit", type=click.Path(path_type=Path),
    help="With an image model: the audit whose corpus is read for the images of the examples.",
)  # fmt: skip
@click.option(
    "--sheet", type=click.Path(path_type=Path),
    help="With an image model and --audit: write a contact sheet of the examples' crops to this PNG.",
)  # fmt: skip
@click.option(
    "--effective/--no-effective", default=None,
    help="With an image model and --audit: show effective receptive fields, which hold 95 % of the squared gradient "
    "(runs the model on the examples). By default where the exact field is the whole image and no patch is shown, if "
    "the model is there.",
)  # fmt: skip
@click.option(
    "--pictures", type=click.Choice(["auto", "kitty", "iterm", "sixel", "none"]), default="auto", show_default=True,
    help="With an image model and --audit: draw the contact sheet in the terminal. auto: where standard output is a "
    "terminal that is known to draw pictures.",
)  # fmt: skip
@json_option
def lookup(
    unit: str,
    path: Path,
    snapshot: str | None,
    domain: str | None,
    k: int,
    lowest: bool,
    between: tuple[float, float] | None,
    per_document: int | None,
    heat: bool | None,
    context: bool,
    tokens: bool,
    windows: int,
    logits: bool,
    model: str | None,
    audit: Path | None,
    sheet: Path | None,
    effective: bool | None,
    pictures: str,
    as_json: bool,
) -> None:
    """Show the examples that make UNIT fire most, with the document, the domain and the tokens around the peak.

    UNIT is an address such as mlp.3:417, resid.2:10, head.1:7, sae.NAME:123, dir.NAME:0, expert.4:2 or logit:198;
    of an image model, conv.layer1.0.conv2:17.
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.attribution.stored import stored_shares
    from corpus_audit.runners.terminal.heat_map import terminal_has_colours
    from corpus_audit.runners.terminal.lookup import View, summary_lines
    from corpus_audit.schemas.errors import UsageError
    from corpus_audit.schemas.units import parse_unit

    if lowest + (between is not None) + (domain is not None) > 1:
        raise UsageError("--min, --range and --domain exclude each other")
    index = open_index(path, snapshot)
    which: Which = "minima" if lowest else "samples" if between is not None else "top"
    examples = index.lookup(unit, which=which, domain=domain, k=k, per_document=per_document, between=between)
    if index.facts.of_images:
        unsuited = {"--heat": heat, "--context": context, "--tokens": tokens, "--logits": logits}
        if given := [name for name, value in unsuited.items() if value]:
            raise UsageError(f"{given[0]} is for language models; this index is of an image model")
        from corpus_audit.runners.cli.shared.image_lookup import ImageLookup, show_unit

        show_unit(index, parse_unit(unit), examples, ImageLookup(audit, sheet, effective, pictures, model), as_json)
        return
    of_images = {"--audit": audit, "--sheet": sheet, "--effective": effective}
    if given := [name for name, value in of_images.items() if value is not None]:
        raise UsageError(f"{given[0]} is for indexes of image models; this one is of a language model")
    colour = terminal_has_colours(colour_on_stdout())
    if heat or (heat is None and (colour or as_json)):
        examples = _heated(index, unit, examples, lowest, model, quick=not heat)
    fields = _receptive(index, unit, examples, lowest, model) if context else []
    shares = stored_shares(index, parse_unit(unit), examples)
    more = _from_the_model(index, unit, k, windows, model, tokens, logits)
    if as_json:
        own = _as_json(index, unit, examples, fields, shares)
        emit_json("lookup", {"unit": unit, "index": str(index.folder), **own, **more})
        return
    view = View(width_on_stdout(), colour)
    for line in summary_lines(index, unit, examples, which, view, fields, shares):
        write_out(line)
    if tokens or logits:
        from corpus_audit.runners.terminal.unit_tokens import logit_lines, token_lines

        for name, lines in (("tokens", token_lines), ("logits", logit_lines)):
            if name in more:
                write_out("")
                for line in lines(more[name]):
                    write_out(line)


def _as_json(
    index: Index,
    unit: str,
    examples: list[Example],
    fields: list[ReceptiveField],
    shares: list[StoredShares | None],
) -> dict[str, Any]:
    """What the index holds of a unit, as plain values by name."""
    from corpus_audit.embeddings.lookup.explanations import explanations_of
    from corpus_audit.runners.terminal.lookup import density_json, example_json, histogram_json

    rows = [example_json(example) for example in examples]
    for shown, field in zip(rows, fields, strict=bool(fields)):
        shown["receptive_field"] = asdict(field)
    for shown, attributed in zip(rows, shares, strict=True):
        if attributed is not None:
            shown["attribution"] = asdict(attributed)
    return {
        "examples": rows, "domains": [_rate(rate) for rate in index.domain_rates(unit)],
        "histogram": histogram_json(index, unit), "density": density_json(index, unit),
        "explanations": [asdict(each) for each in explanations_of(index, unit)],
    }  # fmt: skip


def _from_the_model(
    index: Index, unit: str, k: int, windows: int, model: str | None, tokens: bool, logits: bool
) -> dict[str, Any]:
    """What is asked for and takes the model, as plain values by name."""
    from corpus_audit.schemas.errors import needs_extra

    if not tokens and not logits:
        return {}
    with needs_extra("embeddings"):
        from corpus_audit.runners.terminal.unit_tokens import logits_json, tokens_json
    more = {"tokens": tokens_json(index, unit, k, windows, model)} if tokens else {}
    return more | ({"logits": logits_json(index, unit, k, model)} if logits else {})


def _heated(
    index: Index, unit: str, examples: list[Example], lowest: bool, model: str | None, quick: bool
) -> list[Example]:
    """The examples with heat maps; as they are if these take more than a moment, and ``quick`` is set."""
    from corpus_audit.embeddings.lookup.heat import with_heat
    from corpus_audit.schemas.errors import needs_extra
    from corpus_audit.schemas.units import parse_unit

    if lowest or not examples:
        return examples
    with needs_extra("embeddings"):
        return with_heat(index, parse_unit(unit), examples, model, quick)


def _receptive(
    index: Index, unit: str, examples: list[Example], lowest: bool, model: str | None
) -> list[ReceptiveField]:
    from corpus_audit.schemas.errors import needs_extra
    from corpus_audit.schemas.units import parse_unit

    with needs_extra("embeddings"):
        from corpus_audit.embeddings.unit_reading.receptive_cache import receptive_fields
    return receptive_fields(index, parse_unit(unit), examples, lowest, model)


def _rate(rate: DomainRate) -> dict[str, Any]:
    return {
        "domain": rate.domain,
        "tokens": rate.tokens,
        "rate": rate.rate,
        "rate_interval": rate.rate_interval,
        "mean": rate.mean,
        "mean_interval": rate.mean_interval,
    }
