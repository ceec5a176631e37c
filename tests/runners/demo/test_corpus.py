from __future__ import annotations

import email
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from corpus_audit.runners.demo import corpus
from corpus_audit.runners.demo import sources as demo_sources
from corpus_audit.runners.demo.corpus import COLUMNS, SHARED, VOCABULARY, DemoCorpus, build_demo
from corpus_audit.runners.demo.sources import Source, choose, find_sources
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.spec.sampling import strategy_name

MEGABYTES = 2


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return build_demo(tmp_path_factory.mktemp("demo"), MEGABYTES)


def read_all(*folders: Path) -> list[dict[str, Any]]:
    """Every row of the shards in some folders, shard by shard."""
    rows = []
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        if path.suffix == ".parquet":
            rows += pq.read_table(path, page_checksum_verification=True).to_pylist()
        else:
            data = path.read_bytes()
            raw = gzip.decompress(data) if path.suffix == ".gz" else pa.input_stream(path).read()
            rows += [json.loads(line) for line in raw.splitlines()]
    return rows


def snapshots(demo: DemoCorpus) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the first and of the second snapshot, as their audit files name them."""
    before, now = (load_audit(path).spec.snapshot.paths for path in (demo.before, demo.audit))
    return read_all(*(demo.folder / path for path in before)), read_all(*(demo.folder / path for path in now))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """One package stands for the whole installation."""
    root = Path(email.__file__).parent
    monkeypatch.setattr(demo_sources, "_roots", lambda: iter([("stdlib", root)]))


def test_what_is_in_it(demo: DemoCorpus) -> None:
    before, now = snapshots(demo)
    assert not demo.reused and demo.note is None
    assert (len(before), len(now)) == (demo.documents_before, demo.documents)
    assert all(tuple(row) == COLUMNS for row in before + now)
    either = {row["id"]: row["text"] for row in before + now}
    assert sum(len(text.encode()) for text in either.values()) == demo.text_bytes
    assert 0.9 * MEGABYTES * 1e6 <= demo.text_bytes <= MEGABYTES * 1e6
    assert all(len({row["id"] for row in rows}) == len(rows) for rows in (before, now))
    assert Counter(row["source"] for row in now) == demo.domains
    assert {"stdlib", "documentation", "licences"} <= set(demo.domains) and len(demo.domains) <= 15


def test_the_snapshots_differ_by_whole_packages(demo: DemoCorpus) -> None:
    before, now = ({row["id"]: row for row in rows} for rows in snapshots(demo))
    gone, added = before.keys() - now.keys(), now.keys() - before.keys()
    assert gone and added
    assert {before[name]["package"] for name in gone} == set(demo.left)
    assert {now[name]["package"] for name in added} == set(demo.came)
    assert not {row["package"] for row in now.values()} & set(demo.left)
    assert not {row["package"] for row in before.values()} & set(demo.came)
    kept = before.keys() & now.keys()
    assert all(before[name] == now[name] for name in kept)
    assert len(kept) > 0.5 * max(len(before), len(now))
    if demo.new_domain is not None:
        assert demo.new_domain in demo.domains and demo.new_domain not in {row["source"] for row in before.values()}


def test_documents_of_both_are_in_shared_shards_and_in_others(demo: DemoCorpus) -> None:
    folders = (demo.folder / "data" / name for name in ("both", "before", "now"))
    both, before, now = ({row["id"] for row in read_all(folder)} for folder in folders)
    assert both and not both & (before | now)
    assert before & now and before - now and now - before


def test_the_shards_show_every_kind_of_reader(demo: DemoCorpus) -> None:
    names = sorted(path.relative_to(demo.folder).as_posix() for path in (demo.folder / "data").rglob("*.*"))
    shared = [f"data/both/part-{n:02d}.parquet" for n in range(SHARED)]
    assert names == ["data/before/part-05.parquet", *shared, "data/now/part-05.jsonl.zst", "data/now/part-06.jsonl.gz"]
    metadata = pq.ParquetFile(demo.folder / shared[0]).metadata
    assert metadata.row_group(0).column(1).compression == "ZSTD"


def test_the_specs_are_valid_and_fit_the_corpus(demo: DemoCorpus) -> None:
    before, spec = load_audit(demo.before).spec, load_audit(demo.audit).spec
    assert spec.mixture is not None and set(spec.mixture.weights) == set(demo.domains)
    assert (spec.document.text, spec.document.id, spec.document.domain) == ("text", "id", "source")
    assert spec.document.facets == {"package": "package"}
    assert (demo.folder / spec.tokenizer).is_file()
    assert (before.document, before.tokenizer, before.filter) == (spec.document, spec.tokenizer, spec.filter)
    assert before.baselines == () and [baseline.run for baseline in spec.baselines] == [before.output]
    assert before.store == f"{spec.output}/.store"
    assert spec.sampling is not None and spec.contamination_spec is not None
    kinds = [strategy_name(strategy) for strategy in spec.sampling.strategies]
    assert kinds == ["proportional", "temperature 0.3", "unimax 4", "mixture by token", "mixture by document"]
    assert [(demo.folder / path).is_file() for path in spec.benchmarks[0].paths] == [True]


def test_the_rest_of_the_audit_file_is_valid_too(demo: DemoCorpus, tmp_path: Path) -> None:
    text = demo.audit.read_text(encoding="utf-8")
    everything = re.sub(r"(?m)^( *)#(?! )(?=\w+:)|^#(?=  - )", r"\1", text)
    assert everything.count("\n#") < text.count("\n#")
    (tmp_path / "audit.yaml").write_text(everything, encoding="utf-8")
    spec = load_audit(tmp_path / "audit.yaml").spec
    assert spec.per_document and len(spec.filter) == 1 and spec.document.cluster == "package"


def test_the_tokenizer_is_byte_level_and_lossless(demo: DemoCorpus) -> None:
    tokenizer = Tokenizer.from_file(str(demo.folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == VOCABULARY
    text = "def f(x):\n\treturn 'naïve 日本 \U0001f600' # " + bytes(range(32, 127)).decode()
    ids = tokenizer.encode(text).ids
    assert tokenizer.decode(ids) == text and len(ids) < len(text.encode())


@pytest.mark.slow
def test_the_same_bytes_every_time(demo: DemoCorpus, tmp_path: Path) -> None:
    again = build_demo(tmp_path / "again", MEGABYTES)
    assert files(again.folder) == files(demo.folder)


def test_a_complete_corpus_is_reused(demo: DemoCorpus) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in demo.folder.rglob("*")}
    stages: list[str] = []
    again = build_demo(demo.folder, MEGABYTES, stages.append)
    assert again.reused and stages == []
    assert (again.documents, again.domains) == (demo.documents, demo.domains)
    assert {path: path.stat().st_mtime_ns for path in demo.folder.rglob("*")} == stamps


@pytest.mark.usefixtures("small_installation")
def test_a_damaged_corpus_is_built_again_and_other_files_stay(tmp_path: Path) -> None:
    first = build_demo(tmp_path, 1)
    before = files(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "kept").write_text("a run")
    (tmp_path / "data" / "both" / "part-03.parquet").write_bytes(b"short")
    again = build_demo(tmp_path, 1)
    assert not again.reused and again.domains == first.domains
    assert files(tmp_path) == {**before, "runs/kept": b"a run"}
    assert not build_demo(tmp_path, 2).reused


@pytest.mark.usefixtures("small_installation")
def test_a_failed_build_leaves_no_half_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "_train_tokenizer", fails)
        with pytest.raises(KeyboardInterrupt):
            build_demo(tmp_path, 1)
    assert files(tmp_path) == {}
    assert not build_demo(tmp_path, 1).reused


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "audit.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"holds audit\.yaml already"):
        build_demo(tmp_path, 1)
    assert files(tmp_path) == {"audit.yaml": b"mine"}


def test_a_small_installation_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "python"
    (root / "json").mkdir(parents=True)
    for name in ("os.py", "json/decoder.py", "LICENSE.txt", "README.md"):
        (root / name).write_text(f"# {name}\n" * 200)
    (root / "broken.py").write_bytes(b"# \xff\n" * 200)
    (root / "blank.py").write_text(" \n" * 200)
    (root / "huge.py").write_bytes(b"#" * (demo_sources.LARGEST + 1))
    (root / "tiny.py").write_text("#")
    (root / "link.py").symlink_to(root / "os.py")
    monkeypatch.setattr(demo_sources, "_roots", lambda: iter([("stdlib", root)]))
    monkeypatch.setattr(demo_sources, "_topics", lambda: iter([]))
    built = build_demo(tmp_path / "demo", 1)
    assert built.domains == {"stdlib": 2, "licences": 1, "documentation": 1}
    assert built.note is not None and "holds 0 MB of fitting text, not 1" in built.note
    load_audit(built.audit)
    monkeypatch.setattr(demo_sources, "_roots", lambda: iter([]))
    with pytest.raises(UsageError, match="no source files"):
        build_demo(tmp_path / "none", 1)


def test_sources_are_sorted_and_named_once() -> None:
    names = [source.name for source in find_sources()]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert any(name.startswith("stdlib/pydoc_data/topics.py#") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_a_choice_keeps_to_the_budget_and_gives_to_every_domain() -> None:
    sizes = {"big": 100_000, "middle": 10_000, "small": 400}
    sources = [
        Source(f"{domain}/{n}", domain, domain, 100, Path())
        for domain, total in sizes.items()
        for n in range(total // 100)
    ]
    selected = choose(sources, 20_000)
    spent = {domain: sum(source.size for source in selected if source.domain == domain) for domain in sizes}
    # The small domain is taken whole; the rest is shared as sqrt(100,000) : sqrt(10,000).
    assert spent["small"] == 400
    assert spent["big"] / spent["middle"] == pytest.approx(10**0.5, rel=0.05)
    assert 19_700 <= sum(spent.values()) <= 20_000
    assert choose(sources, 20_000) == selected and choose(sources, 10**9) == sorted(sources, key=lambda s: s.name)
