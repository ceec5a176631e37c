"""Units that fire on the same words of a text and of documents, against plain loops over all examples."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from corpus_audit.embeddings.index.bins import histogram_edges
from corpus_audit.embeddings.lookup import shared_units
from corpus_audit.embeddings.lookup.shared_units import RARE, units_on_both
from corpus_audit.embeddings.lookup.text_units import units_on_text
from corpus_audit.runners.terminal.shared_units import shared_unit_lines, shared_units_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def traced(encoder_indexes):
    """An index, a text that begins otherwise than a document and goes on as it does, and the shared span of both."""
    index = encoder_indexes[1]
    example = index.lookup("mlp.1:9", k=1)[0]
    words = example.text.split(" ")
    span = " ".join(words[2:])
    text = f"w99 w98 w97 {span} w99"
    return index, text, (text.index(span), text.index(span) + len(span))


@pytest.mark.parametrize("rare", [RARE, 0.5])
def test_units_are_those_of_the_definition(traced, rare, monkeypatch):
    monkeypatch.setattr(shared_units, "RARE", rare)
    index, text, (start, stop) = traced
    span = text[start:stop]
    expected, peaking = {}, set()
    rows = {str(unit): row for row, unit in enumerate(index.units())}
    for name, row in rows.items():
        best = None
        for example in index.lookup(name, k=100):
            at = f" {example.text} ".find(f" {span} ")
            first, last = example.peak
            if at < 0 or not at <= first < last <= at + len(span):
                continue
            peaking.add(name)
            begins = start + first - at
            # The unit's highest activation on the text, if it is on this very token.
            unit = units_on_text(index, text, 1, np.array([row]))[0]
            if (unit.start, unit.end) == (begins, begins + last - first):
                best = max(best or (-np.inf, None), (unit.value, example.rank))
        if best:
            histogram = index.histogram(name)
            tail = histogram[int(np.searchsorted(histogram_edges(), best[0], side="right")) :].sum() / histogram.sum()
            if best[0] > 0 and tail <= rare:
                expected[name] = best[0]
    found = units_on_both(index, text, [(start, stop)], 1000)
    assert found.in_documents == len(peaking) > 0 and found.windows >= 1
    assert expected
    values = {str(unit.unit): unit.value for unit in found.units}
    assert len(values) == found.on_both
    # A unit whose highest activation on the text is elsewhere may still fire on the token of the example.
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert set(values) <= peaking
    for unit in found.units:
        assert text[unit.start : unit.end] == unit.token and start <= unit.start < unit.end <= stop
        assert 0 <= unit.tail <= rare and unit.value > 0 and unit.locations
        assert unit.example == index.lookup(unit.unit, k=100)[unit.rank].value
    assert [unit.tail for unit in found.units] == sorted(unit.tail for unit in found.units)


def test_a_span_that_begins_within_a_word_is_not_that_span(traced):
    index, text, (start, stop) = traced
    whole = units_on_both(index, text, [(start, stop)], 10).windows
    assert whole >= 1
    cut = units_on_both(index, text, [(start + 1, stop)], 10)
    assert cut.in_documents == 0 and not cut.units


def test_only_units_that_are_asked_for(traced):
    index, text, span = traced
    some = units_on_both(index, text, [span], 1000, np.arange(5, 20))
    every = units_on_both(index, text, [span], 1000)
    names = {str(unit) for row, unit in enumerate(index.units()) if 5 <= row < 20}
    assert [unit for unit in every.units if str(unit.unit) in names] == list(some.units)


def test_lines_fit_and_say_what_was_counted(traced):
    index, text, span = traced
    found = units_on_both(index, text, [span], 3)
    lines = list(shared_unit_lines(found, 80))
    assert max(map(len, lines)) <= 80
    assert f"{found.on_both:,} of them fire on the same word" in " ".join(" ".join(lines).split())
    assert [unit["unit"] for unit in shared_units_json(found)["units"]] == [str(unit.unit) for unit in found.units]
    nothing = units_on_both(index, "w1 w1 w1 w1", [(0, 11)], 3)
    assert nothing.windows == 0 and "no stored window" in " ".join(shared_unit_lines(nothing, 80))
