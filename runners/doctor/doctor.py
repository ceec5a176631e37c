"""Checks of the machine that an audit is to run on: what was found, and what to do where it is not enough."""

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

    pass

DISTRIBUTION = "corpus-audit"
USER_EXTRAS = {"s3": "to read s3:// paths", "gcs": "to read gs:// paths", "hub": "to load tokenizers by hub name"}
GIB = 2**30


class Status(StrEnum):
    """Whether a finding stands in the way of a run."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and what to do about it (empty where there is nothing to do)."""

    name: str
    status: Status
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """The finding for JSON."""
        return {"name": self.name, "status": self.status.value, "found": self.found, "advice": self.advice}


def examine() -> list[Finding]:
    """Run every check, in the order in which a person would; a check that breaks is itself a finding."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check()
        except Exception as error:
            findings.append(Finding(name, Status.FAIL, f"the check broke: {type(error).__name__}: {error}"))
    return findings


def check_python() -> Iterator[Finding]:
    """The interpreter against ``requires-python``."""
    from packaging.specifiers import SpecifierSet

    required = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    version = platform.python_version()
    fits = SpecifierSet(required).contains(version, prereleases=True)
    yield Finding(
        "python",
        Status.OK if fits else Status.FAIL,
        f"{platform.python_implementation()} {version} on {platform.machine()}",
        "" if fits else f"make a virtual environment with Python {required}",
    )


def check_packages() -> Iterator[Finding]:
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
        found = "is not installed" if version is None else f"{version} is outside {requirement.specifier}"
        yield Finding("packages", Status.FAIL, f"{requirement.name} {found}", advice)
    yield Finding("packages", Status.OK, f"{fitting} packages as pinned, corpus-audit {metadata.version(DISTRIBUTION)}")


def check_extras() -> Iterator[Finding]:
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
                found = f"{requirement.name} {metadata.version(requirement.name)}"
            except metadata.PackageNotFoundError:
                found = f"{requirement.name} is not installed; pip install 'corpus-audit[{extra}]' {use}"
            yield Finding(f"extra {extra}", Status.OK, found)


def check_tokenizers() -> Iterator[Finding]:
    """Whether the fast tokenizer can be had, and whether it gives the reference's ids for a small vocabulary."""
    from corpus_audit.pipelines.tokens.tokenization import FAST, Tokenization

    with tempfile.TemporaryDirectory() as folder:
        tokenization = Tokenization(_small_tokenizer(Path(folder)))
    if tokenization.path == FAST:
        found = f"{FAST} {tokenization.path_version} agrees with tokenizers {tokenization.reference_version}"
        yield Finding("fast tokenizer", Status.OK, found)
        return
    yield Finding(
        "fast tokenizer",
        Status.WARN,
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


def check_kernel_cache() -> Iterator[Finding]:
    """Whether compiled kernels can be kept: beside their source, or in a folder of the user's."""
    import corpus_audit.pipelines

    named = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(corpus_audit.pipelines.__path__[0])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in [Path(named)] if named else [beside, home]:
        if _writable(folder):
            yield Finding("kernel cache", Status.OK, f"{folder} can be written")
            return
    yield Finding(
        "kernel cache",
        Status.WARN,
        "no folder to keep compiled kernels in: they are compiled anew in every run",
        "set NUMBA_CACHE_DIR to a folder that you can write to",
    )


def check_memory() -> Iterator[Finding]:
    """Memory that this process may use: the machine's, or its control group's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    where = "of memory"
    limit = _control_group_limit()
    if limit is not None and limit < total:
        total, where = limit, "of memory in this control group"
    status = Status.OK if total >= 3 * GIB else Status.WARN if total >= 2 * GIB else Status.FAIL
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "" if status is Status.OK else "an audit takes up to about 1.5 GB besides what the machine needs"
    yield Finding("memory", status, f"{total / GIB:.1f} GiB {where}, {cores} cores", advice)


def _control_group_limit() -> int | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def check_disk() -> Iterator[Finding]:
    """Room in the current folder, where runs go by default, and in the temporary folder."""
    places = (
        ("disk here", Path.cwd(), Status.WARN, "name another `output:` in the audit file"),
        ("temp folder", Path(tempfile.gettempdir()), Status.FAIL, "set TMPDIR to a folder that you can write to"),
    )
    for name, folder, severity, otherwise in places:
        if not _writable(folder):
            yield Finding(name, severity, f"{folder} cannot be written", otherwise)
            continue
        free = shutil.disk_usage(folder).free
        status = Status.OK if free >= 5 * GIB else Status.WARN if free >= GIB // 2 else Status.FAIL
        advice = "" if status is Status.OK else "the profile store can take as much room as the text it was made from"
        yield Finding(name, status, f"{free / GIB:.1f} GiB free in {folder}", advice)


def check_locks() -> Iterator[Finding]:
    """Whether the current folder's file system has locks, which keep two runs out of one output folder."""
    if not _writable(Path.cwd()):
        return
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            yield Finding(
                "file locks",
                Status.WARN,
                f"this file system has none ({error.strerror}); a lock file is used instead",
                "after a crash on another host that file may have to be removed by hand",
            )
            return
    yield Finding("file locks", Status.OK, "work in the current folder")


def check_engine() -> Iterator[Finding]:
    """Whether the engine can be imported at all; its version is checked with the packages."""
    try:
        importlib.import_module("corpus_audit.runners.engines.launch.engines")
    except ImportError as error:
        yield Finding("engine", Status.FAIL, f"cannot be imported: {error}", f"{sys.executable} -m pip check")
        return
    yield Finding("engine", Status.OK, f"Apache Beam {metadata.version('apache-beam')}, embedded")


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


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
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
