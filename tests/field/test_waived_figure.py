"""Seen by a new user: what somebody signed showed a waived figure as ``0.3624995990174835``.

Right: 36.2 %, in the unit of its metric, as everywhere else; a figure that is none is a dash.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_audit.checks.text.wording import bound_text, figure
from corpus_audit.runners.cli.approve import _facts
from corpus_audit.schemas.run.results import Bound, Status
from tests.checks.report.judged_runs import judgement


def shown(observed: float, unit: str) -> str:
    """The line on a waiver that is read before signing."""
    waiver = SimpleNamespace(id="W-1", rule="leak", slice="all", observed=observed, unknown=False,
                             holds_while=Bound(maximum=0.5), reason="Known.", expires="2026-12-31", owner="ann",
                             approved_by="bob")  # fmt: skip
    corpus = SimpleNamespace(name="c", shards="1", documents="2", tokens="3", merkle=SimpleNamespace(root="ab" * 32))
    policy = SimpleNamespace(name="p", version="1", digest=SimpleNamespace(sha256="cd" * 32))
    signed = SimpleNamespace(run="r", corpus=corpus, policy=policy, plan=None, verdict="PASSED", waivers=[waiver])
    judged = judgement("leak", Status.WAIVED, waiver="W-1", unit=unit, observed=observed)
    results = SimpleNamespace(counts={Status.WAIVED: 1}, judgements=[judged], not_judged=())
    pending = SimpleNamespace(measured=signed, results=results, statement=None)
    return next(text for label, text in _facts(pending) if label == "Waiver")  # type: ignore[arg-type]


def test_a_waived_share_is_in_per_cent() -> None:
    assert shown(0.3624995990174835, "share") == "W-1: leak (all) is 36.2 %, waived while at most 50 %. Known."
    assert shown(0.3624995990174835, "bits") == "W-1: leak (all) is 0.3625, waived while at most 0.5. Known."


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e6, 1e6), st.sampled_from(["share", "probability", "bits", "log2", ""]))
def test_no_figure_has_more_than_five_digits_that_say_something(value: float, unit: str) -> None:
    for text in (figure(value, unit), bound_text(Bound(maximum=value), unit)):
        digits = re.sub(r"e[+−-]?\d+|\D", "", text.partition("at most ")[2] or text).strip("0")
        assert len(digits) <= 5 or value == int(value) or abs(value) >= 1000, text


def test_a_figure_that_is_none_is_a_dash() -> None:
    assert {figure(value, "share") for value in (None, float("nan"), float("inf"))} == {"–"}
