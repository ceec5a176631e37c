"""What the demo says when it is done: what was put into its corpus, and what the audit found of it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from corpus_audit.checks.report.drift.turnover_sentences import kinds_of_documents
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.runners.demo.corpus import DemoCorpus
from corpus_audit.runners.demo.part import Preference
from corpus_audit.schemas.run.results import RESULTS_FILE, Status, read_results
from corpus_audit.schemas.spec.benchmarks import ALL_RULES
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

WIDTH = 80
_TOPIC = 12
_LISTED = 3

KINDS = {"copied": "copied", "edited": "edited", "shuffled": "shuffled", "short": "too short"}
"""Kinds of the benchmark's items, by the beginning of their ids."""

Row = dict[str, Any]
Outcomes = dict[str, dict[str, Counter[str]]]


def item_outcomes(run: RunDirectory) -> Outcomes:
    """Rule -> kind of item -> outcome -> items, from the table of items."""
    outcomes: Outcomes = {rule: {kind: Counter() for kind in KINDS} for rule in ALL_RULES}
    for row in run.table("contamination_items").to_pylist():
        outcomes[row["rule"]][row["item"].partition("-")[0]][row["outcome"]] += 1
    return outcomes


def sources_named(run: RunDirectory, benchmark: Path) -> tuple[int, int]:
    """(copied items whose own document is among those that the audit names, copied items)."""
    items = [item for item in map(orjson.loads, benchmark.read_bytes().splitlines()) if item["id"].startswith("copied")]
    named = {(row["item"], row["id"]) for row in run.table("contamination_matches").to_pylist()}
    return sum((item["id"], item["source"]) in named for item in items), len(items)


def known_answers(corpus: DemoCorpus, run: RunDirectory) -> str:
    """Lines of at most `WIDTH` columns: what the demo made different or planted, and what the audit says of it.

    Args:
        corpus: as built.
        run: of its second snapshot, by the audit file that the demo wrote.
    """
    lines = [
        "What the demo put in, and what the audit found",
        "─" * WIDTH,
        *paragraph("Put in", _planted(corpus)),
        *paragraph("Policy", _policy(run)),
        *paragraph("Documents", _documents(run)),
        *paragraph("Drift", _drift(run)),
        *paragraph("Mix or text", _parts(run)),
        *paragraph("Domains", _domains(run)),
        *paragraph("Sampling", _sampling(run)),
        "",
        *_benchmark(corpus, run),
    ]
    return "".join(line.rstrip() + "\n" for line in lines)


def index_summary(counts: Mapping[str, int], model: str, preference: Preference | None) -> str:
    """Lines of at most `WIDTH` columns: what was indexed, and which unit is looked up, and why.

    Args:
        counts: of the index.
        model: its name.
        found: the unit; None if none prefers a domain for certain.
    """
    lines = [
        "Which documents make a model's neurons fire",
        "─" * WIDTH,
        *paragraph(
            "Index",
            f"{model} was run over a part of the second snapshot: {numbers.grouped(counts['documents'])} documents, "
            f"{numbers.grouped(counts['tokens'])} tokens in {numbers.grouped(counts['windows'])} windows.",
        ),
        *paragraph("Neuron", _preference(preference)),
    ]
    return "".join(line.rstrip() + "\n" for line in lines)


def _preference(preference: Preference | None) -> str:
    if preference is None:
        return "None is more active in one domain than elsewhere for certain: there are too few documents."
    return (
        f"Of {numbers.grouped(preference.of)} neurons, {preference.unit} prefers a domain most. Its mean activation "
        f"is {preference.mean:.2f} in {safe_text(preference.domain, 40)} and {preference.mean_elsewhere:.2f} "
        f"elsewhere; 95 % interval of the difference: [{preference.low:.2f}, {preference.high:.2f}]. It fires "
        f"on {numbers.percent(preference.fires)} of the tokens there and {numbers.percent(preference.fires_elsewhere)} "
        "elsewhere."
    )


def paragraph(topic: str, text: str) -> list[str]:
    """A paragraph beside its topic; a figure stays on the line of its unit."""
    glued = text
    for unit in ("%", "bits", "points", "MB"):
        glued = glued.replace(f" {unit}", f"\u00a0{unit}")
    lines = textwrap.wrap(glued, WIDTH - _TOPIC, break_on_hyphens=False) or [""]
    return [f"{fit(topic if n == 0 else '', _TOPIC)}{line}".replace("\u00a0", " ") for n, line in enumerate(lines)]


def _planted(corpus: DemoCorpus) -> str:
    if not corpus.left and not corpus.came:
        return "The two snapshots hold the same documents: this installation has too few packages to differ by."
    text = f"After the first snapshot {_packages(corpus.left)} left and {_packages(corpus.came)} came."
    if corpus.new_domain is not None:
        text += f" The domain {safe_text(corpus.new_domain, 40)} is new."
    return text


def _policy(run: RunDirectory) -> str:
    results = read_results((run.folder / RESULTS_FILE).read_bytes())
    planted = [each for each in results.judgements if each.rule == "contamination" and each.status is Status.FAIL]
    counts = ", ".join(f"{count} {status.value}" for status, count in sorted(results.counts.items()))
    text = f"The verdict of the starter policy {results.policy.name} is {results.verdict.value} ({counts})."
    if planted:
        text += " It has to fail: passages of the corpus were planted in the benchmark."
    return f"{text} The demo itself ends with exit code 0 all the same; corpus-audit run would not."


