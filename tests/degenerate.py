"""Snapshots in which something that is divided by, sampled or compared is not there: empty, alone, equal, or all new.

`SNAPSHOTS` are for audits without a cluster field, `CLUSTERED` for audits with one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.oracle import Document

DOMAINS = tuple(f"d{number:02d}" for number in range(12))
WORDS = ("river", "stone", "light", "under", "seven", "garden", "north", "paper", "quiet", "winter", "market", "bread")
OTHER_WORDS = ("ZQX", "JJK", "VVW", "QQH", "XKZ", "WJQ")


def document(number: int, text: str, domain: str | None, cluster: str | None = None) -> Document:
    return Document(text=text, id=f"doc-{number}", facets={"domain": domain, "language": "en"}, cluster=cluster)


def made(number: int, words: tuple[str, ...] = WORDS, start: int = 0, joint: str = " ") -> list[Document]:
    """Documents of random words, dealt to the 12 domains; the same for the same numbers."""
    result = []
    for n in range(start, start + number):
        rng = random.Random(n)
        text = joint.join([str(n % 97) if words is WORDS else "", *rng.choices(words, k=rng.randint(8, 30))])
        result.append(document(n, text, DOMAINS[n % len(DOMAINS)], f"host-{n % 40}"))
    return result


BASE = made(240)


def _permuted() -> list[Document]:
    shuffled = list(BASE)
    random.Random(7).shuffle(shuffled)
    return shuffled


def _zero_tokens_in_one_domain() -> list[Document]:
    return [replace(entry, text="") if entry.facets["domain"] == DOMAINS[0] else entry for entry in BASE]


SNAPSHOTS: dict[str, Callable[[], list[Document]]] = {
    "base": lambda: BASE,
    "permuted": _permuted,
    "relabelled": lambda: [replace(entry, id=f"other-{entry.id}") for entry in BASE],
    "doubled": lambda: [*BASE, *(replace(entry, id=f"copy-{entry.id}") for entry in BASE)],
    "subset": lambda: BASE[:100],
    "superset": lambda: [*BASE, *made(9, start=1000)],
    "one document": lambda: BASE[:1],
    "two documents": lambda: made(2, start=5000),
    "all empty": lambda: [document(n, "", "d00") for n in range(5)],
    "empty in every domain": lambda: [document(n, "", DOMAINS[n % 12]) for n in range(60)],
    "one domain": lambda: [replace(entry, facets=entry.facets | {"domain": "d03"}) for entry in made(60, start=2000)],
    "in one of 12 domains": lambda: [entry for entry in BASE if entry.facets["domain"] == "d00"],
    "domain gone": lambda: [entry for entry in BASE if entry.facets["domain"] != "d11"],
    "domain new": lambda: [*BASE, *(document(n, f"{n} {WORDS[n % 12]}", "d99") for n in range(6000, 6040))],
    "one token type": lambda: [document(n, "a" * (1 + n % 3), DOMAINS[n % 12]) for n in range(60)],
    "one text": lambda: [document(n, "the same text", DOMAINS[n % 2]) for n in range(60)],
    "disjoint vocabulary": lambda: made(120, OTHER_WORDS, start=9000, joint=""),
    "one huge": lambda: [document(0, BASE[0].text * 2000, "d00"), *(document(n, "x", "d01") for n in range(1, 60))],
    "single characters": lambda: [document(n, chr(97 + n % 26), DOMAINS[n % 12]) for n in range(60)],
    "zero tokens in one domain": _zero_tokens_in_one_domain,
    "null domain": lambda: [replace(entry, facets=entry.facets | {"domain": None}) for entry in BASE[:40]],
    "small": lambda: made(7, start=300),
}

CLUSTERED: dict[str, Callable[[], list[Document]]] = {
    "base": lambda: BASE,
    "null clusters": lambda: [replace(entry, cluster=None) for entry in BASE],
    "one cluster": lambda: [replace(entry, cluster="host") for entry in BASE],
    "subset": lambda: BASE[:100],
    "all empty": lambda: [document(n, "", "d00") for n in range(5)],
    "one document": lambda: BASE[:1],
}
