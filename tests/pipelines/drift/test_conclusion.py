"""One sentence from all lenses: facts first, family-wise control, and never the contrary of one of its own tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus_audit.pipelines.drift.conclusion import conclude, conclusion_tables
from corpus_audit.pipelines.drift.lenses import LEVEL, are_tests, with_adjusted_p
from corpus_audit.pipelines.statistics.intervals.multiplicity import holm, simes
from corpus_audit.schemas.tables import drift_tables
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

Row = dict[str, Any]

COUNTS = ("kept", "edited", "renamed", "added", "removed", "replaced", "moved_in", "moved_out")


def turnover(domain: str, **counts: int | None) -> Row:
    sums = dict.fromkeys(COUNTS, 0) | counts
    return {"domain": domain, "added_tokens": 30 * (sums["added"] or 0), "removed_tokens": 30, **sums}


def distance(p: float | None, reason: str | None = None, domain: str = ALL_DOMAINS) -> Row:
    made = 0 if p is None else 1999
    return {"domain": domain, "statistic": "jsd", "p": p, "excess": 0.001, "permutations": made, "reason": reason}


def token(p: float, q: float) -> Row:
    row = {"domain": ALL_DOMAINS, "token": 7, "text": " nil", "documents_baseline": 465, "documents_current": 2}
    counts = {"count_baseline": 500, "count_current": 2, "share_baseline": 0.0005, "share_current": 0.000002}
    return row | counts | {"p": p, "q": q}


def length(p: float) -> Row:
    row = {"domain": ALL_DOMAINS, "statistic": "ks", "unit": "tokens", "change": 0.1, "reason": None}
    return row | {"p": p}


def tables(documents: list[Row], **rows: list[Row]) -> dict[str, pa.Table]:
    empty = {
        "drift": [distance(None, "too few documents in the baseline")],
        "drift_edits": [],
        "drift_tokens": [],
        "drift_classifier": [],
        "drift_lengths": [],
        "drift_domains": [],
        "edit_patterns": [],
    }
    shapes = {
        "drift_tokens": pa.schema([("domain", pa.string()), ("p", pa.float64()), ("q", pa.float64())]),
    }
    made = {}
    for name, some in (empty | rows).items():
        made[name] = pa.Table.from_pylist(some) if some else shapes.get(name, pa.schema([])).empty_table()
    return made | {"turnover": pa.Table.from_pylist(documents)}


def test_the_same_documents_are_identical() -> None:
    made = conclude(tables([turnover(ALL_DOMAINS, kept=1_072), turnover("web", kept=1_072)]))
    assert (made.status, made.headline) == ("identical", "Identical: both hold the same 1,072 documents.")
    empty = conclude(tables([turnover(ALL_DOMAINS)]))
    assert (empty.status, empty.headline) == ("identical", "Identical: both are empty.")


def test_a_few_added_documents_are_said_and_are_no_drift() -> None:
    documents = [turnover(ALL_DOMAINS, kept=1_063, added=9), turnover("web", kept=1_063, added=9)]
    made = conclude(tables(documents))
    assert made.status == "too few to test"
    assert made.headline == "Only 9 documents were added; too few to test, 99 % unchanged.".replace("99 %", "99%")
    assert all(lens.reading == "not tested" and lens.reason for lens in made.lenses)


def test_single_tokens_that_show_nothing_do_not_make_a_few_documents_a_test() -> None:
    documents = [turnover(ALL_DOMAINS, kept=1_063, added=9), turnover("web", kept=1_063, added=9)]
    made = conclude(tables(documents, drift_tokens=[token(0.9, 1.0)]))
    assert made.status == "too few to test"
    assert made.headline == "Only 9 documents were added; too few to test as a whole, 99% unchanged."
    alone = conclude(tables(documents, drift_tokens=[token(0.04, 0.04)], drift_lengths=[length(0.03)]))
    assert alone.status == "too few to test" and "; the smallest p, 0.0300 of lengths" in alone.headline


def test_documents_that_moved_are_tested_by_the_shares_of_their_domains() -> None:
    share = {"unit": "documents", "share_baseline": 0.25, "share_current": 0.376, "p": 1e-17, "reason": None}
    shares = [share | {"domain": "a"}, share | {"domain": "b"}, share | {"domain": "c", "p": 1.0}]
    rest = turnover("c", kept=174)

    def moved(number: int) -> list[Row]:
        left = turnover("a", kept=87 - number, removed=number, moved_out=number)
        came = turnover("b", kept=87, added=number, moved_in=number)
        return [turnover(ALL_DOMAINS, kept=348), left, came, rest]

    many = conclude(tables(moved(44), drift_domains=shares))
    assert many.headline == (
        "Changed: 44 documents moved to another domain (a to b). More than chance by domain shares "
        "(b: 25.00% to 37.60% of documents; family-wise p below 0.0001)."
    )
    assert are_tests(tables(moved(44), drift_domains=shares), "domain shares") == [True, True, False]
    few = conclude(tables(moved(5), drift_domains=shares))
    assert few.headline == "Only 5 documents moved to another domain (a to b); too few to test, no text changed."


def test_documents_that_moved_are_not_counted_as_added_or_removed() -> None:
    left = turnover("a", kept=90, removed=8, moved_out=7)
    came = turnover("b", kept=90, added=9, moved_in=7)
    made = conclude(tables([turnover(ALL_DOMAINS, kept=187, added=2, removed=1), left, came, turnover("c", kept=0)]))
    assert made.headline.startswith(
        "Only 2 documents were added (b 2); 1 document was removed (a 1); 7 documents moved to another domain (a to b);"
    )


def test_edits_come_first_with_what_most_of_them_have_in_common() -> None:
    documents = [
        turnover(ALL_DOMAINS, kept=1, edited=974, renamed=416, added=1_200, removed=375, replaced=375),
        turnover("peps", edited=517, added=233),
        turnover("rfcs", kept=1, edited=457, added=191),
        turnover("math", added=765, removed=375, replaced=375),
        turnover("code", added=11),
    ]
    pattern = {"text": "indent-tabs-mode: nil", "direction": "vanished", "documents": 463, "edited": 517, "tokens": 7}
    made = conclude(
        tables(
            documents,
            drift_edits=[distance(0.0005)],
            drift=[distance(1.0)],
            drift_tokens=[token(1e-100, 5e-98)],
            edit_patterns=[pattern | {"domain": "peps"}],
        )
    )
    assert made.status == "changed"
    assert made.headline == (
        "Changed: domain code (11 documents, 330 tokens) is new; 974 of 1,350 documents were edited "
        "(“indent-tabs-mode: nil” is gone from 463 of 517 in peps); 416 documents were renamed; "
        "1,200 documents were added (math 765, peps 233, …); 375 documents were removed (math 375), all of them "
        "under an id that now names another text. More than chance by tokens (␣nil: in 465 documents before, 2 now; "
        "family-wise p below 0.0001), and 1 more of its tests."
    )
    readings = {lens.name: lens.reading for lens in made.lenses}
    assert readings["edits"] == readings["tokens"] == "shown" and readings["distribution"] == "not shown"


def test_a_single_new_document_moves_no_domain_beyond_chance() -> None:
    """Its share is 3.4 standard errors away by the normal approximation, which holds for 5 expected documents on."""
    share = {"unit": "documents", "share_baseline": 0.0812, "share_current": 0.0823, "p": 0.0009, "reason": None}
    names = ("big", "small")
    few = [turnover(ALL_DOMAINS, kept=1_072, added=1), turnover("big", kept=985), turnover("small", kept=87, added=1)]
    made = conclude(tables(few, drift_domains=[share | {"domain": name} for name in names]))
    assert made.status == "too few to test"
    (lens,) = (lens for lens in made.lenses if lens.name == "domain shares")
    assert (
        lens.reading == "not tested"
        and lens.reason == "too few documents came or went for a test of any domain's share"
    )
    many = [
        turnover(ALL_DOMAINS, kept=972, added=100),
        turnover("big", kept=885, added=80),
        turnover("small", kept=87, added=20),
    ]
    made = conclude(tables(many, drift_domains=[share | {"domain": name} for name in names]))
    assert made.status == "changed" and "domain shares" in made.headline


def test_tests_that_show_nothing_say_so_and_name_tokens_that_do_alone() -> None:
    documents = [turnover(ALL_DOMAINS, kept=800, added=200, removed=200)]
    quiet = conclude(tables(documents, drift=[distance(0.4)], drift_tokens=[token(0.2, 0.6)]))
    assert quiet.status == "no significant drift"
    assert quiet.headline.startswith("No significant drift: 200 documents were added; 200 documents were removed; 80%")
    assert "token" not in quiet.headline
    alone = conclude(tables(documents, drift=[distance(0.4)], drift_tokens=[token(0.04, 0.04)]))
    assert alone.status == "no significant drift"
    assert alone.headline.endswith(
        "; the smallest p, 0.0400 of tokens (␣nil: in 465 documents before, 2 now), is not significant among 2 tests."
    )


def test_a_token_in_as_many_documents_as_before_is_shown_by_its_occurrences() -> None:
    documents = [turnover(ALL_DOMAINS, kept=800, added=200, removed=200)]
    line_end = {"text": "\n", "documents_baseline": 1_196, "documents_current": 1_201}
    counts = {"count_baseline": 87_817, "count_current": 12_000, "share_baseline": 0.0411, "share_current": 0.0059}
    for row, expected in (
        (line_end | counts, "⏎: 87,817 times before, 12,000 now (4.11% and 0.59% of all tokens)"),
        (line_end | counts | {"share_current": None}, "⏎: 87,817 times before, 12,000 now"),
        (line_end | counts | {"documents_current": 900}, "⏎: in 1,196 documents before, 900 now"),
        (line_end | counts | {"documents_current": 0}, "⏎: in 1,196 documents before, 0 now"),
    ):
        made = conclude(tables(documents, drift_tokens=[token(1e-20, 1e-18) | row]))
        assert f"More than chance by tokens ({expected}; family-wise p below 0.0001)" in made.headline


def test_an_unknown_overlap_is_not_called_too_few() -> None:
    documents = [turnover(ALL_DOMAINS, kept=800, edited=None, added=200, removed=200)]
    made = conclude(
        tables(documents, drift=[distance(None, "both hold 800 documents, and neither run measured their tokens")])
    )
    assert made.status == "not tested" and "neither run measured" in made.headline
    assert "; documents were followed by their content alone, so that edits count as removed" in made.headline


def test_rows_fit_the_schemas() -> None:
    made = conclude(tables([turnover(ALL_DOMAINS, kept=8, added=2)], drift=[distance(0.01)]))
    written = conclusion_tables("last run", made)
    assert written["drift_conclusion"].schema == drift_tables.DRIFT_CONCLUSION
    assert written["drift_conclusion"].to_pylist()[0]["headline"] == made.headline
    assert [row["lens"] for row in written["drift_lenses"].to_pylist()] == [lens.name for lens in made.lenses]


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=8))
def test_holm_is_its_definition(p: list[float]) -> None:
    values = holm(p)
    tests = sorted(v for v in p if not np.isnan(v))
    for value, got in zip(p, values, strict=True):
        if np.isnan(value):
            assert np.isnan(got)
        else:
            steps = [(len(tests) - i) * t for i, t in enumerate(tests) if t <= value]
            assert got == pytest.approx(min(max(steps), 1.0))


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.5, 1.5])


def test_simes_of_one_is_itself_and_of_none_is_nothing() -> None:
    assert simes([0.2]) == 0.2 and np.isnan(simes([float("nan")])) and np.isnan(simes([]))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_the_chance_of_a_false_conclusion_is_at_most_the_level(correlation: float) -> None:
    """6 lenses of 10 tests each, all nulls, correlated within and between: Simes within, Holm over the lenses."""
    from scipy.stats import norm

    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(1_000):
        common = rng.standard_normal()
        z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal((6, 10))
        wrong += min(holm([simes(list(2 * norm.sf(abs(row)))) for row in z])) <= LEVEL
    assert wrong <= 72  # 50 expected at most; more than 72 has probability 0.001


def size_gap(p: float | None, domain: str = ALL_DOMAINS) -> Row:
    return {"domain": domain, "unit": "short_side", "statistic": "ks", "p": p, "p_adjusted": 1.0, "change": 0.31}


def kind(p: float | None, value: str = "JPEG") -> Row:
    row = {"property": "format", "value": value, "share_baseline": 0.1, "share_current": 0.4, "difference": 0.3}
    return row | {"p": p, "p_adjusted": 1.0, "reason": None if p is not None else "too few"}


def images(sizes: list[Row], kinds: list[Row]) -> dict[str, pa.Table]:
    """Tables of a corpus of images without captions."""
    documents = [turnover(ALL_DOMAINS, kept=800, added=200, removed=200)]
    no_tokens = distance(None, "the baseline holds no tokens")
    return tables(documents, drift=[no_tokens], image_drift_sizes=sizes, image_drift_kinds=kinds)


def test_images_are_lenses_of_the_conclusion() -> None:
    compared = images([size_gap(1e-6), size_gap(0.4, "web")], [kind(0.3)])
    made = conclude(compared)
    assert made.status == "changed"
    assert (
        "More than chance by image sizes (all images: distributions of shorter sides up to 31.0% apart" in made.headline
    )
    by_name = {lens.name: lens for lens in made.lenses}
    assert (by_name["image sizes"].tests, by_name["image kinds"].reading) == (2, "not shown")
    assert by_name["image kinds"].example == "format JPEG: 10.00% to 40.00% of images"
    same = kind(1.0) | {"share_baseline": 1.0, "share_current": 1.0, "difference": 0.0}
    unmoved = {lens.name: lens for lens in conclude(images([size_gap(0.4)], [same])).lenses}
    assert unmoved["image kinds"].example == ""
    of_images = [lens for lens in made.lenses if lens.name.startswith("image")]
    sizes = with_adjusted_p(compared, of_images)["image_drift_sizes"].to_pylist()
    assert sizes[0]["p_adjusted"] == pytest.approx(4e-6)  # two tests, then Holm over two lenses
    assert sizes[1]["p_adjusted"] == pytest.approx(0.4)


def test_images_without_captions_are_tested_by_their_lenses_alone() -> None:
    quiet = conclude(images([size_gap(0.6)], [kind(0.7)]))
    assert quiet.status == "no significant drift" and quiet.headline.endswith("80% unchanged.")
    unknown = conclude(images([size_gap(None)], [kind(None)]))
    assert unknown.status == "not tested" and "holds no tokens" in unknown.headline


def test_a_corpus_of_text_has_no_lens_of_images() -> None:
    made = conclude(tables([turnover(ALL_DOMAINS, kept=800, added=200)]))
    assert not [lens for lens in made.lenses if lens.name.startswith("image")]
