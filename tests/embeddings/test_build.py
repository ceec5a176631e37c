"""Indexes of whole corpora: published, resumed, grown by a shard, and what is refused."""

import json
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings import build, open_index  # noqa: E402
from corpus_audit.embeddings.index_files import damaged_files  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.output import Session  # noqa: E402
from corpus_audit.schemas.audit_file import load_audit  # noqa: E402
from corpus_audit.schemas.errors import NoVerdictError, StoreError, UsageError  # noqa: E402
from corpus_audit.schemas.units import UnitError  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402

pytestmark = pytest.mark.slow

AUDIT = {
    "version": 1,
    "name": "library",
    "snapshot": {"paths": ["data"]},
    "document": {"text": "text", "id": "id", "domain": "kind"},
    "tokenizer": "model/tokenizer.json",
    "embedding": {"model": "model", "units": ["mlp.*:*", "resid.1:*"], "window": 32, "k": 5, "domain_k": 3},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory, bpe):
    return write_tiny_gpt2(tmp_path_factory.mktemp("model") / "model", bpe)


@pytest.fixture
def corpus(tmp_path, model):
    shutil.copytree(model, tmp_path / "model")
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-f]*.py"))
    rows = [
        {
            "id": path.name,
            "text": path.read_text(encoding="utf-8")[:1500],
            "kind": "early" if path.name < "d" else "late",
        }
        for path in paths
    ]
    (tmp_path / "data").mkdir()
    for shard in range(3):
        write_shard(tmp_path, shard, rows[shard::3])
    return tmp_path


def write_shard(folder, number, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / f"part-{number}.jsonl").write_text(text, encoding="utf-8")


def audit(folder, **embedding):
    spec = AUDIT | {"embedding": AUDIT["embedding"] | embedding}
    (folder / "audit.yaml").write_text(json.dumps(spec))
    return load_audit(folder / "audit.yaml")


