"""``corpus-audit explain``: from a token of the corpus to the units that it makes fire."""

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
@click.option("--k", "k", type=click.IntRange(1, 1000), default=10, show_default=True, help="At most so many units.")
@json_option
def explain(token: str, path: Path, snapshot: str | None, audit: Path | None, k: int, as_json: bool) -> None:
    """Find the units whose top examples peak on TOKEN, such as one that drifted, most of their list first.

    TOKEN is text as it stands in documents. With --audit it counts only where that audit's tokenizer makes this very
    token; else wherever it is not part of a longer word. Places are matched by characters, as the model's tokenizer may
    be another.
    """
    from corpus_audit.checks.text import numbers
    from corpus_audit.checks.text.safe_text import safe_text
    from corpus_audit.embeddings import open_index
    from corpus_audit.embeddings.lookup.explain import explain as explained

    tokenizer = None
    if audit is not None:
        tokenizer = _tokenizer(audit)
    index = open_index(path, snapshot)
    found = explained(index, token, k, tokenizer)
    if as_json:
        listed = [
            {"unit": str(one.unit), "hits": one.hits, "examples": one.examples, "lift": one.lift, "value": one.value}
            for one in found.units
        ]
        emit_json("explain", {"index": str(index.folder), "token": token, "places": found.places,
                              "windows": found.windows, "base_rate": found.base, "sampled": found.sampled,
                              "units": listed})  # fmt: skip
        return
    if found.sampled:
        note("corpus-audit: only some windows of the corpus are stored; the base rate is theirs")
    write_out(
        f"{safe_text(repr(token), 30)}: {numbers.plural(found.places, 'place')} in "
        f"{numbers.plural(found.windows, 'stored window')}, {numbers.percent(found.base, 3)} of tokens"
    )
    if not found.units:
        write_out("no unit's top examples peak on it")
        return
    write_out(f"{'Unit':17} {'top examples that peak on it':>28} {'lift':>8} {'highest value':>15}")
    for one in found.units:
        write_out(f"{one.unit!s:17} {f'{one.hits} of {one.examples}':>28} {one.lift:8,.0f} {one.value:15.3f}")
    write_out("(lift: share of top examples that peak on it, over its share of all tokens)")


def _tokenizer(audit: Path) -> Any:
    """The reference tokenizer of an audit."""
    import tempfile

    from tokenizers import Tokenizer

    from corpus_audit.pipelines.tokens.tokenization import load_tokenizer
    from corpus_audit.schemas.spec.audit_file import load_audit

    loaded = load_audit(audit)
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer.from_file(str(load_tokenizer(loaded.spec.tokenizer_path, loaded.base, Path(folder)).path))
