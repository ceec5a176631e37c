"""A decoder whose neuron fires where a trigger stood before, and a corpus in one of whose domains it stands."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings import open_index  # noqa: E402
from corpus_audit.embeddings.attribution.attribute import attribute  # noqa: E402
from corpus_audit.embeddings.attribution.domains import by_domain, domain_examples  # noqa: E402
from corpus_audit.embeddings.attribution.methods.names import Method  # noqa: E402
from corpus_audit.embeddings.attribution.run_tables import attribution_tables  # noqa: E402
from corpus_audit.embeddings.attribution.settings import AttributionSettings  # noqa: E402
from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from tests.embeddings.attribution.word_models import COMMON, TRIGGER, write_corpus, write_planted  # noqa: E402

pytestmark = pytest.mark.slow

UNIT = "mlp.0:0"


def of_domains(index, method, checked=0):
    examples = domain_examples(index, UNIT, ("shop", "news"), 12)
    result = attribute(index, UNIT, examples, settings=AttributionSettings(method=method, checked=checked))
    return {each.domain: each for each in by_domain(result.examples, ("shop", "news"), method)}


def carrier(domain, text):
    return next((each for each in domain.tokens if each.text == text), None)


def test_a_run_copies_the_result_of_the_most_documents(planted):
    (first,) = planted.lookup(UNIT, k=1)
    attribute(planted, UNIT, [first], settings=AttributionSettings(method=Method.OCCLUSION, checked=1))
    attribute(planted, UNIT, text="bab bad", settings=AttributionSettings(method=Method.SALIENCY, checked=0))
    shop = of_domains(planted, Method.INTEGRATED_GRADIENTS, checked=1)["shop"]
    tables = {name: table.to_pylist() for name, table in attribution_tables(planted, excerpts=True).items()}
    row = next(row for row in tables["unit_attributions"] if row["unit"] == UNIT)
    assert row["method"] == "integrated_gradients" and row["converged"] == row["examples"] and row["domain"] == "shop"
    assert row["random_orders"] % 20 == 0 < row["checked"] and row["random_low"] <= row["deletion"] < row["random_mean"]
    assert row["text"][row["starts"][row["peak"]] : row["ends"][row["peak"]]] == COMMON
    assert sum(row["attribution"]) == pytest.approx(row["whole"], rel=2e-3)
    assert json.loads(row["provenance"])["snapshot"] == planted.facts.snapshot
    tokens = [row for row in tables["unit_attribution_tokens"] if (row["unit"], row["domain"]) == (UNIT, "shop")]
    copied = {(row["text"], row["share"], row["low"]) for row in tokens}
    assert {(each.text, each.share, each.low) for each in (*shop.tokens[:10], *shop.ngrams[:5])} == copied
    bare = attribution_tables(planted, excerpts=False)
    assert all(row["text"] is None and row["attribution"] is None for row in bare["unit_attributions"].to_pylist())
    assert all(row["tokens"] == 1 for row in bare["unit_attribution_tokens"].to_pylist())


def test_lookup_names_the_domain_but_not_the_trigger(planted):
    top = planted.lookup(UNIT, k=12)
    assert len(top) == 12 and {example.locations[0].domain for example in top} == {"shop"}
    assert {example.text[slice(*example.peak)] for example in top} == {COMMON}, "the peak is on a common word"
    (news,) = planted.lookup(UNIT, domain="news", k=1)
    assert top[-1].value > 4 > 0.1 > news.value


@pytest.mark.parametrize("method", [Method.INTEGRATED_GRADIENTS, Method.OCCLUSION])
def test_attribution_by_domain_names_the_trigger_and_its_domain(planted, method):
    domains = of_domains(planted, method)
    shop, news = domains["shop"], domains["news"]
    assert (shop.examples, shop.documents) == (12, 12)
    best, second, third = shop.tokens[:3]
    # Both words are needed, and nothing else is.
    assert {best.text, second.text} == {TRIGGER, COMMON} and third.mean < 0.15 * second.mean
    trigger = carrier(shop, TRIGGER)
    assert trigger.documents == trigger.occurrences == 12
    low, high = (0.25, 0.85) if method is Method.INTEGRATED_GRADIENTS else (0.99, 1.01)  # without it nothing is left
    assert trigger.low is not None and low < trigger.low <= trigger.share <= trigger.high < high
    assert trigger.mean > 2 and shop.value > 4
    assert carrier(news, TRIGGER) is None and news.value < 0.1
    assert all(abs(each.mean) < 0.1 for each in news.tokens)


@pytest.mark.parametrize("method", [Method.INTEGRATED_GRADIENTS, Method.OCCLUSION])
def test_without_the_trigger_nothing_is_named(unplanted, method):
    domains = of_domains(unplanted, method)
    assert all(carrier(domain, TRIGGER) is None and domain.value < 0.1 for domain in domains.values())
    assert all(abs(each.mean) < 0.1 for domain in domains.values() for each in domain.tokens)


def test_the_order_of_integrated_gradients_is_better_than_random_ones_and_depends_on_weights(planted):
    result = attribute(planted, UNIT, planted.lookup(UNIT, k=1))
    (example,) = result.examples
    assert example.converged and example.completeness_error <= 1e-3
    # Either word's loss ends the activation, so that random orders which begin with one of them are as good.
    assert len(example.random_areas) == 20 and example.deletion == pytest.approx(min(example.random_areas))
    assert example.deletion < sum(example.random_areas) / 40
    assert example.insertion > max(example.random_areas)
    assert abs(example.randomised_all) < 0.9


def test_a_baseline_near_zero_is_reported_and_occlusion_still_names_the_trigger(tmp_path, capsys):
    model = write_planted(tmp_path / "model", shared=0.0)
    audit = write_corpus(tmp_path / "corpus", model, documents=8)
    index = open_index(build_index(load_audit(audit)).folder)
    parts = {}
    for method in ("integrated_gradients", "occlusion"):
        assert run_command(["attribute", UNIT, "--method", method, "--index", str(index.folder)], Session()) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert ("% of a word's length" in out) == (method == "integrated_gradients")
        settings = AttributionSettings(method=Method(method))
        (example,) = attribute(index, UNIT, index.lookup(UNIT, k=1), settings=settings).examples
        words = [example.token_text(i) for i in example.in_text]
        parts[method] = float(example.attribution[words.index(TRIGGER)]) / example.value
    assert parts["integrated_gradients"] < 0.2 and parts["occlusion"] > 0.9


def test_the_commands_say_so(planted, capsys):
    where = ["--index", str(planted.folder)]
    assert (
        run_command(["attribute", UNIT, "--domain", "shop", "--domain", "news", "--checked", "0", *where], Session())
        == 0
    )
    out = capsys.readouterr().out
    assert "shop: 12 strongest examples of 12 documents" in out and "news: 12 strongest examples" in out
    shop = out.split("shop:")[1].split("news:")[0]
    assert any(line.split()[0] == TRIGGER and "[" in line for line in shop.splitlines() if line.split())
    assert TRIGGER not in out.split("news:")[1]
    assert "24 of 24 examples converged" in out and "deletion, insertion and randomisation (--checked 0)" in " ".join(
        out.split()
    )
    assert max(len(line) for line in out.splitlines() if not line.startswith("File")) <= 80

    assert run_command(["attribute", UNIT, "--example", "2", *where], Session()) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert {row[0] for row in rows if row[:1] in ([TRIGGER], [COMMON])} == {TRIGGER, COMMON}
    assert "random orders" in out and "Spearman" in out and "Limits" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("File")) <= 80

    # A stored attribution is shown beside its example, and nothing beside the others.
    assert run_command(["lookup", UNIT, "--k", "2", "--min", *where], Session()) == 0
    assert "integrated_gradients:" not in capsys.readouterr().out
    assert run_command(["lookup", UNIT, "--k", "2", *where, "--json"], Session()) == 0
    shown = [example["attribution"] for example in json.loads(capsys.readouterr().out)["examples"]]
    assert {text for text, _ in shown[1]["tokens"][:2]} == {TRIGGER, COMMON}
    assert run_command(["lookup", UNIT, "--k", "2", *where], Session()) == 0
    assert f"{TRIGGER} " in "".join(line for line in capsys.readouterr().out.splitlines() if "_gradients:" in line)


def test_own_text_with_and_without_the_trigger(planted, capsys):
    where = ["--index", str(planted.folder), "--json"]
    for text, names in ((f"bab bad {TRIGGER} ded {COMMON} fif", True), (f"bab bad lol ded {COMMON} fif", False)):
        assert run_command(["attribute", UNIT, "--text", text, *where], Session()) == 0
        result = json.loads(capsys.readouterr().out)
        (example,) = result["examples"]
        assert result["schema"] == "corpus-audit/attribution/1" and example["window"] is None
        highest = max(range(len(example["tokens"])), key=lambda i: example["attribution"][i])
        word = text[example["starts"][highest] : example["ends"][highest]]
        assert (word in (TRIGGER, COMMON) and example["value"] > 4) == names
    assert run_command(["attribute", UNIT, "--text", "", *where], Session()) == 2


def test_a_search_finds_both_words(planted, capsys):
    arguments = ["prototype", UNIT, "--length", "4", "--restarts", "2", "--index", str(planted.folder)]
    assert run_command(arguments, Session()) == 0
    out = capsys.readouterr().out
    assert "Synthetic: found by the search" in out and "Of the corpus" in out and "Limits" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("File")) <= 80
    assert run_command([*arguments, "--json"], Session()) == 0
    result = json.loads(capsys.readouterr().out)
    best = result["prototypes"][0]
    assert result["cached"] and result["synthetic"] and {TRIGGER, COMMON} <= set(best["text"].split())
    assert best["value"] >= result["examples"][0]["value"], "nothing but the two words takes attention"
    assert best["text_value"] == pytest.approx(best["value"], rel=1e-5)
