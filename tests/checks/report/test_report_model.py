import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from corpus_audit.checks.report.page.findings import findings
from corpus_audit.checks.report.page.html import render_html
from corpus_audit.checks.report.page.model import TOP_DOMAINS, ReportModel, load_report
from corpus_audit.checks.report.page.terminal import render_summary
from corpus_audit.checks.report.profile.tables import BINS
from corpus_audit.checks.text.sentences import Name
from corpus_audit.schemas.errors import StoreError
from corpus_audit.schemas.tables.run_tables import TABLES
from tests.checks.report.synthetic import INTENDED, NAMES, build_run


def text_of(model: ReportModel) -> str:
    parts = (part for finding in findings(model) for sentence in finding.sentences for part in sentence)
    return "".join(part.text if isinstance(part, Name) else part for part in parts)


def test_totals_are_the_tables_sums(run_dir: Path, model: ReportModel) -> None:
    domains = pq.read_table(run_dir / "tables" / "domains.parquet")
    primary = domains.filter(pc.equal(domains["facet"], "domain"))
    for unit in ("documents", "bytes", "characters", "words", "tokens"):
        assert getattr(model.totals, unit) == pc.sum(primary[unit]).as_py()
    assert model.totals.domains == len(NAMES)
    assert model.totals.domains_exact


def test_the_remainder_is_exact(incomplete: ReportModel) -> None:
    assert len(incomplete.domains) == TOP_DOMAINS + 1
    assert incomplete.domains[-1].folded == 60 - TOP_DOMAINS
    for unit in ("documents", "bytes", "tokens"):
        amounts = [row.amount(unit) for row in incomplete.domains]
        assert sum(amount.count for amount in amounts) == getattr(incomplete.totals, unit)
        assert sum(amount.share for amount in amounts) == pytest.approx(1.0, abs=1e-12)
    within = [row for row in incomplete.duplicates if not row.everything]
    assert sum(row.documents for row in within) == incomplete.totals.documents
    assert sum(row.tokens for row in within) == incomplete.totals.tokens


def test_domains_are_in_descending_order_of_share(incomplete: ReportModel) -> None:
    shares = [row.tokens.share for row in incomplete.domains if not row.folded]
    assert shares == sorted(shares, reverse=True)


def test_the_mixture_is_compared_over_all_domains(model: ReportModel) -> None:
    assert model.mixture is not None
    gaps = {row.name: row.tokens.share - target for row, target in zip_by_name(model)}
    assert model.mixture.distance == pytest.approx(sum(map(abs, gaps.values())) / 2)
    largest = max(gaps, key=lambda name: abs(gaps[name]))
    assert model.mixture.deviations[0].name == largest
    assert model.mixture.deviations[0].difference == pytest.approx(gaps[largest])
    clear = [row for row in model.domains if (row.difference_low or 0) > 0 or (row.difference_high or 0) < 0]
    assert (model.mixture.clear, model.mixture.compared) == (len(clear), len(NAMES))


def zip_by_name(model: ReportModel) -> list[tuple]:
    targets = dict(zip(NAMES, INTENDED, strict=True))
    return [(row, targets[row.name]) for row in model.domains]


def test_absent_and_unplanned_domains_are_named(tmp_path: Path) -> None:
    intended = {"a": 0.5, "b": 0.2, "absent": 0.3}
    model = load_report(build_run(tmp_path / "run", ["a", "b", "surprise"], intended))
    assert model.mixture is not None
    assert model.mixture.absent == ("absent",)
    assert model.mixture.unplanned == ("surprise",)
    row = next(row for row in model.domains if row.name == "absent")
    assert (row.tokens.count, row.intended, row.difference) == (0, 0.3, -0.3)
    assert model.totals.domains == 3
    assert "Intended, but not in the corpus: absent." in text_of(model)
    assert "In the corpus, but not intended: surprise" in text_of(model)


def test_a_small_domain_with_a_large_target_is_shown(tmp_path: Path) -> None:
    names = [f"d{number:02d}" for number in range(60)]
    intended = dict.fromkeys(names[:40], 0.02) | {"wanted": 0.2}
    model = load_report(build_run(tmp_path / "run", names, intended))
    assert "wanted" in [row.name for row in model.domains]
    assert "wanted  " in render_summary(model, "report.html")
    assert sum(row.intended or 0.0 for row in model.domains) == pytest.approx(1.0)


