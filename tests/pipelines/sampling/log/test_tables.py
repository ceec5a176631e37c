import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus_audit.pipelines.sampling.log import row_files, tally
from corpus_audit.pipelines.sampling.strategies_report import sampling_tables
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.spec.sampling import SamplingSpec
from corpus_audit.schemas.tables.sampling_tables import SAMPLING_TABLES
from tests.pipelines.finished_run import finished_run

NAMES = ("a", "b", "c")
DOCUMENTS = 400
DOMAINS = dict.fromkeys(NAMES, (DOCUMENTS, DOCUMENTS, DOCUMENTS * 100, DOCUMENTS * 100))
CHANCES = {"a": 0.5, "b": 0.3, "c": 0.2}
LOGGED = ("sampling_log_windows", "sampling_log_domains", "sampling_log_documents")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    documents = [(f"{name}{i}", name) for name in NAMES for i in range(DOCUMENTS)]
    return finished_run(tmp_path_factory.mktemp("run") / "run", DOMAINS, per_document=documents)


def draws(seed=1, rows=6000, replace=True, wrong=()):
    """A log of documents of 100 tokens in 20 windows of 30 steps; ``wrong`` windows draw a alone."""
    rng = np.random.Generator(np.random.PCG64(seed))
    step = np.sort(rng.integers(0, 600, rows))
    step[0], step[-1] = 0, 599
    domain = rng.choice(3, rows, p=list(CHANCES.values()))
    domain[np.isin(step // 30, wrong)] = 0
    number = rng.integers(0, DOCUMENTS, rows)
    if not replace:
        for g in range(3):
            in_domain = domain == g
            passes = [rng.permutation(DOCUMENTS) for _ in range(in_domain.sum() // DOCUMENTS + 1)]
            number[in_domain] = np.concatenate(passes)[: in_domain.sum()]
    loss = 2 + np.where(np.isin(step // 30, wrong), 1.0, 0.0) + 0.01 * rng.standard_normal(rows)
    return pa.table(
        {
            "step": step,
            "document": [f"{NAMES[g]}{n}" for g, n in zip(domain, number, strict=True)],
            "domain": [NAMES[g] for g in domain],
            "tokens": np.full(rows, 100),
            "loss": loss,
        }
    )


def audited(run, folder, log, name="log.parquet", **given):
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(log, path, row_group_size=1000)
    else:
        text = "".join(json.dumps(row) + "\n" for row in log.to_pylist()).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return tables(run, folder, path=name, **given)


def tables(run, base, **log):
    spec = {"budget": 6e5, "strategies": ({"weights": CHANCES},), "log": log}
    result = sampling_tables(run, SamplingSpec.model_validate(spec), Path(base))
    return {name: result[name] for name in LOGGED}


def test_a_sampler_that_does_as_intended(run, tmp_path):
    result = audited(run, tmp_path, draws())
    for name, table in result.items():
        assert table.schema.equals(SAMPLING_TABLES[name], check_metadata=True), name
        table.validate(full=True)
    windows = result["sampling_log_windows"].to_pylist()
    joint = [row for row in windows if row["domain"] == "(all)"]
    assert len(joint) == 20 and len(windows) == 80
    assert [(row["first_step"], row["last_step"]) for row in joint[:2]] == [(0, 29), (30, 59)]
    assert min(row["q"] for row in joint) > 0.05 and not any(row["both_move"] for row in joint)
    assert sum(row["documents"] for row in joint) == 6000
    assert all(row["low"] <= row["share"] <= row["high"] for row in windows if row["domain"] != "(all)")
    by_domain = {row["domain"]: row for row in result["sampling_log_domains"].to_pylist()}
    assert list(by_domain) == ["(all)", "a", "b", "c"]
    assert all(by_domain[name]["q"] > 0.05 for name in NAMES)
    assert all(by_domain[name]["drawing"] == "with replacement" for name in NAMES)
    assert by_domain["c"]["never_drawn"] == pytest.approx(by_domain["c"]["never_expected_replaced"], abs=20)


def test_faults_are_found(run, tmp_path):
    log = draws(wrong=(7,))
    many = (
        log.slice(0, 40).set_column(1, "document", pa.array(["b5"] * 40)).set_column(2, "domain", pa.array(["b"] * 40))
    )
    result = audited(run, tmp_path, pa.concat_tables([log, many]))
    joint = [row for row in result["sampling_log_windows"].to_pylist() if row["domain"] == "(all)"]
    assert joint[7]["q"] < 1e-9 and min(row["q"] for row in joint[8:]) > 0.01
    assert joint[7]["distance"] == pytest.approx(0.5) and joint[7]["both_move"] and joint[7]["loss_jump"] > 3
    assert joint[7]["loss"] == pytest.approx(3, abs=0.01)
    assert not joint[3]["both_move"]
    first = result["sampling_log_documents"].to_pylist()[0]
    assert (first["document"], first["domain"]) == ("b5", "b") and first["draws"] >= 40 and first["p"] < 1e-9
    by_domain = {row["domain"]: row for row in result["sampling_log_domains"].to_pylist()}
    assert by_domain["b"]["drawing"] == "uneven" and by_domain["b"]["repeats_maximum"] > by_domain["b"]["repeats_limit"]


def test_drawing_without_replacement_is_reported(run, tmp_path):
    result = audited(run, tmp_path, draws(replace=False))
    by_domain = {row["domain"]: row for row in result["sampling_log_domains"].to_pylist()}
    assert all(by_domain[name]["drawing"] == "without replacement" for name in NAMES)
    assert by_domain["(all)"]["never_drawn"] == 0


def test_every_format_and_way_of_reading_gives_the_same_tables(run, tmp_path, monkeypatch):
    log = draws()
    expected = audited(run, tmp_path, log)
    for name in ("log.jsonl", "log.jsonl.gz"):
        assert audited(run, tmp_path, log, name) == expected, name
    (tmp_path / "parts").mkdir()
    pq.write_table(log.slice(0, 2500), tmp_path / "parts" / "0.parquet")
    pq.write_table(log.slice(2500), tmp_path / "parts" / "1.parquet")
    assert tables(run, tmp_path, path="parts")["sampling_log_domains"] == expected["sampling_log_domains"]
    monkeypatch.setattr(tally, "MEMORY_BYTES", 10_000)
    monkeypatch.setattr(row_files, "ROWS_A_BATCH", 700)
    spilled = tables(run, tmp_path, path="log.parquet")
    assert spilled["sampling_log_documents"] == expected["sampling_log_documents"]
    assert spilled["sampling_log_domains"] == expected["sampling_log_domains"]


def test_ids_are_looked_up_where_the_log_has_no_domains(run, tmp_path):
    log = draws()
    expected = audited(run, tmp_path, log)
    result = audited(run, tmp_path, log.drop_columns(["domain"]))
    assert result["sampling_log_documents"] == expected["sampling_log_documents"]
    assert result["sampling_log_domains"] == expected["sampling_log_domains"]
    for name in ("documents", "tokens", "share", "z"):
        assert result["sampling_log_windows"][name] == expected["sampling_log_windows"][name]
    strange = log.drop_columns(["domain"]).set_column(
        1, "document", pa.array(["nobody"] * 10 + log["document"].to_pylist()[10:])
    )
    rows = {row["domain"]: row for row in audited(run, tmp_path, strange)["sampling_log_domains"].to_pylist()}
    assert rows["(unknown)"]["draws"] == 10 and rows["(unknown)"]["documents"] is None


def test_ids_of_another_corpus_give_no_repeats(run, tmp_path):
    log = draws()
    strange = log.set_column(1, "document", pa.array([f"x{i}" for i in range(len(log))]))
    rows = {row["domain"]: row for row in audited(run, tmp_path, strange)["sampling_log_domains"].to_pylist()}
    assert "not its ids" in rows["a"]["reason"]
    assert rows["a"]["never_drawn"] is None and rows["a"]["drawing"] is None and rows["(all)"]["never_drawn"] is None


def test_a_sampled_audit_cannot_tell_what_was_never_drawn(tmp_path):
    part = finished_run(tmp_path / "run", DOMAINS, sample_share=0.5)
    rows = {row["domain"]: row for row in audited(part, tmp_path, draws())["sampling_log_domains"].to_pylist()}
    assert rows["a"]["never_drawn"] is None and "part of the corpus" in rows["a"]["reason"]
    assert rows["a"]["q"] > 0.05


def test_a_log_of_domains_alone(run, tmp_path):
    result = audited(run, tmp_path, draws().select(["step", "domain", "tokens"]), windows=5)
    assert len(result["sampling_log_documents"]) == 0
    whole = result["sampling_log_domains"].to_pylist()[0]
    assert "no ids" in whole["reason"] and whole["never_drawn"] is None
    joint = [row for row in result["sampling_log_windows"].to_pylist() if row["domain"] == "(all)"]
    assert len(joint) == 5 and all(row["loss"] is None and row["q"] is not None for row in joint)


def test_too_little_is_no_test(run, tmp_path):
    result = audited(run, tmp_path, draws(rows=40))
    joint = [row for row in result["sampling_log_windows"].to_pylist() if row["domain"] == "(all)"]
    assert all(row["p"] is None and "fewer than two domains" in row["reason"] for row in joint)


def test_domains_that_the_run_lacks_are_named(run, tmp_path):
    log = draws()
    strange = log.set_column(2, "domain", pa.array(["books"] * 100 + log["domain"].to_pylist()[100:]))
    rows = {row["domain"]: row for row in audited(run, tmp_path, strange)["sampling_log_domains"].to_pylist()}
    assert rows["(unknown)"]["draws"] == 100 and "books" in rows["(unknown)"]["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log.drop_columns(["step"]), "no column 'step'"),
        (lambda log: log.drop_columns(["document", "domain"]), "neither a column 'document' nor 'domain'"),
        (lambda log: log.slice(0, 0), "has no rows"),
        (lambda log: log.set_column(3, "tokens", pa.array([-1] * len(log))), "negative"),
        (lambda log: log.set_column(3, "tokens", pa.array([None] * len(log), pa.int64())), "without a value"),
        (lambda log: log.set_column(3, "tokens", pa.array(["many"] * len(log))), "whole numbers"),
    ],
)
def test_what_is_no_log_is_refused(run, tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        audited(run, tmp_path, change(draws(rows=50)))


def test_damaged_and_absent_logs_are_refused(run, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        tables(run, tmp_path, path="nothing.parquet")
    (tmp_path / "log.csv").write_text("step")
    with pytest.raises(UsageError, match="must end in"):
        tables(run, tmp_path, path="log.csv")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "README.md").write_text("x")
    with pytest.raises(UsageError, match="has no file that ends in"):
        tables(run, tmp_path, path="logs")
    (tmp_path / "logs" / "a.jsonl").write_text('{"step": 1, "domain": "a", "tokens": 5}\n')
    (tmp_path / "logs" / "b.jsonl.xz").write_text("x")
    with pytest.raises(UsageError, match=r"b\.jsonl\.xz: its name must end in"):
        tables(run, tmp_path, path="logs")
    (tmp_path / "cut.jsonl").write_text('{"step": 1, "domain": "a", "tokens": 5}\n{"step": 2, "dom')
    with pytest.raises(UsageError, match="cannot be read"):
        tables(run, tmp_path, path="cut.jsonl")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match="cannot be read"):
        tables(run, tmp_path, path="bad.parquet")


def test_ids_without_a_table_to_look_them_up(tmp_path):
    bare = finished_run(tmp_path / "run", DOMAINS)
    with pytest.raises(UsageError, match="--per-document"):
        audited(bare, tmp_path, draws(rows=50).drop_columns(["domain"]))
