"""Check the machine that audits are to run on, and advise what to do where a check fails."""

from __future__ import annotations

import fcntl
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corpus_audit.pipelines.tokens.tokenization import TokenizerFile

DISTRIBUTION = "corpus-audit"
USER_EXTRAS = {"s3": "to read s3:// paths", "gcs": "to read gs:// paths", "hub": "to load tokenizers by hub name"}
GIB = 2**30


class CheckStatus(StrEnum):
    """Whether the result of a check allows a run: yes, with a warning, or no."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, and what to do about it (empty if nothing has to be done)."""

    name: str
    status: CheckStatus
    result: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """The result for JSON."""
        return {"name": self.name, "status": self.status.value, "found": self.result, "advice": self.advice}


def examine() -> list[CheckResult]:
    """Run every check, in order; a check that raises an error has failed."""
    findings: list[CheckResult] = []
    for name, check in CHECKS.items():
        try:
            findings += check()
        except Exception as error:  # on a machine that is not ready anything may be missing, and the rest matters still
            findings.append(
                CheckResult(name, CheckStatus.FAIL, f"the check failed with {type(error).__name__}: {error}")
            )
    return findings


def check_python() -> Iterator[CheckResult]:
    """The interpreter against ``requires-python``."""
    from packaging.specifiers import SpecifierSet

    required = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    version = platform.python_version()
    fits = SpecifierSet(required).contains(version, prereleases=True)
    yield CheckResult(
        "python",
        CheckStatus.OK if fits else CheckStatus.FAIL,
        f"{platform.python_implementation()} {version} on {platform.machine()}",
        "" if fits else f"make a virtual environment with Python {required}",
    )


def check_packages() -> Iterator[CheckResult]:
    """Installed versions against the pins; one finding for all that fit, one for each that does not."""
    from packaging.requirements import Requirement

    fitting = 0
    for line in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = None
        if version is not None and requirement.specifier.contains(version, prereleases=True):
            fitting += 1
            continue
        advice = f"pip install '{requirement.name}{requirement.specifier}'"
        result = "is not installed" if version is None else f"{version} is outside {requirement.specifier}"
        yield CheckResult("packages", CheckStatus.FAIL, f"{requirement.name} {result}", advice)
    yield CheckResult(
        "packages", CheckStatus.OK, f"{fitting} packages as pinned, corpus-audit {metadata.version(DISTRIBUTION)}"
    )


def check_extras() -> Iterator[CheckResult]:
    """Optional packages: their absence is fine until a spec asks for them."""
    from packaging.requirements import Requirement

    for line in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        for extra, use in USER_EXTRAS.items():
            if requirement.marker is None or not requirement.marker.evaluate({"extra": extra}):
                continue
            if requirement.marker.evaluate({"extra": ""}):
                continue
            try:
                result = f"{requirement.name} {metadata.version(requirement.name)}"
            except metadata.PackageNotFoundError:
                result = f"{requirement.name} is not installed; pip install 'corpus-audit[{extra}]' {use}"
            yield CheckResult(f"extra {extra}", CheckStatus.OK, result)


def check_tokenizers() -> Iterator[CheckResult]:
    """Whether the fast tokenizer can be had, and whether it gives the reference's ids for a small vocabulary."""
    from corpus_audit.pipelines.tokens.tokenization import FAST, Tokenization

    with tempfile.TemporaryDirectory() as folder:
        tokenization = Tokenization(_small_tokenizer(Path(folder)))
    if tokenization.path == FAST:
        result = f"{FAST} {tokenization.path_version} agrees with tokenizers {tokenization.reference_version}"
        yield CheckResult("fast tokenizer", CheckStatus.OK, result)
        return
    yield CheckResult(
        "fast tokenizer",
        CheckStatus.WARN,
        f"cannot be used: {tokenization.reason}",
        "runs are exact without it, and slower: about 2 MB/s a core; wheels exist for x86-64 and arm64",
    )


