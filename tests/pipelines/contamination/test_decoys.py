"""Which splits decoys are cut from and looked for in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.contamination import decoys
from corpus_audit.pipelines.contamination.decoys import LEAST_BYTES, LEAST_SPLITS, select_decoy_splits

Split = tuple[str, int, int, int]


def splits_of(count: int, size: int) -> list[Split]:
    return [(f"{i:064x}", 0, size, size) for i in range(count)]


def test_a_small_corpus_is_sampled_whole() -> None:
    """As long as there are not both enough splits and enough bytes."""
    assert select_decoy_splits([]) == []
    assert select_decoy_splits(splits_of(LEAST_SPLITS, LEAST_BYTES)) == list(range(LEAST_SPLITS))
    many = splits_of(1000, LEAST_BYTES // 1000)
    assert select_decoy_splits(many) == list(range(1000))


def test_a_large_one_is_not() -> None:
    assert len(select_decoy_splits(splits_of(500, LEAST_BYTES))) == LEAST_SPLITS
    assert len(select_decoy_splits(splits_of(500, LEAST_BYTES // 100))) == 100 + (LEAST_BYTES % 100 > 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32))
def test_the_choice_is_of_contents(count: int, seed: int) -> None:
    """Not of their order; a shard that is there twice is chosen twice; a split more can only push out others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoys, "LEAST_SPLITS", 5)
        patch.setattr(decoys, "LEAST_BYTES", 100)
        splits = splits_of(count, 17)
        selected = {splits[at] for at in select_decoy_splits(splits)}
        shuffled = random.Random(seed).sample(splits * 2, 2 * count)
        twice = [shuffled[at] for at in select_decoy_splits(shuffled)]
        assert all(twice.count(split) == 2 for split in twice)
        more = [*splits, ("f" * 64, 0, 17, 17)]
        assert {more[at] for at in select_decoy_splits(more)} - selected <= {more[-1]}
