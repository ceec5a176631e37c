"""What the attributions that are stored beside an index say, as tables of a run of its snapshot; no torch.

Of a unit, one result is copied: that of the most documents, which says the most of domains. Attributions of a user's
own texts, of lowest activations, and of another model or snapshot are left out. A file that cannot be read has a row
that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.attribution.checks import curve_checks, permuted_weights
from corpus_audit.embeddings.attribution.domains import by_domain
from corpus_audit.embeddings.attribution.methods.names import FACTS, Method, short_baseline
from corpus_audit.embeddings.attribution.results import Attributed, load_attributions
from corpus_audit.embeddings.attribution.stored import attribution_files
from corpus_audit.embeddings.index.mapped_tables import document_name
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.index.stored_results import results_folder
from corpus_audit.schemas.errors import AuditError, StoreError
from corpus_audit.schemas.run import strict_json
from corpus_audit.schemas.tables.index_result_tables import UNIT_ATTRIBUTION_TOKENS, UNIT_ATTRIBUTIONS
from corpus_audit.schemas.units import Unit, parse_unit

TOKENS, NGRAMS = 10, 5
"""Tokens and n-grams of a unit in a domain that are copied."""

Row = dict[str, Any]


@dataclass(frozen=True)
class _Result:
    path: Path
    method: Method
    examples: list[Attributed]
    provenance: dict[str, Any]

    @property
    def documents(self) -> int:
        return len({example.document for example in self.examples})


def attribution_tables(index: Index, excerpts: bool) -> dict[str, pa.Table]:
    """The tables ``unit_attributions`` and ``unit_attribution_tokens``; none if nothing is stored.

    Args:
        index: the index of the run's snapshot.
        excerpts: whether texts of examples and n-grams may be copied.
    """
    results: list[Row] = []
    tokens: list[Row] = []
    for unit in _units(index):
        best, problems = _best(index, unit)
        results += problems
        if best is not None:
            results.append(_result_row(index, unit, best, excerpts))
            tokens += _token_rows(unit, best, excerpts)
    if not results:
        return {}
    return {
        "unit_attributions": pa.Table.from_pylist(results, UNIT_ATTRIBUTIONS),
        "unit_attribution_tokens": pa.Table.from_pylist(tokens, UNIT_ATTRIBUTION_TOKENS),
    }


def _units(index: Index) -> list[Unit]:
    """Units of the index with files of attributions, in the order of the index."""
    names = {
        f"{path.parent.name}:{path.name.partition('-')[0]}"
        for path in results_folder(index.folder, "attributions").glob("*/*.parquet")
    }
    rows = {}
    for name in names:
        try:
            unit = parse_unit(name)
            rows[unit] = index.row_of(unit)
        except AuditError:  # a file of somebody else, or of a unit that is not indexed
            continue
    return sorted(rows, key=lambda unit: rows[unit])


def _best(index: Index, unit: Unit) -> tuple[_Result | None, list[Row]]:
    """The result of the most documents, and rows of the files that cannot be read."""
    results, problems = [], []
    for path in attribution_files(index.folder, unit):
        try:
            stored = load_attributions(path)
        except StoreError as error:
            reason = str(error).removeprefix(f"{path} ")
            problems.append({"unit": str(unit), "method": "", "file": _name(index, path), "reason": reason})
            continue
        if stored is not None and _is_of(index, stored[1]):
            examples = [example for example in stored[0] if example.window is not None]
            if examples:
                results.append(_Result(path, Method(stored[1]["method"]), examples, stored[1]))
    order = list(Method)
    best = min(results, key=lambda each: (-each.documents, order.index(each.method), each.path.name), default=None)
    return best, problems


def _is_of(index: Index, provenance: dict[str, Any]) -> bool:
    """Whether a result is of this index's model, snapshot and scan, and of highest activations."""
    facts = index.facts
    model = provenance.get("model", {}).get("digest")
    same = (model, provenance.get("snapshot"), provenance.get("scan"))
    lowest = provenance.get("parameters", {}).get("lowest", False)
    return same == (facts.model["digest"], facts.snapshot, facts.scan) and not lowest


def _name(index: Index, path: Path) -> str:
    return path.relative_to(index.folder.parent).as_posix()


def _result_row(index: Index, unit: Unit, result: _Result, excerpts: bool) -> Row:
    examples, provenance = result.examples, result.provenance
    strongest = max(examples, key=lambda example: example.value)
    errors = [example.completeness_error for example in examples if example.completeness_error is not None]
    curves, permuted = curve_checks(examples), permuted_weights(examples)
    caveat = FACTS[result.method].caveat
    short = short_baseline(float(provenance["baseline_length"]))
    if result.method is Method.INTEGRATED_GRADIENTS and short is not None:
        caveat += f" Of the baseline, {short}."
    row: Row = {
        "unit": str(unit),
        "method": str(result.method),
        "caveat": caveat,
        "examples": len(examples),
        "documents": result.documents,
        "completeness_error": max(errors) if errors else None,
        "tolerance": provenance["parameters"]["tolerance"] if errors else None,
        "converged": sum(bool(example.converged) for example in examples) if errors else None,
        "checked": 0 if curves is None else curves.examples,
        "baseline": provenance["baseline"],
        "baseline_length": provenance["baseline_length"],
        "domain": strongest.domain,
        "document": document_name(strongest.id, strongest.shard, strongest.row),
        "value": strongest.value,
        "baseline_value": strongest.baseline_value,
        "whole": strongest.whole(result.method),
        "file": _name(index, result.path),
        "provenance": strict_json.dumps(provenance).decode(),
    }
    if curves is not None:
        row |= {
            "deletion": curves.deletion,
            "insertion": curves.insertion,
            "random_mean": curves.random_mean,
            "random_low": curves.random_low,
            "random_high": curves.random_high,
            "random_orders": curves.orders,
            "deletion_beaten": curves.deletion_beaten,
            "insertion_beaten": curves.insertion_beaten,
        }
    if permuted is not None:
        row |= {"randomised_block": permuted.block, "randomised_all": permuted.blocks}
    return row | (_text_of(strongest) if excerpts else {})


def _text_of(example: Attributed) -> Row:
    """The example's text, and its tokens with their attributions; special tokens around the text are left out."""
    inside = example.in_text
    return {
        "text": example.text,
        "peak": int(np.searchsorted(inside, example.position)),
        "starts": example.starts[inside].tolist(),
        "ends": example.ends[inside].tolist(),
        "attribution": example.attribution[inside].tolist(),
    }


def _token_rows(unit: Unit, result: _Result, excerpts: bool) -> Iterator[Row]:
    for domain in by_domain(result.examples, _domains(result.examples), result.method):
        carriers = [*domain.tokens[:TOKENS], *(domain.ngrams[:NGRAMS] if excerpts else ())]
        for rank, carrier in enumerate(sorted(carriers, key=lambda carrier: -carrier.mean)):
            yield {
                "unit": str(unit),
                "method": str(result.method),
                "domain": domain.domain,
                "examples": domain.examples,
                "domain_documents": domain.documents,
                "rank": rank,
                "text": carrier.text,
                "tokens": carrier.length,
                "occurrences": carrier.occurrences,
                "documents": carrier.documents,
                "mean": carrier.mean,
                "share": carrier.share,
                "low": carrier.low,
                "high": carrier.high,
            }


def _domains(examples: Sequence[Attributed]) -> list[str]:
    """Domains of the examples, that of the strongest first."""
    ordered = sorted(examples, key=lambda example: -example.value)
    return list(dict.fromkeys(example.domain for example in ordered if example.domain is not None))
