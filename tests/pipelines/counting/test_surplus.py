"""Counters of shared documents less further copies, against counting as many copies as both sides have."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.counting.profile import Profile
from corpus_audit.pipelines.counting.surplus import (
    SurplusCopies,
    SurplusCounters,
    holds_texts,
    surplus_copies,
    without_surplus,
)
from corpus_audit.pipelines.measures.base import Block, Measure
from corpus_audit.pipelines.measures.duplicates import Duplicates
from corpus_audit.pipelines.measures.overlap.baseline_keys import BaselineKeys
from corpus_audit.pipelines.measures.overlap.document_keys import StoredKeys
from corpus_audit.pipelines.measures.overlap.shared import Shared
from corpus_audit.pipelines.measures.overlap.surplus_texts import SurplusTexts
from corpus_audit.pipelines.measures.tokens import Tokens
from corpus_audit.pipelines.storage.partials import Partial, write_partial
from corpus_audit.pipelines.storage.run_directory import RunDirectory, write_table
from corpus_audit.pipelines.tokens.tokenization import Tokenization
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables import run_tables
from tests.oracle import Document
from tests.pipelines.making import block_of
from tests.run_files import run_record

TEXTS = ("the cat sat", "a dog, a dog", "", "birds and the cat")
DOMAINS = ("books", "web")

Copy = tuple[int, int, str]
"""A document: number of its text, number of its domain, cluster."""

COPIES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.sampled_from("uvw")), min_size=1, max_size=10)


def block(tokenization: Tokenization, copies: Sequence[Copy], clustered: bool) -> Block:
    documents = [
        Document(TEXTS[text], str(i), {"domain": DOMAINS[domain], "language": "en"}, cluster)
        for i, (text, domain, cluster) in enumerate(copies)
    ]
    return block_of(tokenization, list(enumerate(documents)), clustered=clustered)


def merged(measure: Measure, tokenization: Tokenization, blocks: Sequence[Sequence[Copy]], clustered: bool) -> Partial:
    return measure.merge([measure.count(block(tokenization, copies, clustered)) for copies in blocks])


def run_of(folder: Path, tokenization: Tokenization, copies: Sequence[Copy]) -> RunDirectory:
    """A run that has these documents."""
    path = folder / "tables" / "document_hashes.parquet"
    partial = Duplicates().count(block(tokenization, copies, False))
    write_partial(folder / "duplicates", partial)
    profile = Profile({("duplicates", "hashes"): folder / "duplicates"}, ("domain",), False)
    write_table(path, run_tables.DOCUMENT_HASHES, profile.document_hashes())
    write_table(folder / "tables" / "shards.parquet", run_tables.SHARDS, [run_tables.SHARDS.empty_table()])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    files = {"tables/document_hashes.parquet": {"sha256": sha256, "bytes": path.stat().st_size}}
    return RunDirectory(folder, run_record(files=files))


def rows(profile: Profile, measure: str) -> list[dict[str, object]]:
    tables = [*profile.token_counts(measure), *profile.token_groups(measure)]
    return sorted((row for table in tables for row in table.to_pylist()), key=repr)


@pytest.mark.parametrize("clustered", [False, True])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=COPIES, splits=st.lists(COPIES, min_size=1, max_size=3))
def test_what_is_left_is_what_both_sides_have(
    tmp_path_factory: pytest.TempPathFactory,
    tokenization: Tokenization,
    clustered: bool,
    before: list[Copy],
    splits: list[list[Copy]],
) -> None:
    folder = tmp_path_factory.mktemp("surplus")
    run = run_of(folder / "baseline", tokenization, before)
    shared = Shared(BaselineKeys.of(run, folder))
    profile = write_profile(folder, tokenization, shared, splits, clustered)
    texts = surplus_copies(profile, run, shared, [])

    def counted(copies: Sequence[Copy]) -> Counter[tuple[int, int]]:
        return Counter((text, domain) for text, domain, _ in copies)

    now = counted([copy for split in splits for copy in split])
    further = [now[key] - counted(before)[key] for key in now if 0 < counted(before)[key] < now[key]]
    assert sorted(texts.copies.tolist()) == sorted(further)
    assert holds_texts(folder / "duplicates", texts).all()
    if not len(texts):
        return
    StoredKeys.write(folder / "texts", texts.high, texts.low)
    measure = SurplusTexts(StoredKeys(folder / "texts"), "digest")
    write_partial(folder / "surplus", merged(measure, tokenization, splits, clustered))
    reader = Profile({(measure.name, "texts"): folder / "surplus"}, (), clustered).reader(measure.name, "texts")
    corrected = without_surplus(profile, shared, SurplusCounters.of(reader, texts, clustered), folder)
    kept = counted(before) & now
    # Of a text's copies, those in the highest groups are further ones; a group's number is that of its cluster.
    ranked = sorted((copy for split in splits for copy in split), key=lambda copy: group_of(tokenization, copy))
    both = []
    for copy in ranked if clustered else (copy for split in splits for copy in split):
        if kept[copy[:2]] > 0:
            kept[copy[:2]] -= 1
            both.append(copy)
    write_partial(folder / "expected", merged(Tokens(), tokenization, [both], clustered))
    names = ("cells", "domain_groups", "overall_groups")
    expected = Profile({("tokens", name): folder / "expected" for name in names}, (), clustered)
    assert rows(corrected, shared.name) == rows(expected, "tokens")


def group_of(tokenization: Tokenization, copy: Copy) -> int:
    return int(block(tokenization, [copy], True).groups[0])


def write_profile(
    folder: Path, tokenization: Tokenization, shared: Shared, splits: Sequence[Sequence[Copy]], clustered: bool
) -> Profile:
    write_partial(folder / "shared", merged(shared, tokenization, splits, clustered))
    write_partial(folder / "duplicates", merged(Duplicates(), tokenization, splits, clustered))
    files = {(shared.name, name): folder / "shared" for name in shared.tables()}
    return Profile(files | {("duplicates", "hashes"): folder / "duplicates"}, ("domain",), clustered)


def test_more_than_was_counted_is_an_error(tmp_path: Path, tokenization: Tokenization) -> None:
    copies = [(0, 0, "u"), (0, 0, "u")]
    run = run_of(tmp_path / "baseline", tokenization, copies[:1])
    shared = Shared(BaselineKeys.of(run, tmp_path))
    profile = write_profile(tmp_path, tokenization, shared, [copies], False)
    texts = surplus_copies(profile, run, shared, [])
    StoredKeys.write(tmp_path / "texts", texts.high, texts.low)
    measure = SurplusTexts(StoredKeys(tmp_path / "texts"), "digest")
    write_partial(tmp_path / "surplus", measure.count(block(tokenization, copies, False)))
    reader = Profile({(measure.name, "texts"): tmp_path / "surplus"}, (), False).reader(measure.name, "texts")
    three = SurplusCopies(texts.high, texts.low, texts.copies + 2)
    with pytest.raises(StoreError, match="larger than those of the shared documents"):
        without_surplus(profile, shared, SurplusCounters.of(reader, three, False), tmp_path)


def test_sums_past_the_low_half_are_exact(tmp_path: Path, tokenization: Tokenization) -> None:
    """A sum of squares is kept in two halves: taking from it must borrow from the high one."""
    copies = [(1, 1, "u")] * 3
    run = run_of(tmp_path / "baseline", tokenization, copies[:1])
    shared = Shared(BaselineKeys.of(run, tmp_path))
    partial = merged(shared, tokenization, [copies], False)
    cells = partial.tables["cells"]
    columns = cells.columns | {name: np.full(len(cells), 5) for name in ("squared_high", "product_high")}
    write_partial(
        tmp_path / "shared", replace(partial, tables=partial.tables | {"cells": replace(cells, columns=columns)})
    )
    counters = SurplusCounters(
        partial.names,
        cells.columns["cell"],
        np.array([[1], [1], [2**33 + 7], [2**32 - 1]]) * np.ones((1, len(cells)), np.int64),
        *(np.empty(0, kind) for kind in (np.uint64, np.int64, np.int64)),
    )
    profile = Profile({(shared.name, name): tmp_path / "shared" for name in shared.tables()}, ("domain",), False)
    before = [row for table in profile.token_counts(shared.name) for row in table.to_pylist()]
    after = without_surplus(profile, shared, counters, tmp_path)
    for one, other in zip(
        before, (row for table in after.token_counts(shared.name) for row in table.to_pylist()), strict=True
    ):
        assert one["sum_squared"] - other["sum_squared"] == 2**33 + 7
        assert one["sum_product"] - other["sum_product"] == 2**32 - 1
