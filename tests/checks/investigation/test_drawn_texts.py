"""Near-duplicates and repeated n-grams among the documents of a window of steps, against control windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.sampling.log.texts import read_texts
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import UsageError

STEPS, BATCH = 600, 8
PHRASE = "buy \x1b[31m cheap <b> watches now at our brand new shop"
HEAD = "version: 1\nname: x\nruns: [{id: now, telemetry: [log.jsonl]}]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random words; steps 300 to 302 have a group of near-duplicates and documents with a phrase twice."""
    root = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(3)
    n = STEPS * BATCH
    step, names = np.repeat(np.arange(STEPS), BATCH), [f"d{i}" for i in range(n)]
    texts = [" ".join(f"w{word}" for word in row) for row in rng.integers(0, 3_000, (n, 40)).tolist()]
    base = 300 * BATCH
    for i in range(base, base + 6):
        texts[i] = texts[base] + f" end{i}"
    for i in range(base + 8, base + 13):
        texts[i] = f"{PHRASE} {texts[i]} {PHRASE}"
    for i in range(0, n, 97):  # now and then two neighbours are alike elsewhere too
        texts[min(i + 1, n - 1)] = texts[i]
    texts[base + 23] = "of a document without a text in the corpus"
    pq.write_table(pa.table({"step": step, "tokens": np.full(n, 60), "document": names}), root / "sampler.parquet")
    order = rng.permutation(np.delete(np.arange(n), base + 23)).tolist()
    half = len(order) // 2
    rows = [json.dumps({"key": names[i], "body": texts[i]}) for i in order[:half]]
    (root / "corpus").mkdir()
    (root / "corpus" / "a.jsonl").write_text("\n".join(rows) + "\n" + json.dumps({"key": None, "body": None}) + "\n")
    rest = pa.table({"body": [texts[i] for i in order[half:]], "key": [names[i] for i in order[half:]]})
    pq.write_table(rest, root / "corpus" / "b.parquet")
    texts_of = "texts: {paths: [corpus], id: key, text: body}"
    (root / "i.yaml").write_text(f"{HEAD}drawn: {{log: sampler.parquet, {texts_of}}}\n")
    (root / "wrong.yaml").write_text(f"{HEAD}drawn: {{log: sampler.parquet, texts: {{paths: [corpus]}}}}\n")
    return root


def test_near_duplicates_and_repeated_ngrams_of_a_window(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(folder / "i.yaml")
    assert run_command(["investigate", "documents", spec, "300-302", "--json"], Session()) == 0
    texts = json.loads(capsys.readouterr().out)["texts"]
    assert (texts["documents"], texts["missing"]) == (23, 1) and texts["controls"] >= 99
    least = 1 / (1 + texts["controls"])
    assert texts["p"] == texts["p_repeated"] == texts["p_similar"] == texts["p_drift"] == least
    assert texts["drift"] > texts["control_drift"]
    assert {"watches", "\x1b[31m"} <= {word["text"] for word in texts["words"][:12]}
    assert all(word["occurrences"] == 10 for word in texts["words"] if word["text"] == "watches")
    group = texts["groups"][0]
    assert group["count"] == 6 and set(group["documents"]) == {f"d{i}" for i in range(2400, 2406)}
    assert texts["similar"] > 5 * texts["control_similar"] and texts["repeated"] > 5 * texts["control_repeated"]
    phrase = next(each for each in texts["ngrams"] if each["text"].startswith("buy"))
    assert phrase["text"] == " ".join(PHRASE.split()[:8]) and phrase["expected"] == 0
    assert (phrase["occurrences"], phrase["documents"]) == (10, 5)
    assert run_command(["investigate", "documents", spec, "300-302"], Session()) == 0
    out = capsys.readouterr().out
    assert "6 near-duplicates: " in out and "cheap <b> watches" in out and "\x1b" not in out
    assert run_command(["investigate", "documents", spec, "100:102", "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out)["texts"]["p"] > 0.05


def test_what_cannot_be_read_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(folder / "i.yaml")
    for arguments, message in (
        ([str(folder / "wrong.yaml"), "300"], "no column 'id' (it has key, body)"),
        ([spec, "302-300"], "the last step is the smaller one"),
        ([spec, "x"], "is no window of steps"),
        ([spec, "300", "--first", "2"], "name the steps once"),
        ([spec], "name the steps, as in"),
    ):
        assert run_command(["investigate", "documents", *arguments], Session()) == 2
        assert message in capsys.readouterr().err
    keys = np.arange(5, dtype=np.uint64)
    pq.write_table(pa.table({"id": ["a"], "text": pa.array([b"\xff\xe2"]).view(pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a\.parquet: cannot be read"):
        read_texts(tmp_path, ["a.parquet"], ("id", "text"), keys, keys)
