"""Files of attributions: served a second time, named by what decides them, computed again if damaged."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings import open_index  # noqa: E402
from corpus_audit.embeddings.attribution import compute  # noqa: E402
from corpus_audit.embeddings.attribution.attribute import attribute  # noqa: E402
from corpus_audit.embeddings.attribution.domains import DomainAttribution, by_domain  # noqa: E402
from corpus_audit.embeddings.attribution.methods.names import BaselineToken, Method  # noqa: E402
from corpus_audit.embeddings.attribution.results import Attributed, attributed_json, load_attributions  # noqa: E402
from corpus_audit.embeddings.attribution.run_tables import attribution_tables  # noqa: E402
from corpus_audit.embeddings.attribution.settings import AttributionSettings  # noqa: E402
from corpus_audit.embeddings.attribution.sources import unit_source  # noqa: E402
from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from corpus_audit.runners.terminal import attribution  # noqa: E402
from corpus_audit.schemas.errors import UsageError  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from corpus_audit.schemas.tables.attribution_tables import ATTRIBUTIONS  # noqa: E402
from corpus_audit.schemas.units import parse_unit  # noqa: E402
from tests.embeddings.attribution.word_models import write_corpus  # noqa: E402
from tests.embeddings.sae_files import random_weights, write_autoencoder  # noqa: E402

UNIT = "mlp.0:0"


def example_of(document, domain, words, values):
    """An attributed example of words with one blank between them."""
    text = " ".join(words)
    starts = np.cumsum([0, *[len(word) + 1 for word in words[:-1]]])
    ends = starts + [len(word) for word in words]
    return Attributed(
        1, document, domain, "a", 0, "x", text, 0, 0, float(sum(values)), 0.0, np.arange(len(words)), starts, ends,
        np.array(values, float)
    )  # fmt: skip


@pytest.mark.slow
class TestOfAnIndex:
    def test_a_second_call_reads_the_file_and_loads_no_model(self, planted, monkeypatch, capsys):
        (example,) = planted.lookup(UNIT, k=1)
        settings = AttributionSettings(method=Method.SALIENCY)
        first = attribute(planted, UNIT, [example], settings=settings)
        assert not first.cached and first.path.is_relative_to(planted.folder.parent / ".attributions")
        table = pq.read_table(first.path)
        assert table.schema.equals(ATTRIBUTIONS) and len(table) == 1
        stored = json.loads(table.schema.metadata[b"provenance"])
        assert stored == first.provenance
        assert (
            stored["model"]["digest"] == planted.facts.model["digest"] and stored["snapshot"] == planted.facts.snapshot
        )
        assert stored["method"] == "saliency" and stored["baseline"] == "mean" and "torch" in stored["versions"]
        assert stored["inputs"][0][:2] == [f"{example.window:016x}", example.position]
        monkeypatch.setattr(compute, "open_model", lambda *_, **__: pytest.fail("the model was loaded again"))
        second = attribute(planted, UNIT, [example], settings=settings)
        assert second.cached and second.path == first.path and second.provenance == first.provenance
        assert attributed_json(second.examples[0]) == attributed_json(first.examples[0])
        arguments = ["attribute", UNIT, "--method", "saliency", "--index", str(planted.folder)]
        assert run_command([*arguments, "--json"], Session()) == 0
        assert json.loads(capsys.readouterr().out)["cached"]
        assert run_command(["index", "verify", str(planted.folder)], Session()) == 0, "results are no part of the index"
        capsys.readouterr()
        # All that decides a result is in its name.
        others = (
            replace(settings, seed=1),
            replace(settings, baseline=BaselineToken.ZERO),
            replace(settings, orders=21),
        )
        monkeypatch.undo()
        assert len({attribute(planted, UNIT, [example], settings=other).path for other in others} | {first.path}) == 4

    def test_a_damaged_file_is_computed_again(self, planted, caplog):
        examples = planted.lookup(UNIT, k=2)[1:]
        settings = AttributionSettings(method=Method.OCCLUSION, checked=0)
        first = attribute(planted, UNIT, examples, settings=settings)
        content = first.path.read_bytes()
        for damaged in (content[: len(content) // 2], content[:40] + b"\0\0\0\0" + content[44:], b""):
            first.path.write_bytes(damaged)
            again = attribute(planted, UNIT, examples, settings=settings)
            assert "is damaged; it is computed again" in caplog.text
            caplog.clear()
            assert not again.cached and np.array_equal(again.examples[0].attribution, first.examples[0].attribution)
        assert load_attributions(first.path) is not None
        first.path.write_bytes(b"PAR1")
        (row,) = (r for r in attribution_tables(planted, True)["unit_attributions"].to_pylist() if r["reason"])
        assert row["reason"] == "is damaged" and row["file"].endswith(first.path.name) and row["examples"] is None
        first.path.write_bytes(content)

    def test_lowest_activations_are_attributed_as_what_lowers_them(self, planted, capsys):
        (example,) = planted.lookup(UNIT, which="minima", k=1)
        settings = AttributionSettings(checked=1, lowest=True)
        result = attribute(planted, UNIT, [example], settings=settings)
        (attributed,) = result.examples
        assert example.value < 0 and attributed.value == pytest.approx(-example.value, rel=1e-4)
        parts = attributed.value - attributed.baseline_value
        assert attributed.attribution.sum() == pytest.approx(parts, abs=1e-3) and attributed.random_areas
        assert result.provenance["parameters"]["lowest"] is True
        highest = attribute(planted, UNIT, planted.lookup(UNIT, k=1), settings=AttributionSettings(checked=1))
        assert "lowest" not in highest.provenance["parameters"], "the digests of earlier results stay"
        with pytest.raises(UsageError, match="the model or the unit's files are not those of the index"):
            attribute(planted, UNIT, [example], settings=AttributionSettings(seed=7))
        where = ["--index", str(planted.folder)]
        assert run_command(["attribute", UNIT, "--min", *where], Session()) == 0
        assert "F is the negative of the activation" in capsys.readouterr().out
        domain = example.locations[0].domain
        assert run_command(["attribute", UNIT, "--min", "--domain", domain, *where], Session()) == 0
        out = capsys.readouterr().out
        assert "lowest example" in out and "Index with minima: 20" in " ".join(out.split())
        assert run_command(["attribute", UNIT, "--min", "--example", "9", *where], Session()) == 2
        rows = attribution_tables(planted, True)["unit_attributions"].to_pylist()
        assert {row["value"] > 0 for row in rows if row["unit"] == UNIT and row["reason"] is None} == {True}

    def test_another_activation_than_the_stored_one_is_refused(self, planted):
        (example,) = planted.lookup(UNIT, k=1)
        with pytest.raises(UsageError, match="the model or the unit's files are not those of the index"):
            attribute(planted, UNIT, [replace(example, value=example.value + 1)], settings=AttributionSettings(seed=9))
        with pytest.raises(UsageError, match="nothing to attribute"):
            attribute(planted, UNIT)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["attribute", UNIT, "--domain", "nowhere"], "no domain 'nowhere'"),
            (["attribute", UNIT, "--example", "900"], "fewer than 900 examples"),
            (
                ["attribute", UNIT, "--baseline", "mask", "--text", "bab bad", "--model", "nowhere/at/all"],
                "no model at",
            ),
            (["attribute", "mlp.0:77"], "mlp.0:77"),
            (["attribute", "dir.x:0"], "there is no dir.x"),
            (["prototype", UNIT, "--length", "100"], "longer than a window (32)"),
        ],
    )
    def test_mistakes_are_answered_in_one_line(self, planted, capsys, arguments, message):
        assert run_command([*arguments, "--index", str(planted.folder)], Session()) == 2
        out, err = capsys.readouterr()
        assert not out and message in err.splitlines()[-1]


@pytest.mark.slow
def test_latents_and_directions_are_attributed_with_the_audit_that_names_their_files(planted_model, tmp_path, capsys):
    rng = np.random.default_rng(5)
    audit = write_corpus(tmp_path, planted_model, documents=8)
    config = {"d_in": 64, "d_sae": 24, "hook_name": "blocks.0.hook_resid_post", "dtype": "float32"}
    top = {"architecture": "topk", "activation_fn": "topk", "activation_fn_kwargs": {"k": 6}}
    write_autoencoder(tmp_path / "sae", config | top, random_weights(rng, 64, 24))
    np.save(tmp_path / "d.npy", rng.normal(size=(3, 64)).astype(np.float32))
    spec = json.loads(audit.read_text())
    spec["embedding"] |= {
        "saes": [{"name": "a", "path": "sae"}],
        "directions": [{"name": "d", "path": "d.npy", "block": 0}],
    }
    audit.write_text(json.dumps(spec))
    index = open_index(build_index(load_audit(audit)).folder)
    used = next(u for u in index.units() if u.point.name == "a" and index.lookup(u, k=1)[:1])
    for unit in (str(used), "dir.d:2"):
        arguments = ["attribute", unit, "--index", str(index.folder), "--json"]
        assert run_command(arguments, Session()) == 2
        assert "--audit" in capsys.readouterr().err
        assert run_command([*arguments, "--audit", str(audit)], Session()) == 0
        result = json.loads(capsys.readouterr().out)
        (example,) = result["examples"]
        assert example["value"] == pytest.approx(index.lookup(unit, k=1)[0].value, rel=1e-4)
        assert result["provenance"]["files"] and any(example["attribution"]) and example["converged"] is not None
        # Other weights under the same name are noticed.
        if unit == "dir.d:2":
            np.save(tmp_path / "d.npy", rng.normal(size=(3, 64)).astype(np.float32))
            assert run_command([*arguments, "--audit", str(audit)], Session()) == 2
            assert "are not those of the index" in capsys.readouterr().err


def test_a_unit_of_a_file_needs_the_audit_that_names_it(tmp_path):
    assert unit_source(parse_unit("mlp.0:1"), None) is None
    with pytest.raises(UsageError, match="name the audit of it with --audit"):
        unit_source(parse_unit("sae.a:1"), None)
    (tmp_path / "audit.yaml").write_text(
        "version: 1\nname: n\nsnapshot: {paths: [data]}\ntokenizer: t.json\nembedding:\n  model: m\n"
        "  saes: [{name: a, path: folder}]\n  directions: [{name: d, path: d.npy, block: 3}]\n"
    )
    audit = tmp_path / "audit.yaml"
    source = unit_source(parse_unit("dir.d:0"), audit)
    assert source.path == tmp_path / "d.npy" and source.block == 3
    assert unit_source(parse_unit("sae.a:4"), audit).path == tmp_path / "folder"
    with pytest.raises(UsageError, match=r"names no sae\.b"):
        unit_source(parse_unit("sae.b:4"), audit)
    with pytest.raises(UsageError, match="No such file"):
        source.digests()


def test_shares_of_a_domain_are_sums_over_its_documents():
    rng = np.random.default_rng(0)
    examples, carried, totals = [], [], []
    for number in range(12):
        values = rng.normal(1, 0.3, 4)
        examples.append(example_of(bytes([number]), "shop", ["hot", "red", "cup", "hot"], values))
        carried.append(values[0] + values[3])
        totals.append(values.sum())
    examples.append(example_of(b"other", "news", ["hot"], [9.0]))
    (shop,) = by_domain(examples, ["shop", "absent"], Method.INTEGRATED_GRADIENTS)
    hot = shop.tokens[0]
    share = sum(carried) / sum(totals)
    residuals = np.array(carried) - share * np.array(totals)
    reach = 2.200985 * np.sqrt(12 / 11 * (residuals**2).sum()) / sum(totals)  # Student's t, 11 degrees of freedom
    assert (hot.text, hot.occurrences, hot.documents) == ("hot", 24, 12) and hot.share == pytest.approx(share)
    assert (hot.low, hot.high) == pytest.approx((share - reach, share + reach), rel=1e-5)
    assert sum(token.share for token in shop.tokens) == pytest.approx(1)
    both = next(each for each in shop.ngrams if each.text == "hot red cup")
    assert both.length == 3 and both.mean == pytest.approx(np.mean([e.attribution[:3].sum() for e in examples[:12]]))


def test_examples_of_one_document_are_one_cluster_and_few_documents_give_no_interval():
    one = [example_of(b"a", "shop", ["x", "y"], [1.0, 3.0]) for _ in range(20)]
    (shop,) = by_domain(one, ["shop"], Method.OCCLUSION)
    assert shop.examples == 20 and shop.documents == 1 and shop.tokens[0].low is None and not shop.ngrams
    assert shop.tokens[0].share == 0.75
    (negative,) = by_domain([example_of(b"a", "shop", ["x"], [-1.0])], ["shop"], Method.GRADIENT_X_INPUT)
    assert negative.tokens[0].share is None and negative.tokens[0].mean == -1


def test_intervals_cover_the_share_of_all_documents():
    """Documents drawn from a population whose share is known: the interval holds it in about 95 % of draws."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        values = rng.gamma(2.0, 1.0, (12, 2)) * rng.gamma(3.0, 1.0, (12, 1))
        examples = [example_of(bytes([i]), "d", ["a", "b"], row) for i, row in enumerate(values)]
        (token,) = [each for each in by_domain(examples, ["d"], Method.SALIENCY)[0].tokens if each.text == "a"]
        hits += token.low <= 0.5 <= token.high
    assert 0.89 <= hits / 300 <= 0.985


@pytest.mark.parametrize(
    ("sizes", "examples", "lowest", "said"),
    [
        (
            {"domain_k": 5, "minima": 5},
            5,
            False,
            "the index lists 5 examples of a unit in a domain. Index with domain_k: 20",
        ),
        ({"domain_k": 20, "minima": 5}, 3, False, "give --k 20"),
        ({"domain_k": 20, "minima": 5}, 20, False, "the list has examples of no more"),
        ({"domain_k": 20, "minima": 5}, 5, True, "lists 5 lowest examples of a unit. Index with minima: 20"),
    ],
)
def test_what_gives_intervals_is_said(sizes, examples, lowest, said):
    index = SimpleNamespace(facts=SimpleNamespace(sizes=sizes))
    domain = DomainAttribution("d", examples, 3, 1.0, 0.0, [], [])
    assert said in attribution._why_no_intervals(index, domain, lowest)
