"""Attributions and heads in the section on a model: what is shown of them, what is escaped, and what is missing."""

import re
from pathlib import Path

import pytest

from corpus_audit.checks.report.activations import section
from corpus_audit.checks.report.activations.attributions import UNITS, load_attributions
from corpus_audit.checks.report.activations.marked_text import Mark, marked_text
from corpus_audit.checks.report.page.html import REPORT
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from tests.checks.report.activations.computed_results import attribution, write_results
from tests.checks.report.activations.test_section import KNOWN, page, write
from tests.checks.report.hostile import HOSTILE
from tests.checks.report.test_report_page import contrast
from tests.run_files import run_record


def view_of(folder: Path, name: str = "email", **more: float) -> section.ModelView:
    run = write(folder)
    write_results(run.folder, name, **more)
    view = section.load(run)
    assert view is not None
    return view


@pytest.fixture
def view(tmp_path: Path) -> section.ModelView:
    return view_of(tmp_path / "run")


def test_a_unit_has_its_tokens_by_domain_its_example_and_its_checks(view: section.ModelView) -> None:
    text = page(view)
    for said in (
        "<code>mlp.4:0</code>, integrated gradients",
        "12 examples of 10 documents",
        "[41.0, 56.7]",
        "48.8",
        "converged: 12 examples; the largest error is 4.0e-04, at most 0.001 is asked for",
        "area 0.057; 60 random orders: 0.364 (0.052 to 0.834), 4 lower",
        "area 0.856; 60 random orders: 0.364 (0.052 to 0.834), 0 higher",
        "Spearman correlation 0.27 (its block), −0.04 (all blocks up to it)",
        "It depends on the baseline.",
        ".attributions/i/mlp.0/1.parquet",
        "tolerance 0.001, steps 16",
        "corpus-audit 0.1.0, torch 2.9.0",
        '<span class="heat4 strong">bodies</span>',
        '<span class="heat1">quoted</span>',
        '<span class="cool1">email</span>',
        '<code class="token"><bdi>bodies</bdi></code> 4 (80.0 %)',
    ):
        assert said in text, said
    assert "no intervals" not in text and "Not computed" not in text
    assert ".attributions/i/mlp.9/9.parquet</bdi> could not be copied: it <bdi>is damaged</bdi>" in text


def test_induction_heads_have_scores_and_documents(view: section.ModelView) -> None:
    text = page(view)
    assert "head.1:0" in text and "0.925" in text and "−0.153" in text and "head.0:0" not in text
    assert '0.103 <span class="quiet">[0.083, 0.122]</span>' in text and "a head that attends evenly has 0.031" in text
    assert text.count("completes sequences of these training documents") == 2
    assert '<span class="heat4">resources</span> then <span class="strong">resources</span>' in text
    assert "3 tokens back, which comes next; 5 tokens repeated" in text
    (finding,) = section.findings(view)
    words = " ".join(str(part) for sentence in finding.sentences for part in sentence)
    assert "2 of 3 attention heads are induction heads" in words and "make 2 units fire" in words
    assert "1 stored result beside the index is left out" in words


def test_no_induction_head_is_said(tmp_path: Path) -> None:
    text = page(view_of(tmp_path / "run", head_0_0=0.12, head_0_1=0.05))
    assert "None of 2 heads reaches it: there are no induction heads. The highest has 0.120" in text
    assert "completes sequences" not in text


