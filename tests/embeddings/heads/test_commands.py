"""``heads``, ``attention`` and ``lens`` on an index of a decoder that was trained on repeats."""

import json
import random
import re
import shlex
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.checks.text.safe_text import cell_width  # noqa: E402
from corpus_audit.embeddings import open_index  # noqa: E402
from corpus_audit.embeddings.build.build import build_index  # noqa: E402
from corpus_audit.embeddings.heads import analysis  # noqa: E402
from corpus_audit.embeddings.heads.results import head_tables, known_results  # noqa: E402
from corpus_audit.embeddings.heads.run_tables import head_result_tables  # noqa: E402
from corpus_audit.embeddings.heads.samples import sample_windows  # noqa: E402
from corpus_audit.embeddings.index.stored_results import stored_files  # noqa: E402
from corpus_audit.runners.cli import attention, heads  # noqa: E402
from corpus_audit.runners.cli.main import run_command  # noqa: E402
from corpus_audit.runners.cli.shared.output import Session  # noqa: E402
from corpus_audit.runners.demo import induction  # noqa: E402
from corpus_audit.schemas.spec.audit_file import load_audit  # noqa: E402
from tests.pages import blocks  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained_folder):
    """A corpus of words in three domains: logs repeat twelve words, tables twenty, prose none; and its index."""
    folder = tmp_path_factory.mktemp("corpus")
    shutil.copytree(trained_folder, folder / "model")
    (folder / "data").mkdir()
    rng = random.Random(1)
    rows = []
    for i in range(60):
        kind = ("logs", "prose", "tables")[i % 3]
        words = [f"w{rng.randrange(1, 64)}" for _ in range(40)]
        words = words[:12] * 4 if kind == "logs" else words[:20] * 2 if kind == "tables" else words
        rows.append(json.dumps({"id": f"{kind}-{i}", "text": " ".join(words), "kind": kind}))
    (folder / "data" / "part.jsonl").write_text("\n".join(rows) + "\n")
    embedding = {"model": "model", "units": ["head.*:*"], "window": 64, "k": 4, "vectors": {"projection": 0}}
    document = {"text": "text", "id": "id", "domain": "kind"}
    spec = {"version": 1, "name": "repeats", "snapshot": {"paths": ["data"]}, "document": document}
    spec |= {"tokenizer": "model/tokenizer.json", "embedding": embedding}
    (folder / "audit.yaml").write_text(json.dumps(spec))
    build_index(load_audit(folder / "audit.yaml"))
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs a command line in the corpus's folder and returns its output, of which no line is wider than 80 columns."""
    monkeypatch.chdir(folder)

    def run(*arguments, code=0):
        assert run_command(arguments, Session()) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        if "--json" in arguments:
            return json.loads(out)
        assert max(map(cell_width, out.splitlines()), default=0) <= 80
        return out if code == 0 else err

    return run


def test_heads_are_scored_and_their_evidence_is_in_the_domains_that_repeat(run, folder):
    result = run("heads", "--json")
    scores = {row["head"]: row for row in result["heads"]}
    best = result["heads"][0]
    assert len(scores) == result["count"] == 4 and best["head"].startswith("head.1:") and best["prefix"] > 0.8
    domains = {(row["domain"], row["measure"]): row for row in result["domains"] if row["head"] == best["head"]}
    assert {domain for domain, _ in domains} == {"(all)", "logs", "prose", "tables"}
    logs, prose, whole = (domains[name, "completing"] for name in ("logs", "prose", "(all)"))
    assert logs["queries"] / logs["tokens"] > 0.6 and prose["queries"] / prose["tokens"] < 0.05
    assert 0.5 < whole["low"] < whole["value"] < whole["high"] <= 1 and whole["chance"] < 0.1
    assert domains["logs", "induction"]["queries"] >= logs["queries"] > 400
    evidence = [row for row in result["evidence"] if row["head"] == best["head"]]
    assert len(evidence) == 20 and len({row["id"] for row in evidence}) == 20
    assert {row["domain"] for row in evidence} <= {"logs", "tables"} and evidence[0]["mass"] > 0.9
    index = open_index(folder / "index")
    for row in evidence:
        names = index.window_names.tolist()
        tokens = index.windows["tokens"][names.index(int(row["window"], 16))].as_py()
        assert tokens[row["key"]] == tokens[row["query"] + 1] and row["key"] < row["query"]
        assert tokens[row["key"] - 1] == tokens[row["query"]] and row["length"] >= 1


