"""What edits have in common: passages that vanished from, or came into, many edited documents.

Comes in: the edited pairs of `matching.py`, and both versions of those that both runs' samples hold whole.

1. Of each pair, the n-grams of 1 to 8 tokens that only the version before has (vanished), and that only the version
   now has (came). A document counts once.
2. The n-grams of at least `LEAST_DOCUMENTS` documents, most documents first, then the longest.
3. From the top, each becomes a *passage*: in the shortest document that has it, it is extended token by token while the
   n-gram at its end (of at most 8 tokens) changed in nearly as many documents (`NEARLY`). An n-gram that overlaps a
   passage already listed, in that document, is not listed again; so a stripped footer is one passage, not 300 n-grams.
4. Each passage is shown with that document, and a short diff of it.

Goes out: table EDIT_PATTERNS, `LISTED` passages a domain and direction.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.drift.documents.document_tables import SampledDocuments, read_sample
from corpus_audit.pipelines.drift.documents.turnover import FollowedDocuments
from corpus_audit.pipelines.drift.texts import Examples, texts_of
from corpus_audit.pipelines.kernels.drift.ngram_changes import LONGEST, ngrams_not_in
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from corpus_audit.schemas.tables.turnover_tables import EDIT_PATTERNS

MOST_PAIRS = 4_000
"""Edited documents that are looked at, those of lowest key."""

LEAST_DOCUMENTS = 3
"""Documents that a passage is listed from on: what one edit changed is no pattern."""

LISTED = 20
"""Passages of a domain and direction."""

NEARLY = 0.9
"""Share of a passage's documents that what it is extended by has too."""

DIFF_LINES, DIFF_WIDTH = 12, 160
"""Lines of a diff, and characters of a line."""

DIFF_TOKENS = 20_000
"""Tokens of the longest document that a diff is made of."""

RECOGNISED = 40
"""Characters of a passage beyond which a longer one is not more telling."""

CONTEXT = 1
"""Lines before and after a change in a diff."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EditedTexts:
    """P edited documents with both versions in tokens.

    Attributes:
        samples: (before, now), the samples that the versions are in.
        rows: (before, now), int64 [P] each, rows of the samples.
        table_rows: int64 [P], rows of the current documents.
        domain: int64 [P], the current domain.
    """

    samples: tuple[SampledDocuments, SampledDocuments]
    rows: tuple[Integers, Integers]
    table_rows: Integers
    domain: Integers

    def bounds(self, side: int) -> Integers:
        """Where each document's version begins and ends in the sample's token ids, in turn, int64 [2 P]."""
        starts, rows = self.samples[side].starts, self.rows[side]
        return np.stack([starts[rows], starts[rows + 1]], axis=1).ravel()

    def tokens(self, side: int, pair: int) -> npt.NDArray[np.uint32]:
        """The token ids of one document's version."""
        start, stop = self.bounds(side)[2 * pair : 2 * pair + 2]
        return self.samples[side].ids[start:stop]


def edited_texts(baseline: RunDirectory, current: RunDirectory, followed: FollowedDocuments) -> EditedTexts | None:
    """The edited documents that both samples hold whole; None where a run keeps no sample.

    Raises:
        StoreError: a sample cannot be read.
    """
    before, now = (read_sample(run, followed.names) for run in (baseline, current))
    if before is None or now is None:
        return None
    edited = followed.matches.edited
    rows = [
        sample.rows_of(table)[at]
        for sample, table, at in (
            (before, followed.baseline, edited.baseline),
            (now, followed.current, edited.current),
        )
    ]
    both = np.flatnonzero((rows[0] >= 0) & (rows[1] >= 0))
    both = both[np.lexsort((both, before.key[rows[0][both]]))][:MOST_PAIRS]
    at = edited.current[both]
    return EditedTexts((before, now), (rows[0][both], rows[1][both]), at, followed.current.domain[at])


