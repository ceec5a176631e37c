"""Integer tables are the same bytes for any workers, number of files, order of rows and format."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import corpora
from tests.engine.runs import DOCUMENT_FIELDS, Run, differences, run, write_audit
from tests.oracle import Document, Oracle

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Layout:
    """One way to lay out and read the same documents."""

    workers: int
    shards: int
    fmt: str
    seed: int
    options: tuple[tuple[str, Any], ...] = ()


PLAIN = Layout(1, 1, "parquet", 0)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "parquet": [{"row_group_rows": 7, "compression": "none"}, {"row_group_rows": 1000, "compression": "gzip"}],
    "jsonl": [{}],
    "jsonl.gz": [{"frames": 1}, {"frames": 3}],
    "jsonl.zst": [{"frames": 1}, {"frames": 5}],
    "arrow": [{"stream": False, "row_group_rows": 11}, {"stream": True}],
}
LAYOUTS = st.sampled_from(corpora.FORMATS).flatmap(
    lambda fmt: st.builds(
        Layout,
        workers=st.sampled_from([1, 2, 4]),
        shards=st.sampled_from([1, 3, 64]),
        fmt=st.just(fmt),
        seed=st.integers(0, 99),
        options=st.sampled_from([tuple(options.items()) for options in OPTIONS[fmt]]),
    )
)


def audit(folder: Path, documents: Sequence[Document], layout: Layout, tokenizer: Path, fields: dict[str, Any]) -> Run:
    """Lay out the documents and audit them; parts without documents get no file."""
    order = list(documents)
    if layout.seed:
        random.Random(layout.seed).shuffle(order)
    parts = [part for part in corpora.deal(order, layout.shards) if part]
    corpora.write_shards(folder / "shards", parts, layout.fmt, **dict(layout.options))
    return run(write_audit(folder, [folder / "shards"], tokenizer, document=fields), layout.workers)


def check_small(folder: Path, bpe: Path, documents: list[Document], layout: Layout) -> None:
    oracle = Oracle(bpe, clustered=True).count(documents)
    plain = audit(folder / "plain", documents, PLAIN, bpe, DOCUMENT_FIELDS)
    assert differences(plain, oracle) == {}
    other = audit(folder / "other", documents, layout, bpe, DOCUMENT_FIELDS)
    assert other.integer_tables() == plain.integer_tables()


# An example is two whole runs, so a failing one is reported as it was found: shrinking would take an hour.
WHOLE_RUNS = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    print_blob=True,
)


@pytest.mark.slow
@settings(WHOLE_RUNS, max_examples=20)
@given(documents=corpora.documents(max_size=200), layout=LAYOUTS)
def test_odd_documents(
    tmp_path_factory: pytest.TempPathFactory, bpe: Path, documents: list[Document], layout: Layout
) -> None:
    check_small(tmp_path_factory.mktemp("odd"), bpe, documents, layout)


REAL_FIELDS = {**DOCUMENT_FIELDS, "facets": {"kind": "kind"}}


@pytest.mark.parametrize("clustered", [True, False])
def test_every_workers_and_shards(tmp_path: Path, bpe: Path, small_corpus: list[Document], clustered: bool) -> None:
    """Formats, their options and orders take turns; a folder (the cluster) has documents in most shards."""
    fields = dict(REAL_FIELDS) if clustered else {key: REAL_FIELDS[key] for key in ("id", "domain", "facets")}
    plain = audit(tmp_path / "plain", small_corpus, PLAIN, bpe, fields).integer_tables()
    turns = []
    for turn, (workers, shards) in enumerate(product([1, 2, 4], [1, 3, 64])):
        fmt = corpora.FORMATS[turn % len(corpora.FORMATS)]
        options = OPTIONS[fmt][turn // len(corpora.FORMATS) % len(OPTIONS[fmt])]
        if clustered or turn in (0, 4, 8):  # without clusters one run of each number of workers and of shards
            turns.append(Layout(workers, shards, fmt, turn, tuple(options.items())))
    for layout in turns:
        folder = tmp_path / f"{layout.workers}-{layout.shards}"
        assert audit(folder, small_corpus, layout, bpe, fields).integer_tables() == plain, layout


@pytest.mark.slow
def test_real_size(tmp_path: Path, gpt2: Path) -> None:
    """A hundred megabytes: a single file has several splits, and its documents meet others in the merge.

    Gzip is left out, as a file of it is always one split.
    """
    documents = corpora.with_duplicates(corpora.real_documents(100))
    small_groups = (("row_group_rows", 300),)
    layouts = [
        Layout(1, 1, "parquet", 0, small_groups),
        Layout(4, 64, "arrow", 1, small_groups),
        Layout(2, 1, "jsonl", 2),
        Layout(2, 1, "jsonl.zst", 3, (("frames", 9),)),
    ]
    runs = [audit(tmp_path / str(layout.seed), documents, layout, gpt2, REAL_FIELDS) for layout in layouts]
    assert runs[0].splits_read > 1
    for layout, other in zip(layouts, runs, strict=True):
        assert other.integer_tables() == runs[0].integer_tables(), layout
