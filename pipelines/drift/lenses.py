"""What each lens of a comparison shows: its tests, one p over them, and the adjusted p of every single test.

A *lens* is one question that is put to the data, with its own calibrated test: edits, the distribution of tokens,
single tokens, the classifier, lengths, domain shares; of image corpora the sizes and the kinds of images as well.

1. Each lens gives one p. Where it made many tests (a domain or a token each) that is Simes's (1986, Biometrika 73), the
   smallest Benjamini-Hochberg q: at most the level if nothing moved, for independent and positively dependent tests.
2. Holm (1979, Scandinavian Journal of Statistics 6) over the lenses: the chance that any of them is called shown where
   nothing moved is at most `LEVEL`, whatever their dependence.
3. A single test is adjusted to its q within the lens, and to no less than the p of its lens: a domain is only shown to
   have drifted if its lens shows something, and a lens that shows something has at least one such test.

Goes out: `Lens`, and column p_adjusted of the tables, which every reading follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.pipelines.drift.documents.share_tests import corrected, variance_ratios
from corpus_audit.pipelines.drift.edit_patterns import telling
from corpus_audit.pipelines.statistics.intervals.multiplicity import benjamini_hochberg, holm, simes
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LEVEL = 0.05
"""Family-wise error of the conclusion: the chance that it says "changed" by its tests where nothing moved."""

Reading = Literal["shown", "not shown", "not tested"]

OF_CONTENT = ("edits", "distribution", "classifier", "image sizes", "image kinds")
"""Lenses that look at all that is in documents; where none of them has a test, those that came and went are too few.

Single tokens are tested however few these are: that none of them shows anything says little of so few.
"""

MOST_CHARACTERS = 60
"""Of a passage that a sentence quotes."""

SAME_DOCUMENTS = 1.1
"""Ratio of the documents that hold a token, now and before, up to which its occurrences tell more than they do."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Lens:
    """One question and its answer.

    Attributes:
        name: edits, distribution, tokens, classifier, lengths, domain shares, image sizes or image kinds.
        tests: tests that were made.
        p: Simes p over them; NaN without one.
        example: what moved most, in words; "" without one.
        reason: why no test was made; None if one was.
        adjusted: Holm's p over all lenses; NaN without a test.
    """

    name: str
    tests: int
    p: float
    example: str
    reason: str | None
    adjusted: float = float("nan")

    @property
    def reading(self) -> Reading:
        """Whether it shows more than chance."""
        if np.isnan(self.adjusted):
            return "not tested"
        return "shown" if self.adjusted <= LEVEL else "not shown"


UNIT_OF_SIZE = {
    "short_side": "shorter sides",
    "pixels": "pixels",
    "aspect": "aspect ratios",
    "bytes_per_pixel": "bytes a pixel",
}
"""Sizes of images in words."""

FEW_CAME_OR_WENT = "too few documents came or went for a test of this domain's share"

TABLE_OF_LENS = {
    "edits": "drift_edits",
    "distribution": "drift",
    "classifier": "drift_classifier",
    "lengths": "drift_lengths",
    "domain shares": "drift_domains",
}
"""Lens -> the table with its tests, a row each. Tokens are adjusted by their own q."""

TABLE_OF_IMAGE_LENS = {"image sizes": "image_drift_sizes", "image kinds": "image_drift_kinds"}
"""The same for lenses that corpora of images have besides."""

_TABLE_OF = TABLE_OF_LENS | TABLE_OF_IMAGE_LENS


def lenses(tables: Mapping[str, pa.Table]) -> list[Lens]:
    """The lenses of one comparison, from the tables of `drift_tables.DRIFT_TABLES`, with Holm's p.

    Raises:
        KeyError: a table is missing.
    """
    made = list(_lenses(tables))
    values = holm([lens.p for lens in made])
    return [replace(lens, adjusted=float(value)) for lens, value in zip(made, values, strict=True)]


