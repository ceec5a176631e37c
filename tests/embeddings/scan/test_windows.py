"""Documents to windows: every token counts once, nothing special ever, ids depend on content alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.scan.batches import LEAST_TOKENS, batch_ids, batches
from corpus_audit.embeddings.scan.windows import WindowPlan, windows_of
from corpus_audit.schemas.errors import UsageError
from tests.embeddings.made import PLAN, windows_from

TEXT = st.lists(st.sampled_from(["a", "bb", "ccc", "ü", "名前"]), min_size=1, max_size=40).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5), st.integers(0, 2), st.booleans())
def test_every_token_counts_in_one_window(texts, overlap, causal):
    plan = WindowPlan(8, overlap, causal, () if causal else (998,), () if causal else (999,), (998, 999), "ab" * 32)
    windows, _ = windows_from(texts, plan)
    for d, text in enumerate(texts):
        words = text.split(" ")
        seen = []
        for i in np.flatnonzero(windows.document == d):
            part = slice(windows.offsets[i], windows.offsets[i + 1])
            assert part.stop - part.start <= 8
            for start, end, counted in zip(
                windows.starts[part], windows.ends[part], windows.counted[part], strict=True
            ):
                if counted:
                    seen.append(windows.texts[i][start:end])
                    assert text[windows.text_starts[i] + start : windows.text_starts[i] + end] == seen[-1]
        assert seen == words[1 if causal else 0 :]


def test_special_tokens_stand_around_and_never_count():
    windows, _ = windows_from(["a b c"])
    assert windows.tokens[[0, -1]].tolist() == [998, 999] and windows.counted.tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert windows.starts[[0, -1]].tolist() == [-1, -1]


def test_ids_depend_on_document_and_plan_and_on_nothing_else():
    one, _ = windows_from(["x y", "a b c"])
    two, _ = windows_from(["x y", "a b c"], WindowPlan(9, 0, False, (998,), (999,), (998, 999), "ab" * 32))
    again, _ = windows_from(["x y", "a b c"])
    assert one.ids.tolist() == again.ids.tolist() and not set(one.ids[:, 0]) & set(two.ids[:, 0])


def test_the_same_words_before_a_peak_are_the_same_context():
    windows, _ = windows_from(["p q a b c d", "r s a b c d"])
    assert len(windows) == 2
    first, second = (windows.contexts[windows.offsets[i] : windows.offsets[i + 1]] for i in range(2))
    assert first[2] != second[2]
    plan = WindowPlan(20, 0, False, (998,), (999,), (998, 999), "ab" * 32)
    tail = " a b c d e f g h"
    windows, _ = windows_from(["p q" + tail, "r" + tail], plan)
    assert windows.contexts[windows.offsets[1] - 2] == windows.contexts[-2]


def test_a_window_without_room_is_refused():
    with pytest.raises(UsageError, match="leaves no room"):
        WindowPlan(2, 0, False, (998,), (999,), (), "ab" * 32)


def test_windows_come_back_from_their_table():
    windows, keys = windows_from(["a b c d e f g h i", "x"])
    raw = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
    back = windows_of(windows.table(np.arange(len(windows)), raw), len(PLAN.prefix))
    for name in ("offsets", "tokens", "counted", "contexts", "starts", "ends", "number"):
        np.testing.assert_array_equal(getattr(back, name), getattr(windows, name), err_msg=name)
    assert back.ids[:, 0].tolist() == windows.ids[:, 0].tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(1, 64))
def test_batches_hold_every_window_once_and_one_length_each(lengths, tokens):
    lengths = np.array(lengths)
    result = list(batches(lengths, tokens))
    assert sorted(np.concatenate(result).tolist()) == list(range(len(lengths)))
    for batch in result:
        assert len(set(lengths[batch])) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= tokens


def test_a_small_batch_is_filled_with_repeats():
    windows, _ = windows_from(["x"])
    ids = batch_ids(windows, np.array([0]))
    assert ids.size >= LEAST_TOKENS and (ids == ids[0]).all() and PLAN.prefix[0] in ids[0]
