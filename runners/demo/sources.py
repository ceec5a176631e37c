"""Text that every machine with Python has: which files, which domain each belongs to, and which of the demo's two
snapshots: packages that leave after the first one, and packages that come with the second."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SMALLEST, LARGEST = 64, 512 * 2**10
"""Sizes in bytes of the files that become documents."""

NAMED_PACKAGES = 6
"""Packages with the most code, each a domain of its own."""

PART = 0.07
"""Share of the text that leaves, and that comes besides a whole domain."""

_LARGEST_DOMAIN = 0.15
"""A domain that holds more of the text is not left out of the first snapshot."""

_LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")
_PROSE = (".md", ".rst", ".txt")
_TESTS = {"test", "tests", "idle_test", "testing", "_tests"}
_TOPICS = "pydoc_data/topics.py"
_CODE = "(code)"  # a package's code, until it is known which packages are domains


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can become a document.

    ``name`` is its id: the root's label and the path below it. ``topic`` is set for a piece of the pydoc topics, whose
    text is in ``text`` already.
    """

    name: str
    domain: str
    package: str
    size: int
    file: Path
    text: str | None = None

    def read(self) -> str | None:
        """The text, or None if the file cannot be read or is not UTF-8."""
        if self.text is not None:
            return self.text
        try:
            text = self.file.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            return None
        return text if text.strip() else None


@dataclass(frozen=True, slots=True)
class PackageChange:
    """What differs between the snapshots; everything else is in both.

    Attributes:
        left: packages of the first snapshot alone, those with most text first.
        came: packages of the second alone, likewise; that of ``new_domain`` is among them.
        new_domain: a domain that only the second has, or None.
    """

    left: tuple[str, ...]
    came: tuple[str, ...]
    new_domain: str | None

    def before(self, source: Source) -> bool:
        """Whether a document is in the first snapshot."""
        return source.package not in self.came

    def now(self, source: Source) -> bool:
        """Whether a document is in the second snapshot."""
        return source.package not in self.left


def find_sources() -> list[Source]:
    """Every file that can become a document, sorted by name, with its domain."""
    sources = [source for label, root in _roots() for source in _walk(label, root)]
    code: dict[str, int] = defaultdict(int)
    for source in sources:
        if source.domain == _CODE:
            code[source.package] += source.size
    largest = sorted(code, key=lambda package: (-code[package], package))[:NAMED_PACKAGES]
    named = [_with_domain(source, largest) for source in sources] + list(_topics())
    return sorted(named, key=lambda source: source.name)


def choose(sources: list[Source], budget: int) -> list[Source]:
    """At most ``budget`` bytes of them: every domain gets a part that grows with the square root of what it has.

    Within a domain the files of lowest hash are taken, so that a choice is a sample and the same each time.
    """
    by_domain: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        by_domain[source.domain].append(source)
    available = {domain: sum(source.size for source in members) for domain, members in by_domain.items()}
    parts = _parts(available, budget)
    selected = []
    for domain, members in by_domain.items():
        remaining = parts[domain]
        for source in sorted(members, key=lambda source: hashlib.sha256(source.name.encode()).digest()):
            if source.size <= remaining:
                selected.append(source)
                remaining -= source.size
    return sorted(selected, key=lambda source: source.name)


def choose_change(sources: Iterable[Source]) -> PackageChange:
    """Choose whole packages by the hash of their names, outside the standard library where there are enough.

    The smallest domain that is a package comes as a whole. Further packages leave and come until each side has `PART`
    of the text; one that would bring more than half as much again stays.
    """
    size: dict[str, int] = defaultdict(int)
    domains: dict[str, set[str]] = defaultdict(set)
    standard: set[str] = set()
    for source in sources:
        size[source.package] += source.size
        domains[source.package].add(source.domain)
        if source.name.startswith("stdlib/"):
            standard.add(source.package)
    total = sum(size.values())
    named = sorted(
        (package for package, names in domains.items() if package in names and package not in standard),
        key=lambda package: (size[package], package),
    )
    new_domain = named[0] if len(named) > 1 and size[named[0]] <= _LARGEST_DOMAIN * total else None
    outside = [package for package in size if package not in standard]
    enough = sum(size[package] for package in outside) > 4 * PART * total
    others = sorted(
        set(outside if enough else size) - set(named),
        key=lambda package: hashlib.sha256(f"package {package}".encode()).digest(),
    )
    left, rest = _up_to(PART * total, others, size)
    came, _ = _up_to(PART * total, rest, size)
    if new_domain is not None:
        came.append(new_domain)

    def largest_first(packages: list[str]) -> tuple[str, ...]:
        return tuple(sorted(packages, key=lambda package: (-size[package], package)))

    return PackageChange(largest_first(left), largest_first(came), new_domain)


