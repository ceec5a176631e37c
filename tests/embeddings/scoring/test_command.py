"""``index score`` on an index of a small model: texts with their activations, the command, and lookup."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.lookup.corpus_pass import corpus_values
from corpus_audit.embeddings.lookup.explanations import UnitExplanation, add_explanations
from corpus_audit.embeddings.scoring.texts import unit_texts
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.units import parse_unit
from tests.embeddings.scoring.test_scoring import COIN

pytestmark = pytest.mark.slow

UNIT = "mlp.1:7"


@pytest.mark.parametrize("windows", [10**6, 3])
def test_texts_have_the_activations_of_the_model(encoder_indexes, windows):
    index = encoder_indexes[1]
    unit = parse_unit(UNIT)
    ((same, highest, texts),) = unit_texts(index, [unit], windows, 5, 0.3)
    assert same == unit and highest == index.lookup(UNIT, k=1)[0].value
    exact = corpus_values(index, [unit], 10**6)
    by_text = {}
    for window in range(len(exact.windows)):
        part = slice(*exact.windows.offsets[window : window + 2])
        row = int(np.searchsorted(index.window_names, exact.windows.ids[window, 0]))
        by_text[index.windows["text"][row].as_py()] = exact.values[part, 0][exact.windows.starts[part] >= 0]
    assert len(texts) == len(exact.windows) if windows > 3 else len(texts) > 3  # stored examples beside the sample
    for text in texts:
        counted = np.isfinite(text.values)
        np.testing.assert_allclose(text.values[counted], by_text[text.text][counted], atol=2e-5)
        assert [text.text[a:b] for a, b in zip(text.starts, text.ends, strict=True)] == text.text.split()


def test_the_command(encoder_indexes, tmp_path, capsys):
    index = encoder_indexes[1]
    add_explanations(index, {UNIT: UnitExplanation("said by this test", "by hand")})
    (tmp_path / "coin.py").write_text(COIN, encoding="utf-8")
    settings = {"scorer": [sys.executable, str(tmp_path / "coin.py")], "items": 5, "examples": 2, "context": 4}
    settings |= {"active": 0.6, "inactive": 0.59}
    (tmp_path / "scoring.yaml").write_text(json.dumps(settings), encoding="utf-8")
    where = ["--config", str(tmp_path / "scoring.yaml"), "--index", str(index.folder)]
    assert run_command(["index", "score", "mlp.1:7-8", *where, "--json"], Session()) == 0
    payload = json.loads(capsys.readouterr().out)
    # Other tests of the session may have left explanations of the same unit.
    (scored,) = [each for each in payload["explanations"] if each["explanation"] == "said by this test"]
    assert scored["unit"] == UNIT and scored["scores"][0]["items"] == 10
    assert payload["unexplained"][0]["unit"] == "mlp.1:8"
    assert run_command(["index", "score", "mlp.1:7-8", *where], Session()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and "not explained" in "".join(lines)
    assert run_command(["lookup", UNIT, "--index", str(index.folder), "--no-heat"], Session()) == 0
    assert "  scored: " in capsys.readouterr().out
