from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from corpus_audit.runners.init.proposal import propose_audit
from corpus_audit.schemas.errors import SpecError, UsageError
from corpus_audit.schemas.spec.audit import AuditSpec, ConstantSource, PathSource, UrlHostSource
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.yaml.yaml_tree import yaml_scalar

PROSE = "a sentence of some words, long enough to be told from a label, number "


def rows(count: int = 40, **columns: Any) -> list[dict[str, Any]]:
    """Rows with a text; a callable column gets the row's number."""
    return [
        {"text": PROSE + str(n), **{name: make(n) if callable(make) else make for name, make in columns.items()}}
        for n in range(count)
    ]


def write_parquet(path: Path, data: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(data), path)


def write_jsonl(path: Path, data: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in data).encode()
    if path.suffix == ".gz":
        text = gzip.compress(text)
    elif path.suffix == ".zst":
        text = pa.compress(text, "zstd", asbytes=True)
    path.write_bytes(text)


def propose(tmp_path: Path, *paths: Path | str, tokenizer: str | None = None) -> AuditSpec:
    """The spec that the proposal for these files loads as; a tokenizer stands beside the target."""
    (tmp_path / "tokenizer.json").write_text("{}")
    target = tmp_path / "audit.yaml"
    target.write_text(propose_audit([str(path) for path in paths], target, tokenizer).text, encoding="utf-8")
    return load_audit(target).spec


def test_parquet_with_nested_columns(tmp_path: Path) -> None:
    data = [
        {
            "id": f"doc-{n}",
            "data": {"text": PROSE * 3 + str(n), "title": PROSE},
            "meta": {"pile_set_name": ["web", "code"][n % 2], "lang": ["en", "de", "fr"][n % 3]},
            "url": f"https://host{n}.example/page",
            "embedding": [0.5, 0.25],
            "score": 0.5,
        }
        for n in range(60)
    ]
    write_parquet(tmp_path / "data" / "a.parquet", data[:30])
    write_parquet(tmp_path / "data" / "b.parquet", data[30:])
    spec = propose(tmp_path, tmp_path / "data")
    assert spec.snapshot.paths == ("data",)
    assert spec.document.text == "data.text"
    assert spec.document.id == "id"
    assert spec.document.domain == "meta.pile_set_name"
    assert spec.document.facets == {"language": "meta.lang"}
    assert spec.tokenizer == "tokenizer.json"


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_json_lines(name: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / name, rows(source=lambda n: ["x", "y"][n % 2], doc_id=lambda n: n))
    spec = propose(tmp_path, tmp_path / name)
    assert (spec.document.text, spec.document.id, spec.document.domain) == ("text", "doc_id", "source")


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_arrow_ipc_with_dictionaries(kind: str, tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows(source=lambda n: ["x", "y"][n % 2]))
    table = table.set_column(1, "source", table["source"].dictionary_encode())
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    assert propose(tmp_path, tmp_path / "a.arrow").document.domain == "source"


def test_without_a_known_name_the_longest_text_is_selected(tmp_path: Path) -> None:
    data = [{"headline": f"news {n}", "story": PROSE * 4 + str(n), "kind": n % 2} for n in range(20)]
    write_jsonl(tmp_path / "a.jsonl", data)
    assert propose(tmp_path, tmp_path / "a.jsonl").document.text == "story"


def test_a_column_that_not_every_shard_has_is_no_text_column(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d" / "a.jsonl", [{"text": PROSE, "body": PROSE}])
    write_jsonl(tmp_path / "d" / "b.jsonl", [{"body": PROSE}])
    assert propose(tmp_path, tmp_path / "d").document.text == "body"


def test_labels_that_rarely_repeat_are_no_domain(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows(source=lambda n: f"site {n}", link=lambda n: f"http://h{n % 3}.example/{n}"))
    assert propose(tmp_path, tmp_path / "a.jsonl").document.domain == UrlHostSource(url_host="link")


@pytest.mark.parametrize(
    ("files", "pattern"),
    [
        (["web/x/a.jsonl", "code/x/b.jsonl"], "{domain}/*/*"),
        (["v1/web/a.jsonl", "v1/code/b.jsonl"], "{domain}/*"),
        (["web/a.jsonl", "deep/er/code/b.jsonl"], "{domain}/*"),
        (["lang=en/a.jsonl", "lang=de/b.jsonl"], "lang={domain}/*"),
    ],
)
def test_folders_are_domains(files: list[str], pattern: str, tmp_path: Path) -> None:
    for file in files:
        write_jsonl(tmp_path / "data" / file, rows(3))
    spec = propose(tmp_path, tmp_path / "data")
    assert spec.document.domain == PathSource(path=pattern)


def test_the_folder_pattern_means_what_the_comment_says(tmp_path: Path) -> None:
    from corpus_audit.pipelines.reading.documents.path_patterns import path_values
    from corpus_audit.pipelines.reading.snapshot.listing import list_shards

    for file in ("web/2024/a.jsonl", "code/2024/b.jsonl", "code/2025/c.jsonl"):
        write_jsonl(tmp_path / "data" / file, rows(3))
    spec = propose(tmp_path, tmp_path / "data")
    shards = list_shards(spec.snapshot, tmp_path)
    assert [path_values(shard, spec.document)["domain"] for shard in shards] == ["code", "code", "web"]
    assert "2 folders: code, web" in (tmp_path / "audit.yaml").read_text()


def test_nothing_to_tell_documents_apart(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows())
    assert propose(tmp_path, tmp_path / "a.jsonl").document.domain == ConstantSource(constant="all")


def test_everything_that_is_commented_out_is_valid_too(tmp_path: Path) -> None:
    odd = ["plain", "no", "2020", "a: b", 'quo"te', "c#d", "tab\there", "\x85", "ünï", "*x"]
    write_jsonl(
        tmp_path / "a.jsonl", rows(80, source=lambda n: odd[n % len(odd)], url=lambda n: f"https://e.example/{n}")
    )
    propose(tmp_path, tmp_path / "a.jsonl")
    text = (tmp_path / "audit.yaml").read_text(encoding="utf-8")
    target = tmp_path / "uncommented.yaml"
    # Prose has one space after the sign, YAML has none or at least two.
    everything = re.sub(r"(?m)^( *)#(?! \S)", r"\1", text)
    # A sampled audit has no baseline, so the two sections are tried one at a time.
    without_sample = everything.replace("sample:\n  share: 0.1\n  seed: 0\n", "")
    without_baseline = everything.replace("baseline:\n  - {run: runs, label: last run}\n", "")
    assert len({everything, without_sample, without_baseline}) == 3
    target.write_text(without_sample, encoding="utf-8")
    fields = set(AuditSpec.model_fields) - {"images"}  # of another corpus than one of texts
    assert set(load_audit(target).spec.model_dump(exclude_unset=True)) == fields - {"sample"}
    target.write_text(without_baseline, encoding="utf-8")
    spec = load_audit(target).spec
    assert set(spec.model_dump(exclude_unset=True)) == fields - {"baseline"}
    assert spec.mixture is not None and set(spec.mixture.weights) == set(odd)
    assert spec.limits == AuditSpec.model_fields["limits"].default
    assert spec.document.facets["host"] == UrlHostSource(url_host="url")


def test_paths_are_relative_to_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "data" / "a b.jsonl", rows())
    (tmp_path / "specs").mkdir()
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    target = Path("specs/audit.yaml")
    target.write_text(propose_audit(["data/*.jsonl"], target).text)
    spec = load_audit(target).spec
    assert spec.snapshot.paths == ("../data/*.jsonl",)
    assert spec.tokenizer == "../tokenizer.json"


