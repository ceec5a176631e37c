"""Whole comparisons of two snapshots in which nothing drifts: how often the headline says that a test shows something.

    python -m tests.benchmarks.calibration.comparisons --nulls 1000 --out comparisons.json

Documents are drawn in memory and become the tables of one comparison by the functions that `pipelines.drift.analysis`
calls on the tables of two runs: distances, edits, tokens, classifier, lengths and domain shares, of all documents and
of every domain, and then one conclusion. Printed are the share of comparisons of which some lens shows more than
chance, with its Clopper-Pearson interval, and that of each lens. Exits 1 if the interval lies above `LEVEL`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from corpus_audit.pipelines.drift import rows
from corpus_audit.pipelines.drift.conclusion import Conclusion, conclude
from corpus_audit.pipelines.drift.edited_documents import edits_alone
from corpus_audit.pipelines.drift.lengths import UNITS, slice_rows
from corpus_audit.pipelines.drift.lenses import LEVEL
from corpus_audit.pipelines.drift.texts import Examples
from corpus_audit.pipelines.kernels.text.ngrams import BUCKETS, feature_vectors
from corpus_audit.pipelines.statistics.classifier.hashed_documents import HashedDocuments
from corpus_audit.pipelines.statistics.classifier.two_sample import LEAST, classifier_test
from corpus_audit.pipelines.statistics.drift import domain_drift
from corpus_audit.pipelines.statistics.drift.length_drift import LengthHistogram
from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens, edited_pairs
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_drift import token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast
from corpus_audit.schemas.tables import drift_tables, turnover_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from tests.benchmarks.calibration.pairs import seeded
from tests.benchmarks.nulls import Documents, dirichlet_multinomial, zipf

Integers = npt.NDArray[np.int64]

SEED = 20_261_130
VOCABULARY = 600
LENGTH = 60.0
DOMAINS = ("books", "code", "web")
SHARES = (0.2, 0.3, 0.5)
PERMUTATIONS = 999
REPLACED = 0.1
"""Share of a document's tokens that an edit by noise replaces; both versions are such edits of one original."""

LABEL = "baseline"


@dataclass(frozen=True)
class NullPlan:
    """Documents removed, added, kept and edited by noise."""

    name: str
    removed: int
    added: int
    kept: int
    edited: int


NULL_PLANS = (
    NullPlan("independent draws, a third kept", 200, 200, 200, 0),
    NullPlan("edited by noise, half kept", 0, 0, 250, 250),
    NullPlan("9 added to 500", 0, 9, 500, 0),
    NullPlan("all kept, 150 added", 0, 150, 450, 0),
    NullPlan("a quarter each removed, added, kept, edited", 150, 150, 150, 150),
)


def draw(plan: NullPlan, rng: np.random.Generator) -> tuple[Documents, list[list[Integers]], dict[str, Integers]]:
    """Originals, the token ids of each set's documents, and the sets' positions.

    Domains are drawn for each document; each has token shares and lengths of its own.

    Returns:
        ``(originals, versions, sets)``: versions[side][d] are the token ids of document d on that side.
    """
    total = plan.removed + plan.added + plan.kept + plan.edited
    domain = rng.choice(len(DOMAINS), size=total, p=SHARES)
    base = zipf(VOCABULARY)
    ids: list[Integers] = [np.zeros(0, np.int64)] * total
    for g in range(len(DOMAINS)):
        mine = np.flatnonzero(domain == g)
        tilt = np.exp(0.5 * np.random.default_rng(g).standard_normal(VOCABULARY))
        made = dirichlet_multinomial(base * tilt / (base * tilt).sum(), max(len(mine), 1), rng, 0.01, LENGTH * (1 + g))
        starts = np.append(0, made.stops[:-1])
        for index, document in enumerate(rng.permutation(mine).tolist()):  # the documents made come by length
            cells = slice(starts[index], made.stops[index])
            ids[document] = rng.permutation(np.repeat(made.token[cells], made.count[cells]))
    bounds = np.cumsum([plan.removed, plan.added, plan.kept])
    names = "removed", "added", "kept", "edited"
    sets = dict(zip(names, np.split(np.arange(total), bounds), strict=True))
    versions = [list(ids), list(ids)]
    for document in sets["edited"].tolist():
        for side in versions:
            side[document] = _edited(ids[document], base.cumsum(), rng)
    return Documents.of(ids, VOCABULARY, domain), versions, sets


