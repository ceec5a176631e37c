import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.pages import blocks

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "pipelines", "embeddings", "checks", "runners")
FOLDERS = (*PACKAGES, "tests")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_in_the_tree():
    """Dotted names of every folder of the packages that holds modules."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    return {"corpus_audit." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}


def test_the_listed_packages_are_those_in_the_tree():
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_in_the_tree()
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {f"corpus_audit.{name}": name for name in PACKAGES}


def test_every_package_has_an_init():
    missing = [name for name in packages_in_the_tree() if not (_folder(name) / "__init__.py").is_file()]
    assert missing == []


def _folder(package):
    return ROOT.joinpath(*package.split(".")[1:])


def test_the_console_script_is_there():
    from corpus_audit.runners.cli.main import main

    assert PROJECT["project"]["scripts"] == {
        "corpus-audit": "corpus_audit.runners.cli.main:main",
        "corpus-audit-worker": "corpus_audit.pipelines.beam.worker:main",
    }
    assert callable(main)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_has_a_readme(folder):
    assert (ROOT / folder / "README.md").stat().st_size > 200


def test_ci_runs_the_readmes_commands_as_written():
    demo, tests = (block.text.strip() for block in blocks("README.md", language="bash")[:2])
    assert demo.endswith("corpus-audit demo") and "pytest" in tests
    assert len(demo.splitlines()) == len(tests.splitlines()) == 1
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"demo_command() {{\n  {demo}\n}}" in script
    assert f"test_command() {{\n  {tests}\n}}" in script


def test_ci_script_can_be_run():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_template_and_no_tests(tmp_path):
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".git", ".venv*", ".typing", "__pycache__", "*.egg-info", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignored)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "wheel", source], check=True
    )
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    packaged = {name.removeprefix("corpus_audit/") for name in names}
    suffixes = {".py", ".md", ".html", ".css", ".yaml", ".json", ".cron", ".service", ".timer", ".example", ".xml"}
    wanted = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.suffix in suffixes or path.name == "Dockerfile"
    }
    assert packaged == wanted
