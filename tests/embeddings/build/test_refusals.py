"""What a build refuses or scans again: wrong audits, models, baselines, damaged partials, and values that differ."""

import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.build import build  # noqa: E402
from corpus_audit.embeddings.scan import worker  # noqa: E402
from corpus_audit.runners.indexing.build import index_corpus  # noqa: E402
from corpus_audit.schemas.errors import AuditError, NoVerdictError, StoreError, UsageError  # noqa: E402
from corpus_audit.schemas.units import UnitError  # noqa: E402
from tests.embeddings.build.library_corpus import audit, write_shard  # noqa: E402

pytestmark = pytest.mark.slow


def test_a_worker_that_fails_stops_the_build(corpus, monkeypatch):
    monkeypatch.setattr(worker, "write_partial", lambda folder, partial: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        index_corpus(audit(corpus), 2)
    assert not (corpus / "index" / "LATEST").exists()
    monkeypatch.undo()
    again = index_corpus(audit(corpus), 2)  # a worker that did not fail may have gone on for a while
    assert again.splits_scanned + again.splits_kept == 3


@pytest.mark.parametrize(
    ("change", "message"), [({"window": 24}, "another window plan"), ({"vectors": {"block": 0}}, "another block")]
)
def test_a_baseline_that_cannot_be_compared_is_refused_before_the_scan(corpus, change, message):
    build.build_index(audit(corpus, output="before"))
    with pytest.raises(UsageError, match=message):
        build.build_index(audit(corpus, baseline="before", **change))
    with pytest.raises(UsageError, match="holds no activation index"):
        build.build_index(audit(corpus, baseline="nowhere"))


def test_another_model_window_or_tokenizer_is_scanned_anew(corpus):
    build.build_index(audit(corpus))
    for change in ({"window": 24}, {"k": 6}, {"units": ["mlp.1:0-9"]}):
        shutil.rmtree(corpus / "index")
        assert build.build_index(audit(corpus, **change)).splits_scanned == 3
    weights = corpus / "model" / "model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    tensors["transformer.h.0.mlp.c_fc.bias" if "transformer.h.0.mlp.c_fc.bias" in tensors else "h.0.mlp.c_fc.bias"] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
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


def test_nothing_to_index_is_told(corpus):
    shutil.rmtree(corpus / "data")
    (corpus / "data").mkdir()
    write_shard(corpus, 0, [{"id": "empty", "text": "", "kind": "a"}])
    with pytest.raises(NoVerdictError, match="nothing to index"):
        build.build_index(audit(corpus))
    (corpus / "data" / "part-1.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(NoVerdictError, match=r"part-1\.parquet"):
        build.build_index(audit(corpus))
    (corpus / "data" / "part-0.jsonl").write_bytes(b"\x1f\x8b")
    with pytest.raises(NoVerdictError, match=r"part-0\.jsonl: is gzip data"):
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
        (lambda f: None, {"window": 128}, r"reads at most 64 tokens at once .*window is 128"),
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


def test_a_scan_whose_values_do_not_come_out_again_is_refused(corpus, monkeypatch):
    """A planted fault: what a machine with bad memory would store."""
    real = worker.write_partial

    def flipped(folder, partial):
        partial.state.top.value[:, 0] *= 1.001
        real(folder, partial)

    monkeypatch.setattr(worker, "write_partial", flipped)
    with pytest.raises(AuditError, match="are not reproduced when their windows are run again"):
        build.build_index(audit(corpus))
    assert not (corpus / "index" / "LATEST").exists()
