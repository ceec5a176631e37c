"""What an investigation could not ask, and which file would answer it: the last section of its page."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree as ET

from corpus_audit.checks.investigation.investigation import Investigation
from corpus_audit.checks.report.charts.svg import element
from corpus_audit.checks.text.numbers import plural
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.pipelines.telemetry.canonical import Quantity
from corpus_audit.schemas.run.findings import Findings, Reading, State
from corpus_audit.schemas.spec.investigation import InvestigationSpec

MOST_UNTESTED = 20
"""Explanations and questions without enough data that are listed, those of most findings first."""


def missing_files(spec: InvestigationSpec, investigation: Investigation) -> list[tuple[str, str]]:
    """(question, the file or key of the spec that would answer it) of everything that was not part of it."""
    answers: list[tuple[str, str]] = []
    runs = investigation.runs
    alone = [name for name, twins in investigation.twins.items() if not twins and runs[name].spikes]
    if alone:
        answers.append(
            (
                f"Was it the batch that made {_names(alone)} spike?",
                "logs of a run that drew the same batches at the same steps, such as a restart from an earlier "
                "checkpoint: runs, same_order_as",
            )
        )
    if investigation.drawn is None and any(run.spikes or run.shifts for run in runs.values()):
        answers.append(
            (
                "Which documents were drawn before a spike, and are they unlike others?",
                "the sampler's log with a row a drawn document (step, tokens, document, domain, loss): drawn",
            )
        )
    elif investigation.drawn is not None and investigation.drawn.test is None and investigation.drawn.spikes:
        answers.append(
            (
                "Are the steps of the sampler's log those of the run, and which documents had a high loss?",
                "a column of losses in the sampler's log: drawn, loss",
            )
        )
    for quantity, question in (
        (Quantity.GRADIENT_NORM, "Did the gradient norm rise before a spike of {}?"),
        (Quantity.LEARNING_RATE, "Did the learning rate change where the loss of {} did?"),
    ):
        without = [name for name, run in runs.items() if run.loss is not None and quantity not in run.curves]
        if without:
            words = quantity.value.replace("_", " ")
            answers.append((question.format(_names(without)), f"a log that has the {words}: runs, telemetry"))
    if not spec.evals:
        answers.append(
            ("Did capabilities change with the loss?", "results of two checkpoints or more with their items: evals")
        )
    elif spec.contamination is None:
        answers.append(
            (
                "Is a gain due to benchmark items in the training data?",
                "an audit's contamination_items.parquet: contamination",
            )
        )
    if spec.scaling is None:
        answers.append(
            (
                "Is the loss what runs of other sizes let expect?",
                "a CSV of at least 21 runs (run, parameters, tokens, loss): scaling",
            )
        )
    elif spec.scaling.audit is None:
        answers.append(
            (
                "Does the corpus have unique tokens enough for the compute-optimal point?",
                "an audit of the corpus: scaling, audit",
            )
        )
    return answers + _about_the_model(spec)


def _about_the_model(spec: InvestigationSpec) -> list[tuple[str, str]]:
    """The same of evaluations of other runs, of experts and of units."""
    answers: list[tuple[str, str]] = []
    if spec.contamination is not None and len({each.run for each in spec.evals}) < 2:
        answers.append(
            (
                "Is the order of models another one without contaminated items?",
                "the evaluations of another run: evals",
            )
        )
    if spec.runs and (spec.routing is None or spec.routing.series is None):
        answers.append(
            (
                "How evenly are the experts of every layer used, if there are any?",
                "series of loads by layer and expert in the logs: routing, series",
            )
        )
    if spec.units is None:
        answers.append(
            (
                "Which units are dead, and which fire on what was drawn before a spike?",
                "an activation index of the model on the corpus: units",
            )
        )
    elif spec.units.before is None:
        answers.append(
            ("Which units moved?", "an activation index of an earlier checkpoint or snapshot: units, before")
        )
    return answers


def unasked_section(
    body: ET.Element, spec: InvestigationSpec, findings: Findings, investigation: Investigation
) -> None:
    """Append the section; nothing if everything could be asked."""
    untested = Counter(
        (explanation.what, explanation.figure)
        for finding in findings.findings
        for explanation in finding.explanations
        if explanation.state is State.UNTESTED
    )
    few = Counter(
        (finding.question, finding.detail) for finding in findings.findings if finding.reading is Reading.NOT_ENOUGH
    )
    answers = missing_files(spec, investigation)
    if not (untested or few or answers):
        return
    element(body, "h2", "What could not be asked")
    if answers:
        listed = element(body, "ul", class_="prose")
        for question, file in answers:
            entry = element(listed, "li")
            element(entry, "span", safe_text(question, 300), class_="state")
            entry[-1].tail = safe_text(f" It takes {file}.", 400)
    for heading, counted in (("Explanations that were not tested", untested), ("Too few data", few)):
        if not counted:
            continue
        element(body, "h3", heading)
        listed = element(body, "ul", class_="prose")
        for (what, figure), count in counted.most_common(MOST_UNTESTED):
            words = f"{what}, for {plural(count, 'finding')}: {figure}" if counted is untested else f"{what} {figure}"
            element(listed, "li", safe_text(words, 1000))
        if len(counted) > MOST_UNTESTED:
            rest = plural(len(counted) - MOST_UNTESTED, "further one")
            element(body, "p", f"{rest} in findings.json.", class_="note")


def _names(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