def test_the_tokenizer(tmp_path: Path) -> None:
    data = tmp_path / "project" / "data" / "a.jsonl"
    write_jsonl(data, rows())
    target = tmp_path / "project" / "audit.yaml"
    text = propose_audit([str(data)], target).text
    target.write_text(text)
    with pytest.raises(SpecError, match="missing key 'tokenizer'"):
        load_audit(target)
    assert "Fill in the one of the model" in text
    target.write_text(text.replace("#tokenizer: path/to/", "tokenizer: "))
    assert load_audit(target).spec.tokenizer == "tokenizer.json"
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "\ntokenizer: ../tokenizer.json\n" in propose_audit([str(data)], target).text
    (data.parent / "tokenizer.json").write_text("{}")
    assert "\ntokenizer: data/tokenizer.json\n" in propose_audit([str(data)], target).text
    assert "\ntokenizer: org/model\n" in propose_audit([str(data)], target, "org/model").text
    assert "\ntokenizer: data/tokenizer.json\n" in propose_audit([str(data)], target, str(data.parent)).text
    with pytest.raises(UsageError, match="no such file"):
        propose_audit([str(data)], target, "missing.json")


def test_what_cannot_be_proposed(tmp_path: Path) -> None:
    target = tmp_path / "audit.yaml"
    with pytest.raises(UsageError, match="no such file"):
        propose_audit([str(tmp_path / "none.jsonl")], target)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty"):
        propose_audit([str(tmp_path / "empty")], target)
    write_jsonl(tmp_path / "chat.jsonl", [{"messages": [{"role": "user", "content": "hi"}], "turns": 1}])
    with pytest.raises(
        UsageError,
        match=r"no column holds text \(columns: messages \(messages\), turns \(integer\)\); messages holds convers",
    ):
        propose_audit([str(tmp_path / "chat.jsonl")], target)
    (tmp_path / "nothing.jsonl").write_bytes(b"")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(PROSE.encode() * 100)[:20])
    for name in ("nothing.jsonl", "bad.parquet", "cut.jsonl.gz"):
        with pytest.raises(UsageError, match=f"no row could be read from 1 shard.*{name}"):
            propose_audit([str(tmp_path / name)], target)


def test_a_bad_shard_among_good_ones_is_named(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d" / "a.jsonl", rows())
    (tmp_path / "d" / "b.parquet").write_bytes(b"PAR1 not really")
    assert propose(tmp_path, tmp_path / "d").document.text == "text"
    assert "# Could not be read: b.parquet: " in (tmp_path / "audit.yaml").read_text()


def test_values_that_python_cannot_hold_do_not_matter(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array([PROSE.encode(), b"\xff" + PROSE.encode()] * 10).cast(pa.binary()),
            "image": pa.array([bytes(range(128, 256)) * 100] * 20),
            "when": pa.array([2**62 + 1] * 20, pa.timestamp("ns")),
            "source": ["a", "b"] * 10,
        }
    )
    pq.write_table(table.slice(0, 1), tmp_path / "a.parquet")
    assert propose(tmp_path, tmp_path / "a.parquet").document.text == "text"
    (tmp_path / "s.jsonl").write_bytes(b'{"text": "\\ud800 x", "source": "\\ud800"}\n[1]\nnot json\n{"text": "y"}\n')
    assert propose(tmp_path, tmp_path / "s.jsonl").document.domain == "source"


@given(st.text(st.characters(blacklist_categories=("Cs",)), min_size=1))
def test_scalars_read_back(value: str) -> None:
    yaml = YAML(typ="safe", pure=True)
    assert yaml.load(f"a: {yaml_scalar(value)}") == {"a": value}
    assert yaml.load(f"[{{path: {yaml_scalar(value)}}}]") == [{"path": value}]
