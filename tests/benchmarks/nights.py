"""A month of nightly audits of one corpus: verdict, exit code, headline and notification of each kind of night.

`python -m tests.benchmarks.nights --out nights.json` prints a row a night: what happened to the corpus, the verdict,
the exit code, whether the owner was notified, and the headline of the comparison with the last good run. Beside each
kind of night is what a reasonable owner would want: which exit codes, whether to be woken, and how the headline begins.
It exits with 1 where a night is not like that.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from corpus_audit.checks.policy.starters import starter_text
from tests.corpora import real_documents, small_bpe, write_shard
from tests.oracle import Document

DOCUMENTS = 1_072
PER_SHARD = 128
QUIET, LOUD = (0,), (1, 3)


@dataclass(frozen=True)
class Event:
    """What happened on a night, and what a reasonable owner wants of it.

    Attributes:
        name: in words.
        change: the corpus, documents that it never had, random numbers -> the corpus of the night.
        expected: exit codes that are right.
        notified: whether the owner is to be notified (`notify:` of fail, none and error).
        says: how the headline begins; any of them.
        tells: words that are in it.
    """

    name: str
    change: Callable[[list[Document], list[Document], random.Random], list[Document]]
    expected: tuple[int, ...]
    notified: bool
    says: tuple[str, ...]
    tells: str = ""


@dataclass(frozen=True)
class Night:
    """What the audit of one night said."""

    number: int
    event: str
    expected: tuple[int, ...]
    exit_code: int
    verdict: str
    headline: str
    notified: str
    wrong: str


def added(number: int) -> Callable[[list[Document], list[Document], random.Random], list[Document]]:
    """So many documents that the corpus never had come to its end."""

    def change(now: list[Document], unused: list[Document], _: random.Random) -> list[Document]:
        if len(unused) < number:
            raise ValueError(f"{number} documents are to be added, and {len(unused)} are left")
        new, unused[:] = unused[:number], unused[number:]
        return [*now, *new]

    return change


def removed(number: int) -> Callable[[list[Document], list[Document], random.Random], list[Document]]:
    """So many documents are retracted."""

    def change(now: list[Document], _: list[Document], rng: random.Random) -> list[Document]:
        gone = set(rng.sample(range(len(now)), number))
        return [document for at, document in enumerate(now) if at not in gone]

    return change


def edited(number: int) -> Callable[[list[Document], list[Document], random.Random], list[Document]]:
    """So many documents are corrected: a paragraph comes to their end."""

    def change(now: list[Document], _: list[Document], rng: random.Random) -> list[Document]:
        which = set(rng.sample(range(len(now)), number))
        return [replace(d, text=f"{d.text}\n\nErratum {at}.\n") if at in which else d for at, d in enumerate(now)]

    return change


def moved(number: int) -> Callable[[list[Document], list[Document], random.Random], list[Document]]:
    """So many documents of the largest domain are labelled as of another."""

    def change(now: list[Document], _: list[Document], __: random.Random) -> list[Document]:
        names = [d.facets["domain"] for d in now]
        first, second = sorted(set(names), key=lambda name: (-names.count(name), name or ""))[:2]
        which = [at for at, name in enumerate(names) if name == first][:number]
        return [replace(d, facets={**d.facets, "domain": second}) if at in which else d for at, d in enumerate(now)]

    return change


def extracted_again(now: list[Document], _: list[Document], __: random.Random) -> list[Document]:
    """Another extractor: tabs and runs of spaces become one space, in every document."""
    return [replace(d, text="\n".join(" ".join(line.split()) for line in d.text.split("\n"))) for d in now]


def domain_lost(now: list[Document], _: list[Document], __: random.Random) -> list[Document]:
    """The largest domain is gone."""
    names = [d.facets["domain"] for d in now]
    largest = max(set(names), key=lambda name: (names.count(name), name or ""))
    return [d for d in now if d.facets["domain"] != largest]


def shuffled(now: list[Document], _: list[Document], rng: random.Random) -> list[Document]:
    """The same documents in another order, so that every shard differs."""
    return rng.sample(now, len(now))


def shard_twice(now: list[Document], _: list[Document], __: random.Random) -> list[Document]:
    """A shard was delivered twice."""
    return [*now, *now[: 2 * PER_SHARD]]


def same(now: list[Document], _: list[Document], __: random.Random) -> list[Document]:
    """Nothing happened."""
    return now


UNMOVED = ("No significant drift", "Only ")
EVENTS = (
    Event("nothing", same, QUIET, False, ("Identical",)),
    Event("1 document added", added(1), QUIET, False, UNMOVED, "1 document was added"),
    Event("9 documents added", added(9), QUIET, False, UNMOVED, "9 documents were added"),
    Event("100 documents added", added(100), QUIET, False, UNMOVED, "100 documents were added"),
    Event("22 documents removed", removed(22), QUIET, False, UNMOVED, "22 documents were removed"),
    Event("reshuffled", shuffled, QUIET, False, ("Identical",)),
    Event("two shards delivered twice", shard_twice, LOUD, True, UNMOVED, "all of them copies"),
    Event("extracted again", extracted_again, LOUD, True, ("Changed",), "were edited"),
    Event("largest domain lost", domain_lost, LOUD, True, ("Changed",), "is gone"),
    Event("1 document edited", edited(1), QUIET, False, UNMOVED, "1 of 1,"),
    Event("9 documents edited", edited(9), QUIET, False, UNMOVED, "9 of 1,"),
    Event("100 documents labelled anew", moved(100), QUIET, False, ("Changed",), "100 documents moved"),
)
ORDINARY = [0, 2, 1, 0, 2, 3, 0, 4, 2, 0, 5, 2, 0, 3, 2, 0, 1]
MONTH = [EVENTS[i] for i in (*ORDINARY[:12], 6, *ORDINARY[:4], 7, *ORDINARY[4:8], 8, *ORDINARY[8:14], 5)]
"""30 nights. A broken delivery is mended the night after: the corpus is then what it was before. Nights are compared
with the last run that passed, so that the night after a broken one is quiet."""


def simulate(folder: Path, nights: Sequence[Event], seed: int) -> list[Night]:
    """Audit a corpus night by night below ``folder``."""
    rng = random.Random(seed)
    everything = [replace(d, text=d.text[:6_000]) for d in real_documents(45.0)]
    documents, unused = everything[:DOCUMENTS], everything[DOCUMENTS:]
    tokenizer = small_bpe(folder)
    (folder / "first.yaml").write_text(starter_text("scheduled-audit", baseline=False, benchmarks=False))
    (folder / "policy.yaml").write_text(starter_text("scheduled-audit", baseline=True, benchmarks=False))
    results: list[Night] = []
    for number, event in enumerate([Event("first night", same, QUIET, False, ("",)), *nights]):
        before = documents
        documents = event.change(list(documents), unused, rng)
        _write(folder / "data", documents)
        spec: dict[str, Any] = {
            "name": "nightly",
            "snapshot": {"paths": ["data/*.parquet"]},
            "document": {"text": "text", "id": "id", "domain": "domain"},
            "tokenizer": str(tokenizer),
            "policy": "policy.yaml" if number else "first.yaml",
            "notify": [{"command": ["sh", "-c", 'printf "%s: %s" "$CORPUS_AUDIT_EVENT" "$CORPUS_AUDIT_DRIFT" > note']}],
        }
        if number:
            spec["baseline"] = [{"run": "runs", "label": "last good run", "passed": True}]
        (folder / "audit.yaml").write_text(json.dumps(spec))
        results.append(_audit(folder, number, event))
        print("\n".join(_lines(results[-1])), flush=True)
        if event.expected == LOUD:
            documents = before
    return results


def _write(folder: Path, documents: Sequence[Document]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(documents), PER_SHARD)):
        write_shard(folder / f"part-{number:04}.parquet", documents[start : start + PER_SHARD])


def _audit(folder: Path, number: int, event: Event) -> Night:
    note = folder / "note"
    note.unlink(missing_ok=True)
    command = [sys.executable, "-m", "corpus_audit.runners.cli.main", "run", "audit.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    runs = sorted(path for path in (folder / "runs").iterdir() if (path / "run.json").exists())
    results = json.loads((runs[-1] / "results.json").read_text())
    headline = ""
    conclusion = runs[-1] / "tables" / "drift_conclusion.parquet"
    if conclusion.exists():
        headline = pq.read_table(conclusion)["headline"][0].as_py()
    notified = note.read_text() if note.exists() else ""
    wrong = _wrong(event, done.returncode, headline, notified)
    verdict = results["verdict"]
    return Night(number, event.name, event.expected, done.returncode, verdict, headline, notified, wrong)


def _wrong(event: Event, code: int, headline: str, notified: str) -> str:
    """What is not as the owner wants it; "" if everything is."""
    parts = []
    if code not in event.expected:
        parts.append(f"exit code {code}, not {' or '.join(map(str, event.expected))}")
    if bool(notified) != event.notified:
        parts.append("notified" if notified else "not notified")
    if not headline.startswith(event.says) or event.tells not in headline:
        parts.append(f"the headline is to begin with {' or '.join(event.says)} and to say {event.tells!r}")
    if notified and not notified.endswith(headline):
        parts.append("the notification has another headline")
    return "; ".join(parts)


def _lines(night: Night) -> list[str]:
    mark = "!" if night.wrong else " "
    notified = "notified" if night.notified else ""
    head = f"{mark}{night.number:>3}  {night.event:<28} {night.verdict:<5} exit {night.exit_code}  {notified}"
    lines = textwrap.wrap(night.headline, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return [head.rstrip(), *lines, *([f"    ! {night.wrong}"] if night.wrong else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a night is not as its owner would expect."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nights", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of all nights")
    parser.add_argument("--kinds", action="store_true", help="one night of each kind instead of a month")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep corpus and runs here")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        nights = simulate(folder, EVENTS if options.kinds else MONTH, options.seed)
    options.out.write_text(json.dumps([asdict(night) for night in nights], indent=1) + "\n")
    wrong = [night for night in nights if night.wrong]
    print(f"{len(nights) - len(wrong)} of {len(nights)} nights as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