def edit_patterns(
    label: str, followed: FollowedDocuments, texts: EditedTexts | None, examples: tuple[Examples, Examples]
) -> pa.Table:
    """Table EDIT_PATTERNS; without rows where there are no pairs to look at.

    Args:
        label: what the tables call the baseline.
        followed: the documents of both runs.
        texts: edited documents with both versions; None where a run keeps none.
        examples: what tokens decode to, for either run.
    """
    rows = []
    if texts is not None and len(texts.domain):
        names = texts_of(np.arange(len(examples[0].text)), examples[1], examples[0]).to_pylist()
        for side, direction in ((0, "vanished"), (1, "came")):
            grams = _Grams.of(texts, side)
            for code in (-1, *np.unique(texts.domain).tolist()):
                domain = ALL_DOMAINS if code < 0 else followed.names[code]
                mine = grams if code < 0 else grams.of_domain(texts.domain == code)
                edited = len(texts.domain) if code < 0 else int((texts.domain == code).sum())
                for pattern in _passages(mine, texts, side):
                    passage = texts.tokens(side, pattern.pair)[pattern.start : pattern.stop]
                    rows.append(
                        {
                            "baseline": label,
                            "domain": domain,
                            "direction": direction,
                            "text": _text(passage, names),
                            "tokens": len(passage),
                            "documents": pattern.documents,
                            "edited": edited,
                            "example": followed.current.names_of(texts.table_rows[[pattern.pair]])[0].as_py(),
                            "diff": _diff(texts, pattern.pair, side, pattern, names),
                        }
                    )
    order = {name: i for i, name in enumerate((ALL_DOMAINS, *followed.names))}
    rows.sort(key=lambda row: (order[row["domain"]], row["direction"] != "vanished"))
    return pa.Table.from_pylist(rows, schema=EDIT_PATTERNS)


