"""Options, exit code and JSON of commands that end with a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from corpus_audit.schemas.errors import ExitCode

if TYPE_CHECKING:
    from corpus_audit.schemas.run.results import Results

fail_on_option = click.option(
    "--fail-on",
    type=click.Choice(["fail", "warn"]),
    default="fail",
    show_default=True,
    help="With warn, the exit code of a verdict with warnings is 3.",
)


def verdict_code(results: Results, fail_on: str) -> ExitCode:
    """The exit code of a verdict: 0 pass or warn, 1 fail, 4 none; 3 for warn if ``fail_on`` is ``warn``."""
    if results.verdict.value == "warn" and fail_on == "warn":
        return ExitCode.WARN
    return results.exit_code


def verdict_json(results: Results) -> dict[str, Any]:
    """The verdict for ``--json``: every judgement that does not pass, the number by status, and what no rule judges."""
    return {
        "verdict": results.verdict.value,
        "policy": results.policy.model_dump(mode="json"),
        "judged_on": results.judged_on,
        "counts": {status.value: count for status, count in sorted(results.counts.items())},
        "not_passed": [
            judged.model_dump(mode="json") for judged in results.judgements if judged.status.value != "pass"
        ],
        "not_judged": [entry.model_dump(mode="json") for entry in results.not_judged],
        "waivers": [waiver.model_dump(mode="json") for waiver in results.waivers],
    }