def content(folder):
    """Everything that lookups show, by file: byte for byte, but sums that are added in the order of the shards."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("index.json", "total.npy", "unit_domains.parquet")
    }


def test_an_index_is_whole_and_says_where_examples_are(corpus):
    built = build.build_index(audit(corpus))
    assert (built.splits_scanned, built.splits_kept) == (3, 0)
    index = open_index(corpus / "index")
    assert not list(damaged_files(index.folder, index.facts)) and index.domains == ("early", "late")
    for unit in ("mlp.0:7", "resid.1:3"):
        for domain in (None, "late"):
            found = index.lookup(unit, domain=domain)
            assert found and [one.value for one in found] == sorted((one.value for one in found), reverse=True)
            for one in found:
                (place,) = one.places
                text = Path(sysconfig.get_path("stdlib"), place.id).read_text(encoding="utf-8")
                start, end = one.peak
                assert text[one.text_start + start : one.text_start + end] == one.text[start:end] != ""
                assert domain in (None, place.domain)
                if domain is None:
                    assert np.nanargmax(one.heat) == one.position
    assert sum(one.tokens for one in index.domain_rates("mlp.0:7")) == built.facts.counts["tokens"]


def test_a_killed_scan_goes_on_and_comes_to_the_same(corpus, monkeypatch):
    whole = content(build.build_index(audit(corpus)).folder)
    shutil.rmtree(corpus / "runs", ignore_errors=True)
    shutil.rmtree(corpus / "index")
    real, calls = build.write_partial, []

    def killed(place, partial):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(place)
        real(place, partial)

    monkeypatch.setattr(build, "write_partial", killed)
    with pytest.raises(KeyboardInterrupt):
        build.build_index(audit(corpus))
    assert not (corpus / "index").exists()
    monkeypatch.undo()
    again = build.build_index(audit(corpus))
    assert (again.splits_scanned, again.splits_kept) == (2, 1) and content(again.folder) == whole


def test_shards_one_by_one_come_to_the_same(corpus):
    whole = content(build.build_index(audit(corpus)).folder)
    shutil.rmtree(corpus / "index")
    shutil.rmtree(corpus / "runs", ignore_errors=True)
    shutil.move(corpus / "data", corpus / "all")
    (corpus / "data").mkdir()
    for number in (2, 0, 1):
        shutil.copy(corpus / "all" / f"part-{number}.jsonl", corpus / "data")
        shutil.rmtree(corpus / "index", ignore_errors=True)
        built = build.build_index(audit(corpus))
        assert built.splits_scanned == 1
    assert content(built.folder) == whole


def test_a_shard_that_is_there_twice_has_examples_once_and_counts_twice(corpus):
    once = build.build_index(audit(corpus))
    shutil.rmtree(corpus / "index")
    shutil.copy(corpus / "data" / "part-0.jsonl", corpus / "data" / "part-3.jsonl")
    twice = build.build_index(audit(corpus))
    assert twice.splits_scanned == 0
    index = open_index(twice.folder)
    assert twice.facts.counts["documents"] > once.facts.counts["documents"]
    found = index.lookup("mlp.1:5")
    assert len({one.window for one in found}) == len(found)
    assert any(len(one.places) == 2 for unit in range(20) for one in index.lookup(f"mlp.1:{unit}"))


def test_another_model_window_or_tokenizer_is_scanned_anew(corpus):
    build.build_index(audit(corpus))
    for change in ({"window": 24}, {"k": 6}, {"units": ["mlp.1:0-9"]}):
        shutil.rmtree(corpus / "index")
        assert build.build_index(audit(corpus, **change)).splits_scanned == 3
    weights = corpus / "model" / "model.safetensors"
    from safetensors.torch import load_file, save_file

    held = load_file(weights)
    held["transformer.h.0.mlp.c_fc.bias" if "transformer.h.0.mlp.c_fc.bias" in held else "h.0.mlp.c_fc.bias"] += 1
    save_file(held, weights, metadata={"format": "pt"})
    shutil.rmtree(corpus / "index")
    assert build.build_index(audit(corpus)).splits_scanned == 3


def test_a_damaged_partial_is_named_and_made_again(corpus):
    build.build_index(audit(corpus))
    state = next((corpus / "runs" / ".store" / "activations").rglob("state.npz"))
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 255
    state.write_bytes(bytes(data))
    shutil.rmtree(corpus / "index")
    with pytest.raises(StoreError, match="run the same command again"):
        build.build_index(audit(corpus))
    assert build.build_index(audit(corpus)).splits_scanned == 1


@pytest.mark.parametrize(
    ("rows", "tokens"),
    [
        ([{"id": "one", "text": "x", "kind": "a"}, {"id": "two", "text": "hello there world", "kind": "b"}], 1),
        ([{"id": "long", "text": "word and sentence. " * 60_000, "kind": "a"}], 100_000),
        ([{"id": "empty", "text": "", "kind": "a"}, {"id": "two", "text": "hello there world", "kind": "b"}], 1),
    ],
)
def test_documents_of_any_length(corpus, rows, tokens):
    shutil.rmtree(corpus / "data")
    (corpus / "data").mkdir()
    write_shard(corpus, 0, rows)
    built = build.build_index(audit(corpus, units=["mlp.0:0-3"], heatmaps=False))
    assert built.facts.counts["tokens"] >= tokens
    assert open_index(built.folder).lookup("mlp.0:1")


def test_nothing_to_index_is_told(corpus):
    shutil.rmtree(corpus / "data")
    (corpus / "data").mkdir()
    write_shard(corpus, 0, [{"id": "empty", "text": "", "kind": "a"}])
    with pytest.raises(NoVerdictError, match="nothing to index"):
        build.build_index(audit(corpus))
    (corpus / "data" / "part-0.jsonl").write_bytes(b"\x1f\x8b")
    (corpus / "data" / "part-1.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(NoVerdictError, match=r"part-1\.parquet"):
        build.build_index(audit(corpus))


@pytest.mark.parametrize(
    ("change", "embedding", "message"),
    [
        (lambda f: (f / "model" / "model.safetensors").rename(f / "model" / "pytorch_model.bin"), {}, "is a pickle"),
        (lambda f: (f / "model" / "model.safetensors").unlink(), {}, "no weights"),
        (lambda f: (f / "model" / "tokenizer.json").rename(f / "tokenizer.json"), {}, r"no tokenizer\.json"),
        (lambda f: (f / "model" / "config.json").unlink(), {}, r"no config\.json"),
        (lambda f: (f / "model" / "config.json").write_text("{"), {}, "cannot be loaded"),
        (lambda f: None, {"model": "nowhere/here/it"}, "no model at"),
        (lambda f: None, {"window": 128}, "cannot read a window of 128"),
        (lambda f: None, {"device": "cuda"}, "no CUDA device"),
        (lambda f: None, {"model": "entry-point:none"}, "no entry point"),
    ],
)
def test_models_that_are_no_good_are_refused(corpus, change, embedding, message):
    if embedding.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    loaded = audit(corpus, **embedding)
    change(corpus)
    with pytest.raises(UsageError, match=message):
        build.build_index(loaded)


def test_unknown_units_are_refused_with_what_exists(corpus):
    with pytest.raises(UnitError, match=r"there are mlp\.0 to mlp\.1 \(192 each\)"):
        build.build_index(audit(corpus, units=["mlp.7:*"]))


def test_the_commands(corpus, capsys, monkeypatch):
    monkeypatch.chdir(corpus)
    audit(corpus)
    assert run_command(["index", "audit.yaml", "-q"], Session()) == 0
    out = capsys.readouterr().out
    assert out.startswith("library: 432 units of model over ") and "3 splits scanned, 0 kept" in out
    assert run_command(["index", "verify"], Session()) == 0
    assert run_command(["lookup", "resid.1:3", "--k", "2"], Session()) == 0
    assert run_command(["index", "none.yaml"], Session()) == 2
    (corpus / "audit.yaml").write_text(json.dumps({name: AUDIT[name] for name in AUDIT if name != "embedding"}))
    assert run_command(["index", "audit.yaml"], Session()) == 2
    assert "no embedding section" in capsys.readouterr().err
