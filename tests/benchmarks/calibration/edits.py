"""Pairs of snapshots whose documents were edited, by noise or in one direction, beside kept, added and removed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.statistics.drift import divergence
from corpus_audit.pipelines.statistics.drift.paired_documents import DocumentTokens, edited_pairs
from corpus_audit.pipelines.statistics.drift.permutation import drift_summary
from corpus_audit.pipelines.statistics.drift.token_drift import token_drift
from corpus_audit.pipelines.statistics.drift.token_sample import GROUPS, TokenContrast, TokenSample
from tests.benchmarks.calibration.pairs import seeded
from tests.benchmarks.calibration.snapshots import PERMUTATIONS
from tests.benchmarks.nulls import Documents, contrast, dirichlet_multinomial, zipf
from tests.pipelines.drift.document_sides import Made, outcome

Integers = npt.NDArray[np.int64]

VOCABULARY = 2_000
LENGTH = 100.0
"""Tokens of the vocabulary, and of a document on average."""

REPLACED = 0.1
"""Share of a document's tokens that an edit replaces by others of its kind; both versions are such edits."""

REPLACED_OF_RENAMED = 0.01
"""The same share for documents under another id, which must have most of their text in common to be followed."""

REMOVED_TOKENS = np.arange(20, 30)
"""Tokens of which an edit in one direction removes half of the occurrences."""


_EVERYWHERE = zipf(VOCABULARY).cumsum()


@dataclass(frozen=True)
class EditPlan:
    """How many documents are removed, added, kept and edited.

    Attributes:
        directed: whether edits remove tokens, rather than replace some of either version by noise.
        paired: whether edited documents are known as such; else they count as removed and added.
        renamed: whether all documents that stay have another id, and are followed by their text
            (`pipelines.drift.documents.matching`); edits are then lighter.
    """

    name: str
    removed: int
    added: int
    kept: int
    edited: int
    directed: bool = False
    paired: bool = True
    renamed: bool = False


EDIT_PLANS = (
    EditPlan("edited by noise", 0, 0, 0, 600),
    EditPlan("half edited, half added", 0, 400, 0, 400),
    EditPlan("edited, added and removed", 200, 200, 200, 200),
    EditPlan("9 added to 1,063", 0, 9, 1_063, 0),
    EditPlan("9 added, 60 edited of 1,072", 0, 9, 1_003, 60),
    EditPlan("append-only", 0, 300, 900, 0),
    EditPlan("append-only, 60 edited", 0, 300, 840, 60),
    EditPlan("renamed", 0, 60, 200, 200, renamed=True),
    EditPlan("edited in one direction", 0, 0, 300, 300, directed=True),
    EditPlan("edited in one direction, half added", 0, 300, 0, 300, directed=True),
    EditPlan("edited in one direction, taken for removed and added", 0, 0, 300, 300, directed=True, paired=False),
)


@dataclass(frozen=True)
class EditedSnapshots:
    """What R pairs of one plan gave.

    Attributes:
        p: permutation p of the divergence, R; NaN where the documents are too few.
        truth: the divergence of what the snapshots were drawn from, bits; 0 where edits are noise.
        above, covered: pairs whose lower bound is above 0, and whose interval holds the truth.
        bounded: pairs with an interval.
        tested, rejected: tokens tested, and with |z| of 5 %; those that the edits change are not among them.
        discoveries: pairs with a token of q <= 5 % that the edits do not change.
        power: tokens that the edits change, with q <= 5 %, of all such.
    """

    plan: str
    directed: bool
    paired: bool
    truth: float
    p: tuple[float, ...]
    above: int
    covered: int
    bounded: int
    tested: int
    rejected: int
    discoveries: int
    power: float

    @property
    def scenario(self) -> str:
        """The plan, told apart from those without edits."""
        return f"edits, {self.plan}"

    def __add__(self, other: EditedSnapshots) -> EditedSnapshots:
        """Both together, which must be of one plan."""
        assert self.plan == other.plan, "pairs of another plan"
        names = "above", "covered", "bounded", "tested", "rejected", "discoveries"
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        power = (self.power * len(self.p) + other.power * len(other.p)) / (len(self.p) + len(other.p))
        return replace(self, p=self.p + other.p, power=power, **sums)


def edited_snapshots(plan_name: str, seed: int, replicates: int, first: int = 0) -> EditedSnapshots:
    """Draw pairs and test them; one stream a replicate.

    Args:
        plan_name: name of one of `EDIT_PLANS`.
        seed: of the whole benchmark.
        replicates: R.
        first: number of the first pair.
    """
    plan = next(each for each in EDIT_PLANS if each.name == plan_name)
    truth = true_divergence(plan)
    p: list[float] = []
    above = covered = bounded = tested = rejected = discoveries = 0
    power: list[float] = []
    for replicate in range(first, first + replicates):
        rng = seeded(seed, "edits", plan.name, replicate)
        made = draw(plan, rng)
        summary = drift_summary(made, PERMUTATIONS, seed + replicate)
        value = summary.distances["jsd"].p
        p.append(np.nan if value is None else value)
        if summary.low is not None and summary.high is not None:
            bounded += 1
            above += summary.low > 0
            covered += summary.low <= truth <= summary.high
        drift = token_drift(made)
        moved = np.isin(made.tokens, REMOVED_TOKENS) & plan.directed
        counted = ~np.isnan(drift.z) & ~moved
        tested += int(counted.sum())
        rejected += int((np.abs(drift.z[counted]) > 1.959963984540054).sum())
        discoveries += bool((drift.q[~moved] <= 0.05).any())
        if moved.any():
            power.append(float((drift.q[moved] <= 0.05).mean()))
    result = float(np.mean(power)) if power else float("nan")
    return EditedSnapshots(
        plan.name,
        plan.directed,
        plan.paired,
        truth,
        tuple(p),
        above,
        covered,
        bounded,
        tested,
        rejected,
        discoveries,
        result,
    )