def _edited(tokens: Integers, everywhere: npt.NDArray[np.float64], rng: np.random.Generator) -> Integers:
    fresh = np.searchsorted(everywhere, rng.random(len(tokens)) * everywhere[-1])
    again = tokens[rng.integers(len(tokens), size=len(tokens))]
    swapped = np.where(rng.random(len(tokens)) < 0.5, fresh, again)
    return np.where(rng.random(len(tokens)) < REPLACED, swapped, tokens)


def comparison(plan: NullPlan, seed: int, replicate: int) -> Conclusion:
    """The conclusion of one comparison."""
    rng = seeded(seed, "comparison", plan.name, replicate)
    originals, versions, sets = draw(plan, rng)
    groups = rng.integers(GROUPS, size=len(originals))
    slices = {ALL_DOMAINS: np.ones(len(originals), bool)}
    slices |= {name: originals.domain == g for g, name in enumerate(DOMAINS)}
    nothing = pa.nulls(VOCABULARY, pa.string())
    examples = (Examples(nothing, nothing, nothing),) * 2
    tables: dict[str, list[pa.Table]] = {name: [] for name in ("drift", "drift_edits", "drift_tokens")}
    lengths: list[dict[str, Any]] = []
    for number, (name, inside) in enumerate(slices.items()):
        contrast = contrast_of(originals, versions, {k: v[inside[v]] for k, v in sets.items()}, groups, rng)
        summary = drift_summary(contrast, PERMUTATIONS, seed + 8 * replicate + number)
        tables["drift"].append(rows.summary_rows(LABEL, name, contrast, summary))
        if contrast.edited is not None:
            alone = edits_alone(contrast.tokens, contrast.edited)
            used = (contrast.edited.before.total_documents,) * 2
            summary = drift_summary(alone, PERMUTATIONS, seed + 8 * replicate + number)
            tables["drift_edits"].append(rows.edit_rows(LABEL, name, used, alone, summary))
        moved = token_drift(contrast)
        tables["drift_tokens"].append(rows.token_rows(LABEL, name, moved, examples, everything=name == ALL_DOMAINS))
        kept = int(inside[sets["kept"]].sum())
        sides = [
            _histogram(
                [len(version[d]) for d in np.concatenate([sets[own], sets["kept"], sets["edited"]]) if inside[d]]
            )
            for own, version in (("removed", versions[0]), ("added", versions[1]))
        ]
        for unit in UNITS:  # a character a token: the two tests are then fully dependent
            lengths += slice_rows(LABEL, name, unit, *sides, kept)
    joined = {name: pa.concat_tables(some) for name, some in tables.items() if some}
    return conclude(
        {
            "drift_edits": drift_tables.DRIFT_EDITS.empty_table(),
            "edit_patterns": turnover_tables.EDIT_PATTERNS.empty_table(),
            "drift_lengths": pa.Table.from_pylist(lengths, schema=drift_tables.DRIFT_LENGTHS),
            "turnover": turnover_of(versions, sets, slices),
            "drift_domains": domain_shares(versions, sets, originals.domain),
            "drift_classifier": classified(versions, sets, originals.domain, rng),
            **joined,
        }
    )