def _packages(names: Sequence[str]) -> str:
    if len(names) <= _LISTED + 1:
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "no package"
    return f"{', '.join(names[:_LISTED])} and {len(names) - _LISTED} more packages"


def _whole(run: RunDirectory, table: str, **wanted: str) -> Row:
    rows = run.table(table).to_pylist()
    return next(row for row in rows if row["domain"] == ALL_DOMAINS and all(row[k] == v for k, v in wanted.items()))


def _documents(run: RunDirectory) -> str:
    row = _whole(run, "turnover")
    return f"{kinds_of_documents(row)} What both snapshots hold is kept apart: it cannot differ."


def _drift(run: RunDirectory) -> str:
    headline: str = run.table("drift_conclusion")["headline"][0].as_py()
    return safe_text(headline, 600)


def _parts(run: RunDirectory) -> str:
    parts = {part: _whole(run, "drift_parts", part=part)["attribution"] for part in ("mixture", "content")}
    if parts["mixture"] is None or parts["content"] is None:
        return "No token's share changed."
    return (
        f"{numbers.percent(parts['mixture'])} of the change of token shares is the mix of domains, "
        f"{numbers.percent(parts['content'])} the text within them."
    )


def _domains(run: RunDirectory) -> str:
    rows = [row for row in run.table("drift_domains").to_pylist() if row["unit"] == "tokens"]
    rows.sort(key=lambda row: (-abs(row["difference"]), row["domain"]))
    moved = "; ".join(
        f"{safe_text(row['domain'], 40)} {numbers.percent(row['share_baseline'])} before, "
        f"{numbers.percent(row['share_current'])} now"
        for row in rows[:_LISTED]
    )
    return f"Shares of tokens moved most: {moved}."


def _sampling(run: RunDirectory) -> str:
    rows = {row["strategy"]: row for row in run.table("sampling_strategies").to_pylist()}
    maxima = [
        f"{row['epochs_maximum']:.1f} over {safe_text(row['epochs_maximum_domain'], 40)} ({name})"
        for name, row in rows.items()
        if row["kind"] in ("temperature", "unimax")
    ]
    proportional = rows["proportional"]
    text = (
        f"{numbers.compact(round(proportional['budget']))} training tokens are {proportional['epochs_maximum']:.1f} "
        f"passes over everything; most over one domain: {', '.join(maxima)}."
    )
    trap = rows["mixture by document"]["misread_distance"]
    if trap is None:
        return text
    return (
        f"{text} The intended weights, read by document instead of by token, move {numbers.percent(trap)} of the "
        "training tokens to other domains."
    )


def _benchmark(corpus: DemoCorpus, run: RunDirectory) -> Iterator[str]:
    outcomes_by_rule = item_outcomes(run)
    kinds = {kind: sum(next(iter(outcomes_by_rule.values()))[kind].values()) for kind in KINDS}
    yield from paragraph(
        "Benchmark",
        f"benchmark.jsonl has {kinds['copied']} passages of the corpus, copied; {kinds['edited']} with every "
        f"twelfth word changed; {kinds['shuffled']} with their words in another order; and {kinds['short']} items too "
        "short to judge. So the known answer is all of the first, none of the third, and the last untestable; of "
        "the second the rules differ by definition.",
    )
    yield ""
    yield fit("Found by rule", 20) + "".join(fit(name, 12, True) for name in KINDS.values())
    yield fit("items", 20) + "".join(fit(numbers.grouped(count), 12, True) for count in kinds.values())
    for rule, outcomes in outcomes_by_rule.items():
        cells = [_cell(outcomes[kind]) for kind in KINDS]
        yield fit(rule, 20) + "".join(fit(cell, 12, True) for cell in cells)
    yield ""
    own, copied = sources_named(run, corpus.folder / "benchmark.jsonl")
    check = next(row for row in run.table("contamination_check").to_pylist() if row["rule"] == "gpt3")
    missed = [f"{rule} misses {n} of the copies" for rule, n in _missed(outcomes_by_rule, kinds["copied"]).items()]
    text = (
        "llama3 reports a ratio: its threshold is an input. The document that an item was copied from is named for "
        f"{own} of {copied}."
    )
    if missed:
        text = f"{' and '.join(missed)}. {text}"
    if check["false_positive_rate"] is not None:
        text += (
            f" Of passages of the corpus itself, looked for outside their own documents, gpt3 finds "
            f"{numbers.percent(check['false_positive_rate'])}: so much of this corpus is near copies."
        )
    yield from paragraph("", text)


def _missed(outcomes_by_rule: Outcomes, copied: int) -> dict[str, int]:
    """Rule -> copied items that it judged and did not find."""
    outcomes = {rule: kinds["copied"] for rule, kinds in outcomes_by_rule.items()}
    lost = {
        rule: copied - each["contaminated"] - each["unjudged"] - each["untestable"] for rule, each in outcomes.items()
    }
    return {rule: count for rule, count in lost.items() if count}


def _cell(outcomes: Counter[str]) -> str:
    total = sum(outcomes.values())
    for outcome in ("untestable", "unjudged"):
        if total and outcomes[outcome] == total:
            return outcome
    return numbers.grouped(outcomes["contaminated"])
