import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=50)


@given(P_VALUES)
def test_agrees_with_scipy(p):
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p, method="bh"), rel=1e-12)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=40))
def test_tests_that_were_not_made_do_not_count(p):
    values = np.array(p, dtype=float)
    made = ~np.isnan(values)
    result = benjamini_hochberg(values)
    assert np.isnan(result[~made]).all()
    assert result[made].tolist() == benjamini_hochberg(values[made]).tolist()


def test_closed_form():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_shape_is_kept():
    assert benjamini_hochberg([[0.01, 0.02], [0.03, np.nan]]).shape == (2, 2)


@pytest.mark.parametrize("p", [[-0.1], [0.5, 1.1]])
def test_p_values_outside_their_range_are_refused(p):
    with pytest.raises(ValueError, match="from 0 to 1"):
        benjamini_hochberg(p)
