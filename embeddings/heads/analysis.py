"""Computes the results that ``heads`` and ``attention`` show, as rows of tables; those of an index are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from corpus_audit.embeddings.attention.head_reader import open_head
from corpus_audit.embeddings.attention.loading import load_attention_model, model_source
from corpus_audit.embeddings.attention.matrices import head_matrices
from corpus_audit.embeddings.attention.reader import AttentionReader
from corpus_audit.embeddings.attention.readout import direct_readout
from corpus_audit.embeddings.heads.ablation import Ablation, Ablations
from corpus_audit.embeddings.heads.ablation import Kind as Replacement
from corpus_audit.embeddings.heads.corpus import CorpusMeasures, domain_rows, measure_corpus
from corpus_audit.embeddings.heads.results import (
    ABLATIONS,
    EXAMPLES,
    HeadResults,
    Rows,
    computation_folder,
    example_settings,
    head_tables,
    provenance_of,
    read_results,
    write_results,
)
from corpus_audit.embeddings.heads.samples import corpus_tokens, sample_windows
from corpus_audit.embeddings.heads.scores import HeadScores, score_heads
from corpus_audit.embeddings.heads.two_layers import FeedingHead, read_circuits
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.index.stored_results import index_provenance
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.units import Kind, Point, Unit, parse_pattern, select

EVIDENCE = 20
"""Places in the corpus that are kept of every induction head."""

EVIDENCE_HEADS = 16
"""Induction heads whose evidence is collected, those of highest prefix matching."""


def head_results(index: Index | None, model: str | None, windows: int) -> HeadResults:
    """Scores of every head, the circuits of induction heads, and over an index measures by domain and evidence.

    Args:
        index: the index; None for a model alone.
        model: path or name of the model, if there is no index or the model has moved.
        windows: of the corpus that are read; 0 for none.

    Raises:
        UsageError: the model does not exist, is not the one of the index, or its attention cannot be read.
    """
    windows = windows if index is not None else 0
    settings = {"windows": windows}
    folder, provenance = None, None
    if index is not None:
        provenance = provenance_of("heads", settings, index_provenance(index))
        folder = computation_folder(index, provenance)
        if (known := read_results(folder, provenance, head_tables(windows))) is not None:
            return known
    loaded = load_attention_model(index, model)
    reader = AttentionReader(loaded)
    readout, _ = direct_readout(loaded, reader.trace)
    matrices = head_matrices(reader)
    tokens = None if index is None else corpus_tokens(index)
    scores = score_heads(reader, matrices, readout, tokens)
    tables: dict[str, Rows] = {
        "head_scores": [score_row(each) for each in scores],
        "head_circuits": [_circuit_row(each) for each in read_circuits(reader, matrices, scores, tokens)],
    }
    if index is not None and windows:
        sample = sample_windows(index, windows, len(loaded.card.prefix))
        induction = sorted((s for s in scores if s.is_induction), key=lambda s: -s.prefix)[:EVIDENCE_HEADS]
        measures = measure_corpus(reader, sample, [(s.block, s.head) for s in induction])
        tables["head_domains"] = domain_rows(measures)
        tables["induction_evidence"] = [
            row for s in induction for row in _evidence_rows(measures, (s.block, s.head), s.unit)
        ]
    if folder is None or provenance is None:
        return HeadResults(None, provenance_of("heads", settings, model_source(loaded)), tables)
    return write_results(folder, provenance, tables)


def ablation_results(
    index: Index | None, model: str | None, pattern: str, kind: Replacement, windows: int, together: bool
) -> HeadResults:
    """What the loss is without heads, one at a time or all of them together.

    Args:
        index, model, windows: as of `head_results`.
        pattern: of units, such as head.5:*.
        kind: what replaces them.
        together: remove them together.

    Raises:
        UsageError: as `head_results`, or the model is no causal language model.
    """
    windows = windows if index is not None else 0
    settings = {"heads": pattern, "ablation": kind, "together": together, "windows": windows}
    folder, provenance = None, None
    if index is not None:
        provenance = provenance_of("ablation", settings, index_provenance(index))
        folder = computation_folder(index, provenance)
        if (known := read_results(folder, provenance, ABLATIONS)) is not None:
            return known
    loaded = load_attention_model(index, model)
    heads = _heads_of(loaded, pattern)
    sample = sample_windows(index, windows, len(loaded.card.prefix)) if index is not None and windows else None
    ablations = Ablations(loaded, sample, kind, None if index is None else corpus_tokens(index))
    rows = [_ablation_row(ablations.remove(group)) for group in ([heads] if together else [[h] for h in heads])]
    if folder is None or provenance is None:
        return HeadResults(None, provenance_of("ablation", settings, model_source(loaded)), {"head_ablations": rows})
    return write_results(folder, provenance, {"head_ablations": rows})


def _heads_of(model: LanguageModel, pattern: str) -> list[tuple[int, int]]:
    """Block and head of the heads that a pattern names.

    Raises:
        UnitError: it names none; the message says what exists.
    """
    blocks = [b for b, block in enumerate(model.blocks) if block.attention_out is not None]
    selected = select([parse_pattern(pattern)], {Point(Kind.HEAD, b): model.heads for b in blocks})
    return [(point.block or 0, head) for point, indices in selected.items() for head in indices.tolist()]


def example_results(index: Index, unit: Unit, examples: Sequence[Example], model: str | None) -> HeadResults:
    """What a head attends to and writes at the peaks of its examples.

    Raises:
        UsageError: as `head_results`, or the head's attention cannot be read.
    """
    provenance = provenance_of("examples", example_settings(unit, examples), index_provenance(index))
    folder = computation_folder(index, provenance)
    if (known := read_results(folder, provenance, EXAMPLES)) is not None:
        return known
    heads = open_head(index, unit, model)
    rows: Rows = [
        {
            "head": str(unit),
            "rank": example.rank,
            "window": example.window,
            "indexed": example.value,
            **heads.row_values(heads.row_of(index, example)),
        }
        for example in examples
    ]
    return write_results(folder, provenance, {"attention_examples": rows})


def score_row(scores: HeadScores) -> dict[str, Any]:
    """A row of ``head_scores``."""
    names = ("previous", "duplicate", "prefix", "chance", "copying", "eigenvalues", "first", "entropy")
    return {"head": scores.unit, **{name: getattr(scores, name) for name in names}}


def _circuit_row(source: FeedingHead) -> dict[str, Any]:
    names = ("composition", "random", "previous", "prefix", "without")
    (block, head), (earlier, other) = source.reader, source.source
    row = {"head": f"head.{block}:{head}", "source": f"head.{earlier}:{other}"}
    return {**row, **{name: getattr(source, name) for name in names}}


def _ablation_row(ablation: Ablation) -> dict[str, Any]:
    corpus, repeats = ablation.difference, ablation.repeat_difference
    return {
        "heads": " ".join(f"head.{b}:{h}" for b, h in ablation.heads),
        "kind": ablation.kind,
        "loss": ablation.loss,
        "difference": corpus.value,
        "low": corpus.low,
        "high": corpus.high,
        "repeat_loss": ablation.repeat_loss,
        "repeat_difference": repeats.value,
        "repeat_low": repeats.low,
        "repeat_high": repeats.high,
        "documents": ablation.documents,
        "tokens": ablation.tokens,
    }


def _evidence_rows(measures: CorpusMeasures, head: tuple[int, int], unit: str) -> Rows:
    rows = []
    for rank, each in enumerate(measures.best_evidence(head, EVIDENCE)):
        location = measures.sample.locations[int(measures.sample.document[each.window])]
        rows.append(
            {
                "head": unit,
                "rank": rank,
                "window": int(measures.sample.names[each.window]),
                "query": each.query,
                "key": each.key,
                "mass": each.mass,
                "length": each.length,
                "domain": location.domain,
                "id": location.id,
                "shard": location.shard,
                "row": location.row,
            }
        )
    return rows
