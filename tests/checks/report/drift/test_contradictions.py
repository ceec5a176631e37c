"""No output says that nothing is shown of what its own test rejects, and none says the contrary of the conclusion.

Tables of comparisons are made with any p, interval and figure; the conclusion, the page, the terminal and the lines of
a run's summary are made of them, and are read as a user reads them.
"""

from __future__ import annotations

import html
import itertools
import re
from typing import Any

import pyarrow as pa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from corpus_audit.checks.report.drift import section
from corpus_audit.checks.report.drift.views import drift_views
from corpus_audit.checks.report.page.html import _environment
from corpus_audit.checks.text.sentences import Name
from corpus_audit.pipelines.drift.conclusion import conclude, conclusion_tables
from corpus_audit.pipelines.drift.lenses import LEVEL, TABLE_OF_LENS, are_tests, with_adjusted_p
from corpus_audit.runners.terminal.drift import drift_summary_text
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS
from tests.checks.report.drifted_runs import NONE, made_tables

P = st.sampled_from([0.0005, 0.002, 0.006, 0.01, 0.02, 0.04, 0.2, 0.7, 1.0, None])
BOUNDS = st.sampled_from([(-0.002, 0.004), (0.0005, 0.004), (-0.004, -0.001), (-0.02, 0.03)])
NEGATIVE = (
    r"[Nn]o drift|[Nn]o significant|not distinguished|not shown|no move shown|no farther apart|[Nn]o domain's share"
)
ENVIRONMENT = _environment()
BASE = made_tables({"web": NONE, "forums": NONE}, NONE, tokens=1)
"""Two domains with the same tests, of which none shows anything until p is drawn."""


@st.composite
def compared(draw: st.DrawFn) -> dict[str, pa.Table]:
    """Tables of one comparison with drawn figures, and conclusion and adjusted p as `analysis.drift` makes them."""
    tables = dict(BASE)
    edits = [{"statistic": "jsd", "unit": "bits", "domain": name, "documents": 40, "edited": 40} for name in _names()]
    tables["drift_edits"] = pa.Table.from_pylist(
        [{**row, **_zeros("drift_edits", row), "baseline": "reference"} for row in edits],
        schema=DRIFT_TABLES["drift_edits"],
    )
    classified = tables["drift_classifier"].to_pylist()[0]
    tables["drift_classifier"] = pa.Table.from_pylist(
        [classified | {"domain": name, "reason": None} for name in _names()], schema=DRIFT_TABLES["drift_classifier"]
    )
    rows = tables["turnover"].to_pylist()
    rows[0] |= {key: 2 * value for key, value in rows[0].items() if isinstance(value, int)}  # of both domains
    tables["turnover"] = pa.Table.from_pylist(rows, schema=DRIFT_TABLES["turnover"])
    for lens, name in TABLE_OF_LENS.items():
        rows = tables[name].to_pylist()
        for row in itertools.compress(rows, are_tests(tables, lens)):
            low, high = draw(BOUNDS)
            row["p"] = draw(P)
            row |= {"low": low, "high": high, "excess": (low + high) / 2} if "excess" in row else {"low": low}
            if name == "drift_classifier":
                row |= {"auc": 0.55, "low": 0.5 + 10 * low, "high": 0.6} if row["p"] is not None else {"auc": None}
            row["permutations"] = 1999
        tables[name] = pa.Table.from_pylist(
            [{key: row[key] for key in DRIFT_TABLES[name].names} for row in rows], schema=DRIFT_TABLES[name]
        )
    tokens = tables["drift_tokens"].to_pylist()
    q = draw(st.sampled_from([1e-6, 0.02, 0.4]))
    for row in tokens:
        row |= {"p": q, "q": q} if row["kind"] in ("riser", "faller") else {}
    tables["drift_tokens"] = pa.Table.from_pylist(
        [row for row in tokens if q <= LEVEL or row["q"] is None], schema=DRIFT_TABLES["drift_tokens"]
    )
    made = conclude(tables)
    return tables | with_adjusted_p(tables, made.lenses) | conclusion_tables("reference", made)