def _small_tokenizer(folder: Path) -> TokenizerFile:
    """A byte-level BPE of a few hundred tokens, trained on a sentence and kept in ``folder``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from corpus_audit.pipelines.tokens.tokenization import load_tokenizer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False, initial_alphabet=alphabet, min_frequency=1)
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog, and the dog sleeps on"], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return load_tokenizer("tokenizer.json", folder, folder)


def check_kernel_cache() -> Iterator[CheckResult]:
    """Whether compiled kernels can be kept: beside their source, or in a folder of the user's."""
    import corpus_audit.pipelines

    named = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(corpus_audit.pipelines.__path__[0])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in [Path(named)] if named else [beside, home]:
        if _writable(folder):
            yield CheckResult("kernel cache", CheckStatus.OK, f"{folder} can be written")
            return
    yield CheckResult(
        "kernel cache",
        CheckStatus.WARN,
        "no folder for compiled kernels: every run compiles them again",
        "set NUMBA_CACHE_DIR to a folder that you can write to",
    )


def check_memory() -> Iterator[CheckResult]:
    """Memory that this process may use: the machine's, or its control group's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    where = "of memory"
    limit = _control_group_limit()
    if limit is not None and limit < total:
        total, where = limit, "of memory in this control group"
    status = CheckStatus.OK if total >= 3 * GIB else CheckStatus.WARN if total >= 2 * GIB else CheckStatus.FAIL
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "" if status is CheckStatus.OK else "an audit takes up to about 1.5 GB besides what the machine needs"
    yield CheckResult("memory", status, f"{total / GIB:.1f} GiB {where}, {cores} cores", advice)


def _control_group_limit() -> int | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def check_disk() -> Iterator[CheckResult]:
    """Room in the current folder, where runs go by default, and in the temporary folder."""
    folders = (
        ("disk here", Path.cwd(), CheckStatus.WARN, "name another `output:` in the audit file"),
        ("temp folder", Path(tempfile.gettempdir()), CheckStatus.FAIL, "set TMPDIR to a folder that you can write to"),
    )
    for name, folder, severity, otherwise in folders:
        if not _writable(folder):
            yield CheckResult(name, severity, f"{folder} cannot be written", otherwise)
            continue
        free = shutil.disk_usage(folder).free
        status = CheckStatus.OK if free >= 5 * GIB else CheckStatus.WARN if free >= GIB // 2 else CheckStatus.FAIL
        advice = (
            "" if status is CheckStatus.OK else "the profile store can take as much room as the text it was made from"
        )
        yield CheckResult(name, status, f"{free / GIB:.1f} GiB free in {folder}", advice)


def check_locks() -> Iterator[CheckResult]:
    """Whether the current folder's file system has locks, which keep two runs out of one output folder."""
    if not _writable(Path.cwd()):
        return
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            yield CheckResult(
                "file locks",
                CheckStatus.WARN,
                f"this file system has none ({error.strerror}); a lock file is used instead",
                "after a crash on another host that file may have to be removed by hand",
            )
            return
    yield CheckResult("file locks", CheckStatus.OK, "work in the current folder")


def check_engine() -> Iterator[CheckResult]:
    """Whether the engine can be imported at all; its version is checked with the packages."""
    try:
        importlib.import_module("corpus_audit.runners.engines.launch.engines")
    except ImportError as error:
        yield CheckResult("engine", CheckStatus.FAIL, f"cannot be imported: {error}", f"{sys.executable} -m pip check")
        return
    yield CheckResult("engine", CheckStatus.OK, f"Apache Beam {metadata.version('apache-beam')}, embedded")


def _writable(folder: Path) -> bool:
    """Whether a file can be made in the folder, or the folder be made: permission bits do not tell on every mount."""
    if not folder.is_dir():
        parent = next((parent for parent in folder.parents if parent.exists()), None)
        return parent is not None and parent.is_dir() and os.access(parent, os.W_OK)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


CHECKS: dict[str, Callable[[], Iterator[CheckResult]]] = {
    "python": check_python,
    "packages": check_packages,
    "engine": check_engine,
    "fast tokenizer": check_tokenizers,
    "kernel cache": check_kernel_cache,
    "memory": check_memory,
    "disk": check_disk,
    "file locks": check_locks,
    "extras": check_extras,
}
"""Every check, by name, in the order in which it is reported."""
