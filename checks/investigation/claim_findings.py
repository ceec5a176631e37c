"""Findings about the files of evaluations: figures that their items do not give, and what was not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpus_audit.checks.investigation.evaluation_findings import StepComparison
from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.schemas.run.findings import Effect, Evidence, Finding, Reading
from corpus_audit.schemas.spec.investigation import StepEvaluation

_LISTED = 10

Row = Mapping[str, Any]


def claim_findings(comparisons: Sequence[StepComparison]) -> list[Finding]:
    """A finding for every evaluation whose files state figures, or of which something was not read or is odd."""
    findings = []
    for side, letter, each in _sides(comparisons):
        tables = each.result.tables
        rows = {
            name: [row for row in tables[name].to_pylist() if row["side"] == letter] if name in tables else []
            for name in ("evaluation_claims", "evaluation_remarks", "evaluation_files")
        }
        files, remarks = rows["evaluation_files"], [row for row in rows["evaluation_remarks"] if row["file"]]
        refused = Counter({"items that were not understood": sum(row["dead_letters"] for row in files)})
        refused["files that were not read"] = sum(
            row["reason"] is not None and row["format"] is not None for row in files
        )
        if rows["evaluation_claims"] or remarks or +refused:
            findings.append(_finding(side, rows["evaluation_claims"], remarks, +refused))
    return findings


def _sides(comparisons: Sequence[StepComparison]) -> Iterator[tuple[StepEvaluation, str, StepComparison]]:
    """Every evaluation once, with its letter in the first comparison that has it."""
    seen: set[tuple[str, int]] = set()
    for each in comparisons:
        for letter, side in (("a", each.a), ("b", each.b)):
            if (side.run, side.step) not in seen:
                seen.add((side.run, side.step))
                yield side, letter, each


def _finding(
    side: StepEvaluation, claims: Sequence[Row], remarks: Sequence[Row], refused: Mapping[str, int]
) -> Finding:
    name = f"the evaluation of {side.run} at step {grouped(side.step)}"
    differing = [row for row in claims if row["outcome"] == "differs"]
    agreeing = sum(row["outcome"] == "agrees" for row in claims)
    odd = [row["remark"] for row in remarks]
    rest = grouped(len(claims) - agreeing - len(differing))
    counts = f"{plural(agreeing, 'figure')} of the files agree with the items, {rest} could not be recomputed"
    if differing or odd:
        reading, detail = Reading.SHOWN, "; ".join([*(_words(row) for row in differing), *odd][:_LISTED])
    elif agreeing:
        reading, detail = Reading.NOT_SHOWN, f"at most by rounding: {counts}"
    else:
        reading, detail = Reading.NOT_ENOUGH, counts if claims else "the files state no figures"
    return Finding(
        id=f"{side.run}.evals.{side.step}.files",
        bucket="capabilities",
        question=f"Do the files of {name} state what their items give?",
        claim=f"the files of {name} state what their items do not give, or are odd",
        reading=reading,
        detail=detail,
        effect=Effect(value=float(len(differing) + len(odd)), unit="figures and remarks"),
        n=len(claims),
        excluded=dict(refused),
        test="every figure that a file states is recomputed from its items",
        evidence=tuple(_evidence(side, row) for row in differing[:_LISTED]),
    )


def _words(row: Row) -> str:
    recomputed = "" if row["recomputed"] is None else f", the items give {row['recomputed']:.4g}"
    return f"{row['task']} ({row['metric']}): {row['claimed']:.4g} is stated{recomputed} ({row['reason']})"


def _evidence(side: StepEvaluation, row: Row) -> Evidence:
    return Evidence(
        file=row["file"], offset=0, unit="row", series=f"{row['task']} ({row['metric']})", step=side.step,
        value=row["claimed"], shown=f"{row['claimed']:.6g}",
    )  # fmt: skip