def test_results_are_parquet_with_provenance_and_are_used_again(run, folder, monkeypatch):
    first = run("heads", "--json", "--k", "1")
    monkeypatch.setattr(heads, "extra", lambda module: pytest.fail(f"{module} was imported"))
    again = run("heads", "--json", "--k", "1")
    assert again == first
    index = open_index(folder / "index")
    for name in head_tables(100):
        table = pq.read_table(folder / first["results"] / f"{name}.parquet")
        provenance = json.loads(table.schema.metadata[b"provenance"])
        assert provenance == first["provenance"] and provenance["snapshot"] == index.facts.snapshot
        assert provenance["model_digest"] == index.facts.model["digest"] and provenance["versions"]["torch"]
        assert table.schema.field(0).metadata[b"description"] and table.num_rows
    (folder / first["results"] / "head_scores.parquet").write_bytes(b"damaged")
    assert known_results(index, "heads", {"windows": 100}, head_tables(100)) is None
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert run("heads", "--json", "--k", "1")["heads"] == first["heads"]


def test_a_run_copies_scores_and_evidence(run, folder, tmp_path):
    run("heads", "--json", "--k", "1")
    run("heads", "--json", "--k", "1", "--windows", "0")
    index = open_index(folder / "index")
    tables = {name: table.to_pylist() for name, table in head_result_tables(index, excerpts=True).items()}
    (result,) = tables["head_results"]
    assert (result["heads"], result["windows"], result["reason"]) == (4, 100, None), "that of the most windows"
    assert json.loads(result["provenance"])["snapshot"] == index.facts.snapshot
    induction = {row["head"] for row in tables["head_scores"] if row["prefix"] >= result["threshold"]}
    assert induction and {row["head"] for row in tables["head_domains"]} == induction
    for row in tables["head_evidence"]:
        query, key = (row["text"][row[f"{name}_start"] : row[f"{name}_end"]] for name in ("query", "key"))
        assert row["head"] in induction and row["rank"] < 3 and query != key
        following = row["text"][row["query_end"] :].split()
        assert not following or following[0] == key.strip(), "the token that comes next"
    bare = head_result_tables(index, excerpts=False)["head_evidence"].to_pylist()
    assert len(bare) == len(tables["head_evidence"]) and all(row["text"] is None for row in bare)
    shutil.copytree(folder / "index", tmp_path / "index")
    copied = open_index(tmp_path / "index")
    assert dict(stored_files(copied.folder)).keys() == dict(stored_files(index.folder)).keys()
    for path in (tmp_path / "index" / ".attention").glob("*/heads-*/head_scores.parquet"):
        path.write_bytes(b"PAR1")
    damaged = head_result_tables(copied, excerpts=True)
    assert damaged.keys() == {"head_results"}
    assert [row["reason"] for row in damaged["head_results"].to_pylist()] == ["head_scores.parquet is damaged"] * 2
    shutil.rmtree(tmp_path / "index" / ".attention")
    assert head_result_tables(copied, excerpts=True) == {}


def test_heads_in_a_terminal(run):
    out = run("heads")
    assert (
        "Induction head  earlier head" in out and "(random tokens that repeat; prefix matching of even attention" in out
    )
    assert "attention to what comes next, where a pair repeats" in out
    assert "completes sequences of these training documents:" in out and " repeated\n" in out
    assert "attention to the token before" in run("heads", "head.0:*", "--measure", "previous", "--sort", "previous")
    assert "no induction heads" in run("heads", "head.0:*")


def test_a_model_without_a_corpus(run):
    out = run("heads", "--model", "model")
    assert out.startswith("model model") and "in the corpus" not in out and "tables:" not in out


def test_ablation_by_domain_of_nothing_but_tokens(run):
    result = run("heads", "head.*:*", "--ablate", "mean", "--json")
    rows = {row["heads"]: row for row in result["ablations"]}
    assert len(rows) == 4 and all(row["documents"] == 60 and row["tokens"] > 2000 for row in rows.values())
    assert max(row["repeat_low"] for name, row in rows.items() if name.startswith("head.0")) > 1
    assert max(row["low"] for row in rows.values()) > 0.2  # of the corpus, two thirds repeat
    assert "Without" in run("heads", "head.*:*", "--ablate", "mean")
    both = run("heads", "head.1:*", "--ablate", "zero", "--together", "--windows", "0", "--json")["ablations"]
    assert [row["heads"] for row in both] == ["head.1:0 head.1:1"] and both[0]["repeat_low"] > 1
    assert both[0]["loss"] is None


