"""Runs whose sampling tables are made by the pipeline, from invented corpora and sampler's logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus_audit.pipelines.sampling.strategies_report import sampling_tables
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.spec.sampling import SamplingSpec
from tests.pipelines.finished_run import finished_run

Domains = dict[str, tuple[int, int]]

SIX: Domains = {
    "web/common-crawl": (400, 400_000),
    "code/permissive": (150, 300_000),
    "papers": (60, 180_000),
    "encyclopedia": (80, 60_000),
    "forums": (200, 40_000),
    "books": (2, 20_000),
}
"""Documents and tokens by domain."""

STRATEGIES = (
    "proportional",
    {"temperature": {"alpha": 0.3}},
    {"unimax": {"epoch_cap": 4}},
    {"weights": {"web/common-crawl": 0.5, "code/permissive": 0.2, "papers": 0.2, "books": 0.1}, "unit": "documents"},
)


def write_sampling(
    folder: Path,
    domains: Domains = SIX,
    strategies: tuple[object, ...] = STRATEGIES,
    budget: float = 5e6,
    parameters: float | None = 2e5,
    log: pa.Table | None = None,
) -> RunDirectory:
    """A run with the sampling tables of these strategies, and of the log if there is one."""
    sizes = {name: (documents, documents, tokens, tokens) for name, (documents, tokens) in domains.items()}
    known = [(f"{name}:{i}", name) for name, (documents, _) in domains.items() for i in range(documents)]
    run = finished_run(folder, sizes, per_document=known if log is not None else ())
    spec: dict[str, object] = {"budget": budget, "parameters": parameters, "strategies": strategies}
    if log is not None:
        pq.write_table(log, folder / "log.parquet")
        spec["log"] = {"path": "log.parquet"}
    for name, table in sampling_tables(run, SamplingSpec.model_validate(spec), folder).items():
        pq.write_table(table, folder / "tables" / f"{name}.parquet")
    return run


def sampler_log(
    domains: Domains = SIX, rows: int = 8000, wrong: tuple[int, ...] = (), repeated: int = 0, seed: int = 3
) -> pa.Table:
    """A log of draws with replacement in 20 windows of 50 steps, shares as the domains' tokens.

    Args:
        domains: documents and tokens by domain.
        rows: draws.
        wrong: windows in which every second draw is from the first domain, with a loss 0.4 higher.
        repeated: draws of one document of the first domain besides.
        seed: of the random numbers.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    names = list(domains)
    documents, tokens = (np.array([sizes[part] for sizes in domains.values()]) for part in (0, 1))
    step = np.sort(rng.integers(0, 1000, rows))
    step[0], step[-1] = 0, 999
    domain = rng.choice(len(names), rows, p=documents / documents.sum())
    amiss = np.isin(step // 50, wrong)
    domain[amiss & (rng.random(rows) < 0.5)] = 0
    number = (rng.random(rows) * documents[domain]).astype(np.int64)
    at = rng.choice(rows, repeated, replace=False)
    domain[at], number[at] = 0, 7
    loss = 3.2 * np.exp(-step / 900) + 2 + 0.4 * amiss + 0.05 * rng.standard_normal(rows)
    return pa.table(
        {
            "step": step,
            "document": [f"{names[g]}:{n}" for g, n in zip(domain, number, strict=True)],
            "domain": [names[g] for g in domain],
            "tokens": (tokens / documents)[domain].astype(np.int64),
            "loss": loss,
        }
    )


def many_domains(count: int) -> Domains:
    """Domains of very different sizes."""
    rng = np.random.Generator(np.random.PCG64(5))
    sizes = np.sort(np.exp(rng.normal(11, 2, count)).astype(np.int64) + 200)[::-1]
    return {f"site-{i:04d}.example.org": (max(int(size) // 300, 1), int(size)) for i, size in enumerate(sizes)}
