"""What an investigation could not ask, and which file would answer it: parts of its spec that are not there."""

from __future__ import annotations

from corpus_audit.schemas.spec.investigation import InvestigationSpec


def not_asked(spec: InvestigationSpec) -> list[tuple[str, str]]:
    """(question, what would answer it) of every part that the spec does not have."""
    runs, several = spec.runs, len({each.run for each in spec.evals}) > 1
    missing = [
        (
            any(run.same_order_as for run in runs),
            "whether a spike is of the batch, of the hardware or of the recipe",
            "the log of a run that drew the same batches, with same_order_as",
        ),
        (
            spec.drawn is not None,
            "which documents were drawn before a spike, and whether they are unlike others",
            "the sampler's log, one row a drawn document with step and tokens: drawn",
        ),
        (
            bool(spec.evals),
            "whether capabilities changed between two steps, or differ between two runs",
            "evaluation results of two steps or two runs, item by item: evals",
        ),
        (
            not spec.evals or spec.contamination is not None,
            "whether a difference is a gain or a leak of benchmark items",
            "an audit of the corpus that looked for the benchmarks: contamination",
        ),
        (
            spec.contamination is None or several,
            "whether the order of models is another one without contaminated items",
            "the evaluations of another run",
        ),
        (
            spec.scaling is not None,
            "whether a run is off its scaling law, and what its compute is best spent on",
            "a CSV file of at least 21 runs with parameters, tokens and loss: scaling",
        ),
        (
            spec.scaling is None or spec.scaling.audit is not None,
            "whether the corpus has unique tokens enough for the compute-optimal point",
            "an audit of the corpus: audit under scaling",
        ),
        (
            spec.routing is not None and spec.routing.series is not None,
            "how evenly the experts of every layer are used, if there are any",
            "series of loads by layer and expert in the logs: series under routing",
        ),
        (
            spec.units is not None,
            "which units are dead, and which fire on what was drawn before a spike",
            "an activation index of the model on the corpus: units",
        ),
        (
            spec.units is None or spec.units.before is not None,
            "which units moved",
            "an index of an earlier checkpoint or snapshot: before under units",
        ),
    ]
    return [(question, answer) for there, question, answer in missing if not there]
