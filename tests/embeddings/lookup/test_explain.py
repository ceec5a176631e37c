"""From a token to units: counted by hand on a small index, with and without the corpus's tokenizer."""

import json

import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.lookup.explain import _occurrences, explain
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError
from tests.embeddings.made import write_small_index


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, windows, values, _ = write_small_index(tmp_path_factory.mktemp("index") / "out")
    return open_index(folder), windows, values


def test_hits_are_counted_on_the_token(small):
    index, windows, _ = small
    result = explain(index, "w17", 12)
    text_of = {int(windows.ids[i, 0]): (windows.texts[i], windows.offsets[i]) for i in range(len(windows))}

    def on(window, position):
        text, offset = text_of[window]
        return text[windows.starts[offset + position] : windows.ends[offset + position]] == "w17"

    top, positions = index.array("top.window"), index.array("top.position")
    hits = [
        sum(on(int(w), int(p)) for w, p in zip(top[row], positions[row], strict=True) if int(w) != 2**64 - 1)
        for row in range(len(top))
    ]
    by_unit = dict(zip(map(str, index.units()), hits, strict=True))
    assert {str(one.unit): one.hits for one in result.units} == {unit: n for unit, n in by_unit.items() if n}
    words = [word for i in range(len(windows)) for word in windows.texts[i].split(" ")]
    assert result.occurrences == words.count("w17") and result.base == pytest.approx(words.count("w17") / len(words))
    best = result.units[0]
    assert best.hits == max(hits) and best.lift == pytest.approx(best.hits / best.examples / result.base)


def test_a_word_is_not_part_of_a_word():
    assert list(_occurrences("art start art. arts art", "art", None)) == [(0, 3), (10, 13), (20, 23)]
    assert list(_occurrences("an art, art", " art", None)) == [(3, 6), (8, 11)]
    assert list(_occurrences("x=1; y=2", "=", None)) == [(1, 2), (6, 7)]
    assert list(_occurrences("a  b", "  ", None)) == [(1, 3)]
    # Scripts without spaces between words have no such ends.
    assert list(_occurrences("東京は日本の首都", "東京", None)) == [(0, 2)]
    assert list(_occurrences("東京の日本語", "日本", None)) == [(3, 5)]


def test_the_corpus_decides_what_is_a_token(bpe):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bpe))
    text = "import os\nfrom os import path # important"
    encoding = tokenizer.encode(text, add_special_tokens=False)
    for number in set(encoding.ids):
        token = tokenizer.decode([number], skip_special_tokens=False)
        expected = sum(1 for other in encoding.ids if other == number)
        assert len(list(_occurrences(text, token, tokenizer))) == expected


@pytest.mark.parametrize("token", ["", "nowhere"])
def test_tokens_that_are_not_there(small, token):
    with pytest.raises(UsageError):
        explain(small[0], token, 3)


def test_the_command(small, capsys):
    where = ["--index", str(small[0].folder)]
    assert run_command(["explain", "w17", *where], Session()) == 0
    assert "stored windows" in capsys.readouterr().out
    assert run_command(["explain", "w17", "--json", *where], Session()) == 0
    assert json.loads(capsys.readouterr().out)["sampled"] is False
    assert run_command(["explain", "nowhere", *where], Session()) == 2
