"""The merged counts of a corpus as evidence: which n-grams occur, and how much of every text they cover."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus_audit.pipelines.contamination.index_file import BenchmarkIndex
from corpus_audit.pipelines.contamination.measure import value_of_rank
from corpus_audit.pipelines.kernels.contamination.scan import MILLION, WORD_GRAM
from corpus_audit.pipelines.kernels.contamination.spans import covered_words
from corpus_audit.pipelines.storage.partials import Partial

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TextEvidence:
    """Evidence about X texts, computed from a merged partial of `contamination.measure`.

    ``limit`` is always the number of documents from which an n-gram is boilerplate on; None counts every n-gram.
    """

    index: BenchmarkIndex
    partial: Partial

    @cached_property
    def documents(self) -> Integers:
        """int64 [all n-grams + 1], documents that contain each; the last is 0, for positions where no n-gram begins."""
        table = self.partial.tables["grams"]
        counts = np.zeros(self.index.gram_starts.end + 1, np.int64)
        np.add.at(counts, table.columns["gram"].astype(np.int64), table.columns["documents"])
        return counts

    @cached_property
    def copies(self) -> Integers:
        """int64 [X], documents whose text is that of a decoy's source."""
        table = self.partial.tables["copies"]
        copies = np.zeros(self.index.size, np.int64)
        first = self.index.size - self.index.decoys
        copies[first + table.columns["decoy"].astype(np.int64)] = table.columns["documents"]
        return copies

    @cached_property
    def words(self) -> Integers:
        """int64 [X], words of each text."""
        return np.diff(self.index.texts.starts)

    @cached_property
    def tokens(self) -> Integers:
        """int64 [X], tokens of each text."""
        return np.diff(self.index.texts.token_starts)

    def words_in_corpus(self, limit: int | None) -> Flags:
        """bool [W], whether the 8-gram that begins at a word occurs in the corpus, in at most ``limit`` documents."""
        return self._in_corpus(self.index.texts.grams, self.index.gram_starts.words, self.index.texts.starts, limit)

    def long_words_in_corpus(self, limit: int | None) -> Flags:
        """bool [W], whether the 13-gram that begins at a word occurs in the corpus; see `words_in_corpus`."""
        return self._in_corpus(
            self.index.long_numbers, self.index.gram_starts.long_words, self.index.texts.starts, limit
        )

    def tokens_in_corpus(self, limit: int | None) -> Flags:
        """bool [T], whether the 10-gram that begins at a token occurs in the corpus; see `words_in_corpus`."""
        return self._in_corpus(
            self.index.texts.token_grams, self.index.gram_starts.tokens, self.index.texts.token_starts, limit
        )

    def _in_corpus(self, numbers: np.ndarray, first: int, starts: np.ndarray, limit: int | None) -> Flags:
        begins = numbers >= 0
        text = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        documents = self.documents[np.where(begins, numbers.astype(np.int64) + first, -1)] - self.copies[text]
        occurs: Flags = begins & (documents > 0)
        return occurs if limit is None else occurs & (documents <= limit)

    def covered_words(self, limit: int | None) -> Integers:
        """int64 [X], words in an 8-gram that any document contains."""
        occurs = self.words_in_corpus(limit)
        covered = occurs.copy()
        for shift in range(1, WORD_GRAM):
            covered[shift:] |= occurs[:-shift]
        return per_text(covered, self.index.texts.starts)

    def covered_tokens(self, limit: int | None) -> Integers:
        """int64 [X], tokens in a match of more than ten tokens (Llama 2) with any document."""
        table = self.partial.tables["places"]
        position = table.columns["place"].astype(np.int64)
        counts = self.tokens_in_corpus(limit)[position] if len(position) else np.empty(0, bool)
        position, length = position[counts], value_of_rank(table.columns["rank"])[counts]
        # +1 where a match begins and -1 behind its end: the running sum is the number of matches over each token.
        change = np.zeros(len(self.index.texts.tokens) + 1, np.int64)
        np.add.at(change, position, 1)
        np.add.at(change, position + length, -1)
        return per_text(np.cumsum(change[:-1]) > 0, self.index.texts.token_starts)

    def best_document_words(self, limit: int | None) -> Integers:
        """int64 [X], words that 8-grams of a single document cover, for the stored document that covers most."""
        table = self.partial.tables["matches"]
        text = table.columns["text"].astype(np.int64)
        if limit is None:
            covered = value_of_rank(table.columns["rank"])
        else:
            starts, spans = spans_of(table.columns["spans"])
            covered = covered_words(
                self.words_in_corpus(limit), self.index.texts.starts, text, starts, spans, WORD_GRAM
            )
        best = np.zeros(self.index.size, np.int64)
        np.maximum.at(best, text, covered)
        return best

    def longest_words(self) -> Integers:
        """int64 [X], words of the longest run that a stored document and the text have in common."""
        table = self.partial.tables["matches"]
        best = np.zeros(self.index.size, np.int64)
        np.maximum.at(best, table.columns["text"].astype(np.int64), table.columns["longest"] + WORD_GRAM - 1)
        return best

    def longest_tokens(self) -> Integers:
        """int64 [X], tokens of the longest match of Llama 2."""
        return self._best_value("token_matches")

    def idf_scores(self) -> Floats:
        """float64 [X], decon's overlap in the best document."""
        return self._best_value("idf") / MILLION

    def _best_value(self, name: str) -> Integers:
        table = self.partial.tables[name]
        best = np.zeros(self.index.size, np.int64)
        best[table.columns["text"].astype(np.int64)] = value_of_rank(table.columns["rank"])
        return best

    def prompts_unique_words(self) -> Integers:
        """int64 [X], distinct words of each prompt."""
        texts = self.index.texts
        inside = np.arange(len(texts.hashes)) - np.repeat(texts.starts[:-1], self.words) < np.repeat(
            texts.prompts, self.words
        )
        text = np.repeat(np.arange(self.index.size), self.words)[inside]
        hashes = texts.hashes[inside]
        order = np.lexsort((hashes, text))
        new = np.ones(len(order), bool)
        new[1:] = (text[order[1:]] != text[order[:-1]]) | (hashes[order[1:]] != hashes[order[:-1]])
        return np.bincount(text[order][new], minlength=self.index.size).astype(np.int64)


def per_text(flags: Flags, starts: np.ndarray) -> Integers:
    """int64 [X], the number of set flags of each text."""
    total = np.concatenate(([0], np.cumsum(flags, dtype=np.int64)))
    counts: Integers = total[starts[1:]] - total[starts[:-1]]
    return counts


def spans_of(column: pa.LargeBinaryArray) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [R + 1] offsets, int32 spans) of the stored bytes."""
    if not len(column):
        return np.zeros(1, np.int64), np.empty(0, np.int32)
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2].to_pybytes()[offsets[0] : offsets[-1]] if column.buffers()[2] else b""
    return (offsets - offsets[0]) // 4, np.frombuffer(data, "<i4").astype(np.int32)
