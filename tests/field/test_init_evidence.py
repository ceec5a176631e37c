"""A new user's corpus, tried with ``init``: one integer among 120 texts, chats, and two files that name the text apart.

Each time ``text: id`` was written without a word, and an audit counted 12 tokens a document. Right: what was seen of
every column is shown; where it does not decide, a person at a terminal is asked, and elsewhere it is an error (exit
code 2) that names the candidates. A conversation is never taken for no text, nor an id for one. And without a
tokenizer the next step is not "run", which would fail.
"""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.runners.init.samples import Column, SnapshotSample
from corpus_audit.runners.init.text_column import choose_text, column_table
from corpus_audit.schemas.spec.audit_file import load_audit

PROSE = "The harbour was quiet, and the boats lay side by side until the evening bell rang. Document number "
CHAT = [{"role": "user", "content": "What is a tide?"}, {"role": "assistant", "content": "The sea rising and falling."}]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = run_command(["init", "data", "--policy", "none", *arguments], Session())
        out, err = capsys.readouterr()
        return code, out, err

    return run


def selected(tmp_path):
    return load_audit(tmp_path / "audit.yaml").spec.document.text


def test_one_integer_among_texts(init, tmp_path):
    rows = [{"id": f"doc-{n:06d}", "text": PROSE + str(n) if n != 77 else 77} for n in range(99)]
    write(tmp_path / "data" / "a.jsonl", rows)
    code, out, _ = init()
    assert (code, selected(tmp_path)) == (0, "text")
    assert "1 of its 99 values is not text: that row will be a dead letter" in out
    assert re.search(r"# text +98 text, 1 integer +100% +\d\d", out)
    assert re.search(r"# id +text +100% +10 +'doc-000000'", out)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("more", [{}, {"source": "forum"}])
def test_conversations_are_named_and_no_id_is_taken_for_text(init, tmp_path, suffix, more):
    rows = [{"id": f"chat-{n:04d}", "messages": CHAT * (1 + n % 3), **more} for n in range(40)]
    write(tmp_path / "data" / f"a.{suffix}", rows)
    code, out, err = init()
    assert (code, out) == (2, "")
    assert "messages holds conversations" in err and "chat template" in err
    assert err.count("\n") == 1 and not (tmp_path / "audit.yaml").exists()


def test_share_gpt_conversations_too(init, tmp_path):
    turns = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
    write(tmp_path / "data" / "a.jsonl", [{"id": str(n), "conversations": turns} for n in range(9)])
    code, _, err = init()
    assert code == 2 and "conversations holds conversations" in err


def test_a_chat_corpus_with_its_rendered_text(init, tmp_path):
    rows = [{"messages": CHAT, "text": PROSE + str(n)} for n in range(20)]
    write(tmp_path / "data" / "a.parquet", rows)
    code, out, _ = init()
    assert (code, selected(tmp_path)) == (0, "text")
    assert re.search(r"# messages +messages +100%", out)


def two_names(tmp_path):
    write(tmp_path / "data" / "a.jsonl", [{"id": f"a{n}", "text": PROSE + str(n)} for n in range(30)])
    write(tmp_path / "data" / "b.jsonl", [{"id": f"b{n}", "content": PROSE + str(n)} for n in range(30)])


def test_two_files_that_name_the_text_apart(init, tmp_path):
    two_names(tmp_path)
    code, _, err = init("--json")
    assert code == 2 and not (tmp_path / "audit.yaml").exists()
    assert "1 of 2 files has no column text, but content in b.jsonl" in err
    assert "--text text or --text content" in err
    code, out, _ = init("--text", "content")
    assert (code, selected(tmp_path)) == (0, "content")
    assert "1 of 2 sampled shards has no such column" in out


def test_on_a_terminal_a_doubt_is_a_question(init, tmp_path, monkeypatch):
    two_names(tmp_path)
    questions = []
    monkeypatch.setattr("corpus_audit.runners.cli.init.is_terminal", lambda stream: True)
    monkeypatch.setattr(
        "click.prompt", lambda text, **more: questions.append((text, more["type"].choices)) or "content"
    )
    code, _, err = init()
    assert (code, selected(tmp_path)) == (0, "content")
    assert [(text, tuple(names)) for text, names in questions] == [("Which column is the text?", ("text", "content"))]
    assert "column" in err and "example" in err and "has no column text" in err


def test_prompt_and_response_is_a_doubt(init, tmp_path):
    write(tmp_path / "data" / "a.jsonl", [{"prompt": PROSE + str(n), "response": PROSE * 2} for n in range(30)])
    code, _, err = init()
    assert code == 2 and "prompt could be the text as well" in err and "--text response or --text prompt" in err


def test_a_title_called_text_beside_long_bodies_is_a_doubt(init, tmp_path):
    write(tmp_path / "data" / "a.jsonl", [{"text": f"Tide {n}", "page": PROSE * 9 + str(n)} for n in range(30)])
    code, _, err = init()
    assert code == 2 and "texts of page have 893 characters" in err


def test_a_named_column_has_to_exist_and_hold_texts(init, tmp_path):
    write(tmp_path / "data" / "a.jsonl", [{"text": PROSE, "n": 1}])
    assert "has the column 'body'; the columns are text, n" in init("--text", "body")[2]
    assert "'n' does not hold text but integer" in init("--text", "n")[2]


def test_without_a_tokenizer_it_says_what_is_missing(init, tmp_path):
    write(tmp_path / "data" / "a.jsonl", [{"text": PROSE}])
    code, _, err = init()
    assert code == 0 and "next: corpus-audit run audit.yaml" in err
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "audit.yaml").unlink()
    code, out, err = init()
    assert code == 0 and "corpus-audit run" not in err and "get the tokenizer.json of the model" in err
    assert "fill in the tokenizer, then: corpus-audit run" in out
    (tmp_path / "audit.yaml").unlink()
    code, out, _ = init("--json")
    assert json.loads(out)["missing"] == ["tokenizer"]


def test_no_path_of_this_machine_is_written(init, tmp_path):
    write(tmp_path / "data" / "a.jsonl", [{"text": PROSE}])
    init()
    text = (tmp_path / "audit.yaml").read_text()
    assert str(tmp_path) not in text and "site-packages" not in text
    assert not re.search(r"\$schema=\S*/", text)


def columns():
    ids = st.builds(lambda n: [f"{n:x}-{i:08d}" for i in range(20)], st.integers(0, 2**64))
    prose = st.lists(st.text("abc de\n", min_size=10, max_size=80).map(lambda t: t + " end"), min_size=20, max_size=20)
    numbers = st.lists(st.integers(), min_size=20, max_size=20)
    return st.dictionaries(
        st.sampled_from(["a", "b", "c.d", "text", "body"]), st.one_of(prose, numbers), max_size=4
    ), ids


@settings(deadline=None, max_examples=50)
@given(*columns(), st.sampled_from(["id", "doc_id", "uuid", "sha256", "blob_id"]))
def test_an_id_is_never_the_text_and_every_column_is_shown(column_values, ids, name):
    column_values = {**column_values, name: ids}
    sample = SnapshotSample({key: Column(key, list(values), {"s"}) for key, values in column_values.items()}, 20, ["s"])
    choice = choose_text(sample)
    assert choice.column is None or choice.column.name != name
    assert name not in choice.candidates
    assert {line.split()[0] for line in column_table(sample)[1:]} == set(column_values)