def contrast_of(
    originals: Documents,
    versions: Sequence[Sequence[Integers]],
    sets: dict[str, Integers],
    groups: Integers,
    rng: np.random.Generator,
) -> TokenContrast:
    """The contrast of the documents of one slice."""
    samples = [originals.sample(sets[name], rng) for name in ("removed", "added", "kept")]
    edited = sets["edited"]
    pairs = None
    count = sum((sample.count for sample in samples), np.zeros(VOCABULARY, np.int64))
    if len(edited):
        sides = [_joined([version[d] for d in edited]) for version in versions]
        pairs = edited_pairs(*sides, groups[edited], np.arange(VOCABULARY, dtype=np.int32))
        count = count + pairs.before.count + pairs.current.count
    occurs = np.flatnonzero(count)
    made = TokenContrast(occurs.astype(np.int32), *(sample.take(occurs) for sample in samples))
    return made if pairs is None else replace(made, edited=pairs.take(occurs))


def turnover_of(
    versions: Sequence[Sequence[Integers]], sets: dict[str, Integers], slices: dict[str, npt.NDArray[np.bool_]]
) -> pa.Table:
    """Table TURNOVER."""
    table = []
    for name, inside in slices.items():
        row = dict.fromkeys(turnover_tables.TURNOVER.names, 0) | {"baseline": LABEL, "domain": name, "reason": None}
        for kind, side in (("removed", 0), ("added", 1), ("kept", 1), ("edited", 1)):
            documents = [d for d in sets[kind].tolist() if inside[d]]
            row[kind] = len(documents)
            if kind != "edited":
                row[f"{kind}_tokens"] = sum(len(versions[side][d]) for d in documents)
        table.append(row | {"kept_squared": 0.0})
    return pa.Table.from_pylist(table, schema=turnover_tables.TURNOVER)


def domain_shares(versions: Sequence[Sequence[Integers]], sets: dict[str, Integers], domain: Integers) -> pa.Table:
    """Table DRIFT_DOMAINS; edited documents are on both sides as their own, as `domain_samples` has them."""

    def sample(version: Sequence[Integers], documents: Integers) -> domain_drift.DomainSample:
        lengths = np.array([len(version[d]) for d in documents], np.int64)
        tokens, squared = np.zeros((2, len(DOMAINS)), np.int64)
        np.add.at(tokens, domain[documents], lengths)
        np.add.at(squared, domain[documents], lengths**2)
        number = np.bincount(domain[documents], minlength=len(DOMAINS))
        return domain_drift.DomainSample(number, tokens, squared.astype(object))

    own = [
        sample(version, np.concatenate([sets[name], sets["edited"]]))
        for version, name in zip(versions, ("removed", "added"), strict=True)
    ]
    shared = sample(versions[0], sets["kept"])
    return pa.concat_tables(
        rows.domain_rows(LABEL, list(DOMAINS), unit, domain_drift.domain_drift(*own, shared, unit))
        for unit in domain_drift.UNITS
    )


def classified(
    versions: Sequence[Sequence[Integers]], sets: dict[str, Integers], domain: Integers, rng: np.random.Generator
) -> pa.Table:
    """Table DRIFT_CLASSIFIER of all documents and of domains with enough, shared ones left out."""
    own = [np.concatenate([sets[name], sets["edited"]]) for name in ("removed", "added")]
    sides = [
        hashed([version[d] for d in documents], domain[documents], rng)
        for version, documents in zip(versions, own, strict=True)
    ]
    conclusions = [rows.classifier_row(LABEL, ALL_DOMAINS, classifier_test(*sides, BUCKETS), {}, ([], []))]
    for g, name in enumerate(DOMAINS):
        members = [np.flatnonzero(side.domain == g) for side in sides]
        if min(map(len, members)) >= LEAST:
            test = classifier_test(*(side.take(at) for side, at in zip(sides, members, strict=True)), BUCKETS)
            conclusions.append(rows.classifier_row(LABEL, name, test, {}, ([], [])))
    return pa.Table.from_pylist(conclusions, schema=drift_tables.DRIFT_CLASSIFIER)


