import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.pipelines.statistics.sampling import strategies

sizes = st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any)


def test_unimax_closed_form():
    # Chung et al. (2023): the smallest gives 4 of its 20, the others 28 each of the 56 left.
    result = strategies.unimax([1, 10, 100], 60, 4)
    assert result.share == pytest.approx(np.array([4, 28, 28]) / 60, rel=1e-15)
    assert result.unallocated.tolist() == [0, 0, 0]
    assert strategies.unimax([100, 1, 10], 60, 4).drawn.tolist() == [28, 4, 28]


def test_unimax_says_what_its_caps_cannot_give():
    result = strategies.unimax([1, 10, 0], 60, 4)
    assert result.drawn.tolist() == [4, 40, 0]
    assert result.unallocated == pytest.approx([16 / 11, 160 / 11, 0])


@given(sizes, st.floats(1, 1e13), st.floats(0.5, 100))
def test_unimax_respects_cap_and_budget(unique, budget, cap):
    result = strategies.unimax(unique, budget, cap)
    unique_text = np.array(unique, float)
    assert np.all(result.drawn <= cap * unique_text * (1 + 1e-12))
    assert result.drawn.sum() + result.unallocated.sum() == pytest.approx(budget, rel=1e-9)
    # Whoever is below its cap gets as much as anybody.
    below = (unique_text > 0) & (result.drawn < cap * unique_text * (1 - 1e-9))
    assert np.all(result.drawn[below] >= result.drawn.max() * (1 - 1e-9))


def test_temperature_closed_forms():
    unique = [1, 10, 100, 0]
    assert strategies.temperature(unique, 111, 1.0).drawn == pytest.approx([1, 10, 100, 0])
    assert strategies.temperature(unique, 1, 0.0).share == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    powers = np.array([1, 10**0.3, 100**0.3, 0])
    assert strategies.temperature(unique, 7, 0.3).share == pytest.approx(powers / powers.sum(), rel=1e-14)


def test_weights_for_absent_domains_are_unallocated():
    result = strategies.token_weights([10, 0, 5], 100, [1, 1, 2])
    assert result.weight.tolist() == [0.25, 0.25, 0.5]
    assert result.drawn.tolist() == [25, 0, 50] and result.unallocated.tolist() == [0, 25, 0]
    assert result.share == pytest.approx([1 / 3, 0, 2 / 3])


def test_document_weights_bring_lengths_along():
    # Equal shares of documents of 100 and of 900 tokens are 10 and 90 % of the tokens.
    result = strategies.document_weights([1000, 9000], [10, 10], 500, [1, 1])
    assert result.unit == "documents" and result.weight.tolist() == [0.5, 0.5]
    assert result.share == pytest.approx([0.1, 0.9])
    lengths = strategies.mean_lengths([1000, 9000, 0], [10, 10, 0])
    back = strategies.document_shares_of_tokens([0.1, 0.9, 0], lengths)
    assert back == pytest.approx([0.5, 0.5, 0])
    assert strategies.token_shares_of_documents(back, lengths) == pytest.approx([0.1, 0.9, 0])


def test_absent_document_weights_are_stated_at_a_typical_length():
    result = strategies.document_weights([1000, 0], [10, 0], 100, [3, 1])
    assert result.unallocated == pytest.approx([0, 25]) and result.drawn == pytest.approx([75, 0])
