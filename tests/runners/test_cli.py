import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.runners.cli.main import COMMANDS, cli, run_command
from corpus_audit.runners.cli.shared.crash_report import write_crash_report
from corpus_audit.runners.cli.shared.output import Session
from corpus_audit.schemas.errors import ExitCode, LockedError, NoVerdictError
from corpus_audit.schemas.run.results import Results, Status
from corpus_audit.schemas.spec.policy_file import load_policy
from corpus_audit.schemas.tables.run_tables import METRICS
from tests.checks.report.judged_runs import judgement, results
from tests.run_files import write_run_json

HEAVY = ("pyarrow", "numpy", "apache_beam", "numba", "scipy", "pydantic", "ruamel", "rich", "jinja2", "tokenizers")

HELP = """
import sys
sys.argv = ["corpus-audit", *sys.argv[1:]]
from corpus_audit.runners.cli.main import main
try:
    main()
finally:
    print("IMPORTED", *(name for name in %r if name in sys.modules))
"""

AUDIT = """\
version: 1
name: test corpus
snapshot:
  paths: [data]
tokenizer: tokenizer.json
output: out
"""


@dataclass(frozen=True)
class Outcome:
    run_dir: Path
    complete: bool = True
    reasons: tuple[str, ...] = ()
    results: Results | None = None
    exit_code: ExitCode = ExitCode.OK
    splits_read: int = 3
    splits_cached: int = 2
    unchanged: bool = False
    notes: tuple[str, ...] = ()


@pytest.fixture
def engine(monkeypatch):
    """Replaces the run and the summary; returns a place to put what the run does and to find what it was given."""

    class Engine:
        def run(self, loaded, **given):
            self.loaded, self.given = loaded, given
            return self.behaviour(loaded)

        def behaviour(self, loaded):
            return Outcome(loaded.base / loaded.spec.output / "20260101")

    engine = Engine()
    fakes = {
        "corpus_audit.runners.audit.run": {"run_audit": lambda loaded, **given: engine.run(loaded, **given)},
        "corpus_audit.checks.report.page.model": {"load_report": lambda run_dir: run_dir},
        "corpus_audit.checks.report.page.terminal": {
            "render_summary": lambda model, report, width, colour: f"SUMMARY {model} {report} {width}\n"
        },
        "corpus_audit.checks.report.page.html": {"render_html": lambda model: f"<html>{model}"},
    }
    for name, members in fakes.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return engine


@pytest.fixture
def audit(tmp_path):
    path = tmp_path / "audit.yaml"
    path.write_text(AUDIT)
    return path


