"""tokenizers#644: ``dropout: 0.1`` in the model of a tokenizer.json.

Each run counted other tokens (34,874, then 34,865) or stopped because the two tokenizers disagreed. Dropout is for
training a model on varied ids; a count has it off, as truncation and padding, and says so.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus_audit.pipelines.tokens.tokenization import Tokenization, load_tokenizer
from tests.pipelines.tokenizer.made import content, ids_of, loaded, reference_ids

TEXTS = ["the abc 123 the thing", "abcabc 123123 ...  the\n\nthe's", "", "in the thing the in"]


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("dropout", [0.1, 0.5, 1.0])
def test_both_paths_count_as_without_dropout(tmp_path: Path, engine: str, dropout: float) -> None:
    expected = reference_ids(content(), TEXTS)
    assert reference_ids(content(dropout=1.0), TEXTS) != expected  # it matters here
    tokenization = loaded(tmp_path, content(dropout=dropout), engine)
    for _ in range(3):
        assert ids_of(tokenization, TEXTS) == expected
    assert tokenization.file.switched_off == (f"dropout ({dropout})",)


@pytest.mark.parametrize("dropout", [None, 0.0])
def test_nothing_is_reported_of_a_dropout_that_drops_nothing(tmp_path: Path, dropout: float | None) -> None:
    assert loaded(tmp_path, content(dropout=dropout)).file.switched_off == ()


def test_counts_of_before_are_not_used_again(tmp_path: Path) -> None:
    """A store may hold partials that were counted with dropout on: their key was the file's digest alone."""
    tokenization = loaded(tmp_path, content(dropout=0.1))
    assert tokenization.identity != tokenization.file.sha256
    plain = loaded(tmp_path, content())
    assert plain.identity == plain.file.sha256


def test_the_copy_that_workers_load_has_none(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content(dropout=0.1)))
    file = load_tokenizer(str(path), tmp_path, tmp_path / "used")
    assert json.loads(file.path.read_text())["model"]["dropout"] is None
    assert Tokenization(file).path == "gigatoken"