def _parts(available: dict[str, int], budget: int) -> dict[str, float]:
    """Bytes a domain, none above what it has; what a small domain leaves over goes to the others."""
    parts: dict[str, float] = {}
    remaining, open_domains = float(budget), dict(available)
    while open_domains:
        scale = remaining / sum(size**0.5 for size in open_domains.values())
        full = [domain for domain, size in open_domains.items() if size <= scale * size**0.5]
        if not full:
            return parts | {domain: scale * size**0.5 for domain, size in open_domains.items()}
        for domain in full:
            parts[domain] = open_domains.pop(domain)
            remaining -= parts[domain]
    return parts


def _up_to(wanted: float, packages: list[str], size: dict[str, int]) -> tuple[list[str], list[str]]:
    """(packages in their order that hold about as much as is wanted, the others)."""
    selected, others, total = [], [], 0
    for package in packages:
        if total < wanted and total + size[package] <= 1.5 * wanted:
            selected.append(package)
            total += size[package]
        else:
            others.append(package)
    return selected, others


def _roots() -> Iterator[tuple[str, Path]]:
    """(label, folder): the standard library and every site-packages, the base installation's too under a venv."""
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    own = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    shared = [sysconfig.get_path(name, vars=base) for name in ("purelib", "platlib")]
    listed = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    visited: set[Path] = set()
    for label, folder in [
        ("stdlib", sysconfig.get_path("stdlib")),
        *(("site-packages", path) for path in own),
        *(("base-site-packages", path) for path in shared),
        *(("more-site-packages", path) for path in listed),
    ]:
        root = Path(folder).resolve()
        if root not in visited and root.is_dir():
            visited.add(root)
            yield label, root


def _walk(label: str, root: Path) -> Iterator[Source]:
    names: set[str] = set()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", "site-packages", "dist-packages"))
        relative_folder = Path(folder).relative_to(root)
        for file in sorted(files):
            relative = relative_folder / file
            domain = _domain(label, relative)
            path = Path(folder, file)
            if domain is None or relative.as_posix() == _TOPICS or path.is_symlink():
                continue
            try:
                size = path.stat().st_size
                name = f"{label}/{relative.as_posix()}"
                name.encode()
            except (OSError, UnicodeEncodeError):
                continue
            if SMALLEST <= size <= LARGEST and name not in names:
                names.add(name)
                yield Source(name, domain, _package(relative), size, path)


def _domain(label: str, relative: Path) -> str | None:
    parts, suffix = relative.parts, relative.suffix.lower()
    about = parts[0].endswith((".dist-info", ".egg-info"))
    licence = relative.name.upper().startswith(_LICENCES) or "licenses" in parts[:-1]
    if licence and suffix in (*_PROSE, ""):
        return "licences"
    if suffix in _PROSE or (about and relative.name in ("METADATA", "PKG-INFO")):
        return None if about and suffix == ".txt" else "documentation"
    if suffix == ".pyi":
        return "stubs"
    if suffix != ".py":
        return None
    tests = bool(_TESTS & set(parts[:-1]))
    if label == "stdlib":
        return "stdlib-tests" if tests else "stdlib"
    return "package-tests" if tests else _CODE


def _package(relative: Path) -> str:
    first = relative.parts[0]
    for ending in (".dist-info", ".egg-info"):
        if first.endswith(ending):
            return first.removesuffix(ending).rpartition("-")[0] or first.removesuffix(ending)
    return first.removesuffix(".py").removesuffix(".pyi")


def _with_domain(source: Source, largest: list[str]) -> Source:
    if source.domain != _CODE:
        return source
    domain = source.package if source.package in largest else "other-packages"
    return Source(source.name, domain, source.package, source.size, source.file)


def _topics() -> Iterator[Source]:
    """The language reference that ``help()`` shows, a document a topic."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return
    for topic, text in topics.items():
        if len(text) >= SMALLEST:
            name = f"stdlib/{_TOPICS}#{topic}"
            yield Source(name, "documentation", "pydoc_data", len(text.encode()), Path(_TOPICS), text)
