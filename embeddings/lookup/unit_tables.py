"""All examples of an index, and all rates, as tables for other tools; an index holds what they are made from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from corpus_audit.embeddings.index.files import ALL
from corpus_audit.embeddings.index.rates import firing_rates, rates
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.scan.windows import windows_of
from corpus_audit.schemas.tables.activation_tables import RECORDS, UNIT_DOMAINS


def records_table(index: Index) -> pa.Table:
    """All examples of an index, in the schema RECORDS and its order."""
    points, units = _units(index)
    per_bin = max(index.facts.sizes["samples"], 1)
    parts = [(_slots(index, "top"), 0, -1, 1), (_slots(index, "minima"), 2, -1, 1)]
    parts.append((_slots(index, "samples"), 3, -1, per_bin))
    if index.facts.sizes["domain_k"]:
        parts += [(_slots(index, "domain", d), 1, d, 1) for d in range(len(index.domains))]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("row", "list", "domain", "rank")}
    values: dict[str, list[np.ndarray]] = {name: [] for name in ("value", "window", "position", "context")}
    for lists, number, of_domain, step in parts:
        rows, slot = np.nonzero(lists["filled"])
        columns["row"].append(rows)
        columns["list"].append(np.full(len(rows), number))
        columns["domain"].append(np.full(len(rows), of_domain))
        columns["rank"].append(slot // step)
        for name in values:
            values[name].append(lists[name][rows, slot])
    row, kind, domain, rank = (np.concatenate(columns[name]) for name in ("row", "list", "domain", "rank"))
    domain_order = np.array([*np.argsort(np.argsort(np.array(index.domains, np.str_))), -1])  # the last for "no domain"
    order = np.lexsort((rank, domain_order[domain], kind, row))
    row, kind, domain, rank = (array[order] for array in (row, kind, domain, rank))
    kinds = pa.array(["top", "domain", "minimum", "sample"])
    table = {
        "point": _dictionary(points[row], index),
        "unit": pa.array(units[row], pa.int32()),
        "list": pa.DictionaryArray.from_arrays(pa.array(kind, pa.int8()), kinds),
        "domain": pa.DictionaryArray.from_arrays(
            pa.array(domain, pa.int32(), mask=domain < 0), pa.array(list(index.domains), pa.string())
        ),
        "rank": pa.array(rank, pa.int16()),
    }
    for name in values:
        table[name] = pa.array(np.concatenate(values[name])[order], RECORDS.field(name).type)
    return pa.table(table, schema=RECORDS)


def unit_domains_table(index: Index) -> pa.Table:
    """Firing rates and mean activations of every unit, over the corpus and by domain, in the schema UNIT_DOMAINS."""
    points, units = _units(index)
    all_tokens, all_documents = index.array("tokens"), index.array("documents")
    all_fired = np.asarray(index.array("fired"), np.int64)
    all_total = np.asarray(index.array("total"), np.float64)
    corpus = (all_tokens.sum(axis=0), all_fired.sum(axis=0), all_total.sum(axis=0), int(all_documents.sum()))
    cells = [(ALL, *corpus)]
    order = sorted(range(len(index.domains)), key=lambda d: index.domains[d])
    cells += [(index.domains[d], all_tokens[d], all_fired[d], all_total[d], int(all_documents[d])) for d in order]
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
        "point": _dictionary(points[row], index),
        "unit": pa.array(units[row], pa.int32()),
        "domain": pa.array(joined.pop("domain").tolist(), pa.string()).dictionary_encode(),
    }
    for name, array in joined.items():
        kind = UNIT_DOMAINS.field(name).type
        bare = array.astype(np.float64) if pa.types.is_floating(kind) else array
        columns[name] = pa.array(bare, kind, mask=np.isnan(bare) if UNIT_DOMAINS.field(name).nullable else None)
    return pa.table(columns, schema=UNIT_DOMAINS)


def _slots(index: Index, name: str, domain: int | None = None) -> dict[str, np.ndarray]:
    """A list of all units [R, k] by column, with the hashes of contexts, and which slots are filled."""
    at = () if domain is None else (domain,)
    value, rows, position = (np.asarray(index.array(f"{name}.{part}")[at]) for part in ("value", "row", "position"))
    value, rows, position = (each.reshape(len(value), -1) for each in (value, rows, position))
    filled = rows < len(index.window_names)
    safe = np.where(filled, rows, 0)
    windows = windows_of(index.windows, len(index.facts.model.get("prefix", ())))
    return {
        "value": -value if name == "minima" else value,
        "window": index.window_names[safe],
        "position": position,
        "context": windows.contexts[np.minimum(windows.offsets[safe] + position, len(windows.contexts) - 1)],
        "filled": filled,
    }


def _units(index: Index) -> tuple[np.ndarray, np.ndarray]:
    sizes = [size for _, size in index.facts.points]
    return np.repeat(np.arange(len(sizes)), sizes), np.asarray(index.array("indices"))


def _dictionary(codes: np.ndarray, index: Index) -> pa.Array:
    points = [point for point, _ in index.facts.points]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(points, pa.string()))
