"""What ``units --experts`` prints: imbalance by layer and domain, experts of the largest load, dead ones."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.embeddings.index.reader import Index
from corpus_audit.embeddings.lookup.experts import LayerLoad, LoadEstimate, layer_loads

WIDTH = 80


def expert_lines(index: Index, rows: np.ndarray, domain: str | None, k: int) -> Iterator[str]:
    """Lines of at most 80 columns; names of domains made safe.

    Args:
        index: the index.
        rows: int64, of the units that are asked for.
        domain: only its tokens; without one, the domains are compared as well.
        k: at most so many layers, domains, experts and dead experts each.
    """
    layers = layer_loads(index, rows, domain)
    count = sum(len(layer.indices) for layer in layers)
    where = "" if domain is None else f" of {safe_text(domain, 24)}"
    sizes = f"{plural(layers[0].tokens, 'token')} and {plural(layers[0].documents, 'document')}"
    yield f"{plural(count, 'expert')} in {plural(len(layers), 'layer')}, over {sizes}{where}"
    yield ""
    yield f"{'Layer':12} {'of':>5} {'each':>4}  {_HEAD} {'dead':>5}"
    for layer in layers[:k]:
        per_token = "?" if layer.chosen is None else f"{layer.chosen:,}"
        yield f"{layer.point!s:12} {len(layer.indices):5,} {per_token:>4}  {_imbalance(layer)} {_dead_count(layer):>5}"
    yield from _more(len(layers) - k)
    if any(layer.chosen is None for layer in layers):
        yield "(no imbalance for a layer whose experts are not all selected)"
    if domain is None:
        yield ""
        yield f"{'Domain, its worst layer':24}{_HEAD} {'dead':>5}"
        named = sorted(index.domains)
        for name in named[:k]:
            yield _domain_line(name, layer_loads(index, rows, name))
        yield from _more(len(named) - k)
        yield "(for the experts of one domain: --domain D)"
    yield ""
    yield from _experts(layers, k)
    yield from _dead(layers, k)


_HEAD = f"{'largest / mean [95 %]':22} {'CV [95 %]':20}"


def _domain_line(name: str, layers: Sequence[LayerLoad]) -> str:
    if not layers[0].tokens:
        return f"{safe_text(name, 14):14} no tokens"
    worst = max(layers, key=lambda layer: -1.0 if layer.chosen is None else layer.largest.value)
    dead = sum(int(layer.dead.sum()) for layer in layers)
    label = f"{safe_text(name, 13):13} {worst.point!s:11}"
    return f"{label:24}{_imbalance(worst)} {dead:5,}"


def _imbalance(layer: LayerLoad) -> str:
    return f"{_text(layer.largest, 2):22} {_text(layer.variation, 3):20}"


def _text(estimate: LoadEstimate, digits: int) -> str:
    if np.isnan(estimate.value):
        return "-"
    if np.isnan(estimate.low):
        return f"{estimate.value:.{digits}f} (few documents)"[:20]
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _dead_count(layer: LayerLoad) -> str:
    return f"{int(layer.dead.sum()):,}" if layer.tokens else "-"


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"and {count:,} more"


def _experts(layers: Sequence[LayerLoad], k: int) -> Iterator[str]:
    listed = _listed(layers)
    yield f"{'Expert':16} {'load [95 %]':28} of the mean"
    for layer, i in listed[:k]:
        load, name = layer.load, str(layer.units[i])
        if not layer.tokens:
            yield f"{name:16} no tokens"
            continue
        known = not np.isnan(load.low[i])
        reach = f"{load.value[i]:7.2%} " + (f"[{load.low[i]:.2%}, {load.high[i]:.2%}]" if known else "(few documents)")
        yield f"{name:16} {reach:28} {'-' if layer.chosen is None else f'{layer.over_mean[i]:.2f}'}"
    yield from _more(len(listed) - k)


def _dead(layers: Sequence[LayerLoad], k: int) -> Iterator[str]:
    names = [str(layer.units[i]) for layer in layers for i in np.flatnonzero(layer.dead).tolist()]
    if not names:
        return
    more = f" and {len(names) - k:,} more" if len(names) > k else ""
    yield ""
    bound = f"no token; each has a load below {layers[0].dead_below:.2g}, at 95 %"
    yield from textwrap.wrap(f"Dead ({bound}): {', '.join(names[:k])}{more}", WIDTH)


def _listed(layers: Sequence[LayerLoad]) -> list[tuple[LayerLoad, int]]:
    """Experts, those of the largest load over the mean of their layer first, or of the largest load."""
    pairs = [(layer, i) for layer in layers for i in range(len(layer.indices))]
    return sorted(pairs, key=lambda pair: -float(np.nan_to_num(pair[0].load.value[pair[1]] * len(pair[0].indices))
                                                / (pair[0].chosen or 1)))  # fmt: skip


def experts_json(index: Index, rows: np.ndarray, domain: str | None, k: int) -> dict[str, Any]:
    """The same as plain values, the domains' layers whole; at most k experts of the largest load."""
    layers = layer_loads(index, rows, domain)
    listed = _listed(layers)
    result: dict[str, Any] = {
        "domain": domain,
        "tokens": layers[0].tokens,
        "documents": layers[0].documents,
        "layers": [_layer_json(layer) for layer in layers],
        "count": len(listed),
        "experts": [
            {
                "unit": str(layer.units[i]),
                "routed": int(layer.routed[i]),
                "load": _number(layer.load.value[i]),
                "interval": _interval(layer.load.low[i], layer.load.high[i]),
                "over_mean": _number(layer.over_mean[i]),
            }
            for layer, i in listed[:k]
        ],
    }
    if domain is None:
        parts = {name: layer_loads(index, rows, name) for name in sorted(index.domains)}
        result["domains"] = [
            {
                "domain": name,
                "tokens": part[0].tokens,
                "documents": part[0].documents,
                "layers": [_layer_json(layer) for layer in part],
            }
            for name, part in parts.items()
        ]
    return result


def _layer_json(layer: LayerLoad) -> dict[str, Any]:
    return {
        "layer": str(layer.point),
        "experts": len(layer.indices),
        "chosen": layer.chosen,
        "largest_over_mean": _estimate(layer.largest),
        "coefficient_of_variation": _estimate(layer.variation),
        "dead": [str(layer.units[i]) for i in np.flatnonzero(layer.dead).tolist()],
        "dead_below": layer.dead_below,
    }


def _estimate(estimate: LoadEstimate) -> dict[str, Any]:
    return {"value": _number(estimate.value), "interval": _interval(estimate.low, estimate.high)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _interval(low: float, high: float) -> list[float] | None:
    return None if np.isnan(low) else [float(low), float(high)]
