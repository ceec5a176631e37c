"""What the package and each of its extras take on disk, in MB, from the environment that this runs in.

``python -m tests.benchmarks.package_weight [--top N]``

A row is the closure of a set of requirements: an extra's row holds what it adds to the package without extras, and a
dependency's row what would go if the package no longer required it. Sizes are those of the installed files, compiled
byte code left out. What is not installed here is named, and missing in the row: run it where all extras are installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NAME = "corpus-audit"


@cache
def distribution(name: str) -> metadata.Distribution | None:
    """The installed distribution of that name, None if there is none."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


@cache
def size(name: str) -> int:
    """Bytes of a distribution's files; 0 if it is not installed."""
    result = distribution(name)
    paths = [] if result is None else [result.locate_file(file) for file in result.files or ()]
    return sum(
        path.stat().st_size  # type: ignore[attr-defined]
        for path in paths
        if path.suffix != ".pyc" and path.is_file()  # type: ignore[attr-defined]
    )


def requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What a distribution with some of its extras requires on this platform."""
    result = distribution(name)
    wanted = []
    for text in (result.requires if result is not None else None) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            wanted.append(requirement)
    return wanted


def closure(roots: Iterable[Requirement]) -> set[str]:
    """Names of all distributions that requirements lead to, installed or not; this package itself left out."""
    seen: set[tuple[str, frozenset[str]]] = set()
    open_ = list(roots)
    while open_:
        requirement = open_.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key not in seen:
            seen.add(key)
            open_ += requirements(*key)
            if key[1]:
                open_ += requirements(key[0], frozenset())
    return {name for name, _ in seen if name != NAME}


def megabytes(names: Iterable[str]) -> float:
    """Size of the installed ones among some distributions."""
    return sum(map(size, names)) / 1e6


def row(label: str, names: set[str], top: int) -> str:
    """A row of the table: MB, number of distributions, and the largest of them."""
    largest = sorted(names, key=lambda name: (-size(name), name))[:top]
    shown = ", ".join(f"{name} {size(name) / 1e6:.0f}" for name in largest if size(name) >= 500_000)
    return f"| {label} | {megabytes(names):,.0f} | {len(names)} | {shown} |"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.package_weight", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--top", type=int, default=4, help="how many of a row's largest distributions are named")
    arguments = parser.parse_args()
    direct = requirements(NAME, frozenset())
    base = closure(direct)
    result = distribution(NAME)
    extras = sorted(result.metadata.get_all("Provides-Extra") or ()) if result is not None else []
    print("| install | MB | distributions | largest |\n| --- | --- | --- | --- |")
    print(row("the package", base, arguments.top))
    everything = set(base)
    for extra in extras:
        names = closure(requirements(NAME, frozenset({extra}))) - base
        everything |= names
        print(row(f"`[{extra}]` adds", names, arguments.top))
    for requirement in sorted(direct, key=lambda entry: entry.name):
        alone = base - closure(other for other in direct if other is not requirement)
        if megabytes(alone) >= 5:
            print(row(f"without {requirement.name} less", alone, arguments.top))
    absent = sorted(name for name in everything if distribution(name) is None)
    if absent:
        print(f"\nNot installed here, and not counted: {', '.join(absent)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
