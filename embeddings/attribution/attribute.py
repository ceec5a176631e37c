"""Attributes a unit's activation to the tokens of its examples, or of a text; results are kept in files.

A result is named by the digest of its provenance: the unit, the method and its parameters, the windows, and the digests
of model, tokenizer, snapshot and scan. A second call with the same is read from the file, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from corpus_audit.embeddings.attribution.results import (
    AttributionResult,
    read_attributions,
    result_path,
    write_attributions,
)
from corpus_audit.embeddings.attribution.settings import AttributionSettings, plain, provenance_of
from corpus_audit.embeddings.attribution.sources import unit_source
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.schemas.errors import UsageError, needs_extra
from corpus_audit.schemas.units import Unit, parse_unit


def attribute(
    index: Index,
    unit: str | Unit,
    examples: Sequence[Example] = (),
    text: str | None = None,
    settings: AttributionSettings | None = None,
    audit: Path | None = None,
    model: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> AttributionResult:
    """Attribute a unit's activation at its peak to the tokens of examples, or of a text.

    Args:
        index: the index of the unit; its model is loaded if the result is not in a file yet.
        unit: its address.
        examples: of the unit, as `Index.lookup` gives them.
        text: instead of examples; of a text longer than a window, the window with the highest activation.
        settings: the method, its parameters and its checks.
        audit: the audit that names the unit's autoencoder or directions.
        model: path of the model, if it has moved since indexing.
        say: is called with a line when the model is run.

    Raises:
        UsageError: there is nothing to attribute, the model cannot be loaded or is not the index's, or the activation
            is not the one that the index holds.
    """
    address = parse_unit(unit) if isinstance(unit, str) else unit
    settings = settings or AttributionSettings()
    index.row_of(address)  # raises if it is not indexed
    if bool(examples) == (text is not None):
        raise UsageError("there is nothing to attribute: give examples of the unit, or a text")
    source = unit_source(address, audit)
    inputs = {"text": text} if text is not None else [_input(example) for example in examples]
    provenance = provenance_of(index, address, source, plain(settings), inputs, str(settings.method))
    path = result_path(index.folder, address, str(settings.method), provenance)
    stored = read_attributions(path, provenance)
    if stored is not None:
        return AttributionResult(stored[0], stored[1], path, cached=True)
    with needs_extra("embeddings"):
        from corpus_audit.embeddings.attribution.compute import computed
    say(f"running {index.facts.model['name']} to attribute {address}")
    attributed, measured = computed(index, address, examples, text, settings, source, model)
    write_attributions(path, attributed, provenance | measured)
    return AttributionResult(attributed, provenance | measured, path, cached=False)


def _input(example: Example) -> list[object]:
    origin = example.locations[0] if example.locations else None
    return [f"{example.window:016x}", example.position, origin and [origin.domain, origin.shard, origin.row]]