def hashed(ids: Sequence[Integers], domain: Integers, rng: np.random.Generator) -> HashedDocuments:
    """Documents as the classifier takes them, each with a hash of its own."""
    joined = _joined([one.astype(np.uint32) for one in ids])
    buckets, counts, stops = feature_vectors(joined.ids.astype(np.uint32), joined.offsets, np.arange(len(ids)))
    high, low = rng.integers(0, 2**63, (2, len(ids))).astype(np.uint64)
    starts = np.concatenate([[0], stops]).astype(np.int64)
    features = buckets.astype(np.int64), counts.astype(np.int64)
    return HashedDocuments(starts, *features, domain, joined.lengths, high, low)


def _joined(ids: Sequence[npt.NDArray[np.integer]]) -> DocumentTokens:
    lengths = [len(one) for one in ids]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return DocumentTokens(np.concatenate([np.zeros(0, np.int64), *ids]), offsets)


def _histogram(lengths: Sequence[int]) -> LengthHistogram:
    values, counts = np.unique(np.array(lengths, np.int64), return_counts=True)
    return LengthHistogram(values, values, counts.astype(np.int64))


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact bounds of a share (Clopper and Pearson 1934, Biometrika 26)."""
    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high


def outcomes(plan_name: str, seed: int, first: int, last: int) -> list[dict[str, float]]:
    """Holm's p of each lens, NaN without a test, of replicates ``first`` to ``last``."""
    plan = next(each for each in NULL_PLANS if each.name == plan_name)
    made = [comparison(plan, seed, replicate) for replicate in range(first, last)]
    return [{lens.name: lens.adjusted for lens in one.lenses} for one in made]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if the family-wise error is above its limit by more than chance."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibration.comparisons", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of every lens's p")
    parser.add_argument("--nulls", type=int, default=1000, help="comparisons, dealt out over the kinds")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    each = -(-options.nulls // len(NULL_PLANS))
    begin = time.monotonic()
    step = 10
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    conclusions: dict[str, list[dict[str, float]]] = {plan.name: [] for plan in NULL_PLANS}
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        futures = [
            (plan.name, pool.submit(outcomes, plan.name, options.seed, at, min(at + step, each)))
            for at in range(0, each, step)
            for plan in NULL_PLANS
        ]
        for done, (name, future) in enumerate(futures, 1):
            conclusions[name] += future.result()
            print(f"{done} of {len(futures)}", file=sys.stderr, flush=True)
    lines, record, missed = report(conclusions)
    made, seconds = sum(map(len, conclusions.values())), time.monotonic() - begin
    print(f"{made} comparisons without drift, seed {options.seed}, {seconds:.0f} s on {options.workers} processes")
    print("\n".join(lines))
    content = {"seed": options.seed, "level": LEVEL, "summary": record, "adjusted_p": conclusions}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


def report(conclusions: dict[str, list[dict[str, float]]]) -> tuple[list[str], dict[str, dict[str, float]], bool]:
    """Lines, the same as figures, and whether the error is above `LEVEL` by more than chance."""
    lines, record = [], {}
    everything = [one for some in conclusions.values() for one in some]
    for name, some in (*conclusions.items(), ("all", everything)):
        shown = sum(_any(one.values()) for one in some)
        low, high = clopper_pearson(shown, len(some))
        lenses = {lens: sum(_any([one[lens]]) for one in some) for lens in (some[0] if some else {})}
        lines.append(f"{name}: {shown} of {len(some)}, {shown / max(len(some), 1):.1%} [{low:.1%}, {high:.1%}]")
        lines.append("  " + ", ".join(f"{lens} {number}" for lens, number in lenses.items()))
        record[name] = {"shown": shown, "comparisons": len(some), "low": low, "high": high, **lenses}
    return lines, record, record["all"]["low"] > LEVEL


def _any(values: Iterable[float]) -> bool:
    return any(value <= LEVEL for value in values)


if __name__ == "__main__":
    sys.exit(main())
