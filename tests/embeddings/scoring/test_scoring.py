"""Items of a unit of words, scorers that know, guess, break and babble, and what is kept of their answers."""

import json
import sys

import numpy as np
import pytest

from corpus_audit.embeddings import open_index
from corpus_audit.embeddings.lookup.explanations import UnitExplanation, add_explanations, explanations_of
from corpus_audit.embeddings.scoring import score as scoring
from corpus_audit.embeddings.scoring.items import marked, unit_items
from corpus_audit.embeddings.scoring.score import score_units
from corpus_audit.embeddings.scoring.scores import task_score, verdict_of
from corpus_audit.embeddings.scoring.texts import UnitText
from corpus_audit.schemas.errors import SpecError, UsageError
from corpus_audit.schemas.spec.scoring import ScoringSpec, load_scoring
from corpus_audit.schemas.units import parse_unit
from tests.embeddings.made import write_small_index

UNIT = parse_unit("mlp.0:1")

PERFECT = """
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    assert "alpha" in item["explanation"]
    if item["task"] == "detection":
        right = "alpha" in item["text"]
    else:
        words = [item["text"][a:b] for a, b in item["marked"]]
        right = all(set(w.split()) == {"alpha"} for w in words) and item["marked_text"].count("<<") == len(words)
    print(json.dumps({"id": item["id"], "answer": right, "score": 0.9 if right else 0.2}))
"""

COIN = """
import json, random, sys
random.seed(4)
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "answer": random.random() < 0.5}))
"""

HALF_BROKEN = """
import json, sys
for n, line in enumerate(sys.stdin):
    item = json.loads(line)
    print(json.dumps({"id": item["id"], "answer": "alpha" in item["text"]}) if n % 4 else "I think so")
"""

BROKEN = "import sys; sys.stdin.read(); print('Sure! Here are my answers:')"

EXPLAINER = """
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    first = item["examples"][0]
    best = max(zip(first["tokens"], first["activations"]), key=lambda pair: pair[1])
    print(json.dumps({"id": item["id"], "explanation": "the word " + best[0]}))
"""


def made_texts(documents=140, seed=0):
    """Texts of 40 words; of half of the documents one or two are alpha, on which alone the unit is active."""
    rng = np.random.default_rng(seed)
    texts = []
    for number in range(documents):
        words = [f"w{n}" for n in rng.integers(0, 50, 40)]
        values = rng.uniform(-0.2, 0.1, 40).astype(np.float32)
        if number % 2:
            at = rng.choice(40, 1 + number % 4 // 3, replace=False)
            for i in at.tolist():
                words[i], values[i] = "alpha", 1 + rng.random()
        starts = np.cumsum([0, *(len(word) + 1 for word in words[:-1])]).astype(np.int32)
        ends = starts + np.array([len(word) for word in words], np.int32)
        texts.append(UnitText(number.to_bytes(16, "big"), " ".join(words), starts, ends, values))
    return texts


@pytest.fixture(scope="module")
def made_index(tmp_path_factory):
    return open_index(write_small_index(tmp_path_factory.mktemp("index") / "out", documents=40)[0])


@pytest.fixture
def index(made_index, monkeypatch):
    """An index whose unit has the made texts and one explanation."""
    monkeypatch.setattr(scoring, "unit_texts", lambda *_: iter([(UNIT, 2.0, made_texts())]))
    (made_index.folder.parent / ".explanations" / f"{made_index.folder.name}.json").unlink(missing_ok=True)
    add_explanations(made_index, {str(UNIT): UnitExplanation("the word alpha", "file.jsonl")})
    return made_index


def spec_of(tmp_path, script, **more):
    (tmp_path / "scorer.py").write_text(script, encoding="utf-8")
    return ScoringSpec(scorer=(sys.executable, str(tmp_path / "scorer.py")), **more)


def test_items_are_balanced_of_distinct_documents_and_held_out():
    spec = ScoringSpec(items=12, examples=6, context=20)
    items = unit_items(UNIT, 2.0, made_texts(), spec)
    assert not items.reason and len(items.examples) == 6
    by_task = {task: [q for q in items.questions if q.task == task] for task in ("detection", "fuzzing")}
    for task, questions in by_task.items():
        assert sum(q.truth for q in questions) == 12 and len(questions) == 24
        assert len({q.document for q in questions}) == 24
        for question in questions:
            assert len(question.content["text"].split()) <= 20
            if task == "detection":
                assert ("alpha" in question.content["text"]) == question.truth
            else:
                words = [question.content["text"][a:b] for a, b in question.content["marked"]]
                assert all(("alpha" in word) == question.truth for word in words) and words
                assert question.content["marked_text"].replace("<<", "").replace(">>", "") == question.content["text"]
    seen = {json.dumps(example["text"]) for example in items.examples}
    assert seen.isdisjoint(json.dumps(q.content["text"]) for q in items.questions)
    shown = [max(v for v in example["activations"] if v is not None) for example in items.examples]
    assert shown == sorted(shown, reverse=True) and shown[0] > 1.8 and shown[-1] < 1.3  # all strengths
    truths = [q.truth for q in items.questions]
    assert truths != sorted(truths) and truths != sorted(truths, reverse=True)
    assert unit_items(UNIT, 2.0, made_texts(), spec) == items
    other = unit_items(UNIT, 2.0, made_texts(), spec.model_copy(update={"seed": 1}))
    assert other.questions != items.questions


def test_tokens_that_share_a_character_are_marked_once():
    text = UnitText(b"d", "aé b", np.array([0, 1, 1, 2], np.int32), np.array([1, 2, 2, 4], np.int32), np.zeros(4))
    assert marked(text, np.array([True, True, False, False])) == ("<<aé>> b", [[0, 2]])
    assert marked(text, np.array([False, True, True, False])) == ("a<<é>> b", [[1, 2]])
    assert marked(text, np.array([True, False, True, True])) == ("<<a>><<é b>>", [[0, 1], [1, 4]])


def test_a_unit_of_few_documents_is_not_scored():
    items = unit_items(UNIT, 2.0, made_texts(12), ScoringSpec())
    assert not items.questions and "5 of each are needed" in items.reason and "fuzzing" in items.reason
    assert unit_items(UNIT, -1.0, made_texts(), ScoringSpec()).reason == "its highest activation is not above 0"


def test_a_scorer_that_knows(index, tmp_path):
    spec = spec_of(tmp_path, PERFECT)
    result = score_units(index, [UNIT], spec, items_file=tmp_path / "items.jsonl")
    (scored,) = result.explanations
    assert [score.task for score in scored.scores] == ["detection", "fuzzing"]
    for score in scored.scores:
        assert score.balanced_accuracy == score.f1 == score.auc == score.high == 1 and score.auc_low is None
        assert 0.8 < score.low < 1 and score.p < 1e-5 and score.unreadable == 0
        assert 0.25 < score.random_low < 0.5 < score.random_high < 0.75
    assert not scored.held_out
    (kept,) = explanations_of(index, UNIT)
    assert [each["task"] for each in kept.scores] == ["detection", "fuzzing"]
    assert kept.scores[0]["command"] == list(spec.scorer) and kept.scores[0]["settings"]["seed"] == 0
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [item["id"] for item in items] == [f"{n:06d}" for n in range(len(items))]
    again = score_units(index, [UNIT], spec)
    assert again.provenance == result.provenance and explanations_of(index, UNIT) == [kept]


def test_a_scorer_that_guesses(index, tmp_path):
    (scored,) = score_units(index, [UNIT], spec_of(tmp_path, COIN)).explanations
    for score in scored.scores:
        assert 0.25 < score.balanced_accuracy < 0.75 and score.low < 0.5 < score.high and score.auc is None


def test_answers_that_cannot_be_read_cost(index, tmp_path, capsys):
    result = score_units(index, [UNIT], spec_of(tmp_path, HALF_BROKEN))
    detection = result.explanations[0].scores[0]
    assert result.unreadable_lines > 0 and detection.unreadable > 0
    assert detection.balanced_accuracy == pytest.approx(1 - detection.unreadable / detection.items)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (BROKEN, "readable answer to 0 of"),
        ("import sys; sys.exit('no key')", "status 1: no key"),
        ("import time; time.sleep(60)", "did not end within"),
    ],
)
def test_scorers_that_break_leave_nothing(index, tmp_path, script, message):
    with pytest.raises(UsageError, match=message):
        score_units(index, [UNIT], spec_of(tmp_path, script, timeout=3 if "sleep" in script else 60))
    assert explanations_of(index, UNIT)[0].scores == []
    with pytest.raises(UsageError, match="cannot be started"):
        score_units(index, [UNIT], ScoringSpec(scorer=(str(tmp_path / "none"),)))


