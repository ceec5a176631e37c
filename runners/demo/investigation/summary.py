"""What the demo of investigations says: what was planted, and which findings name it."""

from __future__ import annotations

from collections.abc import Sequence

from corpus_audit.checks.text.numbers import grouped, plural
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.runners.demo.investigation.build import InvestigationDemo, is_of_shard
from corpus_audit.runners.demo.investigation.corpus import BAD_SHARD, SHIFT
from corpus_audit.runners.demo.investigation.training import BATCH, FROM_SHARD
from corpus_audit.runners.demo.summary import WIDTH, paragraph
from corpus_audit.schemas.run.findings import Finding, Reading, State

_BEFORE = "document "


def documents_of(finding: Finding) -> list[str]:
    """The documents that are the evidence of a finding, in its order."""
    shown = [row.shown for row in finding.evidence if row.shown.startswith(_BEFORE)]
    return [text.removeprefix(_BEFORE).rpartition(": ")[0] for text in shown]


def spike_at(findings: Sequence[Finding], steps: tuple[int, int] | None) -> Finding | None:
    """The highest spike of ``now`` that overlaps steps; None if there is none."""
    if steps is None:
        return None
    spikes = [each for each in findings if each.id.startswith("now.spike.") and each.window is not None]
    near = [e for e in spikes if e.window is not None and e.window.first <= steps[1] and e.window.last >= steps[0]]
    return max(near, key=lambda each: each.effect.value if each.effect else 0.0, default=None)


def documents_at(findings: Sequence[Finding], spike: Finding | None) -> Finding | None:
    """The finding about the documents before a spike."""
    if spike is None:
        return None
    step = spike.id.rpartition(".")[2]
    return next((each for each in findings if each.id == f"now.documents.{step}"), None)


def planted_answers(demo: InvestigationDemo, findings: Sequence[Finding]) -> str:
    """Lines of at most `WIDTH` columns: what was planted, and what the findings say of it.

    Args:
        demo: as built.
        findings: of its investigation.
    """
    lines = [
        "What the demo planted, and what the investigation found",
        "─" * WIDTH,
        *paragraph("Fault", _fault(demo, findings)),
    ]
    if demo.shard is not None:
        lines += [*paragraph("Bad shard", _shard(demo, findings)), *paragraph("Scores", _scores(demo, findings))]
    else:
        lines += paragraph("Bad shard", "None: nothing in the data is to be found.")
    return "".join(line.rstrip() + "\n" for line in lines)


def _steps(steps: tuple[int, int]) -> str:
    return f"steps {grouped(steps[0])} to {grouped(steps[1])}"


def _fault(demo: InvestigationDemo, findings: Sequence[Finding]) -> str:
    text = f"At {_steps(demo.fault)} the hidden layer of now was read as zeros, that of twin was not. "
    spike = spike_at(findings, demo.fault)
    if spike is None:
        return f"{text}No spike was found there."
    ruled_out = _states(spike, State.RULED_OUT)
    return f"{text}{spike.id} is a rise of {_rise(spike)}. Ruled out: {ruled_out}.{_cause(findings, spike)}"


def _cause(findings: Sequence[Finding], spike: Finding) -> str:
    """What the finding about the cause of a spike says, if there is one."""
    step = spike.id.rpartition(".")[2]
    cause = next((each for each in findings if each.id == f"now.cause.{step}"), None)
    if cause is None:
        return ""
    why = cause.detail.split(". ")[0].rstrip(".")
    return f" {cause.id}, {cause.reading.value}: {safe_text(f'{cause.claim}: {why}' if why else cause.claim, 400)}."


def _rise(spike: Finding) -> str:
    return f"{spike.effect.value:.2g} nats per token" if spike.effect is not None else "unknown size"


def _states(finding: Finding, state: State) -> str:
    return "; ".join(each.what for each in finding.explanations if each.state is state) or "nothing"


def _shard(demo: InvestigationDemo, findings: Sequence[Finding]) -> str:
    assert demo.shard is not None
    text = (
        f"At {_steps(demo.shard)} {FROM_SHARD} of the {BATCH} documents of a step were of {BAD_SHARD}, whose "
        f"{plural(len(demo.documents), 'document')} were encoded by a tokenizer that has {SHIFT} special tokens more. "
    )
    spike = spike_at(findings, demo.shard)
    documents = documents_at(findings, spike)
    if spike is None or documents is None or documents.reading not in (Reading.SHOWN, Reading.CHANCE):
        return f"{text}The findings do not name it."
    named = documents_of(documents)
    right = sum(map(is_of_shard, named))
    among = ", though not beyond chance among all questions" if documents.reading is Reading.CHANCE else ""
    first = f", first {safe_text(named[0], 80)}" if named else ""
    return (
        f"{text}{spike.id} is a rise of {_rise(spike)}; not ruled out: {_states(spike, State.NOT_RULED_OUT)}. "
        f"{documents.id} says that the documents are unlike those of other steps{among}; of the {len(named)} that it "
        f"names {right} are of {BAD_SHARD}{first}.{_cause(findings, spike)}"
    )


def _scores(demo: InvestigationDemo, findings: Sequence[Finding]) -> str:
    assert demo.shard is not None
    prefix = f"now.evals.{demo.shard[1]}."
    parts = [_difference(each) for each in findings if each.id.startswith(prefix)]
    if not parts:
        return "None was compared."
    return f"From the checkpoint before the shard to that after it: {'; '.join(parts)}."


def _difference(finding: Finding) -> str:
    measure = finding.id.rpartition(".")[2]
    if finding.reading is not Reading.SHOWN or finding.effect is None:
        return f"{measure} {finding.reading.value}"
    effect = finding.effect
    bounds = f" [{effect.low:+.2g}, {effect.high:+.2g}]" if effect.low is not None and effect.high is not None else ""
    return f"{measure} {effect.value:+.2g}{bounds}"
