"""The examples of every page: specs load, policies are valid, commands and options exist, links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from corpus_audit.checks.policy.check import mistakes
from corpus_audit.runners.cli.main import COMMANDS, cli
from corpus_audit.schemas.errors import ExitCode
from corpus_audit.schemas.spec.audit import AuditSpec, ImagesSpec
from corpus_audit.schemas.spec.audit_file import load_audit
from corpus_audit.schemas.spec.policy_file import load_policy
from corpus_audit.schemas.tables.run_tables import TABLES
from tests.pages import PAGES, ROOT, Block, block, blocks, parse, prose, read

AUDIT = ("schemas/spec/README.md", "An audit")
"""The audit that has most sections; each section of another page is tried in it."""

IMAGES = ("pipelines/reading/README.md", "Images")

SECTIONS = {
    ("pipelines/drift/README.md", "Compare with an earlier run"): "baseline",
    ("pipelines/sampling/README.md", "Compare sampling strategies"): "sampling",
    ("pipelines/contamination/README.md", "Look for benchmarks in the corpus"): "benchmarks",
    ("embeddings/README.md", "Make an index"): "embedding",
    ("embeddings/images/README.md", "Index an image corpus"): "embedding",
    ("runners/schedules/README.md", "Dates in paths"): "snapshot",
    ("runners/schedules/README.md", "Notifications"): "notify",
    ("runners/engines/README.md", "On an object store"): "remote",
}
POLICY = ("checks/policy/README.md", "Judge a run by a policy")
OF_INVESTIGATIONS = ("checks/investigation/README.md", "Judge an investigation")
WAIVER = ("checks/signoff/README.md", "Sign off")


def test_blocks_are_parsed() -> None:
    text = "intro\n```\na\n```\n## One\n```yaml\n# no heading\nb: 1\n```\n### Two\n```bash\nc\n```\n"
    assert parse(text) == [
        Block("", "", "a\n"),
        Block("One", "yaml", "# no heading\nb: 1\n"),
        Block("Two", "bash", "c\n"),
    ]


def loaded(folder: Path, text: str) -> AuditSpec:
    path = folder / "audit.yaml"
    path.write_text(text, encoding="utf-8")
    return load_audit(path).spec


def with_section(audit: str, section: str) -> str:
    """An audit with a section more; sections of the same name are replaced."""
    names = re.findall(r"^(\w+):", section, flags=re.MULTILINE)
    parts = re.split(r"^(?=\w)", audit, flags=re.MULTILINE)
    return "".join(part for part in parts if part.partition(":")[0] not in names) + section


def test_the_readmes_audit_is_valid_and_short(tmp_path: Path) -> None:
    text = block("README.md", "Audit your own corpus", "yaml")
    assert len(text.splitlines()) <= 10
    spec = loaded(tmp_path, text)
    assert spec.mixture is not None and spec.mixture.shares == {"web": 0.7, "code": 0.3}


def test_the_audit_with_most_sections_is_valid(tmp_path: Path) -> None:
    spec = loaded(tmp_path, block(*AUDIT, "yaml"))
    assert spec.mixture is not None and spec.mixture.shares == {"web": 0.7, "code": 0.3}
    assert len(spec.filter) == 1 and set(spec.document.facets) == {"language", "host"}


def test_the_audit_of_images_is_valid_and_states_the_default_limits(tmp_path: Path) -> None:
    spec = loaded(tmp_path, block(*IMAGES, "yaml"))
    assert spec.has_images and spec.images == ImagesSpec()


@pytest.mark.parametrize(("page", "heading"), SECTIONS)
def test_sections_of_an_audit_are_valid(tmp_path: Path, page: str, heading: str) -> None:
    section = block(page, heading, "yaml")
    assert section.startswith(f"{SECTIONS[page, heading]}:")
    text = with_section(block(*AUDIT, "yaml"), section)
    spec, plain = loaded(tmp_path, text), loaded(tmp_path, block(*AUDIT, "yaml"))
    name = SECTIONS[page, heading]
    assert getattr(spec, name) != getattr(plain, name)
    assert spec.model_copy(update={name: getattr(plain, name)}) == plain


def test_the_policy_and_the_waiver_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(block(*POLICY, "yaml") + block(*WAIVER, "yaml"), encoding="utf-8")
    policy = load_policy(path)
    assert not mistakes(policy) and len(policy.policy.rules) == len(policy.policy.waivers) == 1


def test_no_yaml_block_is_left_out() -> None:
    tried = {("README.md", "Audit your own corpus"), AUDIT, IMAGES, *SECTIONS, POLICY, WAIVER, OF_INVESTIGATIONS}
    assert {(page, part.heading) for page in PAGES for part in blocks(page, language="yaml")} == tried


def test_every_table_and_exit_code_is_described() -> None:
    assert set(re.findall(r"`(\w+)\.parquet`", read("schemas/tables/README.md"))) == set(TABLES)
    cells = re.findall(r"^\| ([\d, ]+) \|", read("README.md"), flags=re.MULTILINE)
    assert {int(code) for cell in cells for code in cell.split(",")} == {int(code) for code in ExitCode} | {143}


def test_the_readme_describes_every_command() -> None:
    table = read("README.md").split("\n## Commands\n")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in first for name in re.findall(r"`([\w-]+)`", cell)) == sorted(COMMANDS)


def command_lines(page: str) -> Iterator[str]:
    """Command lines of ``corpus-audit`` on a page, in blocks and in backticks."""
    for part in blocks(page):
        text = re.sub(r"\\\n\s*", "", part.text)
        yield from re.findall(r"^(?:\$ )?(corpus-audit .*)", text, flags=re.MULTILINE)
    yield from (" ".join(line.split()) for line in re.findall(r"`(corpus-audit [^`]+)`", prose(page)))


def unknown_part(line: str) -> str | None:
    """The first word of a command line that is no command or option; None if all are."""
    _, name, *words = shlex.split(line, comments=True)
    if name == "COMMAND" or name.startswith("--"):
        return None
    command = cli.get_command(click.Context(cli), name)
    if command is None:
        return name
    if not words:
        return None
    if isinstance(command, click.Group):
        below = next((word for word in words if word in command.commands), None)
        default = next((known for known in ("text", "build", "run") if known in command.commands), None)
        if below is None and default is None:  # `index` builds, `trace` takes a text, `investigate` runs
            return " ".join(words)
        command = command.commands[str(below or default)]
    options = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
    words = words[: words.index("--")] if "--" in words else words
    given = (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word))
    return next((word for word in given if word not in {*options, "--help"}), None)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page: str) -> None:
    assert {line: bad for line in command_lines(page) if (bad := unknown_part(line))} == {}


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("corpus-audit audit a.yaml", "audit"),
        ("corpus-audit run a.yaml --fast", "--fast"),
        ("corpus-audit keys make x", "make x"),
        ("corpus-audit policy diff old.yaml new.yaml --run r", "--run"),
        ("corpus-audit run a.yaml --set=a.b=1 -- --max_bundle_size=100  # --fast", None),
        ("corpus-audit index a.yaml --directions f:3", None),
    ],
)
def test_unknown_commands_and_options_are_noticed(line: str, bad: str | None) -> None:
    assert unknown_part(line) == bad


def paths_named(text: str) -> list[str]:
    """Modules, folders and documents in backticks: ``a/b.py``, ``a/``, ``a.md``; no globs and no placeholders."""
    names = re.findall(r"`([^`\s]+)`", text)
    return [name for name in names if re.fullmatch(r"[\w./-]*(\.py|\.md|\.toml|/|\.ci/run)", name)]


def test_paths_are_recognised() -> None:
    text = "`a/b.py` `c/` `d.md` `run.json` `*.py` `x --y` `.ci/run`"
    assert paths_named(text) == ["a/b.py", "c/", "d.md", ".ci/run"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_what_exists(page: str) -> None:
    folders = ((ROOT / page).parent, ROOT)
    names = paths_named(prose(page))
    assert [name for name in names if not any((folder / name).exists() for folder in folders)] == []


@pytest.mark.parametrize("page", PAGES)
def test_modules_and_extras_exist(page: str) -> None:
    text = read(page)
    modules = set(re.findall(r"python -m ((?:tests|corpus_audit)[\w.]*)", text))
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"corpus-audit\[(\w+)\]", text)) <= set(extras)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_import_what_exists(page: str) -> None:
    for part in blocks(page, language="python"):
        for node in ast.parse(part.text).body:
            if isinstance(node, ast.ImportFrom):
                try:
                    module = importlib.import_module(str(node.module))
                except ModuleNotFoundError as error:
                    if error.name not in {"torch", "transformers", "safetensors"}:
                        raise
                    pytest.skip(f"{error.name} is not installed (extra: embeddings)")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_of_the_repository(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose(page))
    folder = (ROOT / page).parent
    assert [target for target in targets if not (folder / target).exists()] == []


def test_hooks_before_a_commit_run_the_linters_of_ci_and_fetch_nothing() -> None:
    config: Any = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for hook in hooks:
        program, verb, *_ = hook["entry"].split()
        assert f"{program} {verb}" in script