def test_an_explainer_whose_documents_are_held_out(index, tmp_path, monkeypatch):
    (tmp_path / "explainer.py").write_text(EXPLAINER, encoding="utf-8")
    spec = spec_of(tmp_path, PERFECT, explainer=(sys.executable, str(tmp_path / "explainer.py")))
    result = score_units(index, [UNIT], spec)
    assert [each.explanation for each in result.explanations] == ["the word alpha"] and result.explanations[0].held_out
    made = explanations_of(index, UNIT)[-1]
    assert made.source == "command" and made.model == " ".join(spec.explainer) and made.scores[0]["held_out"]
    silent = spec_of(tmp_path, BROKEN, explainer=(sys.executable, str(tmp_path / "scorer.py")))
    monkeypatch.setattr(scoring, "unit_texts", lambda *_: iter([(UNIT, 2.0, made_texts())]))
    with pytest.raises(UsageError, match="explained none of 1"):
        score_units(index, [UNIT], silent)


def test_scores_by_hand():
    truth = [True, True, True, False, False, False]
    said = [True, False, None, True, False, None]
    answers = [None if each is None else {"answer": each, "score": 0.75 if each else 0.25} for each in said]
    score = task_score("detection", truth, answers)
    assert score.balanced_accuracy == pytest.approx(2 / 6) and score.unreadable == 2
    assert score.f1 == pytest.approx(2 / (2 + 2 + 2))  # one hit; two missed, two false alarms
    # Pairs of a positive and a negative score: 0.75, 0.25, -1 against 0.75, 0.25, 2.
    assert score.auc == pytest.approx((0.5 + 1 + 0 + 0 + 0.5) / 9)
    with pytest.raises(ValueError, match="balanced"):
        task_score("detection", [True], [None])
    assert verdict_of({"score": 0.5}) == (True, 0.5) and verdict_of({"answer": 0}) == (False, None)
    assert verdict_of({"answer": "yes"})[0] is None and verdict_of({"answer": True, "score": 7})[0] is None


def test_the_file(tmp_path):
    file = tmp_path / "scoring.yaml"
    file.write_text("scorer: [python, judge.py]\nitems: 30\n", encoding="utf-8")
    assert load_scoring(file) == ScoringSpec(scorer=("python", "judge.py"), items=30)
    for text, message in (
        ("scorers: [x]", "scorers"),
        ("scorer: []", "1:9: needs at least 1 entry"),
        ("active: 0.2\ninactive: 0.3", "a text could be both"),
        ("- 1", "mapping"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SpecError, match=message):
            load_scoring(file)