def with_adjusted_p(tables: Mapping[str, pa.Table], made: Sequence[Lens]) -> dict[str, pa.Table]:
    """The tables of the lenses with column p_adjusted filled: step 3."""
    of_lens = {lens.name: lens.adjusted for lens in made}
    filled = {}
    for name, table_name in _TABLE_OF.items():
        if name not in of_lens:
            continue
        table, tests = tables[table_name], are_tests(tables, name)
        rows = _rows(tables, name)
        p = [
            row["p"] if row["p"] is not None and is_test else float("nan")
            for row, is_test in zip(rows, tests, strict=True)
        ]
        adjusted = np.fmax(benjamini_hochberg(p), of_lens[name]) if rows else np.empty(0)
        adjusted = np.where(np.isnan(np.array(p, np.float64)), np.nan, adjusted)
        position = table.schema.get_field_index("p_adjusted")
        column = pa.array(adjusted, pa.float64(), mask=np.isnan(adjusted))
        table = table.set_column(position, table.schema.field(position), column)
        if name == "domain shares":
            position = table.schema.get_field_index("reason")
            reasons = [
                row["reason"] or (None if is_test else FEW_CAME_OR_WENT)
                for row, is_test in zip(rows, tests, strict=True)
            ]
            table = table.set_column(position, table.schema.field(position), pa.array(reasons, pa.string()))
        filled[table_name] = table
    return filled


def are_tests(tables: Mapping[str, pa.Table], lens: str) -> list[bool]:
    """Which rows of the lens's table are tests, whether or not they could be made."""
    rows = tables[_TABLE_OF[lens]].to_pylist()
    if lens == "edits":
        return [row["statistic"] == "jsd" for row in rows]
    if lens == "distribution":
        # A distance of sides that hold the same documents is 0 and certain: there is nothing that a test could show.
        return [row["statistic"] == "jsd" and bool(row["permutations"]) for row in rows]
    if lens == "classifier":
        return [row["reason"] is None for row in rows]
    if lens in ("lengths", "image sizes"):
        return [row["statistic"] == "ks" for row in rows]
    if lens == "image kinds":
        return [True] * len(rows)
    tested = variance_ratios(tables["turnover"].to_pylist())
    return [row["domain"] in tested for row in rows]


def pattern_text(tables: Mapping[str, pa.Table]) -> str:
    """The edit that most documents have in common, in words; "" where none is known."""
    rows = telling(row for row in tables["edit_patterns"].to_pylist() if row["domain"] != ALL_DOMAINS)
    return passage_text(rows[0]) if rows else ""


def passage_text(row: Mapping[str, Any]) -> str:
    """A row of EDIT_PATTERNS in words: ``“mode: text” is gone from 463 of 517 in peps``."""
    verb = "gone from" if row["direction"] == "vanished" else "new in"
    words = " ".join(row["text"].split())
    text = words if len(words) <= MOST_CHARACTERS else f"{words[: MOST_CHARACTERS - 1]}…"
    where = "" if row["domain"] == ALL_DOMAINS else f" in {row['domain']}"
    return f"“{text}” is {verb} {row['documents']:,} of {row['edited']:,}{where}"


def _lenses(tables: Mapping[str, pa.Table]) -> Iterator[Lens]:
    edits = _tests(tables, "edits")
    reasons = [row["reason"] for row in tables["drift_edits"].to_pylist()] or ["no document was edited"]
    strongest = _smallest_p(edits, lambda row: -(row["excess"] or 0.0))
    text = pattern_text(tables)
    if not text and strongest is not None:
        text = f"{_slice(strongest['domain'])}: {strongest['excess']:.5f} bits between versions beyond chance"
    yield _lens("edits", edits, "p", text, reasons)

    distances = [row for row in tables["drift"].to_pylist() if row["statistic"] == "jsd"]
    strongest = _smallest_p(_tests(tables, "distribution"), lambda row: -(row["excess"] or 0.0))
    text = "" if strongest is None else f"{_slice(strongest['domain'])}: {strongest['excess']:.5f} bits beyond chance"
    yield _lens("distribution", _tests(tables, "distribution"), "p", text, [row["reason"] for row in distances])

    tokens = tables["drift_tokens"].filter(pc.is_valid(tables["drift_tokens"]["p"]))
    every = tokens.filter(pc.equal(tokens["domain"], ALL_DOMAINS)).to_pylist()
    token = min(every, key=lambda row: (row["q"], row["p"], row["token"]), default=None)
    text = "" if token is None else _token(token)
    reasons = [row["reason"] or "no token is in enough documents" for row in distances if row["domain"] == ALL_DOMAINS]
    yield _lens("tokens", every, "p", text, reasons)

    classified = tables["drift_classifier"].to_pylist()
    best = _smallest_p(_tests(tables, "classifier"), lambda row: -row["auc"])
    text = "" if best is None else f"{_slice(best['domain'])}: AUC {best['auc']:.3f}"
    yield _lens("classifier", _tests(tables, "classifier"), "p", text, [row["reason"] for row in classified])

    lengths = _tests(tables, "lengths")
    longest = _smallest_p(lengths, lambda row: -row["change"])
    text = (
        ""
        if longest is None
        else f"{_slice(longest['domain'])}: distributions of {longest['unit']} up to {longest['change']:.1%} apart"
    )
    reasons = [row["reason"] for row in lengths] or [None]
    yield _lens("lengths", lengths, "p", text, [*reasons, "too few documents differ"])

    shares = _tests(tables, "domain shares")
    moved = _smallest_p(shares, lambda row: row["domain"])
    text = (
        ""
        if moved is None
        else f"{moved['domain']}: {moved['share_baseline']:.2%} to {moved['share_current']:.2%} of {moved['unit']}"
    )
    yield _lens(
        "domain shares",
        shares,
        "p",
        text,
        [row["reason"] for row in shares] + [FEW_CAME_OR_WENT.replace("this domain's", "any domain's")],
    )

    if TABLE_OF_IMAGE_LENS["image sizes"] in tables:
        yield from _of_images(tables)


