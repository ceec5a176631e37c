"""``corpus-audit explain``: find the units that a token of the corpus makes fire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from corpus_audit.runners.cli.shared.index_options import index_option, snapshot_option
from corpus_audit.runners.cli.shared.output import emit_json, json_option
from corpus_audit.runners.cli.shared.streams import note, write_out


@click.command(short_help="Find the units whose strongest examples peak on a token.")
@click.argument("token")
@index_option
@snapshot_option
@click.option("--audit", type=click.Path(path_type=Path),
              help="An audit whose tokenizer decides where the corpus has the token.")  # fmt: skip
@click.option("--k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="Maximum number shown.")
@json_option
def explain(token: str, path: Path, snapshot: str | None, audit: Path | None, k: int, as_json: bool) -> None:
    """Find the units whose top examples peak on TOKEN, such as one that drifted; highest share of examples first.

    TOKEN is written as in documents. With --audit it matches only where the tokenizer of that audit produces this
    token; otherwise it matches wherever it is not part of a longer word. Matching is by characters, because the model
    may have another tokenizer.
    """
    from corpus_audit.checks.text import numbers
    from corpus_audit.checks.text.safe_text import safe_text
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.explain import explain as explained

    tokenizer = None
    if audit is not None:
        tokenizer = _tokenizer(audit)
    index = open_index(path, snapshot)
    index.facts.check_reads_text("explanations by tokens")
    explanation = explained(index, token, k, tokenizer)
    if as_json:
        listed = [
            {
                "unit": str(unit.unit),
                "hits": unit.hits,
                "examples": unit.examples,
                "lift": unit.lift,
                "value": unit.value,
            }
            for unit in explanation.units
        ]
        emit_json("explain", {"index": str(index.folder), "token": token, "places": explanation.occurrences,
                              "windows": explanation.windows, "base_rate": explanation.base,
                              "sampled": explanation.sampled, "units": listed})  # fmt: skip
        return
    if explanation.sampled:
        note("corpus-audit: only some windows of the corpus are stored; the base rate is theirs")
    write_out(
        f"{safe_text(repr(token), 30)}: {numbers.plural(explanation.occurrences, 'place')} in "
        f"{numbers.plural(explanation.windows, 'stored window')}, {numbers.percent(explanation.base, 3)} of tokens"
    )
    if not explanation.units:
        write_out("no unit's top examples peak on it")
        return
    write_out(f"{'Unit':17} {'top examples that peak on it':>28} {'lift':>8} {'highest value':>15}")
    for unit in explanation.units:
        write_out(f"{unit.unit!s:17} {f'{unit.hits} of {unit.examples}':>28} {unit.lift:8,.0f} {unit.value:15.3f}")
    write_out("(lift: share of top examples that peak on it, over its share of all tokens)")


def _tokenizer(audit: Path) -> Any:
    """The reference tokenizer of an audit."""
    import tempfile

    from tokenizers import Tokenizer

    from corpus_audit.pipelines.tokens.no_text import load_tokenizer_of
    from corpus_audit.schemas.spec.audit_file import load_audit

    loaded = load_audit(audit)
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer.from_file(str(load_tokenizer_of(loaded.spec, loaded.base, Path(folder)).path))