def true_divergence(plan: EditPlan) -> float:
    """Jensen-Shannon divergence, in bits, of the token shares that the two snapshots of a plan have on average."""
    if not plan.directed:
        return 0.0
    shares = zipf(VOCABULARY)
    edited = shares * np.where(np.isin(np.arange(VOCABULARY), REMOVED_TOKENS), 0.5, 1.0)
    now = (plan.added + plan.kept) * shares + plan.edited * edited
    return float(divergence.jensen_shannon(shares, now))


def draw(plan: EditPlan, rng: np.random.Generator) -> TokenContrast:
    """One pair of snapshots."""
    if plan.renamed:
        return _followed(plan, rng)
    sizes = plan.removed, plan.added, plan.kept, plan.edited
    source = dirichlet_multinomial(zipf(VOCABULARY), sum(sizes), rng, length=LENGTH)
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


def _followed(plan: EditPlan, rng: np.random.Generator) -> TokenContrast:
    """A pair in which every document that stays has another id; which is which is found by matching their texts."""
    source = dirichlet_multinomial(zipf(VOCABULARY), plan.added + plan.kept + plan.edited, rng, length=LENGTH)
    order = rng.permutation(len(source))
    texts = _version(source, order, rng, directed=False, replaced=0.0, shuffled=True)
    ids = np.split(texts.ids, texts.offsets[1:-1])
    added, stay = ids[: plan.added], ids[plan.added :]
    sides = []
    for number in (0, 1):
        edited = [_replaced(tokens, rng, REPLACED_OF_RENAMED) for tokens in stay[: plan.edited]]
        sides.append([*edited, *stay[plan.edited :], *(added if number else [])])
    made = [
        [Made(f"{number}/{i}", tuple(tokens.tolist())) for i, tokens in enumerate(side)]
        for number, side in enumerate(sides)
    ]
    followed = outcome(*made)
    parts = [
        [document.tokens for document in followed.removed.elements()],
        [document.tokens for document in followed.added.elements()],
        [now.tokens for _, now in followed.kept.elements()],
    ]
    samples = [_sample(part, rng) for part in parts]
    pairs = list(followed.edited.elements())
    versions = [_joined([pair[side].tokens for pair in pairs]) for side in (0, 1)]
    everything = np.arange(VOCABULARY, dtype=np.int32)
    edited_ones = edited_pairs(versions[0], versions[1], rng.integers(GROUPS, size=len(pairs)), everything)
    occurs = np.flatnonzero(sum(each.count for each in (*samples, edited_ones.before, edited_ones.current)))
    cut = [sample.take(occurs) for sample in samples]
    return replace(TokenContrast(occurs.astype(np.int32), *cut), edited=edited_ones.take(occurs))


def _sample(texts: Sequence[Sequence[int]], rng: np.random.Generator) -> TokenSample:
    """Counters of the texts; each falls into a random hash group."""
    documents = Documents.of(texts or [[0]], VOCABULARY, np.zeros(max(len(texts), 1), np.int64))
    return documents.sample(np.arange(len(texts)), rng)


def _joined(texts: Sequence[Sequence[int]]) -> DocumentTokens:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    arrays = [np.asarray(text, np.int64) for text in texts]
    return DocumentTokens(np.concatenate([np.zeros(0, np.int64), *arrays]), offsets)


def _version(
    source: Documents,
    documents: Integers,
    rng: np.random.Generator,
    directed: bool,
    replaced: float = REPLACED,
    shuffled: bool = False,
) -> DocumentTokens:
    """A version of each of the documents: some tokens replaced by others that the document could have had."""
    starts = np.append(0, source.stops[:-1])
    ids = []
    for document in documents:
        cells = slice(starts[document], source.stops[document])
        tokens = np.repeat(source.token[cells], source.count[cells])
        tokens = rng.permutation(tokens) if shuffled else tokens
        tokens = _replaced(tokens, rng, replaced)
        if directed:
            tokens = tokens[~(np.isin(tokens, REMOVED_TOKENS) & (rng.random(len(tokens)) < 0.5))]
        ids.append(tokens)
    return _joined(ids)


def _replaced(tokens: Integers, rng: np.random.Generator, share: float) -> Integers:
    """The tokens with a share replaced, half of it by tokens of the source and half by others of the document."""
    swapped = rng.random(len(tokens)) < share
    fresh = np.searchsorted(_EVERYWHERE, rng.random(len(tokens)) * _EVERYWHERE[-1])
    again = tokens[rng.integers(len(tokens), size=len(tokens))]
    return np.where(swapped, np.where(rng.random(len(tokens)) < 0.5, fresh, again), tokens)
