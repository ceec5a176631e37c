"""``corpus-audit units``: list units by domain, moved, dead, dense, firing on a text or together; and experts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corpus_audit.runners.cli.shared.index_options import index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import note, write_out

if TYPE_CHECKING:
    from corpus_audit.embeddings.index.reader import Index
    from corpus_audit.embeddings.lookup.compare_units import Comparison


@click.command(short_help="List units: by domain, by text, moved, together, dead, dense, experts.")
@click.argument("pattern", required=False)
@index_option
@snapshot_option
@click.option("--prefer", "domain", metavar="DOMAIN", help="Units that are more active in this domain than elsewhere.")
@click.option("--moved-from", "before", type=click.Path(path_type=Path), metavar="INDEX",
              help="Units that changed most since this index of an earlier snapshot.")  # fmt: skip
@click.option("--within", metavar="DOMAIN", help="With --moved-from: only tokens of this domain.")
@click.option("--fires-on", "text", metavar="TEXT", help="Units whose activation on this text is rarest in the corpus.")
@click.option("--model", help="With --fires-on and --correlated: path of the model, if it has moved since indexing.")
@click.option("--with", "other", metavar="UNIT", help="Units whose strongest examples are those of UNIT.")
@click.option("--correlated", is_flag=True, help="With --with: units by their correlation with UNIT over all tokens of "
              "sampled windows (runs the model over them).")  # fmt: skip
@click.option("--windows", type=click.IntRange(min=1), default=2000, show_default=True,
              help="With --correlated: windows at most, chosen by hash.")  # fmt: skip
@click.option("--dead", is_flag=True, help="Units that fire on no token.")
@click.option("--dense", is_flag=True, help="Units that fire on more than half of all tokens.")
@click.option("--experts", is_flag=True, help="Load and imbalance of the experts of a mixture, and its dead experts.")
@click.option("--domain", "only", metavar="DOMAIN", help="With --experts: only tokens of this domain.")
@click.option(
    "--k", "k", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Maximum number of results."
)
@json_option
def units(
    pattern: str | None,
    path: Path,
    snapshot: str | None,
    domain: str | None,
    before: Path | None,
    within: str | None,
    text: str | None,
    model: str | None,
    other: str | None,
    correlated: bool,
    windows: int,
    dead: bool,
    dense: bool,
    experts: bool,
    only: str | None,
    k: int,
    as_json: bool,
) -> None:
    """List units that match PATTERN, such as 'mlp.3:*'; by default all units.

    Differences of mean activation come with 95 % intervals, documents as clusters, and with q values over all units of
    PATTERN; the order is by how large a difference is at least, in standard deviations of the activation. Either side
    needs 30 documents.

    --with compares lists of strongest examples; with --correlated it correlates activations over the tokens of a
    sample, weak ones included.

    An expert's load is the share of tokens that its router sends to it; a layer's imbalance is the largest load over
    the mean, and the loads' coefficient of variation (CV).
    """
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.index.not_offered import reasons_for
    from corpus_audit.embeddings.lookup.compare_units import movements, preferences, select_rows
    from corpus_audit.schemas.errors import UsageError

    if sum(choice is not None for choice in (domain, before, text, other)) + dead + dense + experts != 1:
        raise UsageError("give one of --prefer, --moved-from, --fires-on, --with, --dead, --dense and --experts")
    if correlated and other is None:
        raise UsageError("--correlated goes with --with")
    if model is not None and text is None and not correlated:
        raise UsageError("--model goes with --fires-on and --correlated")
    if only is not None and not experts:
        raise UsageError("--domain goes with --experts; --prefer and --within take a domain too")
    if within is not None and before is None:
        raise UsageError("--within goes with --moved-from")
    index = open_index(path, snapshot)
    for line in reasons_for(index.facts.not_offered, pattern):
        note(line)
    rows = select_rows(index, pattern)
    if text is not None:
        _on_text(index, text, rows, k, model, as_json)
    elif other is not None and correlated:
        _correlated(index, other, rows, windows, k, model, as_json)
    elif other is not None:
        _related(index, other, rows, k, as_json)
    elif experts:
        _experts(index, rows, only, k, as_json)
    elif dead or dense:
        _firing(index, rows, dead, k, as_json)
    elif domain is not None:
        _compared(index, preferences(index, domain, rows), ("elsewhere", domain), True, k, as_json)
    elif before is not None:
        comparison = movements(open_index(before), index, rows, within)
        _compared(index, comparison, ("before", "after"), False, k, as_json)


def _on_text(index: Index, text: str, rows: Any, k: int, model: str | None, as_json: bool) -> None:
    from corpus_audit.embeddings.lookup.text_units import units_on_text
    from corpus_audit.runners.terminal.units import text_unit_json, text_unit_lines
    from corpus_audit.schemas.errors import needs_extra

    with needs_extra("embeddings"):
        results = units_on_text(index, text, k, rows, model)
    if as_json:
        listed = [text_unit_json(unit) for unit in results]
        emit_json("units", {"index": str(index.folder), "kind": "text", "of": len(rows), "units": listed})
        return
    for line in text_unit_lines(results, len(rows)):
        write_out(line)


def _related(index: Index, other: str, rows: Any, k: int, as_json: bool) -> None:
    from corpus_audit.embeddings.coactivation.related import related_units
    from corpus_audit.runners.terminal.units import related_json, related_lines

    results = related_units(index, other, k, rows)
    if as_json:
        listed = [related_json(unit, index.facts.of_images) for unit in results]
        emit_json("units", {"index": str(index.folder), "kind": "together", "of": len(rows), "units": listed})
        return
    for line in related_lines(other, results, index.facts.of_images):
        write_out(line)


def _correlated(index: Index, other: str, rows: Any, windows: int, k: int, model: str | None, as_json: bool) -> None:
    from corpus_audit.embeddings.coactivation.correlated_units import correlated_units
    from corpus_audit.runners.terminal.correlations import correlation_json, correlation_lines
    from corpus_audit.schemas.errors import needs_extra

    with needs_extra("embeddings"):
        result = correlated_units(index, other, rows, windows, model)
    if as_json:
        emit_json("units", {"index": str(index.folder), "kind": "correlated", **correlation_json(result, k)})
        return
    for line in correlation_lines(other, result, k):
        write_out(line)


def _experts(index: Index, rows: Any, domain: str | None, k: int, as_json: bool) -> None:
    from corpus_audit.runners.terminal.experts import expert_lines, experts_json

    if as_json:
        experts = experts_json(index, rows, domain, k)
        emit_json("units", {"index": str(index.folder), "kind": "experts", **experts})
        return
    for line in expert_lines(index, rows, domain, k):
        write_out(line)


def _firing(index: Index, rows: Any, dead: bool, k: int, as_json: bool) -> None:
    import numpy as np

    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.embeddings.index.rates import dead_bound
    from corpus_audit.embeddings.lookup.compare_units import DENSE, firing

    share, tokens = firing(index, rows)
    matching = np.flatnonzero(share == 0 if dead else share > DENSE)
    matching = matching[np.argsort(-share[matching], kind="stable")]
    names = list(index.units())
    listed = [{"unit": str(names[rows[i]]), "fires": float(share[i])} for i in matching[:k].tolist()]
    what = "dead" if dead else "dense"
    fire = "it fires" if len(matching) == 1 else "they fire"
    described = f"dead: {fire} on none of" if dead else f"dense: {fire} on more than half of"
    what_fires = "image" if index.facts.of_images else "token"
    if as_json:
        emit_json("units", {"index": str(index.folder), "kind": what, "of": len(rows), "count": len(matching),
                            "tokens": tokens, "units": listed})  # fmt: skip
        return
    write_out(
        f"{len(matching):,} of {plural(len(rows), 'unit')} {'is' if len(matching) == 1 else 'are'} {described} "
        f"{plural(tokens, what_fires)}"
    )
    if dead and len(matching):
        bound = dead_bound(int(index.array("documents").sum()))
        write_out(f"(each fires on less than {bound:.2%} of {what_fires}s, at 95 %, documents as clusters)")
    for unit in listed:
        write_out(str(unit["unit"]) if dead else f"{unit['unit']:16} {unit['fires']:8.2%}")
    if len(matching) > k:
        write_out(f"and {len(matching) - k:,} more")
    if not dead and any(str(unit["unit"]).startswith("head.") for unit in listed):
        write_out("(a head's activation is a norm, which is always above 0)")


def _compared(
    index: Index, comparison: Comparison, sides: tuple[str, str], only_up: bool, k: int, as_json: bool
) -> None:
    import numpy as np

    from corpus_audit.checks.text.numbers import plural
    from corpus_audit.checks.text.safe_text import fit, safe_text

    certain = comparison.certain
    size = certain if only_up else np.abs(certain)
    order = [i for i in np.argsort(-size, kind="stable").tolist() if size[i] > 0]
    names = list(index.units())
    difference = comparison.difference
    if as_json:
        listed = [
            {
                "unit": str(names[comparison.rows[i]]),
                "mean": [float(comparison.first[i]), float(comparison.second[i])],
                "difference": float(difference.value[i]),
                "interval": [float(difference.low[i]), float(difference.high[i])],
                "at_least_deviations": float(certain[i]),
                "q": float(comparison.q[i]),
                "fires": [float(comparison.fires_first[i]), float(comparison.fires_second[i])],
            }
            for i in order[:k]
        ]
        emit_json("units", {"index": str(index.folder), "kind": "compared", "sides": list(sides),
                            "of": len(comparison.rows), "count": len(order), "units": listed})  # fmt: skip
        return
    if not np.isfinite(difference.t).any():
        from corpus_audit.embeddings.index.rates import LEAST_DOCUMENTS

        write_out(f"not enough data: to compare units, either side needs {LEAST_DOCUMENTS} documents")
        return
    is_or_are = "is" if len(order) == 1 else "are"
    result = f"{is_or_are} more active in {safe_text(sides[1], 30)} than elsewhere" if only_up else "moved"
    write_out(f"{len(order):,} of {plural(len(comparison.rows), 'unit')} {result} (q at most 5 %)")
    if order:
        head = f"{sides[0]:>9} {fit(safe_text(sides[1]), 9, right=True)}"
        write_out(f"{'Mean activation':17} {head}  {'difference [95 %]':27} {'q':>8}")
    for i in order[:k]:
        reach = f"{difference.value[i]:+.4f} [{difference.low[i]:+.4f}, {difference.high[i]:+.4f}]"
        name = str(names[comparison.rows[i]])
        means = f"{comparison.first[i]:9.4f} {comparison.second[i]:9.4f}"
        write_out(f"{name:17} {means}  {reach:27} {_q(comparison.q[i]):>8}")
    if len(order) > k:
        write_out(f"and {len(order) - k:,} more")
    if order:
        write_out("(in order of the interval's end nearer to 0, in the unit's standard deviations)")


def _q(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