@pytest.fixture
def finished(tmp_path):
    """An output folder with one finished run of one metric, and one that is not a number."""
    run_dir = tmp_path / "out" / "run-1"
    write_run_json(run_dir)
    (tmp_path / "out" / "LATEST").write_text("run-1\n")
    row = {"metric": "documents", "slice": "all", "n": 7, "low": None, "high": None, "unit": "documents"}
    rows = [row | {"value": 7.0}, row | {"metric": "mean", "value": float("nan")}]
    fields = [field for field in METRICS if field.name in row or field.name == "value"]
    (run_dir / "tables").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), run_dir / "tables" / "metrics.parquet")
    return run_dir


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_but_click(arguments):
    done = subprocess.run([sys.executable, "-c", HELP % (HEAVY,), *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    printed, _, imported = done.stdout.rpartition("IMPORTED")
    assert imported.strip() == ""
    assert "corpus-audit" in printed


def parts(command):
    """The commands of a group, or nothing for one that is none."""
    return [[name] for name in command.commands] if isinstance(command, click.Group) else [[]]


def test_every_command_offers_json(capsys):
    actual = {name: cli.get_command(click.Context(cli), name) for name in COMMANDS}
    commands = [[name, *part] for name, command in actual.items() for part in parts(command)]
    assert ["policy", "diff"] in commands and ["run"] in commands
    for name in commands:
        assert run_command([*name, "--help"], Session()) == 0
        assert "--json" in capsys.readouterr().out, name


def test_run_hands_its_options_on_and_prints_the_summary(engine, audit, capsys):
    options = ["--set", "name=other", "--set", "limits.expansion=9", "--workers", "3", "--rehash", "--per-document"]
    code = run_command(["run", str(audit), *options], Session())
    out, err = capsys.readouterr()
    assert code == 0
    assert engine.loaded.spec.name == "other" and engine.loaded.spec.limits.expansion == 9
    assert engine.loaded.spec.per_document is True
    assert engine.given["workers"] == 3 and engine.given["rehash"] is True
    run_dir = audit.parent / "out" / "20260101"
    assert out == f"SUMMARY {run_dir} {run_dir / 'report.html'} 80\n"
    assert err == "", "no progress line within the first minute"


def test_what_a_run_lacks_is_reported_in_a_line(engine, audit, capsys):
    engine.behaviour = lambda loaded: Outcome(Path("runs/r1"), notes=("The run has no folder gx.",))
    assert run_command(["run", str(audit), "--json"], Session()) == 0
    assert capsys.readouterr().err == "corpus-audit: The run has no folder gx.\n"


def test_run_as_json(engine, audit, capsys):
    assert run_command(["run", str(audit), "--json"], Session()) == 0
    run_dir = audit.parent / "out" / "20260101"
    assert json.loads(capsys.readouterr().out) == {
        "schema": "corpus-audit/run/1",
        "run": str(run_dir),
        "report": str(run_dir / "report.html"),
        "unchanged": False,
        "complete": True,
        "reasons": [],
        "splits_read": 3,
        "splits_cached": 2,
        "drift": [],
        "notifications": [],
        "exit_code": 0,
    }


def test_a_run_with_nothing_to_do_says_so_and_exits_0_whatever_the_last_one_came_to(engine, audit, capsys):
    judged = results((judgement("r", Status.FAIL),), None)
    engine.behaviour = lambda loaded: Outcome(Path("runs/r1"), results=judged, unchanged=True)
    assert run_command(["run", str(audit), "--if-changed"], Session()) == 0
    assert engine.given["if_changed"] is True
    assert capsys.readouterr().out == (
        "Nothing to do: snapshot, spec and policy are those of the last run, r1, which was judged fail.\n"
    )
    assert run_command(["run", str(audit), "--if-changed", "--json"], Session()) == 0
    actual = json.loads(capsys.readouterr().out)
    assert (actual["unchanged"], actual["verdict"], actual["exit_code"]) == (True, "fail", 0)


def test_a_date_is_filled_into_the_paths(engine, audit, capsys):
    options = ["--set", "snapshot.paths.0=data/{date}", "--date", "2026-03-01"]
    assert run_command(["run", str(audit), *options], Session()) == 0
    assert engine.loaded.spec.snapshot.paths == ("data/2026-03-01",)
    assert run_command(["run", str(audit), "--date", "1 March"], Session()) == 2


@pytest.mark.parametrize(
    ("status", "fail_on", "code"),
    [
        (Status.PASS, "warn", 0),
        (Status.WARN, "fail", 0),
        (Status.WARN, "warn", 3),
        (Status.FAIL, "warn", 1),
        (Status.INSUFFICIENT, "fail", 4),
        (Status.MISSING, "warn", 4),
        (Status.ERROR, "fail", 4),
        (Status.WAIVED, "warn", 3),
    ],
)
def test_the_verdict_is_the_exit_code(engine, audit, capsys, status, fail_on, code):
    judged = results((judgement("r", status),), None)
    engine.behaviour = lambda loaded: Outcome(Path("r"), results=judged)
    assert run_command(["run", str(audit), "--fail-on", fail_on, "--json"], Session()) == code
    actual = json.loads(capsys.readouterr().out)
    assert (actual["exit_code"], actual["verdict"]) == (code, judged.verdict.value)
    assert [one["rule"] for one in actual["not_passed"]] == ([] if status is Status.PASS else ["r"])


def test_a_run_without_a_verdict_says_why_and_exits_4(engine, audit, capsys):
    engine.behaviour = lambda loaded: Outcome(
        Path("r"), complete=False, reasons=("too many dead letters", "no tokens"), exit_code=ExitCode.NO_VERDICT
    )
    assert run_command(["run", str(audit)], Session()) == 4
    assert capsys.readouterr().err == (
        "corpus-audit: no verdict: too many dead letters\ncorpus-audit: no verdict: no tokens\n"
    )


@pytest.mark.parametrize(("error", "code"), [(LockedError("held by ana"), 6), (NoVerdictError("nothing to read"), 4)])
def test_audit_errors_are_one_message_and_their_code(engine, audit, capsys, error, code):
    def fail(loaded):
        raise error

    engine.behaviour = fail
    assert run_command(["run", str(audit), "--json"], Session()) == code
    out, err = capsys.readouterr()
    assert err == f"corpus-audit: {error}\n"
    assert json.loads(out) == {
        "schema": "corpus-audit/error/1",
        "error": str(error),
        "kind": type(error).__name__,
        "exit_code": code,
    }


def test_unknown_errors_leave_a_traceback_in_the_output_folder(engine, audit, capsys):
    output = audit.parent / "out"
    output.mkdir()

    def fail(loaded):
        raise ValueError("first line\nsecond line")

    engine.behaviour = fail
    assert run_command(["run", str(audit)], Session()) == 5
    out, err = capsys.readouterr()
    (report,) = output.glob("crash-*.txt")
    assert err == f"corpus-audit: internal error: ValueError: first line; the traceback is in {report}\n"
    assert out == ""
    assert "in fail" in report.read_text() and "second line" in report.read_text()


def test_a_crash_report_goes_to_the_temporary_folder_when_the_output_cannot_be_written(tmp_path, monkeypatch):
    output, temporary = tmp_path / "full", tmp_path / "temporary"
    output.mkdir()
    temporary.mkdir()
    write_text = Path.write_text

    def fail_in_output(path, *arguments, **named):
        if path.parent == output:
            raise OSError("no space left on device")
        return write_text(path, *arguments, **named)

    monkeypatch.setattr(Path, "write_text", fail_in_output)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert write_crash_report(ValueError("x"), output).parent == temporary


def test_a_crash_report_without_an_output_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert write_crash_report(ValueError("x"), tmp_path / "not made yet").parent == tmp_path


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "audit.yaml", "--workers", "0"], ["rum"], ["doctor", "--nope"], ["demo", "--megabytes", "x"]],
)
def test_wrong_use_exits_2_also_as_json(arguments, capsys):
    assert run_command([*arguments, "--json"], Session()) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == "corpus-audit/error/1"
    assert err.startswith("corpus-audit: ") and err.count("\n") == 1 and "Traceback" not in err


