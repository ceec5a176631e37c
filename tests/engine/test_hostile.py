"""Hostile strings in a real corpus, policy and benchmarks, audited, then shown in Chromium, in tmux and to parsers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import pytest

from corpus_audit.checks.outputs.context import load_context
from corpus_audit.checks.outputs.formats import FORMATS
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from tests.checks.report.test_report_page import Page
from tests.engine.hostile_runs import TITLE, USED, hostile_run
from tests.engine.runs import Run

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory, bpe: Path) -> Run:
    return hostile_run(tmp_path_factory.mktemp("hostile"), bpe)


@pytest.fixture(scope="module")
def page(attacked: Run) -> str:
    return (attacked.folder / "report.html").read_text("utf-8")


def test_the_payloads_are_in_the_run(attacked: Run) -> None:
    domains = {row["domain"] for row in attacked.rows("samples")}
    assert len(domains & set(USED)) > 40
    results = json.loads((attacked.folder / "results.json").read_bytes())
    assert {entry["owner"] for entry in results["judgements"]} >= set(USED)
    assert results["waivers"][0]["reason"] == TITLE
    assert {row["benchmark"] for row in attacked.rows("contamination")} & set(USED)
    assert any("<img" in row["shard"] for row in attacked.rows("shards"))
    assert {row["reason"] for row in attacked.rows("dead_letters")} == {"lone_surrogate"}


def test_files_of_the_run_hold_no_control_or_hidden_characters(attacked: Run) -> None:
    for path in (attacked.folder / "report.html", *sorted((attacked.folder / "outputs").iterdir())):
        text = path.read_text("utf-8")
        assert [c for c in text if not c.isprintable() and c not in "\n\u00a0"] == [], path.name


def test_outputs_are_among_the_files_whose_digests_a_run_lists(attacked: Run) -> None:
    run = RunDirectory(attacked.folder)
    assert run.damaged() == []
    assert {f"outputs/{entry.file}" for entry in FORMATS.values()} <= run.facts.files.keys()
    evidence = load_context(attacked.folder)
    for entry in FORMATS.values():  # and they can be made again from the directory, to the byte
        assert entry.render(evidence).encode() == (attacked.folder / "outputs" / entry.file).read_bytes()


def test_outputs_parse_and_name_the_audit_as_it_is_escaped(attacked: Run) -> None:
    folder = attacked.folder / "outputs"
    title = safe_text(TITLE, 2000)
    assert ElementTree.parse(folder / "junit.xml").getroot().get("name") == f"corpus-audit {title}"
    assert json.loads((folder / "results.sarif").read_bytes())["runs"][0]["properties"]["audit"] == title
    assert json.loads((folder / "openlineage.json").read_bytes())["job"]["name"] == title
    assert json.loads((folder / "croissant.json").read_bytes())["name"] == title


def test_the_page_as_a_browser_parses_it_has_no_foreign_elements(page: str) -> None:
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    tags = {entry.tag.rpartition("}")[2] for entry in tree.iter() if isinstance(entry.tag, str)}
    assert not tags & {"script", "img", "iframe", "form", "input", "link", "base", "object", "foreignObject", "math"}
    handlers = [name for entry in tree.iter() for name in entry.attrib if str(name).startswith("on")]
    assert handlers == []
    assert {entry.get("href", "#")[0] for entry in tree.iter("a")} == {"#"}
    shown = "".join(tree.itertext())
    for payload in USED:
        assert safe_text(payload, 400).strip()[:30] in shown


def in_chromium(page: Path, folder: Path) -> tuple[str, str, str]:
    """The page's elements as Chromium has them, what it says on its console, and the log of its requests."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        pytest.skip("chromium is not installed")
    log = folder / "net.json"
    done = subprocess.run(
        [binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom",
         "--enable-logging=stderr", f"--log-net-log={log}", f"--user-data-dir={folder / 'profile'}", page.as_uri()],
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    return done.stdout.decode(), done.stderr.decode(errors="replace"), log.read_text("utf-8", errors="replace")


@pytest.mark.browser
def test_chromium_runs_nothing_asks_for_nothing_and_shows_the_escaped_text(
    attacked: Run, page: str, tmp_path: Path
) -> None:
    dom, console, requests = in_chromium(attacked.folder / "report.html", tmp_path)
    assert "evil.example" not in requests
    assert "CONSOLE" not in console
    output, sent = Page(dom), Page(page)
    assert output.elements == sent.elements
    assert "".join("".join(output.text).split()) == "".join("".join(sent.text).split())


@pytest.mark.browser
def test_chromium_would_say_so_if_something_got_through(page: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(page.replace("</main>", "<img src=https://evil.example/x onerror=alert(1)></main>"), "utf-8")
    dom, console, _ = in_chromium(bad, tmp_path)
    assert "CONSOLE" in console and "Content Security Policy" in console
    assert Page(dom).elements != Page(page).elements


class Terminal:
    """A tmux server of its own that lets programs set titles and the clipboard."""

    def __init__(self, folder: Path, tmux: str) -> None:
        self._server = [tmux, "-S", str(folder / "socket"), "-f", os.devnull]
        self.ask("new-session", "-d", "-x", "80", "-y", "50", "-s", "s", "sleep 600")
        for name, value in (("history-limit", "20000"), ("set-clipboard", "on"), ("allow-passthrough", "on")):
            self.ask("set", "-g", name, value)

    def ask(self, *words: str) -> str:
        """What a tmux command prints."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run([*self._server, *words], capture_output=True, check=True, env=environment).stdout.decode()

    def show(self, command: str, done: Path) -> tuple[str, str]:
        """Run a command in a window until the file is there; returns its pane, and the pane's title before."""
        pane = self.ask("new-window", "-P", "-F", "#{pane_id}", "-t", "s:", command).strip()
        title = self.ask("display", "-p", "-t", pane, "#{pane_title}")
        for _ in range(600):
            if done.exists():
                break
            time.sleep(0.1)
        time.sleep(0.5)
        return pane, title

    def end(self) -> None:
        """End the server."""
        subprocess.run([*self._server, "kill-server"], capture_output=True)


def test_the_terminal_would_act_on_what_is_not_escaped(tmp_path: Path) -> None:
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    (tmp_path / "raw").write_text("\x1b]52;c;ZXZpbA==\x07\x1b]2;evil\x07")
    (tmp_path / "show.sh").write_text(f"sleep 1\ncat {tmp_path}/raw\ntouch {tmp_path}/done\nsleep 60\n")
    terminal = Terminal(tmp_path, tmux)
    try:
        pane, title = terminal.show(f"sh {tmp_path}/show.sh", tmp_path / "done")
        assert terminal.ask("list-buffers") != ""
        assert terminal.ask("display", "-p", "-t", pane, "#{pane_title}").strip() == "evil" != title.strip()
    finally:
        terminal.end()


@pytest.mark.parametrize("command", [["report"], ["history", "-o"]], ids=["report", "history"])
def test_a_real_terminal_stays_as_it_is(attacked: Run, tmp_path: Path, command: list[str]) -> None:
    """In tmux: no title set, nothing put on the clipboard, no screen switched, and the text that was printed."""
    tmux = shutil.which("tmux")
    if tmux is None:
        pytest.skip("tmux is not installed")
    program = [sys.executable, "-c", "from corpus_audit.runners.cli.main import main; main()"]
    line = [*program, *command, str(attacked.folder)]
    environment = {**os.environ, "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
    piped = subprocess.run(line, capture_output=True, env=environment, check=True, timeout=120).stdout.decode()
    assert all(c.isprintable() or c == "\n" for c in piped)

    script = tmp_path / "show.sh"
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in line)
    script.write_text(f"export NO_COLOR=1\n{quoted} 2>/dev/null\ntouch {tmp_path}/done\nsleep 60\n")

    terminal = Terminal(tmp_path, tmux)
    try:
        pane, title = terminal.show(f"sh {script}", tmp_path / "done")
        assert terminal.ask("display", "-p", "-t", pane, "#{pane_title}") == title
        assert terminal.ask("list-buffers") == ""
        state = terminal.ask("display", "-p", "-t", pane, "#{alternate_on}#{mouse_any_flag}#{cursor_flag}")
        assert state.strip() == "001"
        shown = terminal.ask("capture-pane", "-p", "-S", "-", "-t", pane).splitlines()
    finally:
        terminal.end()
    expected = [entry.rstrip() for entry in piped.splitlines()]
    got = [entry.rstrip() for entry in shown[: len(expected)]]
    if command == ["report"]:
        expected, got = expected[:-1], got[: len(expected) - 1]  # the path is longer than the terminal
    assert got == expected
