"""The cost model's closed forms, and that the engines' page is what it says."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.pipelines.measures.base import FAN_IN
from corpus_audit.pipelines.reading.formats.splits import SPLIT_BYTES
from tests.benchmarks.cost_constants import (
    MEASURED,
    Constants,
    Corpus,
    constants_page,
    full_bytes,
    levels_of,
    page,
    predict,
)
from tests.pages import read

ONES = Constants(
    fixed=1, plan=0, count=0, full=((10, 100.0), (1000, 300.0)), text_hash=0, cell=0, bare=0, cell_partial=0,
    cell_byte=0, hash_partial=0, hash_byte=0, task=7, message=3, worker=5,
)  # fmt: skip


@given(st.integers(1, 10**9), st.integers(2, 64))
def test_levels_are_what_the_engine_does(partials: int, fan_in: int) -> None:
    levels, left = 0, partials
    while left > 1 or levels == 0:
        left, levels = -(-left // fan_in), levels + 1
    assert levels_of(partials, fan_in) == levels
    assert fan_in**levels >= partials and (levels == 1 or fan_in ** (levels - 1) < partials)


def test_each_part_of_a_prediction() -> None:
    corpus = Corpus(text=100 * SPLIT_BYTES, stored=30.0, shards=100, documents=1000, domains=100)
    result = predict(corpus, ONES, 4)
    assert (result.splits, result.levels) == (100, 2)
    assert result.partials == pytest.approx(100 * 200)  # halfway between 10 and 1,000 on a logarithmic scale
    assert (result.driver, result.shuffle, result.worker, result.seconds) == (700, 600, 5, 1)
    assert predict(corpus, dataclasses.replace(ONES, plan=2), 4).plan == 15
    assert predict(corpus, dataclasses.replace(ONES, count=1e-6), 4).count == pytest.approx(25e-6 * SPLIT_BYTES)
    # Hashes are read at every level: by 4 merges on 4 cores, then by one.
    hashed = dataclasses.replace(ONES, full=((1, 0.0),), text_hash=16, hash_byte=1)
    assert predict(corpus, hashed, 4).merge == pytest.approx(16_000 / 4 + 16_000)
    assert predict(corpus, hashed, 1).merge == pytest.approx(2 * 16_000)
    opened = dataclasses.replace(ONES, cell_partial=2, hash_partial=1)
    assert predict(corpus, opened, 4).merge == pytest.approx(3 * (100 / 4 + 4))
    filled = dataclasses.replace(ONES, full=((1, 10.0),), cell_byte=1, cell=1)
    many = dataclasses.replace(corpus, domains=1, vocabulary=20)
    assert predict(many, filled, 4).merge == pytest.approx(100 * 10 / 4 + 4 * 20)  # a merged file is full
    apart = dataclasses.replace(corpus, shards=60)
    assert predict(apart, ONES, 4).splits == 120  # a split does not cross shards
    assert predict(corpus, hashed, 4).merged == predict(corpus, hashed, 4).partials == 16_000


def test_what_fills_up_is_bounded_by_the_vocabulary() -> None:
    corpus = Corpus(text=10_000 * SPLIT_BYTES, stored=0, shards=1, documents=0, domains=10, vocabulary=50)
    result = predict(corpus, dataclasses.replace(ONES, cell=2), 8)
    assert result.merged == 10 * 50 * 2
    many = dataclasses.replace(corpus, domains=10_000_000)
    assert predict(many, dataclasses.replace(ONES, cell=2, bare=0.001), 8).merged == pytest.approx(5e8 * 0.001 + 50 * 2)


@given(st.floats(1e6, 1e16), st.integers(1, 10_000), st.integers(1, 10_000))
def test_more_text_takes_more_and_more_cores_less(text: float, domains: int, cores: int) -> None:
    prediction = predict(Corpus(text, text / 3, 10, text / 4000, domains), MEASURED, cores)
    more = predict(Corpus(2 * text, 2 * text / 3, 10, text / 2000, domains), MEASURED, cores)
    wider = predict(Corpus(text, text / 3, 10, text / 4000, domains), MEASURED, 2 * cores)
    assert more.seconds >= prediction.seconds >= wider.seconds > 0
    assert (
        more.partials >= prediction.partials and more.driver >= prediction.driver and more.worker == prediction.worker
    )
    assert all(math.isfinite(value) for value in dataclasses.astuple(prediction))


def test_more_domains_than_measured_count_as_the_most_measured() -> None:
    assert [full_bytes(ONES, domains) for domains in (1, 10, 1000, 10**6)] == [100, 100, 300, 300]


def test_the_engines_page_has_the_tables() -> None:
    text = read("runners/engines/README.md")
    for row in (*constants_page(MEASURED), *page(MEASURED)):
        assert row in text, row
    assert f"{FAN_IN} partials" in text