def test_a_wrong_spec_names_the_place(tmp_path, capsys):
    path = tmp_path / "audit.yaml"
    path.write_text(AUDIT.replace("tokenizer:", "tokeniser:"))
    assert run_command(["run", str(path)], Session()) == 2
    assert f"{path}:5:1" in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["out/run-1", "out", "audit.yaml"])
def test_report_finds_the_run(engine, audit, finished, capsys, argument):
    assert run_command(["report", str(audit.parent / argument)], Session()) == 0
    assert capsys.readouterr().out == f"SUMMARY {finished} {finished / 'report.html'} 80\n"


def test_report_writes_html(engine, audit, finished, tmp_path, capsys):
    assert run_command(["report", str(audit), "--output", str(tmp_path / "r.html")], Session()) == 0
    assert (tmp_path / "r.html").read_text() == f"<html>{finished}"
    capsys.readouterr()
    assert run_command(["report", str(audit), "--output", "-"], Session()) == 0
    assert capsys.readouterr().out == f"<html>{finished}"
    assert run_command(["report", str(audit), "--output", "-", "--json"], Session()) == 2


def test_report_as_json_holds_the_metrics(engine, audit, finished, capsys):
    assert run_command(["report", str(audit), "--json"], Session()) == 0
    actual = json.loads(capsys.readouterr().out)
    assert actual["schema"] == "corpus-audit/report/1" and actual["run"] == str(finished)
    assert [(row["metric"], row["value"], row["n"]) for row in actual["metrics"]] == [
        ("documents", 7.0, 7),
        ("mean", None, 7),
    ]


