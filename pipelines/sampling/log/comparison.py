"""What was drawn in a window of steps, against control windows: domains, repeated documents, excess loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corpus_audit.pipelines.sampling.log.drawn import DrawnRows
from corpus_audit.pipelines.statistics.intervals.clustered import Floats, Integers
from corpus_audit.pipelines.statistics.sampling.control_windows import joint_p, rank_p, share_deviations
from corpus_audit.pipelines.statistics.sampling.excess_loss import excess_losses

DOMAINS = "domain shares"
REPEATS = "repeated documents"
EXCESS = "excess loss"

MOST_DOCUMENTS = 100
"""Documents of a window that are listed, by excess loss, and as many by draws."""

_QUANTILE = 1.959964


@dataclass(frozen=True, slots=True)
class DomainShare:
    """A domain in the window: its documents, their share there and in the control windows, and by how many sd."""

    domain: str
    documents: int
    share: float
    control_share: float
    z: float
    scatter: float


@dataclass(frozen=True, slots=True)
class DrawnDocument:
    """A document in the window.

    Attributes:
        key, document: hash of its id, and the id.
        domain: None if no domain is known.
        draws, tokens: in the window.
        excess: sum of tokens * (loss - expected), nats; None if the log has no loss.
        excess_per_token: the same by token.
    """

    key: int
    document: str
    domain: str | None
    draws: int
    tokens: int
    excess: float | None
    excess_per_token: float | None


@dataclass(frozen=True, slots=True)
class ExcessLoss:
    """Excess loss in nats per token.

    Attributes:
        window, control: of the window, and the mean of the control windows.
        high: upper 95 % bound of the difference, from the scatter of the control windows.
        step, step_high: largest difference of a single step of the window, and its upper 95 % bound.
    """

    window: float
    control: float
    high: float
    step: float
    step_high: float


@dataclass(frozen=True, slots=True)
class WindowComparison:
    """A window against its controls.

    Attributes:
        first, last: steps of the log.
        documents, tokens: drawn in the window, the former with repeats.
        controls: control windows with documents.
        each: p of every statistic.
        p: of all together; NaN without a control window.
        shares: domains of the window and of the controls, the largest deviations first.
        repeated, control_repeated: share of draws of documents that were drawn before in the same window.
        excess: None if the log has no loss.
        top: documents by excess loss, the highest first; without a loss by draws.
        most_drawn: documents that were drawn more than once, the most often first.
    """

    first: int
    last: int
    documents: int
    tokens: int
    controls: int
    each: dict[str, float]
    p: float
    shares: tuple[DomainShare, ...]
    repeated: float | None
    control_repeated: float | None
    excess: ExcessLoss | None
    top: tuple[DrawnDocument, ...]
    most_drawn: tuple[DrawnDocument, ...]


def excess_of(rows: DrawnRows) -> Floats | None:
    """Excess loss of every draw in nats per token, [N]; None if the log has no loss."""
    if rows.loss is None or not np.isfinite(rows.loss).any():
        return None
    domain = rows.domain if rows.domain is not None else np.zeros(len(rows.step), np.int64)
    return excess_losses(rows.step, domain, rows.loss)


def compare_window(
    rows: DrawnRows, excess: Floats | None, window: tuple[int, int], starts: Integers
) -> WindowComparison:
    """Compare a window with control windows of the same length.

    Args:
        rows: draws of all windows.
        excess: of every row, see `excess_of`.
        window: first and last step of the log.
        starts: first steps of the control windows.
    """
    first, last = window
    edges = np.concatenate([starts[starts < first], [first], starts[starts > first]])
    at = np.searchsorted(edges, rows.step, side="right") - 1
    inside = (at >= 0) & (rows.step <= edges[np.maximum(at, 0)] + (last - first))
    number = np.where(inside, at, -1)
    drawn = np.bincount(number[inside], minlength=len(edges))
    target = int((starts < first).sum())
    used = np.flatnonzero((drawn > 0) | (np.arange(len(edges)) == target))
    position = np.full(len(edges) + 1, -1)
    position[used] = np.arange(len(used))
    number, target = position[number], int(position[target])
    windows, total = len(used), drawn[used]
    here = np.flatnonzero(number == target)
    if not len(here):
        return WindowComparison(first, last, 0, 0, windows - 1, {}, np.nan, (), None, None, None, (), ())
    scores: dict[str, Floats] = {}
    shares: tuple[DomainShare, ...] = ()
    valid = number >= 0
    if rows.domain is not None and len(rows.domains) > 1:
        cells = number[valid] * len(rows.domains) + rows.domain[valid]
        counts = np.bincount(cells, minlength=windows * len(rows.domains)).reshape(windows, -1)
        scores[DOMAINS] = np.abs(share_deviations(counts)).max(axis=1)
        shares = _shares(rows.domains, counts, target)
    repeated = None
    if rows.key is not None:
        repeated = 1 - _distinct(number[valid], rows.key[valid], windows) / np.maximum(total, 1)
        scores[REPEATS] = repeated
    loss = None
    if excess is not None:
        per_window = _per_token(number, rows.tokens, excess, windows)
        if np.isfinite(per_window[target]):
            scores[EXCESS] = np.nan_to_num(per_window, nan=-np.inf)
            loss = _excess(rows, excess, number, per_window, target)
    each = rank_p(np.stack(list(scores.values()))) if scores and windows > 1 else None
    others = np.arange(windows) != target
    return WindowComparison(
        first=first,
        last=last,
        documents=len(here),
        tokens=int(rows.tokens[here].sum()),
        controls=windows - 1,
        each={} if each is None else dict(zip(scores, each[:, target].tolist(), strict=True)),
        p=float("nan") if each is None else float(joint_p(each)[target]),
        shares=shares,
        repeated=None if repeated is None else float(repeated[target]),
        control_repeated=None if repeated is None or windows == 1 else float(repeated[others].mean()),
        excess=loss,
        top=tuple(_documents(rows, excess, here, by_draws=False)),
        most_drawn=tuple(each for each in _documents(rows, excess, here, by_draws=True) if each.draws > 1),
    )


def _shares(names: tuple[str, ...], counts: Integers, target: int) -> tuple[DomainShare, ...]:
    share = counts / counts.sum(axis=1, keepdims=True)
    others = np.arange(len(counts)) != target
    control = share[others].mean(axis=0) if others.any() else np.full(len(names), np.nan)
    scatter = share[others].std(axis=0, ddof=1) if others.sum() > 1 else np.full(len(names), np.nan)
    z = share_deviations(counts)[target] if others.any() else np.zeros(len(names))
    return tuple(
        DomainShare(
            names[g], int(counts[target, g]), float(share[target, g]), float(control[g]), float(z[g]), float(scatter[g])
        )
        for g in np.lexsort((np.arange(len(names)), -counts[target], -np.abs(z))).tolist()
    )


def _distinct(number: Integers, key: npt.NDArray[np.uint64], windows: int) -> Integers:
    """Distinct documents of every window."""
    order = np.lexsort((key, number))
    by_number, by_key = number[order], key[order]
    new = np.ones(len(order), bool)
    new[1:] = (by_number[1:] != by_number[:-1]) | (by_key[1:] != by_key[:-1])
    return np.bincount(by_number[new], minlength=windows)


def _per_token(group: Integers, tokens: Integers, excess: Floats, number: int) -> Floats:
    """Excess loss by token of every group, NaN for groups without a loss; rows with group -1 are in none."""
    used = (group >= 0) & np.isfinite(excess)
    weight = np.bincount(group[used], weights=tokens[used], minlength=number)
    total = np.bincount(group[used], weights=tokens[used] * excess[used], minlength=number)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(weight > 0, total / weight, np.nan))


def _excess(rows: DrawnRows, excess: Floats, number: Integers, per_window: Floats, target: int) -> ExcessLoss:
    controls = np.delete(per_window, target)
    controls = controls[np.isfinite(controls)]
    steps, step = np.unique(rows.step, return_inverse=True)
    per_step = _per_token(np.where(number >= 0, step, -1), rows.tokens, excess, len(steps))
    of_target = np.zeros(len(steps), bool)
    of_target[step[number == target]] = True
    single = per_step[~of_target & np.isfinite(per_step)]
    if len(controls) < 2 or len(single) < 2:
        nothing = float("nan")
        return ExcessLoss(float(per_window[target]), nothing, nothing, nothing, nothing)
    largest = float(np.nanmax(per_step[of_target]) - single.mean())
    return ExcessLoss(
        window=float(per_window[target]),
        control=float(controls.mean()),
        high=float(per_window[target] - controls.mean() + _QUANTILE * controls.std(ddof=1)),
        step=largest,
        step_high=largest + _QUANTILE * float(single.std(ddof=1)),
    )


def _documents(rows: DrawnRows, excess: Floats | None, here: Integers, by_draws: bool) -> list[DrawnDocument]:
    """Documents of the window, by excess loss or by draws; equal ones by their hash."""
    if rows.key is None:
        return []
    keys, at, draws = np.unique(rows.key[here], return_inverse=True, return_counts=True)
    tokens = np.bincount(at, weights=rows.tokens[here], minlength=len(keys))
    total = with_loss = None
    if excess is not None:
        stated = np.isfinite(excess[here])
        weights = rows.tokens[here] * np.where(stated, excess[here], 0.0)
        total = np.bincount(at, weights=weights, minlength=len(keys))
        with_loss = np.bincount(at, weights=rows.tokens[here] * stated, minlength=len(keys))
    rank = -draws if by_draws or total is None else -total
    one = np.zeros(len(keys), np.int64)
    one[at] = here
    results = []
    for i in np.lexsort((keys, rank))[:MOST_DOCUMENTS].tolist():
        has_loss = total is not None and with_loss is not None and with_loss[i] > 0
        results.append(
            DrawnDocument(
                key=int(keys[i]),
                document=rows.ids.get(int(keys[i]), ""),
                domain=rows.domains[int(rows.domain[one[i]])] if rows.domain is not None else None,
                draws=int(draws[i]),
                tokens=int(tokens[i]),
                excess=float(total[i]) if has_loss and total is not None else None,
                excess_per_token=float(total[i] / with_loss[i])
                if has_loss and total is not None and with_loss is not None
                else None,
            )
        )
    return results