def test_attention_at_the_peaks_of_examples(run, folder, monkeypatch):
    result = run("attention", "head.1:0", "--k", "2", "--pattern", "--json")
    index = open_index(folder / "index")
    for example, stored in zip(result["examples"], index.lookup("head.1:0", k=2), strict=True):
        row, pattern = example["attention"], np.array(example["pattern"])
        assert row["position"] == stored.position and row["window"] == f"{stored.window:016x}"
        assert row["value"] == pytest.approx(stored.value, rel=1e-4) and row["indexed"] == stored.value
        assert sum(row["weights"]) == pytest.approx(1, abs=1e-5) and not np.triu(pattern, 1).any()
        np.testing.assert_allclose(pattern[stored.position], row["weights"], atol=1e-6)
        assert len(row["norms"]) == len(stored.starts) and len(row["raised_tokens"]) == 8
        attended = int(np.argmax(row["weights"]))
        assert row["raised_tokens"][0] == stored.text[stored.starts[attended] : stored.ends[attended]]  # it copies
    monkeypatch.setattr(attention, "extra", lambda module: pytest.fail(f"{module} was imported"))
    again = run("attention", "head.1:0", "--k", "2", "--json")
    assert [e["attention"] for e in again["examples"]] == [e["attention"] for e in result["examples"]]


def test_attention_in_a_terminal(run):
    out = run("attention", "head.1:0", "--k", "1", "--pattern")
    assert "«»: the token that attends" in out and "Pattern: rows attend to columns; tokens 0 to" in out
    assert " back " in out and "█" in out and "  raises 'w" in out
    of_text = run("attention", "head.1:0", "--text", "w3 w9 w12 w40 w3 w9 w12")
    assert " the highest of 7 tokens" in of_text and "«w" in of_text
    assert "the text has no token" in run("attention", "head.1:0", "--text", " ", code=2)
    assert "head.1:1 is no attention head" not in run("attention", "head.1:1", "--domain", "logs")


def test_the_lens(run):
    words = "w3 w9 w12 w40 w5 w33 w21 w60 w8 w17 w29 w50"
    last = run("lens", "1", "--text", f"{words} {words}", "--json")["tokens"]
    assert all(row["divergence"] < 1e-5 for row in last) and last[-1]["target"] is None
    repeat = last[14:-1]  # here the model knows what comes next
    assert sum(row["rank"] == 0 for row in repeat) >= 0.7 * len(repeat)
    for row in repeat:
        assert (row["rank"] == 0) == (row["best"][0]["token"] == row["target"])
    first = run("lens", "0", "--unit", "head.1:0", "--json")["tokens"]
    assert max(row["divergence"] for row in first) > 0.5
    assert "would predict" in run("lens", "0", "--unit", "head.1:0", "--rank", "1")
    assert "--rank counts from 0" in run("lens", "0", "--unit", "head.1:0", "--rank", "99", code=2)


def test_a_sample_is_of_windows_with_vectors(folder):
    index = open_index(folder / "index")
    sample = sample_windows(index, 7, 0)
    assert sample.is_random and len(sample) == 7 and sample.available == len(index.array("vector.window"))
    assert sample.names.tolist() == sorted(index.array("vector.window").tolist())[:7]
    for i, name in enumerate(sample.names.tolist()):
        row = index.window_names.tolist().index(name)
        assert sample.tokens(i).tolist() == index.windows["tokens"][row].as_py()
        assert sample.locations[sample.document[i]] == index.locations(index.windows["document"][row].as_py())[0]


@pytest.mark.parametrize("page", ["embeddings/attention/README.md", "embeddings/heads/README.md"])
def test_the_examples_of_the_pages_run(page, run, capsys):
    text = "".join(block.text for block in blocks(page))
    lines = re.findall(r"^corpus-audit (?!demo).*", text, flags=re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        assert len(run(*shlex.split(line)[1:]).splitlines()) > 1, line
    (example,) = blocks(page, language="python")
    exec(example.text, {})
    assert capsys.readouterr().out.strip()


def test_wrong_uses_say_what_is_right(run):
    assert "--ablate needs PATTERN" in run("heads", "--ablate", "zero", code=2)
    assert "--together goes with --ablate" in run("heads", "--together", code=2)
    assert "write head.1:7" in run("attention", "mlp.0:1", code=2)
    assert "there is no head.7" in run("attention", "head.7:0", code=2)
    assert "no unit matches 'head.7:*'" in run("heads", "head.7:*", code=2)
    assert "no unit matches 'head.7:*'" in run("heads", "head.7:*", "--ablate", "zero", code=2)
    assert "give one of --text and --unit" in run("lens", "0", code=2)
    assert analysis.EVIDENCE == 20


def test_the_demo_trains_a_decoder_and_shows_its_heads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(induction, "KILOBYTES", 300)
    monkeypatch.setattr(induction, "DOCUMENTS", 24)
    folder = tmp_path / "demo"
    assert run_command(["demo", "--folder", str(folder), "--heads", "1", "-q", "--json"], Session()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == "corpus-audit/heads/1" and result["count"] == 4
    assert result["provenance"]["settings"] == {"windows": 300}
    # After a second nothing is learnt: heads attend about evenly.
    assert all(abs(row["prefix"] - row["chance"]) < 0.1 for row in result["heads"])
    assert len({row["domain"] for row in result["domains"]}) > 2 and not result["evidence"]
