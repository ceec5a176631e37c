"""The laws of measures, kept by those of images: any blocks, any order and any way of merging give the same bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from corpus_audit.pipelines.image_measures import thumbnails
from corpus_audit.pipelines.image_measures.images_of_block import images_of
from corpus_audit.pipelines.image_measures.registry import ALWAYS, image_measures_of
from corpus_audit.pipelines.image_measures.thumbnails import Thumbnails
from corpus_audit.pipelines.measures.base import merge_files
from corpus_audit.pipelines.storage import partials
from corpus_audit.pipelines.storage.partials import PartialReader
from corpus_audit.schemas.spec.audit import AuditSpec
from tests.pipelines.image_measures.making import album, block_of
from tests.pipelines.measures.test_laws import accumulated, ways, written

MEASURES = (*ALWAYS, Thumbnails())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few rows, and three thumbnails a domain."""
    monkeypatch.setattr(partials, "CHUNK_ROWS", 7)
    monkeypatch.setattr(thumbnails, "KEPT", 3)
    monkeypatch.setattr(thumbnails, "THUMBNAILS", replace(thumbnails.THUMBNAILS, keep_per_domain=3, chunk_rows=5))


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    numbers=st.lists(st.integers(0, len(album()) - 1), min_size=1, max_size=30),
    random=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    clustered=st.booleans(),
)
def test_any_blocks_in_any_order_merged_in_any_way(  # type: ignore[no-untyped-def]
    folder: Path, numbers: list[int], random, cuts: list[int], clustered: bool
) -> None:
    shuffled = random.sample(numbers, len(numbers))
    bounds = sorted({0, len(numbers), *(cut % (len(numbers) + 1) for cut in cuts)})
    clustered_ = clustered and all(album()[number].cluster for number in numbers)
    whole = block_of(numbers, clustered_)
    blocks = [block_of(shuffled[a:b], clustered_) for a, b in itertools.pairwise(bounds)]
    for measure in MEASURES:
        expected = written(folder / "expected", measure.count(whole))
        for way, got in ways(measure, blocks, folder):
            assert got == expected, f"{measure.name}, {way}"


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_no_images(measure: object, folder: Path) -> None:
    expected = written(folder / "expected", measure.empty())  # type: ignore[attr-defined]
    assert accumulated(measure, [], folder, 0) == expected  # type: ignore[arg-type]
    merge_files(measure, [folder / "expected"] * 2, folder / "merged")  # type: ignore[arg-type]
    assert (folder / "merged").read_bytes() == expected
    assert written(folder / "none", measure.count(block_of([]))) == expected  # type: ignore[attr-defined]


def test_a_source_that_is_named_twice_counts_twice(folder: Path) -> None:
    for measure in MEASURES:
        written(folder / "one", measure.count(block_of(range(len(album())))))
        merge_files(measure, [folder / "one"] * 2, folder / "two")
        for table, spec in measure.tables().items():
            once, twice = (PartialReader(folder / name).table(table, spec) for name in ("one", "two"))
            assert (twice.columns["images"] == 2 * once.columns["images"]).all()


def test_a_part_of_a_block_has_its_images() -> None:
    block = block_of([3, 1, 4])
    assert images_of(block.take(block.rows[1:])).width.tolist() == block.images.width[1:].tolist()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="without images"):
        images_of(replace(block, images=None))


def test_which_measures_an_audit_asks_for() -> None:
    document = {"text": "caption", "domain": "source"}
    spec = AuditSpec.model_validate(
        {"name": "x", "snapshot": {"paths": ("a.parquet",)}, "document": document, "tokenizer": "t"}
    )
    assert image_measures_of(spec)[-1].name == "thumbnails"
    without = spec.model_copy(update={"excerpts": False})
    assert image_measures_of(without) == ALWAYS
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    settings_ = ALWAYS[0].settings(spec)
    assert settings_["domain"] == "source" and settings_["pillow"]
