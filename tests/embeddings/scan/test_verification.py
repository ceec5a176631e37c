"""Windows run again: what is stored must come out, and candidates are put right."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.embeddings.scan import verification
from corpus_audit.embeddings.scan.accumulator import ActivationAccumulator, BatchRows, ListSizes, highest_of, lowest_of
from corpus_audit.embeddings.scan.verification import check, correct, doubled, members
from corpus_audit.schemas.errors import AuditError
from corpus_audit.schemas.tables.activation_tables import DOCUMENTS
from tests.embeddings.made import SIZES, state_of, values_of, windows_from

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards quietly box up jugs of vintage port"
TEXTS = [" ".join(np.random.default_rng(i).permutation(WORDS.split())) for i in range(12)]
NAMES, ROWS = ["even", "odd"], 5
OF = [i % 2 for i in range(len(TEXTS))]


def scanned(sizes=SIZES, selected=None, rounded=0):
    """The state of `state_of`; ``rounded`` bits of the mantissa are dropped first, as a coarser type would."""
    windows, _ = windows_from(TEXTS)
    if not rounded:
        return windows, state_of(windows, ROWS, NAMES, OF, sizes=sizes, selected=selected)
    values = (values_of(windows, ROWS).view(np.uint32) >> rounded << rounded).view(np.float32)
    state = ActivationAccumulator(ROWS, sizes, np.full(ROWS, -np.inf, np.float32))
    for i in range(len(windows)):
        part = slice(windows.offsets[i], windows.offsets[i + 1])
        batch = BatchRows(
            windows.ids[i : i + 1, 0],
            state.positions_of([NAMES[OF[windows.document[i]]]]),
            np.array([i % 16]),
            windows.counted[part][None],
            windows.contexts[part][None],
        )
        state.count_windows(batch)
        state.add_highest(batch, 0, highest_of(values[part][None], batch.counted), "mlp.0")
        state.add_lowest(batch, 0, lowest_of(values[part][None], batch.counted), "mlp.0")
    return windows, state


def again(windows, names, sizes=SIZES):
    """The windows of those names alone, scanned again."""
    selected = np.flatnonzero(np.isin(windows.ids[:, 0], names))
    state = state_of(windows, ROWS, NAMES, OF, sizes=sizes, selected=selected)
    ordered = ActivationAccumulator(ROWS, sizes, state.floors, NAMES)
    ordered.merge(state)
    return ordered


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9))
def test_what_was_scanned_comes_out_again_of_any_sample(one_in):
    windows, state = scanned()
    selected = state.used_windows()[::one_in]
    result = check(state, again(windows, selected), selected)
    assert result.largest == 0.0 and result.windows == len(selected) and result.complete is None
    lists = [state.top, state.minima, *state.by_domain]
    assert result.records == sum(int(np.isin(each.window[each.filled], selected).sum()) for each in lists)


@pytest.mark.parametrize("name", ["top", "minima", "domain"])
def test_a_value_that_was_changed_is_found(name):
    windows, state = scanned()
    lists = state.by_domain[1] if name == "domain" else getattr(state, name)
    lists.value[3, 1] *= 1.01
    selected = state.used_windows()
    with pytest.raises(AuditError, match="are not reproduced"):
        check(state, again(windows, selected), selected)
    lists.value[3, 1] *= np.float32(1 / 1.01) * np.float32(1 + 3e-6)
    assert 1e-6 < check(state, again(windows, selected), selected).largest < 1e-5


def test_a_decision_that_falls_otherwise_is_counted_in_a_few_windows():
    windows, state = scanned()
    state.top.value[3, 1] *= 1.5
    selected = state.used_windows()
    decided = np.arange(ROWS) == 3
    result = check(state, again(windows, selected), selected, decided)
    assert (result.flipped, result.flipped_windows) == (1, 1) and result.largest < 1e-6
    with pytest.raises(AuditError, match="are not reproduced"):
        check(state, again(windows, selected), selected, ~decided)
    state.top.value[3] *= np.float32(1.5)  # in more windows than near ties explain
    with pytest.raises(AuditError, match="are not reproduced"):
        check(state, again(windows, selected), selected, decided)


def test_an_example_that_is_none_is_found():
    windows, state = scanned()
    state.top.value[0, -1], state.top.context[0, -1] = 2 * state.top.value[0, 0], 77
    state.top.window[0, -1] = state.used_windows()[-1] - np.uint64(1)
    selected = np.union1d(state.used_windows(), state.top.window[0])
    with pytest.raises(AuditError, match="differ by"):
        check(state, again(windows, selected), selected)


def test_candidates_are_put_right():
    """With bfloat16's eight bits the lists are wrong; corrected, they are those of float32 where it says complete."""
    windows, exact = scanned()
    _, coarse = scanned(doubled(SIZES), rounded=16)
    assert not np.array_equal(coarse.top.value[:, : SIZES.top], exact.top.value)
    before = coarse.total.copy()
    made, result = correct(coarse, again(windows, coarse.used_windows()), coarse.used_windows())
    complete = verification._complete(coarse.top, made.top)
    assert complete.any() and result.complete == complete.mean() and 0 < result.largest < 1 / 128
    for mine, reference in zip(made.top.columns, exact.top.columns, strict=True):
        np.testing.assert_array_equal(mine[complete], reference[complete])
    assert made.sizes == SIZES and made.top.k == SIZES.top and made.samples.value.shape[2] == SIZES.samples
    np.testing.assert_array_equal(made.total, before)


def test_a_margin_that_is_too_small_is_not_called_complete():
    windows, _ = windows_from(TEXTS)
    _, coarse = scanned(doubled(SIZES), rounded=16)
    made, _ = correct(coarse, again(windows, coarse.used_windows()), coarse.used_windows())
    near = dataclasses.replace(coarse.top, value=coarse.top.value.copy())
    near.value[:, -1] = made.top.value[:, -1]
    assert not verification._complete(near, made.top).any()


def test_lists_without_slots_are_left_alone():
    sizes = ListSizes(top=3, domain=0, minima=0, samples=0)
    windows, state = scanned(sizes)
    selected = state.used_windows()
    assert check(state, again(windows, selected, sizes), selected).largest == 0.0


def test_a_document_in_two_domains_is_in_both():
    rows = [
        {"document": name.encode() * 16, "row": i, "domain": domain}
        for i, (name, domain) in enumerate([("a", "x"), ("a", "y"), ("a", "y"), ("b", "y")])
    ]
    kinds = {"document": DOCUMENTS.field("document").type, "row": pa.int64(), "domain": pa.string()}
    documents = pa.Table.from_pylist(rows, pa.schema(kinds))
    windows = pa.table({"document": pa.array([b"b" * 16, b"a" * 16, b"a" * 16], kinds["document"])})
    row, place = members(windows, documents, ["y", "x"])
    assert list(zip(row.tolist(), place.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