def _of_images(tables: Mapping[str, pa.Table]) -> Iterator[Lens]:
    sizes = _tests(tables, "image sizes")
    moved = _smallest_p(sizes, lambda row: -(row["change"] or 0.0))
    text = ""
    if moved is not None:
        where = "all images" if moved["domain"] == ALL_DOMAINS else moved["domain"]
        text = f"{where}: distributions of {UNIT_OF_SIZE[moved['unit']]} up to {moved['change']:.1%} apart"
    yield _lens("image sizes", sizes, "p", text, ["both hold the same images, or a side has too few"])

    kinds = _tests(tables, "image kinds")
    moved = _smallest_p(kinds, lambda row: -abs(row["difference"]))
    text = ""
    if moved is not None and moved["difference"]:  # a kind that all images are of on both sides is no example
        shares = f"{moved['share_baseline']:.2%} to {moved['share_current']:.2%} of images"
        text = f"{moved['property']} {moved['value']}: {shares}"
    reasons = [row["reason"] for row in kinds]
    yield _lens("image kinds", kinds, "p", text, [*reasons, "both hold the same images, or a side has too few"])


def _tests(tables: Mapping[str, pa.Table], lens: str) -> list[Row]:
    """Rows of the lens's table that are tests, whether or not they could be made."""
    return [row for row, is_test in zip(_rows(tables, lens), are_tests(tables, lens), strict=True) if is_test]


def _rows(tables: Mapping[str, pa.Table], lens: str) -> list[Row]:
    """Rows of the lens's table; p of a domain's share is corrected for the documents that moved between domains."""
    rows: list[Row] = tables[_TABLE_OF[lens]].to_pylist()
    if lens != "domain shares":
        return rows
    ratios = variance_ratios(tables["turnover"].to_pylist())
    return [
        row if row["p"] is None else row | {"p": corrected(row["p"], ratios.get(row["domain"], 1.0))} for row in rows
    ]


def _smallest_p(rows: Sequence[Row], then: Callable[[Row], Any]) -> Row | None:
    """The row with the smallest p, ties by ``then``; None where no test was made."""
    return min((row for row in rows if row["p"] is not None), key=lambda row: (row["p"], then(row)), default=None)


def _lens(name: str, rows: Sequence[Row], p: str, example: str, reasons: Sequence[str | None]) -> Lens:
    values = [float("nan") if row[p] is None else row[p] for row in rows]
    made = int(np.isfinite(values).sum()) if values else 0
    reason = None if made else next((reason for reason in reasons if reason), "there is nothing to test")
    return Lens(name, made, simes(values) if made else float("nan"), example if made else "", reason)


def _token(row: Row) -> str:
    """The token with the counts that moved: of documents that hold it, or of tokens where these are nearly as many."""
    text = row["text"].replace("\n", "⏎").replace(" ", "␣")
    before, now = row["documents_baseline"], row["documents_current"]
    if max(before, now) > SAME_DOCUMENTS * min(before, now):
        return f"{text}: in {before:,} documents before, {now:,} now"
    shares = row["share_baseline"], row["share_current"]
    of_tokens = "" if None in shares else f" ({shares[0]:.2%} and {shares[1]:.2%} of all tokens)"
    return f"{text}: {row['count_baseline']:,} times before, {row['count_current']:,} now{of_tokens}"


def _slice(domain: str) -> str:
    return "all documents" if domain == ALL_DOMAINS else domain