def test_length_distributions(run_dir: Path, model: ReportModel) -> None:
    assert [panel.unit for panel in model.lengths] == ["tokens", "characters"]
    lengths = pq.read_table(run_dir / "tables" / "lengths.parquet")
    for panel in model.lengths:
        unit = lengths.filter(pc.equal(lengths["unit"], panel.unit))
        assert panel.rows[0].everything
        assert panel.rows[0].documents == model.totals.documents
        assert panel.rows[0].longest == pc.max(unit["high"]).as_py()
        for row in panel.rows:
            assert len(row.density) == BINS
            assert max(row.density) == 1.0
            assert min(row.density) >= 0.0
            assert list(row.quantiles) == sorted(row.quantiles)
            assert panel.low <= row.quantiles[0] <= row.quantiles[-1] <= panel.high


def test_shards_in_error_come_first(incomplete: ReportModel) -> None:
    assert [shard.status for shard in incomplete.shards[:3]] == ["error", "error", "cached"]
    assert incomplete.shards[2].dead_letters > 0


def test_a_sample_says_so(sampled: ReportModel) -> None:
    assert "The audit read a sample: 25.0 % of splits were requested, 24 of 96 splits were read." in text_of(sampled)
    assert "for a sample" in render_html(sampled)
    assert "COMPLETE, SAMPLED" in render_summary(sampled, "report.html")


def test_an_empty_corpus_has_a_page_and_a_summary(tmp_path: Path, run_dir: Path) -> None:
    run = json.loads((run_dir / "run.json").read_text("utf-8"))
    counts = {key: 0 if type(value) is int else value for key, value in run["coverage"].items()}
    run |= {"complete": False, "reasons": ["there is no document"], "files": {}, "coverage": counts, "mixture": None}
    (tmp_path / "tables").mkdir()
    for name, schema in TABLES.items():
        pq.write_table(schema.empty_table(), tmp_path / "tables" / f"{name}.parquet")
    (tmp_path / "run.json").write_text(json.dumps(run), "utf-8")
    model = load_report(tmp_path)
    assert "there is no document" in render_html(model)
    assert "NO VERDICT" in render_summary(model, "report.html")


def damage_nothing_listed(run: Path) -> None:
    (run / "run.json").unlink()


def damage_json(run: Path) -> None:
    (run / "run.json").write_text('{"format": 1', "utf-8")


def damage_version(run: Path) -> None:
    text = (run / "run.json").read_text("utf-8")
    (run / "run.json").write_text(text.replace('"format": 1', '"format": 2'), "utf-8")


def damage_field(run: Path) -> None:
    content = json.loads((run / "run.json").read_text("utf-8"))
    del content["coverage"]["rows"]
    (run / "run.json").write_text(json.dumps(content), "utf-8")


def damage_table(run: Path) -> None:
    path = run / "tables" / "domains.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def damage_by_removal(run: Path) -> None:
    (run / "tables" / "shards.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (damage_nothing_listed, "not a published run"),
        (damage_json, "cannot be read"),
        (damage_version, "format"),
        (damage_field, "coverage.rows"),
        (damage_table, "domains.parquet is not the file that run.json lists"),
        (damage_by_removal, "shards.parquet is missing"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    run = build_run(tmp_path / "run", ["a", "b"])
    damage(run)
    with pytest.raises(StoreError, match=says):
        load_report(run)


def test_page_checksums_are_verified_when_no_digest_is_listed(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", ["a", "b"], files={})
    path = run / "tables" / "lengths.parquet"
    column = pq.read_metadata(path).row_group(0).column(2)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"lengths\.parquet cannot be read"):
        load_report(run)


@pytest.mark.slow
def test_ten_thousand_domains(tmp_path: Path) -> None:
    names = [f"host-{number:05d}.example.org/with/a/rather/long/path" for number in range(10_000)]
    model = load_report(build_run(tmp_path / "run", names, documents=100_000, draws=20))
    assert model.totals.domains == 10_000
    assert model.domains[-1].folded == 10_000 - TOP_DOMAINS
    assert len(render_html(model).encode()) < 2_000_000


def test_an_absent_domain_keeps_its_interval(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", ["a", "b"], {"a": 0.5, "b": 0.3, "absent": 0.2}, files={})
    path = run / "tables" / "proportions.parquet"
    rows = pq.read_table(path).to_pylist()
    seen = next(row for row in rows if row["unit"] == "tokens")
    bounds = {"count": 0, "clusters": 0, "share": 0.0, "low": 0.0, "high": 0.003, "intended": 0.2, "difference": -0.2}
    rows.append(seen | bounds | {"value": "absent", "difference_low": -0.2, "difference_high": -0.197})
    pq.write_table(pa.Table.from_pylist(rows, TABLES["proportions"]), path, write_page_checksum=True)
    model = load_report(run)
    row = next(row for row in model.domains if row.name == "absent")
    assert (row.tokens.low, row.tokens.high, row.difference_high) == (0.0, 0.003, -0.197)
    assert model.mixture is not None
    assert model.mixture.compared == 3
