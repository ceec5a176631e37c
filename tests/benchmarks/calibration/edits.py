"""Pairs of snapshots whose documents were edited, by noise or in one direction, beside kept, added and removed ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens, edited_pairs
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_drift import token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast
from tests.benchmarks.calibration.pairs import VOCABULARY, seeded
from tests.benchmarks.calibration.snapshots import PERMUTATIONS
from tests.benchmarks.nulls import Documents, contrast, dirichlet_multinomial, zipf

Integers = npt.NDArray[np.int64]

REPLACED = 0.1
"""Share of a document's tokens that an edit replaces by others of its kind; both versions are such edits."""

REMOVED_TOKENS = np.arange(20, 30)
"""Tokens of which an edit in one direction removes half of the occurrences."""


@dataclass(frozen=True)
class EditPlan:
    """How many documents are removed, added, kept and edited; whether edits have a direction, and are known as such."""

    name: str
    removed: int
    added: int
    kept: int
    edited: int
    directed: bool = False
    paired: bool = True


EDIT_PLANS = (
    EditPlan("edited by noise", 0, 0, 0, 600),
    EditPlan("half edited, half added", 0, 400, 0, 400),
    EditPlan("edited, added and removed", 200, 200, 200, 200),
    EditPlan("9 added to 1,063", 0, 9, 1_063, 0),
    EditPlan("9 added, 60 edited of 1,072", 0, 9, 1_003, 60),
    EditPlan("append-only, 60 edited", 0, 300, 840, 60),
    EditPlan("edited in one direction", 0, 0, 300, 300, directed=True),
    EditPlan("edited in one direction, half added", 0, 300, 0, 300, directed=True),
    EditPlan("edited in one direction, taken for removed and added", 0, 0, 300, 300, directed=True, paired=False),
)


@dataclass(frozen=True)
class EditedSnapshots:
    """What R pairs of one plan gave.

    Attributes:
        p: permutation p of the divergence, R; NaN where the documents are too few.
        above, covered: pairs whose lower bound is above 0, and whose interval holds 0.
        bounded: pairs with an interval.
        tested, rejected: tokens tested, and with |z| of 5 %; those that the edits change are not among them.
        discoveries: pairs with a token of q <= 5 % that the edits do not change.
        power: tokens that the edits change, with q <= 5 %, of all such.
    """

    plan: str
    directed: bool
    p: tuple[float, ...]
    above: int
    covered: int
    bounded: int
    tested: int
    rejected: int
    discoveries: int
    power: float


def edited_snapshots(plan_name: str, seed: int, replicates: int) -> EditedSnapshots:
    """Draw pairs and test them; one stream a replicate.

    Args:
        plan_name: name of one of `EDIT_PLANS`.
        seed: of the whole benchmark.
        replicates: R.
    """
    plan = next(each for each in EDIT_PLANS if each.name == plan_name)
    p: list[float] = []
    above = covered = bounded = tested = rejected = discoveries = 0
    power: list[float] = []
    for replicate in range(replicates):
        rng = seeded(seed, "edits", plan.name, replicate)
        made = draw(plan, rng)
        summary = drift_summary(made, PERMUTATIONS, seed + replicate)
        value = summary.distances["jsd"].p
        p.append(np.nan if value is None else value)
        if summary.low is not None and summary.high is not None:
            bounded += 1
            above += summary.low > 0
            covered += summary.low <= 0 <= summary.high
        drift = token_drift(made)
        moved = np.isin(made.tokens, REMOVED_TOKENS) & plan.directed
        counted = ~np.isnan(drift.z) & ~moved
        tested += int(counted.sum())
        rejected += int((np.abs(drift.z[counted]) > 1.959963984540054).sum())
        discoveries += bool((drift.q[~moved] <= 0.05).any())
        if moved.any():
            power.append(float((drift.q[moved] <= 0.05).mean()))
    found = float(np.mean(power)) if power else float("nan")
    return EditedSnapshots(
        plan.name, plan.directed, tuple(p), above, covered, bounded, tested, rejected, discoveries, found
    )


def draw(plan: EditPlan, rng: np.random.Generator) -> TokenContrast:
    """One pair of snapshots."""
    sizes = plan.removed, plan.added, plan.kept, plan.edited
    source = dirichlet_multinomial(zipf(VOCABULARY), sum(sizes), rng)
    removed, added, kept, edited = np.split(rng.permutation(len(source)), np.cumsum(sizes)[:-1])
    versions = [_version(source, edited, rng, directed=False), _version(source, edited, rng, directed=plan.directed)]
    samples = [source.sample(part, rng) for part in (removed, added, kept)]
    everything = np.arange(VOCABULARY, dtype=np.int32)
    pairs = edited_pairs(versions[0], versions[1], rng.integers(GROUPS, size=len(edited)), everything)
    if not plan.paired:
        return contrast(samples[0] + pairs.before, samples[1] + pairs.current, samples[2])
    if not len(edited):
        return contrast(*samples)
    occurs = np.flatnonzero(sum(sample.count for sample in (*samples, pairs.before, pairs.current)))
    cut = [sample.take(occurs) for sample in samples]
    return replace(TokenContrast(occurs.astype(np.int32), *cut), edited=pairs.take(occurs))


def _version(source: Documents, documents: Integers, rng: np.random.Generator, directed: bool) -> DocumentTokens:
    """A version of each of the documents: some tokens replaced by others that the document could have had."""
    starts = np.append(0, source.stops[:-1])
    everywhere = zipf(VOCABULARY).cumsum()
    ids = []
    for document in documents:
        cells = slice(starts[document], source.stops[document])
        tokens = np.repeat(source.token[cells], source.count[cells])
        swapped = rng.random(len(tokens)) < REPLACED
        fresh = np.searchsorted(everywhere, rng.random(len(tokens)) * everywhere[-1])
        again = tokens[rng.integers(len(tokens), size=len(tokens))]
        tokens = np.where(swapped, np.where(rng.random(len(tokens)) < 0.5, fresh, again), tokens)
        if directed:
            tokens = tokens[~(np.isin(tokens, REMOVED_TOKENS) & (rng.random(len(tokens)) < 0.5))]
        ids.append(tokens)
    lengths = [len(tokens) for tokens in ids]
    joined = np.concatenate(ids) if ids else np.zeros(0, np.int64)
    return DocumentTokens(joined, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