def telling(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of EDIT_PATTERNS with words, those first that a reader recognises: of many documents of a domain, and long.

    A passage's weight is its documents, times their share of the edited ones, times its visible characters, of which at
    most `RECOGNISED` count: a stripped footer tells more than a full stop that is in as many documents.
    """

    def weight(row: dict[str, Any]) -> tuple[float, int, str]:
        visible = min(len("".join(row["text"].split())), RECOGNISED)
        return -row["documents"] * row["documents"] / row["edited"] * visible, -row["tokens"], row["text"]

    return sorted((row for row in rows if any(character.isalnum() for character in row["text"])), key=weight)


@dataclass(frozen=True)
class _Passage:
    """Tokens ``start`` to ``stop`` of a document, which ``documents`` documents have in common."""

    pair: int
    start: int
    stop: int
    documents: int


@dataclass(frozen=True)
class _Grams:
    """Changed n-grams, sorted by hash; [F] each."""

    gram: npt.NDArray[np.uint64]
    pair: Integers
    start: Integers
    size: Integers

    @classmethod
    def of(cls, texts: EditedTexts, side: int) -> _Grams:
        """Those that one version has and the other lacks."""
        other = 1 - side
        gram, pair, start, size = ngrams_not_in(
            texts.samples[side].ids, texts.bounds(side), texts.samples[other].ids, texts.bounds(other)
        )
        order = np.lexsort((start, pair, gram))
        return cls(gram[order], pair[order], start[order], size[order])

    def of_domain(self, wanted: npt.NDArray[np.bool_]) -> _Grams:
        """Those of some documents, bool [P]."""
        rows = np.flatnonzero(wanted[self.pair])
        return _Grams(self.gram[rows], self.pair[rows], self.start[rows], self.size[rows])


def _passages(grams: _Grams, texts: EditedTexts, side: int) -> Iterator[_Passage]:
    """The first `LISTED` passages; steps 2 and 3."""
    new_gram = np.ones(len(grams.gram), bool)
    new_gram[1:] = grams.gram[1:] != grams.gram[:-1]
    new_pair = new_gram.copy()
    new_pair[1:] |= grams.pair[1:] != grams.pair[:-1]
    starts = np.flatnonzero(new_gram)
    documents = np.add.reduceat(new_pair.astype(np.int64), starts) if len(starts) else np.empty(0, np.int64)
    ends = np.append(starts[1:], len(grams.gram))
    often = np.flatnonzero(documents >= LEAST_DOCUMENTS)
    size = grams.size[starts[often]]
    ranked = often[np.lexsort((grams.gram[starts[often]], -size, -documents[often]))]
    lengths = np.diff(texts.bounds(side))[::2]
    number = np.cumsum(new_gram) - 1
    by_pair = np.argsort(grams.pair, kind="stable")
    first_of = np.searchsorted(grams.pair[by_pair], np.arange(len(lengths) + 1))
    listed = 0
    covered: set[int] = set()
    for row in ranked.tolist():
        if listed == LISTED:
            return
        if row in covered:
            continue
        at = np.arange(starts[row], ends[row])
        shortest = at[np.lexsort((grams.start[at], grams.pair[at], lengths[grams.pair[at]]))[0]]
        pair = int(grams.pair[shortest])
        mine = by_pair[first_of[pair] : first_of[pair + 1]]
        first, tokens = grams.start[mine], grams.size[mine]
        counts = dict(zip(zip(first.tolist(), tokens.tolist(), strict=True), documents[number[mine]], strict=True))
        start, stop = int(grams.start[shortest]), int(grams.start[shortest] + grams.size[shortest])
        least = NEARLY * documents[row]
        start, stop = _extended(start, stop, counts, least)
        covered.update(number[mine[(first < stop) & (first + tokens > start)]].tolist())
        listed += 1
        yield _Passage(pair, start, stop, int(documents[row]))


def _extended(start: int, stop: int, counts: Mapping[tuple[int, int], int], least: float) -> tuple[int, int]:
    """The passage, longer by every token at its ends whose n-gram has enough documents: step 3.

    Args:
        start, stop: tokens of a document.
        counts: (first token, tokens) -> documents, of every changed n-gram of the document.
        least: documents that an n-gram needs.
    """
    while True:
        size = min(stop - start + 1, LONGEST)
        if counts.get((stop + 1 - size, size), 0) >= least:
            stop += 1
        elif counts.get((start - 1, size), 0) >= least:
            start -= 1
        else:
            return start, stop


def _text(tokens: npt.NDArray[np.uint32], names: list[str]) -> str:
    return "".join(names[token] for token in tokens.tolist())


def _diff(texts: EditedTexts, pair: int, side: int, passage: _Passage, names: list[str]) -> str | None:
    """The lines around the passage, as they were and as they are; None where the document is too long."""
    versions = [texts.tokens(which, pair) for which in (0, 1)]
    if max(map(len, versions)) > DIFF_TOKENS:
        return None
    before, now = (_text(tokens, names).split("\n") for tokens in versions)
    head = _text(versions[side][: passage.start], names)
    text = _text(versions[side][passage.start : passage.stop], names)
    line = head.count("\n") + len(text) - len(text.lstrip("\n"))
    matcher = difflib.SequenceMatcher(None, before, now, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        begin = group[0][1] if side == 0 else group[0][3]
        end = group[-1][2] if side == 0 else group[-1][4]
        if begin <= line < max(end, begin + 1):
            return "\n".join(_hunk(group, before, now, line, side))
    return None


def _hunk(
    group: Sequence[tuple[str, int, int, int, int]], before: list[str], now: list[str], line: int, side: int
) -> Iterator[str]:
    """Lines of one hunk from just before the passage on, marked as in a unified diff, cut to what a page can hold."""
    marked: list[tuple[int, str]] = []
    for tag, i, i_end, j, j_end in group:
        if tag == "equal":
            marked += [((i, j)[side] + k, f" {text}") for k, text in enumerate(before[i:i_end])]
        else:
            marked += [(i + k if side == 0 else j, f"-{text}") for k, text in enumerate(before[i:i_end])]
            marked += [(j + k if side == 1 else i, f"+{text}") for k, text in enumerate(now[j:j_end])]
    first = next((n for n, (number, _) in enumerate(marked) if number >= line - CONTEXT), 0)
    for _, text in marked[first : first + DIFF_LINES]:
        yield text[:DIFF_WIDTH]
    if len(marked) > first + DIFF_LINES:
        yield f"… {len(marked) - first - DIFF_LINES} more lines"
