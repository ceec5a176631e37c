"""Wrong command lines: one line on standard error that says what to do, exit code 2, never a traceback."""

import pytest

from corpus_audit.runners.cli.main import COMMANDS, run_command
from corpus_audit.runners.cli.shared.output import Session

LINES = {
    "rum audit.yaml": "unknown command 'rum'; did you mean run?",
    "xyzzy": "unknown command 'xyzzy'; choose from demo, init, run,",
    "policy chek audit.yaml": "'check'",
    "policy": "a command is missing; choose from check, diff, explain",
    "keys": "a command is missing; choose from allow, list, new, revoke",
    "index verfy folder": "did you mean verify?",
    "run": "Missing argument 'AUDIT'; see 'corpus-audit run --help'",
    "run folder": "this is a folder; name the YAML file in it",
    "run nothing.yaml": "there is no such file; 'corpus-audit init' writes one",
    "run file.txt": "expected a mapping of keys",
    "run audit.yaml extra": "unexpected argument 'extra'",
    "run audit.yaml --wrokers 3": "Did you mean '--workers'?",
    "run audit.yaml --set nme=x": "did you mean 'name'?",
    "run audit.yaml --engine flnk": "'flnk' is not one of 'embedded'",
    "report nothing": "nothing: there is no such file or folder",
    "report folder": "holds no finished run",
    "report file.txt": "is not a run directory, an output folder or an audit.yaml",
    "check folder": "Missing option '--policy'",
    "check folder --policy folder": "this is a folder",
    "drift folder": "Missing argument 'CURRENT'",
    "drift nothing folder": "nothing: there is no such file or folder",
    "drift folder file.txt": "holds no finished run",
    "sampling folder --budget 3X": "'3X' is not a count such as",
    "sampling file.txt --budget 3B": "is not a run directory",
    "history -o nothing": "nothing is not a folder",
    "history -o folder": "holds no finished run",
    "prune folder": "select the runs to keep",
    "prune nothing --keep-last 1": "nothing is not a folder",
    "push audit.yaml": "names no object store",
    "fetch folder out": "is not the URL of an object store",
    "keys list": "there is no such file; 'corpus-audit keys new' begins one",
    "approve folder --key nothing --yes": "there is no such file",
    "verify folder": "holds no finished run",
    "ledger nothing": "no such file or folder",
    "index folder": "this is a folder",
    "index audit.yaml": "the audit has no embedding section",
    "lookup mlp.0:1": "holds no activation index",
    "attribute mlp.0:1": "holds no activation index",
    "attribute mlp.0:1 --text x --example 2": "--example, --text and --domain exclude each other",
    "prototype mlp.0:1": "holds no activation index",
    "search": "give one of TEXT, --like and --direction",
    "units --dead --index nothing": "holds no activation index",
    "explain x --index file.txt": "holds no activation index",
    "attention head.0:1": "holds no activation index",
    "heads --ablate zero --model m": "--ablate needs PATTERN",
    "lens 0 --text x": "holds no activation index",
    "investigate compare nothing folder": "nothing: there is no such file or folder",
    "investigate compare folder folder": "folder: the folder holds no file",
    "investigate compare file.txt file.txt": "neither evaluation holds scores of items",
    "investigate compare file.txt file.txt --rule llama2": "--rule and --placebo need --contaminated",
    "investigate": "a command is missing; choose from compare, documents, init, run, show",
    "investigate nothing.yaml": "'corpus-audit investigate init' writes one",
    "investigate documents nothing.yaml --first 1 --last 2": "'corpus-audit investigate init' writes one",
    "investigate documents nothing.yaml --first 2 --last 1": "--last is before --first",
    "investigate init nothing": "nothing: there is no such file or folder",
    "investigate show x --in folder": "holds no findings",
    "trace": "a command is missing; choose from build, text, verify",
    "trace word": "there is no trace index in runs",
    "trace text": "give either TEXT or --file",
    "trace --file nothing": "cannot read nothing: No such file",
    "trace verify folder": "there is no trace index in folder",
    "trace build nothing": "there is no such file",
    "schema foo": "'foo' is not one of 'audit', 'policy'",
    "init nothing": "no such file or folder",
    "doctor --nope": "No such option '--nope'",
    "demo --megabytes 0": "0 is not in the range",
    "demo --images --megabytes 5": "--megabytes is for the demo of texts",
    "demo --heads 9 --megabytes 5": "with --heads the size of the text is fixed",
    "demo --images --heads 9": "--images, --heads and --investigate exclude each other",
    "demo --images --investigate": "--images, --heads and --investigate exclude each other",
    "demo --investigate --megabytes 9": "with --investigate the size of the text is fixed",
    "flink begin": "No such command 'begin'",
}


@pytest.mark.parametrize("line", LINES)
def test_one_line_says_what_is_wrong(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("a line\n")
    (tmp_path / "audit.yaml").write_text("version: 1\nname: n\nsnapshot: {paths: [data]}\ntokenizer: t.json\n")
    code = run_command(line.split(), Session())
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("corpus-audit: ") and err.count("\n") == 1 and LINES[line] in err


def test_every_command_is_tried():
    assert {line.split()[0] for line in LINES} >= set(COMMANDS)
