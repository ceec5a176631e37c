import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.drift.minhash_bands import WINDOW, find_similar
from corpus_audit.pipelines.kernels.text import ngrams
from corpus_audit.pipelines.kernels.text.sketches import sketches
from corpus_audit.pipelines.statistics.intervals.near_duplicates import Signatures, near_duplicates
from corpus_audit.pipelines.statistics.intervals.proportions import clopper_pearson

P = ngrams.PERMUTATIONS


def rows(rng, number):
    return rng.integers(0, 2**32, (number, P), dtype=np.uint64).astype(np.uint32)


def near(rng, row, agree):
    """A signature that agrees with ``row`` in ``agree`` values."""
    other = row.copy()
    other[rng.permutation(P)[: P - agree]] ^= np.uint32(1)
    return other


def side(signatures, domains, documents=None, first_hash=0):
    number = len(signatures)
    hashes = np.stack([np.arange(number) + first_hash] * 2, axis=1).astype(np.uint64)
    documents = np.ones(number, np.int64) if documents is None else np.asarray(documents)
    return Signatures(hashes, np.asarray(domains, dtype=np.int64), documents, np.asarray(signatures, dtype=np.uint32))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([65, 100, 103, 127]))
def test_small_buckets_miss_no_pair(seed, least):
    rng = np.random.default_rng(seed)
    first = rows(rng, 12)
    signatures = np.concatenate([first, [near(rng, row, int(rng.integers(60, P + 1))) for row in first]])
    domains, sides = rng.integers(0, 2, 24), rng.integers(0, 2, 24).astype(np.int8)
    hashes = np.arange(48, dtype=np.uint64).reshape(24, 2)
    seen, groups = find_similar(signatures, domains, sides, hashes, np.ones(24, bool), least)
    expected = np.zeros((24, 3, P), bool)
    for a in range(24):
        for b in range(24):
            equal = signatures[a] == signatures[b]
            if a != b and equal.sum() >= least:
                relation = 2 if sides[a] != sides[b] else int(domains[a] != domains[b])
                expected[a, relation] |= equal
                assert groups[a] == groups[b]
    bits = (seen[..., None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert (bits.reshape(24, 3, P).astype(bool) == expected).all()


def test_a_pair_counts_for_the_chance_of_seeing_it():
    rng = np.random.default_rng(1)
    alone = rows(rng, 9)
    signatures = [*alone, near(rng, alone[0], 112)]
    within, across = near_duplicates(side(signatures, [0] * 10), 1, 1 / 32)
    weight = 1 / (112 / 128 + 16 / 128 / 32)
    assert within.near_duplicates == pytest.approx([2 * weight])
    assert within.overall.value == pytest.approx(2 * weight / 10)
    assert within.overall.low < 2 * weight / 10 < within.overall.high
    assert across.overall.value == 0
    assert across.overall.high == pytest.approx(clopper_pearson(0, 100 / (4 + 8))[1] / 0.8)


def test_scopes_and_documents():
    rng = np.random.default_rng(2)
    alone = rows(rng, 4)
    signatures = [*alone, alone[0], alone[1]]
    result = near_duplicates(side(signatures, [0, 0, 1, 1, 0, 1], documents=[3, 1, 1, 1, 2, 5]), 3, 1.0)
    within, across = result
    assert within.documents.tolist() == [6, 7, 0]
    assert within.near_duplicates.tolist() == [5, 0, 0]
    assert across.near_duplicates.tolist() == [1, 5, 0]
    assert np.isnan(within.domains[2].value)
    assert [each.scope for each in result] == ["within", "across"]


def test_copies_of_one_text_are_no_near_duplicates():
    rng = np.random.default_rng(3)
    signature = rows(rng, 1)[0]
    one = np.array([[7, 7], [7, 7]], dtype=np.uint64)
    copies = Signatures(one, np.array([0, 1]), np.array([4, 2]), np.stack([signature] * 2))
    for scope in near_duplicates(copies, 2, 0.25, baseline=copies):
        assert scope.overall.value == 0


def test_a_baseline_is_only_compared_across():
    rng = np.random.default_rng(4)
    alone = rows(rng, 6)
    before = [near(rng, alone[2], 120), near(rng, alone[3], 110), near(rng, alone[3], 119), near(rng, alone[4], 90)]
    within, across, baseline = near_duplicates(side(alone, [0] * 6), 1, 1.0, side(before, [1] * 4, first_hash=100))
    assert within.overall.value == across.overall.value == 0
    assert baseline.near_duplicates.tolist() == [2]
    assert baseline.documents.tolist() == [6]


def test_a_template_of_thousands_is_found_whole():
    rng = np.random.default_rng(5)
    template = rows(rng, 1)[0]
    number = 200 * WINDOW
    signatures = np.stack([template] * number)
    signatures[np.arange(number), rng.integers(0, P, number)] = np.arange(number)  # each a little different
    domains = rng.integers(0, 2, number)
    within, across = near_duplicates(side(signatures, domains), 2, 1.0)
    assert within.overall.value == 1
    assert across.overall.value > 0.99
    same = near_duplicates(side(np.stack([template] * number), domains), 2, 1.0)
    assert [scope.overall.value for scope in same] == [1, 1]


def test_nothing_sampled_is_no_rate():
    for scope in near_duplicates(side(np.zeros((0, P)), []), 2, 1 / 32):
        assert np.isnan([scope.overall.value, scope.overall.low, scope.overall.high]).all()
        assert scope.documents.tolist() == [0, 0]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        near_duplicates(side(np.zeros((0, P)), []), 1, share)


def corpus(rng, size, copies):
    """About 20 % of documents in groups of ``copies`` that differ in up to 2 % of their tokens."""
    texts, domains = [], []
    while len(texts) < size:
        text = rng.integers(0, 20_000, rng.integers(60, 200))
        for _ in range(copies if len(texts) < size / 5 else 1):
            changed = text.copy()
            at = rng.integers(0, len(text), rng.integers(0, len(text) // 50 + 1))
            changed[at] = rng.integers(0, 20_000, len(at))
            texts.append(changed)
            domains.append(rng.integers(2))
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return np.concatenate(texts).astype(np.uint32), offsets, np.array(domains), [text.tobytes() for text in texts]


def sampled(documents, share):
    ids, offsets, domains, texts = documents
    hashed = ngrams.rehash(sketches(ids, offsets)[0]) / 2.0**64
    selected = np.flatnonzero(hashed < share)
    names = {text: n for n, text in enumerate(dict.fromkeys(texts))}
    hashes = np.array([[names[texts[c]]] * 2 for c in selected], dtype=np.uint64).reshape(-1, 2)
    cells, first, counts = np.unique(
        np.column_stack([hashes[:, 0], domains[selected]]), axis=0, return_index=True, return_counts=True
    )
    signatures = ngrams.signatures(ids, offsets, selected[first])
    return Signatures(hashes[first], cells[:, 1].astype(np.int64), counts.astype(np.int64), signatures)


def simulate(share, size, copies, repeats):
    rng = np.random.default_rng(size + copies)
    results = []
    for _ in range(repeats):
        documents = corpus(rng, size, copies)
        truths = near_duplicates(sampled(documents, 1.0), 2, 1.0)
        for scope, (result, true_value) in enumerate(
            zip(near_duplicates(sampled(documents, share), 2, share), truths, strict=True)
        ):
            estimate, value = result.overall, true_value.overall.value
            results.append((scope, estimate.value, value, estimate.low <= value <= estimate.high))
    table = np.array(results, dtype=float)
    return [table[table[:, 0] == scope, 1:] for scope in (0, 1)]


@pytest.mark.parametrize(("share", "size"), [(1 / 4, 1200), (1 / 32, 4000)])
def test_the_sample_estimates_the_rate_of_all_documents(share, size):
    for table in simulate(share, size, copies=2, repeats=12):
        error = table[:, 0].std() / np.sqrt(len(table))
        assert table[:, 1].mean() > 0.04
        assert abs((table[:, 0] - table[:, 1]).mean()) < 3 * error
        assert table[:, 2].mean() >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize(("share", "size"), [(1 / 4, 1200), (1 / 32, 8000)])
@pytest.mark.parametrize("copies", [2, 4, 20])
def test_the_sample_estimates_the_rate_for_groups_of_any_size(share, size, copies):
    for table in simulate(share, size, copies, repeats=60):
        bias = (table[:, 0] - table[:, 1]).mean()
        error = table[:, 0].std() / np.sqrt(len(table))
        assert -3 * error < bias < 0.05 * table[:, 1].mean() + 3 * error
        assert table[:, 2].mean() >= 0.9