def test_report_says_when_there_is_no_run(engine, audit, capsys):
    assert run_command(["report", str(audit)], Session()) == 2
    assert "holds no finished run" in capsys.readouterr().err
    (audit.parent / "out").mkdir()
    (audit.parent / "out" / "LATEST").write_text("gone")
    assert run_command(["report", str(audit)], Session()) == 2
    assert "names the run 'gone', which does not exist" in capsys.readouterr().err


def test_init_writes_what_was_proposed_and_overwrites_nothing(monkeypatch, tmp_path, capsys):
    proposals = ModuleType("corpus_audit.runners.init.proposal")
    proposals.propose_audit = lambda paths, target, tokenizer, policy, text, ask: SimpleNamespace(
        text=f"# {paths} {target.name} {tokenizer} {policy}\n", complete=True, of_images=False
    )
    monkeypatch.setitem(sys.modules, "corpus_audit.runners.init.proposal", proposals)
    target = tmp_path / "new.yaml"
    arguments = ["init", "a", "b", "--output", str(target), "--tokenizer", "t.json"]
    assert run_command(arguments, Session()) == 0
    assert target.read_text() == capsys.readouterr().out == "# ('a', 'b') new.yaml t.json policy.yaml\n"
    assert load_policy(tmp_path / "policy.yaml").policy.name == "scheduled audit"
    assert run_command([*arguments, "--json"], Session()) == 2
    assert "exists already" in json.loads(capsys.readouterr().out)["error"]
    other = ["init", "a", "--output", str(tmp_path / "b.yaml"), "--policy"]
    assert run_command([*other, "pretraining-signoff", "--json"], Session()) == 2
    assert "policy.yaml exists already" in json.loads(capsys.readouterr().out)["error"]
    assert run_command([*other, "none"], Session()) == 0
    assert (tmp_path / "b.yaml").read_text() == "# ('a',) b.yaml None None\n"


def test_demo_builds_and_audits(engine, audit, monkeypatch, tmp_path, capsys):
    calls = []

    def build_demo(folder, megabytes, progress):
        calls.append((folder, megabytes))
        progress("training")
        return SimpleNamespace(before=audit, audit=audit, note="less than asked for")

    monkeypatch.setattr("corpus_audit.runners.demo.part.find_model", lambda: None)

    corpora = ModuleType("corpus_audit.runners.demo.corpus")
    corpora.build_demo = build_demo
    monkeypatch.setitem(sys.modules, "corpus_audit.runners.demo.corpus", corpora)
    assert run_command(["demo", "--folder", str(tmp_path), "--megabytes", "5", "--json"], Session()) == 0
    assert calls == [(tmp_path, 5)]
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["schema"], result["index"]) == ("corpus-audit/demo/1", None)
    assert err.startswith("training\nless than asked for\nauditing the first snapshot\n")


def test_schema_is_a_json_schema(capsys):
    assert run_command(["schema"], Session()) == 0
    plain = json.loads(capsys.readouterr().out)
    assert "snapshot" in plain["properties"]
    assert run_command(["schema", "--json"], Session()) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "corpus-audit/schema/1", "json_schema": plain}
