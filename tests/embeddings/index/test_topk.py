"""Lists of examples: the order, distinct contexts, and a merge that may be repeated, reordered and regrouped."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.index.topk import SlotLists
from corpus_audit.pipelines.kernels.activations.topk_lists import EMPTY, insert

PEAKS = [(1, 0), (1, 1), (3, 0), (2, 2), (0, 1), (-1, 3), (2, 3), (3, 4), (1, 4), (0, 2), (-3, 0), (2, 1)]
WINDOWS = [(float(value), window, window % 5, context) for window, (value, context) in enumerate(PEAKS)]
"""A window has one peak of a unit, so one value and one context."""

EXAMPLES = st.lists(st.sampled_from(WINDOWS), max_size=25)


def lists_of(examples, k=3):
    made = SlotLists.empty(1, k)
    for value, window, position, context in examples:
        insert(*made.columns, 0, np.float32(value), np.uint64(window), position, np.uint64(context))
    return made


def plain(examples, k=3):
    """The first k, by value and window, of the best example of every context."""
    best = {}
    for value, window, _position, context in examples:
        if context not in best or (-value, window) < best[context]:
            best[context] = (-value, window)
    return sorted((value, window, context) for context, (value, window) in best.items())[:k]


def shown(lists):
    filled = lists.window[0] != EMPTY
    rows = zip(lists.value[0][filled], lists.window[0][filled], lists.context[0][filled], strict=True)
    return [(-float(value), int(window), int(context)) for value, window, context in rows]


@settings(max_examples=300, deadline=None)
@given(EXAMPLES)
def test_a_list_is_the_best_of_every_context(examples):
    assert shown(lists_of(examples)) == plain(examples)


@settings(max_examples=300, deadline=None)
@given(EXAMPLES, EXAMPLES, EXAMPLES)
def test_merging_is_idempotent_commutative_and_associative(a, b, c):
    """Duplicated and overlapping shards too: an example in both parts counts once."""
    whole = lists_of([*a, *b, *c])
    left = lists_of(a)
    left.merge(lists_of(b))
    left.merge(lists_of(c))
    right = lists_of(c)
    inner = lists_of(b)
    inner.merge(lists_of(a))
    right.merge(inner)
    right.merge(lists_of([*b, *c]))
    right.merge(right)
    assert shown(left) == shown(right) == shown(whole) == plain([*a, *b, *c])


def test_lists_of_another_length_merge_too():
    short, long = lists_of([(1, 1, 0, 1), (2, 2, 0, 2)], k=1), lists_of([(3, 3, 0, 3), (0, 4, 0, 4)], k=4)
    long.merge(short)
    assert [window for _, window, _ in shown(long)] == [3, 2, 4]


def test_the_lowest_are_kept_by_the_other_sign():
    made = lists_of([(1, 1, 0, 1), (3, 2, 0, 2)])
    assert made.negated().value[0].tolist() == [-3.0, -1.0, -np.inf]
