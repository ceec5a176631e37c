"""``trace``: building, tracing and verifying as a user does, and what the page shows."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from corpus_audit.pipelines.tracing.index import SEGMENTS
from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared.output import Session
from tests.pages import block, blocks
from tests.pipelines.tracing.making import build, write_corpus

PAGE, HEADING = "pipelines/tracing/README.md", "Trace a text"
HOSTILE = "\x1b[31mred\x1b[0m \u202egnp.exe with <script> and a wide 漢字 in it"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a trace index of hostile documents, and of enough plain ones for a reference."""
    base = tmp_path_factory.mktemp("traced")
    plain = [" ".join(f"word{n}{w}" for w in range(40)) + ". all of them end like this" for n in range(30)]
    loaded = write_corpus(
        base, {"a": [HOSTILE, f"before. {HOSTILE}\nafter it"], "b": plain, "c": [HOSTILE]}, c="\x1b[2J"
    )
    build(loaded, base / "runs" / "trace")
    return base / "runs"


def out_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run_command([str(argument) for argument in arguments], Session()) == 0
    return capsys.readouterr().out


def test_text_is_escaped_and_fits_80_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = out_of(capsys, "trace", f"It says {HOSTILE}", "--words", 3, "--index", folder)
    assert "\\x1b[«31mred\\x1b[0m \\u202egnp.exe" in out and "\\x1b[2J" in out
    assert all(line.isprintable() for line in out.splitlines())
    assert max(map(len, out.splitlines())) <= 80
    assert "13 of 15 words" in out and "3 occurrences" in out


def test_json_holds_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"It says {HOSTILE}"
    output = json.loads(out_of(capsys, "trace", text, "--words", 3, "--index", folder, "--json"))
    assert output["schema"] == "corpus-audit/trace/1"
    assert (output["words"], output["covered"], output["holding"]) == (15, 13, 3)
    (span,) = output["spans"]
    assert text[span["start"] : span["stop"]] == span["text"] and span["occurrences"] == 3
    assert {domain["domain"]: domain["occurrences"] for domain in span["domains"]} == {"a": 2, "\x1b[2J": 1}
    assert [document["id"] for document in output["documents"]] == ["a0", "a1", "c0"]
    assert output["reference"]["stretches"] == 31 and output["no_reference"] == ""


def test_the_reference_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = " ".join(out_of(capsys, "trace", "all of them end like this", "--words", 3, "--index", folder).split())
    assert "Covered: 6 of 6 words (100.0 %), by 1 span of 3 or more words" in out
    assert re.search(r"Reference: 33 stretches of as many words .*; \d+ of 33 are covered as much", out)
    none = out_of(capsys, "trace", "nothing of this", "--index", folder, "--stretches", 0)
    assert "Covered: 0 of 3 words (0.0 %)" in none and "No reference: not asked for" in none
    assert "The longest span that the corpus holds has 1 word: of" in none


def test_the_text_may_come_from_a_file_or_a_pipe(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "all of them end like this"
    (tmp_path / "text.txt").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    shown = {
        out_of(capsys, "trace", *source, "--words", 3, "--index", folder)
        for source in ([text], ["--file", tmp_path / "text.txt"], ["--file", "-"])
    }
    assert len(shown) == 1
    (tmp_path / "text.txt").write_bytes(b"abc\xff")
    assert run_command(["trace", "--file", str(tmp_path / "text.txt"), "--index", str(folder)], Session()) == 2
    assert "is not UTF-8: byte 3" in capsys.readouterr().err


def test_an_argument_that_is_no_text_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["trace", "some \udcff text", "--index", str(folder)], Session()) == 2
    assert "TEXT is not UTF-8" in capsys.readouterr().err


def test_verify_names_damaged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "runs" / "trace"
    build(write_corpus(tmp_path, {"a": ["some text"], "b": ["some other text"]}), index)
    assert "are unchanged" in out_of(capsys, "trace", "verify", tmp_path / "runs")
    path = sorted(path for path in (index / SEGMENTS).glob("*/0"))[0]
    path.write_bytes(path.read_bytes()[:-5])
    assert run_command(["trace", "verify", str(tmp_path / "runs")], Session()) == 7
    assert capsys.readouterr().out.startswith("DAMAGED ")
    assert run_command(["trace", "verify", str(index), "--json"], Session()) == 7
    output = json.loads(capsys.readouterr().out)
    assert [entry["file"] for entry in output["damaged"]] == [path.relative_to(index / SEGMENTS).as_posix()]
    assert run_command(["trace", "some", "--index", str(index)], Session()) == 5
    assert "is damaged: its digest does not match" in capsys.readouterr().err


@pytest.mark.engine
def test_the_page_shows_what_the_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pages.jsonl").write_text(block(PAGE, HEADING, "json"), encoding="utf-8")
    audit, expected = (part.text for part in blocks(PAGE, HEADING, ""))
    (tmp_path / "audit.yaml").write_text(audit, encoding="utf-8")
    (building, tracing) = block(PAGE, HEADING, "bash").splitlines()
    built = out_of(capsys, *building.split()[1:])
    assert built.splitlines()[0] == "3 documents, 44 words; 1 split read, 0 reused"
    text = re.search('"(.*)"', tracing)
    assert text is not None
    assert out_of(capsys, "trace", text[1], *tracing.rpartition('"')[2].split()) == expected
    again = json.loads(out_of(capsys, *building.split()[1:], "--json"))
    assert again["schema"] == "corpus-audit/trace-build/1"
    assert (again["splits_read"], again["splits_kept"], again["counts"]["documents"]) == (0, 1, 3)
