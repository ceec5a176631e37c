"""Makes the tables of an index from a merged scan: examples, documents, rates by domain."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.files import ALL
from corpus_audit.embeddings.index.rates import firing_rates, rates
from corpus_audit.embeddings.index.topk import SlotLists
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator
from corpus_audit.schemas.tables.activation_tables import DOCUMENTS, RECORDS, UNIT_DOMAINS


def records_table(state: ActivationAccumulator, indices: dict[str, np.ndarray]) -> pa.Table:
    """All examples of a scan, in the schema RECORDS and its order."""
    points, units = _units(indices)
    flat = SlotLists(*(column.reshape(len(units), -1) for column in state.samples.columns))
    per_bin = max(state.sizes.samples, 1)
    parts = [(state.top, 0, -1, 1), (state.minima.negated(), 2, -1, 1), (flat, 3, -1, per_bin)]
    parts += [(lists, 1, d, 1) for d, lists in enumerate(state.by_domain)]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("row", "list", "domain", "rank")}
    values: dict[str, list[np.ndarray]] = {name: [] for name in ("value", "window", "position", "context")}
    for lists, number, of_domain, step in parts:
        rows, slot = np.nonzero(lists.filled)
        columns["row"].append(rows)
        columns["list"].append(np.full(len(rows), number))
        columns["domain"].append(np.full(len(rows), of_domain))
        columns["rank"].append(slot // step)
        for name in values:
            values[name].append(getattr(lists, name)[rows, slot])
    row, kind, domain, rank = (np.concatenate(columns[name]) for name in ("row", "list", "domain", "rank"))
    domain_order = np.array([*np.argsort(np.argsort(np.array(state.domains, np.str_))), -1])  # the last for "no domain"
    order = np.lexsort((rank, domain_order[domain], kind, row))
    row, kind, domain, rank = (array[order] for array in (row, kind, domain, rank))
    kinds = pa.array(["top", "domain", "minimum", "sample"])
    table = {
        "point": _dictionary(points[row], indices),
        "unit": pa.array(units[row], pa.int32()),
        "list": pa.DictionaryArray.from_arrays(pa.array(kind, pa.int8()), kinds),
        "domain": pa.DictionaryArray.from_arrays(
            pa.array(domain, pa.int32(), mask=domain < 0), pa.array(state.domains, pa.string())
        ),
        "rank": pa.array(rank, pa.int16()),
    }
    for name in values:
        table[name] = pa.array(np.concatenate(values[name])[order], RECORDS.field(name).type)
    return pa.table(table, schema=RECORDS)


def unit_domains_table(state: ActivationAccumulator, indices: dict[str, np.ndarray]) -> pa.Table:
    """Firing rates and mean activations of every unit, over the corpus and by domain, in the schema UNIT_DOMAINS."""
    points, units = _units(indices)
    corpus = (state.tokens.sum(axis=0), state.fired.sum(axis=0), state.total.sum(axis=0), int(state.documents.sum()))
    cells = [(ALL, *corpus)]
    order = sorted(range(len(state.domains)), key=lambda d: state.domains[d])
    cells += [
        (state.domains[d], state.tokens[d], state.fired[d], state.total[d], int(state.documents[d])) for d in order
    ]
    parts = []
    for name, tokens, fired, total, documents in cells:
        rate, mean = firing_rates(fired, tokens, documents), rates(total, tokens)
        size = len(units)
        parts.append(
            {
                "domain": np.full(size, name, dtype=object),
                "tokens": np.full(size, tokens.sum()),
                "fired": fired.sum(axis=0),
                "rate": rate.value, "rate_low": rate.low, "rate_high": rate.high,
                "mean": mean.value, "mean_low": mean.low, "mean_high": mean.high,
            }
        )  # fmt: skip
    row = np.tile(np.arange(len(units)), len(parts))
    by_unit = np.lexsort((np.repeat(np.arange(len(parts)), len(units)), row))
    joined = {name: np.concatenate([part[name] for part in parts])[by_unit] for name in parts[0]}
    row = row[by_unit]
    columns: dict[str, pa.Array] = {
        "point": _dictionary(points[row], indices),
        "unit": pa.array(units[row], pa.int32()),
        "domain": pa.array(joined.pop("domain").tolist(), pa.string()).dictionary_encode(),
    }
    for name, array in joined.items():
        kind = UNIT_DOMAINS.field(name).type
        bare = array.astype(np.float64) if pa.types.is_floating(kind) else array
        columns[name] = pa.array(bare, kind, mask=np.isnan(bare) if UNIT_DOMAINS.field(name).nullable else None)
    return pa.table(columns, schema=UNIT_DOMAINS)


def documents_table(members: pa.Table, snapshot: str) -> pa.Table:
    """Shard and row of every document, in the schema DOCUMENTS and its order."""
    columns = {
        "document": members["document"],
        "snapshot": pa.array([snapshot] * len(members), pa.string()).dictionary_encode(),
        "shard": members["shard"].combine_chunks().dictionary_encode(),
        "row": members["row"],
        "split": members["split"],
        "domain": members["domain"].combine_chunks().dictionary_encode(),
        "id": members["id"],
    }
    return pa.table([columns[field.name] for field in DOCUMENTS], schema=DOCUMENTS)


def _units(indices: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    points = np.repeat(np.arange(len(indices)), [len(units) for units in indices.values()])
    return points, np.concatenate(list(indices.values()))


def _dictionary(codes: np.ndarray, indices: dict[str, np.ndarray]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(list(indices), pa.string()))
