"""The cache of machine code: in processes of their own, on a package of two kernels that lies where ours would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from corpus_audit import pipelines
from corpus_audit.pipelines.kernels.counters.bits import set_bits

OUTER = """
from corpus_audit.pipelines.kernels.{within}inner import inner
from corpus_audit.pipelines.kernels.compiler.jit import kernel

@kernel
def outer(x):
    return inner(x) * 10
"""
INNER = """
from corpus_audit.pipelines.kernels.compiler.jit import kernel

@kernel
def inner(x):
    return x + {added}
"""
SAY = """
from corpus_audit.pipelines.kernels.outer import outer
result = [outer(each) for each in {values}]
print(*result, sum(outer.stats.cache_hits.values()), sum(outer.stats.cache_misses.values()))
"""


class Package:
    """A corpus_audit of two kernels; ``folder`` is where they lie."""

    def __init__(self, root: Path, within: str = "") -> None:
        self.root = root
        self.folder = root / "corpus_audit" / "pipelines" / "kernels"
        for folder in (self.folder / "compiler", self.folder.parent / "progress"):
            folder.mkdir(parents=True)
            (folder / "__init__.py").touch()
        for folder in self.folder.parents[:2]:
            (folder / "__init__.py").touch()
        ours = Path(pipelines.__path__[0])
        for name in ("kernels/__init__", "kernels/compiler/jit", "kernels/compiler/machine_code", "progress/board"):
            shutil.copy(ours / f"{name}.py", self.folder.parent / f"{name}.py")
        (self.folder / "outer.py").write_text(OUTER.format(within=within and f"{within}."))
        self.inner = self.folder / within / "inner.py"
        self.inner.parent.mkdir(exist_ok=True)
        self.change(1)

    def change(self, added: int) -> None:
        self.inner.write_text(INNER.format(added=added))

    def start(self, values: str = "[1]") -> subprocess.Popen:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        environment |= {"PYTHONPATH": str(self.root), "XDG_CACHE_HOME": str(self.root / "home")}
        command = [sys.executable, "-c", SAY.format(values=values)]
        return subprocess.Popen(command, env=environment, cwd=self.root, stdout=subprocess.PIPE, text=True)

    def say(self, values: str = "[1]") -> list[str]:
        """What the kernel gives for the values, how many signatures came from the cache and how many did not."""
        process = self.start(values)
        printed, _ = process.communicate()
        assert process.returncode == 0
        return printed.split()

    def kept(self, where: str = "corpus_audit") -> list[Path]:
        return sorted((self.root / where).rglob("outer.outer-*.nb?"))


@pytest.fixture
def package(tmp_path) -> Package:
    return Package(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("within", ["", "folder"])
def test_a_kernel_is_compiled_anew_when_one_that_it_calls_changes(tmp_path, within):
    package = Package(tmp_path, within)
    assert package.say() == ["20", "0", "1"]
    assert package.say() == ["20", "1", "0"]
    (old,) = package.kept()
    package.change(1000)
    assert package.say() == ["10010", "0", "1"]
    assert package.say() == ["10010", "1", "0"]
    assert old not in package.kept() and len(package.kept()) == 1  # what is outdated does not pile up


@pytest.mark.slow
def test_numbas_own_cache_would_have_run_the_old_one(package):
    plain = "import numba\nkernel = numba.njit(cache=True)\n"
    (package.folder / "compiler" / "jit.py").write_text(plain)
    assert package.say()[0] == "20"
    package.change(1000)
    assert package.say()[0] == "20"


@pytest.mark.slow
def test_a_folder_of_sources_that_cannot_be_written(package):
    for each in package.folder.rglob("__pycache__"):
        shutil.rmtree(each)
    (package.folder / "__pycache__").touch()  # a file: no folder can be made here, whoever asks
    assert package.say() == ["20", "0", "1"]
    assert package.say() == ["20", "1", "0"]
    assert package.kept("home")
    package.change(1000)
    assert package.say() == ["10010", "0", "1"]
    shutil.rmtree(package.root / "home")
    (package.root / "home").touch()
    assert package.say() == package.say() == ["10010", "0", "1"]  # compiled anew by both


@pytest.mark.slow
def test_processes_that_compile_one_kernel_for_different_types(package):
    values = {"[1]": "20", "[1.5]": "25.0", "[2j]": "(10+20j)", "[True]": "20"}
    processes = [package.start(each) for each in values]
    assert [each.communicate()[0].split()[0] for each in processes] == list(values.values())
    assert package.say("[1, 1.5, 2j, True]") == [*values.values(), "4", "0"]


@pytest.mark.slow
def test_a_file_that_was_cut_or_damaged(package):
    package.say()
    (path,) = package.kept()
    content = path.read_bytes()
    for broken in (content[:-100], content[:3000] + bytes([content[3000] ^ 1]) + content[3001:]):
        path.write_bytes(broken)
        assert package.say() == ["20", "0", "1"]
        assert path.read_bytes() != broken
    assert package.say() == ["20", "1", "0"]


def test_sources_that_change_while_a_process_runs(package):
    (package.folder / "outer.py").write_text(
        OUTER.format(within="")
        + "\nfrom pathlib import Path\nPath(__file__).with_name('inner.py').write_text('# another version')\n"
    )
    assert package.say() == ["20", "0", "1"]
    assert not package.kept()


LOAD_ALL = """
import hashlib, importlib, pickle, pkgutil, sys
from corpus_audit.pipelines import kernels
from corpus_audit.pipelines.kernels.compiler.machine_code import SOURCES, MachineCode
from numba.core.registry import CPUDispatcher
from numba.core.runtime.nrt import rtsys

loaded = 0
for module in pkgutil.walk_packages(kernels.__path__, "corpus_audit.pipelines.kernels."):
    for kernel in vars(importlib.import_module(module.name)).values():
        if not isinstance(kernel, CPUDispatcher) or not isinstance(kernel._cache, MachineCode):
            continue
        rtsys.initialize(kernel.targetctx)
        named = kernel._cache._cache_file._path(()).name.rsplit(".", 2)[0]
        for path in kernel._cache._cache_file._path(()).parent.glob(f"{named}.*.nbc"):
            code = pickle.loads(path.read_bytes()[hashlib.blake2b().digest_size:])
            kernel._cache._impl.rebuild(kernel.targetctx, code)  # ends the process if the code calls what is missing
            loaded += 1
print(loaded, "numba.np.linalg" in sys.modules)
"""


def test_code_of_the_cache_needs_none_of_what_the_compiler_imports():
    """Of whatever kernels have been compiled here before: one is, so that there is some."""
    assert set_bits(np.array([5], np.uint64)) == 2
    done = subprocess.run([sys.executable, "-c", LOAD_ALL], capture_output=True, text=True, check=True)
    loaded, compiler = done.stdout.split()
    assert int(loaded) >= 1
    assert compiler == "False"
