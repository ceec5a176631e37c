"""fastprogress#37: a bar of block characters on a terminal that is not UTF-8 ended the program with UnicodeEncodeError.

Here a run was published and then ended with exit code 5 for the same reason. Right: what the encoding lacks is spelled
in ASCII or escaped, and the exit code is that of the same command with UTF-8, for every command.
"""

import io
import json
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.runners.cli.main import run_command
from corpus_audit.runners.cli.shared import streams
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import ExitCode
from tests.checks.outputs.conftest import dated
from tests.checks.report.judged_runs import write_results
from tests.checks.report.synthetic import build_run
from tests.checks.signoff.world import build_world, sign_world
from tests.embeddings.made import write_small_index

ENCODINGS = ("ascii", "latin-1", "cp1252")
PROGRAM = [sys.executable, "-c", "from corpus_audit.runners.cli.main import main; main()"]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A signed run with its corpus and trust file, a judged one with domains in other scripts, and an index."""
    root = tmp_path_factory.mktemp("encodings")
    world = sign_world(build_world(root / "world"))
    judged = dated(write_results(build_run(root / "judged" / "run")))
    index = write_small_index(root / "index")[0]
    return SimpleNamespace(root=root, world=world, judged=judged, index=index)


COMMANDS = {
    "report": "report {judged}",
    "report no run": "report {root}/нет",
    "history": "history -o {output}",
    "history metric": "history documents -o {output}",
    "history unknown": "history документы -o {output}",
    "check": "check {judged} --policy {world}/policy.yaml",
    "policy check": "policy check {world}/policy.yaml",
    "policy explain": "policy explain {world}/policy.yaml",
    "policy metrics": "policy explain metrics",
    "verify": "verify {signed} --trust {trust} --quiet",
    "verify refused": "verify {signed} --trust {trust} --at 2001-01-01",
    "ledger": "ledger {output} --trust {trust}",
    "keys list": "keys list --trust {trust}",
    "prune": "prune {output} --keep-last 1",
    "sampling": "sampling {judged} --budget 1M",
    "lookup": "lookup mlp.0:3 --index {index}",
    "units": "units mlp.0:* --dead --index {index}",
    "explain": "explain é --index {index}",
    "unknown command": "запуск",
    "unknown option": "report --ответ",
    "schema": "schema",
    "help": "--help",
    **{f"format {kind}": f"report {{judged}} -f {kind}" for kind in ("html", "markdown", "junit", "sarif", "card")},
}
"""Every command that shows something of what is there; some of them fail, as they would with UTF-8."""


def arguments_of(name, here):
    world = here.world
    locations = {"root": here.root, "judged": here.judged, "index": here.index, "world": world.run,
              "output": world.output, "signed": world.signed, "trust": world.trust}  # fmt: skip
    return [part.format(**locations) for part in COMMANDS[name].split(" ")]


def perform(arguments, encoding, monkeypatch):
    """Exit code, standard output and standard error (bytes) of a command with streams of an encoding, made strict."""
    out, err = io.BytesIO(), io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding, errors="strict", write_through=True))
        patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding=encoding, errors="strict", write_through=True))
        streams.prepare_streams()
        code = run_command(arguments, Session())
        sys.stdout.flush()
        return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_exit_code_is_that_of_utf_8(here, name, monkeypatch):
    arguments = arguments_of(name, here)
    code, out, err = perform(arguments, "utf-8", monkeypatch)
    assert b"internal error" not in err, err.decode()
    document = name.startswith("format") or name == "schema"
    for encoding in ENCODINGS:
        result, shown, output = perform(arguments, encoding, monkeypatch)
        assert result == code, (encoding, output)
        assert b"Traceback" not in output and b"internal error" not in output
        if document:
            assert shown == out, "a file's content is UTF-8, as in the file that --output writes"
            continue
        assert len(shown.decode(encoding).splitlines()) == len(out.decode().splitlines())
        plain = [line for line in out.decode().splitlines() if line.isascii()]
        assert [line for line in plain if line not in shown.decode(encoding).splitlines()] == []


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name.partition(" ")[0] not in ("format", "help", "schema")]
)
def test_json_says_the_same_in_every_encoding(here, name, monkeypatch):
    arguments = [*arguments_of(name, here), "--json"]
    code, out, _ = perform(arguments, "utf-8", monkeypatch)
    assert json.loads(out)["schema"].startswith("corpus-audit/")
    for encoding in ENCODINGS:
        result, shown, _ = perform(arguments, encoding, monkeypatch)
        assert result == code
        assert json.loads(shown.decode(encoding)) == json.loads(out)


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(), max_size=30), st.sampled_from([*ENCODINGS, "utf-8", "koi8-r", "cp437", "utf-16"]))
def test_every_text_can_be_written_and_what_fits_is_unchanged(text, encoding):
    written = text.encode(encoding, streams.ERRORS).decode(encoding)
    try:
        assert text.encode(encoding).decode(encoding) == written
    except UnicodeEncodeError:
        fitting = [character for character in text if _fits(character, encoding)]
        rest = iter(written)
        assert all(character in rest for character in fitting), "what can be encoded stands there, in order"


def _fits(character, encoding):
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def test_signs_are_spelled_and_letters_are_escaped():
    text = "┌─┐ │ █ ✗ – a → b… × 中 é"
    assert text.encode("ascii", streams.ERRORS) == b"+-+ | # x - a -> b... x \\u4e2d \\xe9"
    assert text.encode("latin-1", streams.ERRORS) == "+-+ | # x - a -> b... × \\u4e2d é".encode("latin-1")


@pytest.mark.parametrize("judged", [0, 1, 4])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_summary_that_cannot_be_shown_leaves_the_verdict(judged, as_json, tmp_path, monkeypatch, capsys):
    """Any error after a run is published is said, with where the report is, and is not the exit code."""
    from corpus_audit.schemas.spec.audit_file import load_audit

    run_dir = tmp_path / "runs" / "r1"
    outcome = SimpleNamespace(run_dir=run_dir, unchanged=False, results=None, complete=True, reasons=(),
                              exit_code=ExitCode(judged), splits_read=object(), splits_cached=0, notes=())  # fmt: skip
    for name, member, value in (
        ("corpus_audit.runners.audit.run", "run_audit", lambda *given, **more: outcome),
        ("corpus_audit.checks.report.page.model", "load_report", lambda folder: 1 / 0),
    ):
        module = ModuleType(name)
        setattr(module, member, value)
        monkeypatch.setitem(sys.modules, name, module)
    spec = tmp_path / "audit.yaml"
    spec.write_text("version: 1\nname: n\nsnapshot: {paths: [data]}\ntokenizer: t.json\n")
    assert load_audit(spec).spec.name == "n"
    (tmp_path / "runs").mkdir()
    assert run_command(["run", str(spec), *(["--json"] if as_json else [])], Session()) == judged
    output = capsys.readouterr().err.splitlines()[-1]
    assert str(run_dir / "report.html") in output and "could not be shown" in output
    assert ("TypeError" if as_json else "ZeroDivisionError") in output


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [*({"PYTHONIOENCODING": encoding} for encoding in ENCODINGS), {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0",
      "PYTHONCOERCECLOCALE": "0"}],
)  # fmt: skip
def test_a_process_ends_with_the_verdict(here, environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO"))}
    for name in ("report", "verify refused"):
        arguments = arguments_of(name, here)
        right = subprocess.run([*PROGRAM, *arguments], capture_output=True, env=clean | {"PYTHONIOENCODING": "utf-8"})
        done = subprocess.run([*PROGRAM, *arguments], capture_output=True, env=clean | environment)
        assert done.returncode == right.returncode, done.stderr
        assert done.stdout and b"Traceback" not in done.stderr