def _names() -> tuple[str, ...]:
    return ALL_DOMAINS, "forums", "web"


def _zeros(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {f.name: 0 for f in DRIFT_TABLES[name] if pa.types.is_integer(f.type) and f.name not in row}


def page_rows(page: str) -> dict[str, list[list[str]]]:
    """The cells of each row of the page's tables, by the end of the table's id."""
    tables = {}
    for table_id, body in re.findall(r'<caption id="table-drift-([a-z]+)".*?<tbody>(.*?)</tbody>', page, re.S):
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in re.findall(r"<tr.*?</tr>", body, re.S)]
        tables[table_id] = [[html.unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in row] for row in cells]
    return tables


SHOWN_WORDS = {
    "distances": "drift",
    "edits": "drift",
    "shares": "moved",
    "lengths": "moved",
    "classifier": "distinguished",
}
LENS_TABLES = {
    "distances": "drift", "edits": "drift_edits", "shares": "drift_domains", "lengths": "drift_lengths",
    "classifier": "drift_classifier",
}  # fmt: skip


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(compared())
def test_nothing_contradicts_its_own_test_or_the_conclusion(tables: dict[str, pa.Table]) -> None:
    (view,) = drift_views(tables)
    conclusion = tables["drift_conclusion"].to_pylist()[0]
    lenses = tables["drift_lenses"].to_pylist()
    shown = {row["lens"] for row in lenses if row["reading"] == "shown"}
    rejected = {
        lens: {row["domain"] for row in tables[name].to_pylist() if (row["p_adjusted"] or 1) <= LEVEL}
        for lens, name in TABLE_OF_LENS.items()
    }
    # A lens that shows something names at least one slice, and a lens that shows nothing names none.
    assert {lens for lens, domains in rejected.items() if domains} == shown - {"tokens"}
    assert (conclusion["status"] == "changed") == bool(shown)
    if not shown and any(row["p"] is not None and row["p"] <= LEVEL for row in lenses):
        assert "the smallest p" in conclusion["headline"]

    page = str(section.section(view, ENVIRONMENT))
    (finding,) = section.findings((view,))
    sentences = ["".join(p.text if isinstance(p, Name) else p for p in sentence) for sentence in finding.sentences]
    terminal = " ".join(drift_summary_text(tables).split())
    for text in (*sentences, *finding.lines, terminal, page):
        assert not (shown and "No significant drift" in text)
    assert conclusion["headline"] in terminal and conclusion["headline"] == "".join(sentences[:1])
    about_all = [text for text in (*sentences, terminal) if "token distributions as a whole" in text]
    assert bool(about_all) != (ALL_DOMAINS in rejected["distribution"]) or view.overall.p is None
    for text in about_all:
        assert ("More than chance is shown by" in text) == bool(shown)
    if rejected["distribution"] - {ALL_DOMAINS}:
        assert not any("drift is shown within 0" in text for text in sentences)
    if "domain shares" in shown:
        assert any("largest significant changes" in text or "By documents, shares moved" in text for text in sentences)
    if "classifier" in shown:
        assert any("A classifier tells" in text or "It does within" in text for text in sentences)

    # An interval of a sentence says what the sentence says.
    for text in sentences:
        for low, high in re.findall(r"bits \[(\S+), (\S+)\] beyond", text.replace("−", "-")):
            outside = float(low) > 0 or float(high) < 0
            assert outside == ("have drifted apart" in text), text

    rows = page_rows(page)
    for name, table_name in LENS_TABLES.items():
        states = {
            row["domain"]: (row["p_adjusted"] or 1) <= LEVEL
            for row in tables[table_name].to_pylist()
            if row["p_adjusted"] is not None
            and (row.get("statistic") or "jsd") in ("jsd", "ks")
            and row.get("unit") in (None, "tokens", "bits")
        }
        for cells in rows[name]:
            domain = ALL_DOMAINS if cells[0].lower() == "all documents" else cells[0]
            if domain in states:
                assert (SHOWN_WORDS[name] in cells) == states[domain], (name, cells)
                assert states[domain] != bool(re.search(NEGATIVE, " ".join(cells))), (name, cells)