def test_which_command_computes_what_is_not_there(tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    view = section.load(run)
    assert view is not None and view.attributions is None and view.heads is None
    text = page(view)
    assert text.count("Not computed for this index") == 1
    assert "corpus-audit attribute UNIT --domain DOMAIN" in text and "corpus-audit heads</code>" in text
    write_results(run.folder)
    (run.folder / "tables" / "head_results.parquet").unlink()
    view = section.load(run)
    assert view is not None and view.attributions is not None
    text = page(view)
    assert "corpus-audit heads</code>" in text and "attribute UNIT" not in text
    assert "Not computed" not in page(section.ModelView(reason="no index"))


def test_what_is_too_much_is_counted(tmp_path: Path) -> None:
    text = page(view_of(tmp_path / "run", **{f"head_1_{i}": 0.9 for i in range(13)}))
    assert "3 further heads are in tables/head_scores.parquet" in text
    run = write(tmp_path / "other")
    write_results(run.folder, units=9)
    view = section.load(run)
    assert view is not None and "3 further units are in tables/unit_attributions.parquet" in page(view)


def test_texts_that_were_not_kept_and_methods_without_parts() -> None:
    import pyarrow as pa

    from corpus_audit.schemas.tables.index_result_tables import UNIT_ATTRIBUTION_TOKENS, UNIT_ATTRIBUTIONS

    nothing = dict.fromkeys(("text", "peak", "starts", "ends", "attribution"))
    rows = [
        attribution("mlp.0:1", "x", checked=0, **nothing),
        attribution("mlp.0:2", "x", converged=None, completeness_error=None, whole=-1.0, randomised_block=None),
        attribution("mlp.0:3", "x", converged=10, documents=11),
    ]
    tokens = pa.Table.from_pylist([], schema=UNIT_ATTRIBUTION_TOKENS)
    view = load_attributions(pa.Table.from_pylist(rows, schema=UNIT_ATTRIBUTIONS), tokens)
    assert [unit.unit for unit in view.units] == ["mlp.0:3", "mlp.0:1", "mlp.0:2"], "the most documents first"
    missed, bare, other = view.units
    assert dict(missed.checks)["Completeness"].startswith("NOT CONVERGED: 2 of 12 examples")
    assert not bare.text and not bare.tokens and dict(bare.checks)["Deletion, insertion"] == "not computed"
    assert "none" in dict(other.checks)["Completeness"] and all(token.share is None for token in other.tokens)
    shown = page(section.ModelView(model="m", units=3, attributions=view))
    assert "There are no intervals" in shown and "domain_k: 20" in shown


def test_text_of_the_corpus_is_inert(tmp_path: Path) -> None:
    written = [text for text in HOSTILE if not any("\ud800" <= letter <= "\udfff" for letter in text)]
    for number in range(0, len(written), UNITS):
        folder = tmp_path / str(number)
        (folder / "tables").mkdir(parents=True)
        names = written[number : number + UNITS]
        write_results(folder, *names, units=len(names), head_1_0=0.9)
        view = section.load(RunDirectory(folder, run_record(embedding=KNOWN)))
        assert view is not None and view.attributions is not None and len(view.attributions.units) == len(names)
        shown = page(view)
        assert "<script" not in shown.lower() and "\x1b" not in shown and "\u202e" not in shown
        assert "<img" not in shown and "<svg onload" not in shown
    plain = marked_text("a\r\nb\t<b>\u202ec", [Mark(0, 1, 1.0)], 1.0, (5, 8))
    assert str(plain) == (
        '<bdi class="marked"><span class="heat4">a</span>↵b→<span class="strong">&lt;b&gt;</span>\\u202ec</bdi>'
    )


def test_long_texts_are_cut_around_the_token() -> None:
    text = "x" * 2000 + "PEAK" + "y" * 2000
    shown = str(marked_text(text, [], 1.0, (2000, 2004)))
    assert shown.startswith('<bdi class="marked">…x') and "PEAK" in shown and shown.endswith("y…</bdi>")
    assert 600 <= len(re.sub("<[^>]*>", "", shown)) <= 602
    assert "…" not in str(marked_text("short PEAK", [], 1.0, (6, 10)))


def test_shades_have_contrast_in_both_themes() -> None:
    styles = "".join((REPORT / "page" / name).read_text("utf-8") for name in ("report.css", "sections.css"))
    inks = [re.findall(r"--ink: (#[0-9a-f]{6});", styles)[i] for i in range(2)]
    for shade in ("heata", "heatb", "heatc", "heatd", "coola", "coolb", "coolc", "coold"):
        light, dark = re.findall(rf"--{shade}: (#[0-9a-f]{{6}});", styles)[:2]
        assert contrast(inks[0], light) >= 4.5 and contrast(inks[1], dark) >= 4.5, shade


def test_a_run_of_an_earlier_version_has_neither(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    view = section.load(RunDirectory(tmp_path, run_record(embedding=KNOWN)))
    assert view is not None and view.attributions is None and "Not computed for this index" in page(view)
