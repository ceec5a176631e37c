"""The demo's two snapshots: which packages leave after the first one, and which come with the second."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from corpus_audit.runners.demo.sources import Source

PART = 0.07
"""Share of the text that leaves, and that comes besides a whole domain."""

_LARGEST_DOMAIN = 0.15
"""A domain that holds more of the text is not left out of the first snapshot."""


@dataclass(frozen=True, slots=True)
class Change:
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


def choose_change(sources: Iterable[Source]) -> Change:
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
    whole = sum(size.values())
    named = sorted(
        (package for package, names in domains.items() if package in names and package not in standard),
        key=lambda package: (size[package], package),
    )
    new_domain = named[0] if len(named) > 1 and size[named[0]] <= _LARGEST_DOMAIN * whole else None
    outside = [package for package in size if package not in standard]
    enough = sum(size[package] for package in outside) > 4 * PART * whole
    others = sorted(
        set(outside if enough else size) - set(named),
        key=lambda package: hashlib.sha256(f"package {package}".encode()).digest(),
    )
    left, rest = _up_to(PART * whole, others, size)
    came, _ = _up_to(PART * whole, rest, size)
    if new_domain is not None:
        came.append(new_domain)

    def largest_first(packages: list[str]) -> tuple[str, ...]:
        return tuple(sorted(packages, key=lambda package: (-size[package], package)))

    return Change(largest_first(left), largest_first(came), new_domain)


def _up_to(wanted: float, packages: list[str], size: dict[str, int]) -> tuple[list[str], list[str]]:
    """(packages in their order that hold about as much as is wanted, the others)."""
    taken, others, held = [], [], 0
    for package in packages:
        if held < wanted and held + size[package] <= 1.5 * wanted:
            taken.append(package)
            held += size[package]
        else:
            others.append(package)
    return taken, others
