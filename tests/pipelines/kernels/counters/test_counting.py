"""Document-clustered token counters against Counter."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.kernels.counters.counting import count_tokens

VOCABULARY = 40
DOCUMENTS = st.lists(
    st.tuples(st.lists(st.integers(0, VOCABULARY - 1), max_size=30), st.integers(0, 3), st.integers(0, 63)),
    min_size=1,
    max_size=25,
)


def kernel(documents: list[tuple[list[int], int, int]], ranks: list[int], vocabulary: int) -> tuple[Any, list[int]]:
    """(domain, token) -> (Y, df, sum y^2, sum y n, {group: occurrences}), and the lowest rank that holds each token."""
    lengths = [len(tokens) for tokens, _, _ in documents]
    domain, token, sums, stops, groups, counts, lowest = count_tokens(
        np.array([t for tokens, _, _ in documents for t in tokens], np.uint32),
        np.cumsum([0, *lengths]).astype(np.int64),
        np.array([d for _, d, _ in documents], np.int64),
        np.array([g for _, _, g in documents], np.uint8),
        np.array(ranks, np.int64),
        vocabulary,
    )
    keys = list(zip(domain.tolist(), token.tolist(), strict=True))
    assert keys == sorted(set(keys))
    cells = {}
    start = 0
    for key, row, stop in zip(keys, sums.tolist(), stops.tolist(), strict=True):
        assert groups[start:stop].tolist() == sorted(set(groups[start:stop].tolist()))
        cells[key] = (*row, dict(zip(groups[start:stop].tolist(), counts[start:stop].tolist(), strict=True)))
        start = stop
    assert start == len(groups)
    return cells, lowest.tolist()


def brute_force(documents: list[tuple[list[int], int, int]], ranks: list[int], vocabulary: int) -> Any:
    sums: defaultdict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    groups: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    best: dict[int, int] = {}
    for d, (tokens, domain, group) in enumerate(documents):
        for token, y in Counter(tokens).items():
            for at, more in enumerate((y, 1, y * y, y * len(tokens))):
                sums[domain, token][at] += more
            groups[domain, token][group] += y
            best[token] = min(ranks[d], best.get(token, ranks[d]))
    return (
        {key: (*row, dict(sorted(groups[key].items()))) for key, row in sorted(sums.items())},
        [best.get(token, len(documents)) for token in range(vocabulary)],
    )


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, st.randoms(use_true_random=False))
def test_equals_brute_force(documents: list[tuple[list[int], int, int]], random) -> None:  # type: ignore[no-untyped-def]
    ranks = list(range(len(documents)))
    random.shuffle(ranks)
    assert kernel(documents, ranks, VOCABULARY) == brute_force(documents, ranks, VOCABULARY)


def test_outputs_grow_past_their_first_guess() -> None:
    rng = np.random.default_rng(5)
    documents = [(rng.integers(0, 3000, 40).tolist(), int(rng.integers(3)), int(rng.integers(64))) for _ in range(400)]
    ranks = rng.permutation(len(documents)).tolist()
    assert kernel(documents, ranks, 3000) == brute_force(documents, ranks, 3000)


def test_no_tokens() -> None:
    cells, lowest = kernel([([], 0, 1), ([], 2, 3)], [1, 0], 7)
    assert cells == {}
    assert lowest == [2] * 7


def test_a_token_of_the_last_id_and_a_long_run() -> None:
    documents = [([6] * 100_000, 0, 63), ([0, 6], 0, 0)]
    assert kernel(documents, [0, 1], 7) == brute_force(documents, [0, 1], 7)
