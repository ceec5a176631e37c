"""What the report's section on drift shows, made from the tables of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpus_audit.checks.report.drift.edits import edits_view, with_edits
from corpus_audit.checks.report.drift.readings import case, move, reading, separation, token_text
from corpus_audit.checks.report.drift.records import (
    ClassifierRow,
    ConclusionView,
    DistanceRow,
    DriftView,
    LengthShift,
    LensRow,
    NearRow,
    OtherDistance,
    PartRow,
    ShareShift,
    TokenMove,
    TurnoverRow,
)
from corpus_audit.checks.report.drift.sentences import causes_of_content
from corpus_audit.checks.report.drift.turnover_sentences import has_changed, kinds_of_documents, new_and_gone
from corpus_audit.schemas.tables.drift_tables import DRIFT_TABLES, FEATURE_JOINT
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

LISTED = 30
"""Domains that a table lists; charts show the first `drift_charts.ROWS` of them."""

TOKENS = 12
EXCERPTS = 3
FEATURES = 8
QUANTILES = ("p05", "p25", "p50", "p75", "p95")

Row = dict[str, Any]


def drift_views(tables: Mapping[str, pa.Table]) -> tuple[DriftView, ...]:
    """What the sections show, one a baseline, from tables of `DRIFT_TABLES`; those of later versions may be missing."""
    labels = list(dict.fromkeys(tables["drift"]["baseline"].to_pylist()))
    return tuple(_view(label, number, len(labels), tables) for number, label in enumerate(labels))


def _view(label: str, number: int, baselines: int, tables: Mapping[str, pa.Table]) -> DriftView:
    def rows(name: str, **wanted: str) -> list[Row]:
        table = tables.get(name, DRIFT_TABLES[name].empty_table())
        for column, value in {"baseline": label, **wanted}.items():
            table = table.filter(pc.equal(table[column], value))
        selected: list[Row] = table.to_pylist()
        return selected

    jsd = [_distance(row) for row in rows("drift", statistic="jsd")]
    overall = next(row for row in jsd if row.everything)
    domains = [row for row in jsd if not row.everything]
    same = tuple(row.domain for row in domains if row.case == "same")
    differ = sorted((row for row in domains if row.case != "same"), key=_telling)
    shares = sorted(
        map(_share, rows("drift_domains", unit="tokens")), key=lambda row: (-abs(row.difference or 0.0), row.domain)
    )
    parts = _parts(rows("drift_parts"))
    ordered = sorted(parts[1:], key=lambda row: (-abs(row.mixture or 0.0) - abs(row.content or 0.0), row.domain))
    of_documents = [_share(row) for row in rows("drift_domains", unit="documents")]
    turnover = [_turnover(row) for row in rows("turnover")]
    changed = sorted((row for row in turnover[1:] if row.changed), key=_most_changed)
    moved = rows("drift_tokens", domain=ALL_DOMAINS)
    kinds = [[row for row in moved if row["kind"] == kind] for kind in ("riser", "faller", "new", "vanished")]
    risers, fallers, new, vanished = (tuple(_token(row) for row in of_kind[:TOKENS]) for of_kind in kinds)
    lengths = _lengths(rows("drift_lengths", unit="tokens"), {row.domain for row in turnover if row.changed})
    return DriftView(
        label=label,
        conclusion=_conclusion(rows("drift_conclusion"), rows("drift_lenses")),
        number=number,
        baselines=baselines,
        domains=len(domains),
        permutations=max((row["permutations"] for row in rows("drift", statistic="jsd")), default=0),
        overall=overall,
        distances=tuple(differ),
        same=same,
        shares=tuple(shares),
        moved_documents=tuple(
            sorted((row for row in of_documents if row.reading == "moved"), key=lambda row: -abs(row.difference or 0.0))
        ),
        parts=with_edits(parts[0], rows("turnover")[0], rows("drift_edits", statistic="jsd", domain=ALL_DOMAINS)),
        part_rows=tuple(ordered[:LISTED]),
        risers=risers,
        fallers=fallers,
        new=new,
        vanished=vanished,
        more_tokens=(
            len(kinds[0]) - len(risers),
            len(kinds[1]) - len(fallers),
            len(kinds[2]) - len(new),
            len(kinds[3]) - len(vanished),
        ),
        lengths=lengths,
        turnover=(turnover[0], *changed[:LISTED]),
        documents=(*new_and_gone(rows("turnover")), (kinds_of_documents(rows("turnover")[0]),)),
        unknown=rows("turnover")[0].get("reason") or "",  # runs of earlier versions have no such column
        unchanged=len(turnover) - 1 - len(changed),
        classifiers=tuple(map(_classifier, rows("drift_classifier")[: LISTED + 1])),
        near=tuple(_near(row) for row in rows("near_duplicates", scope="baseline"))[: LISTED + 1],
        others=tuple(map(_other, rows("drift", domain=ALL_DOMAINS))),
        edits=edits_view(rows("drift_edits", statistic="jsd"), rows("edit_sizes"), rows("edit_patterns")),
    )


def _conclusion(conclusions: Sequence[Row], lenses: Sequence[Row]) -> ConclusionView | None:
    if not conclusions:
        return None
    row = conclusions[0]
    return ConclusionView(
        row["status"],
        row["headline"],
        row["level"],
        tuple(
            LensRow(
                lens["lens"],
                lens["reading"],
                lens["tests"],
                lens["p_adjusted"],
                lens["example"] or "",
                lens["reason"] or "",
            )
            for lens in lenses
        ),
    )


def _telling(row: DistanceRow) -> tuple[int, float, str]:
    """Domains with drift first, then those without, those that came or went, and those of which nothing is known."""
    rank = {"drift": 0, "no drift shown": 1, "not enough data": 3}[row.reading]
    return (2 if row.case in ("new", "gone") else rank, -(row.excess or row.value or 0.0), row.domain)


def _distance(row: Row) -> DistanceRow:
    names = ("value", "null_mean", "null_low", "null_high", "p", "excess", "low", "high", "documents_baseline")
    figures: Row = {name: row[name] for name in (*names, "documents_current")}
    return DistanceRow(
        row["domain"],
        row["domain"] == ALL_DOMAINS,
        **figures,
        reason=row["reason"] or "",
        case=case(row),
        reading=reading(row),
        adjusted=row.get("p_adjusted"),  # runs of earlier versions have no such column
    )


def _share(row: Row) -> ShareShift:
    return ShareShift(
        row["domain"],
        row["share_baseline"],
        row["share_current"],
        row["difference"],
        row["low"],
        row["high"],
        row["q"],
        row.get("reason") or "",  # runs of earlier versions have no such column
        move(row),
        row.get("p_adjusted"),
    )


def _parts(rows: Sequence[Row]) -> list[PartRow]:
    """One row a slice, all domains first."""
    slices: dict[str, dict[str, Row]] = {}
    for row in rows:
        slices.setdefault(row["domain"], {})[row["part"]] = row
    parts_of_slices = [
        PartRow(
            name,
            name == ALL_DOMAINS,
            mixture=parts["mixture"]["attribution"],
            content=parts["content"]["attribution"],
            mixture_tvd=parts["mixture"]["tvd"],
            mixture_chance=parts["mixture"]["tvd_null_mean"],
            content_tvd=parts["content"]["tvd"],
            content_chance=parts["content"]["tvd_null_mean"],
            content_tokens=tuple(parts["content"]["top_texts"][:FEATURES]),
            reason=parts["total"].get("reason") or "",  # runs of earlier versions have no such column
            causes=causes_of_content(parts),
        )
        for name, parts in slices.items()
    ]
    return sorted(parts_of_slices, key=lambda row: not row.everything)


def _token(row: Row) -> TokenMove:
    side = "baseline" if row["kind"] in ("faller", "vanished") and row["example_baseline"] else "current"
    return TokenMove(
        row["text"],
        row["kind"],
        row["count_baseline"],
        row["count_current"],
        row["documents_baseline"],
        row["documents_current"],
        row["log2_ratio"],
        row["low"],
        row["high"],
        row["q"],
        row[f"example_{side}"] or "",
        row[f"example_{side}_domain"] or "",
    )


def _lengths(rows: Sequence[Row], changed: set[str]) -> tuple[LengthShift, ...]:
    """All documents, then the domains whose documents changed, by how far their distributions are apart."""
    slices: dict[str, dict[str, Row]] = {}
    for row in rows:
        slices.setdefault(row["domain"], {})[row["statistic"]] = row
    shifts = []
    for name, by in slices.items():
        if name not in changed or any(
            by[q]["value_baseline"] is None or by[q]["value_current"] is None for q in QUANTILES
        ):
            continue
        figures: Row = {}
        for figure, statistic in (("median", "p50"), ("mean", "mean"), ("gap", "ks")):
            figures[figure] = by[statistic]["change"]
            figures |= {f"{figure}_{end}": by[statistic][end] for end in ("low", "high")}
        shifts.append(
            LengthShift(
                name,
                name == ALL_DOMAINS,
                tuple(by[q]["value_baseline"] for q in QUANTILES),
                tuple(by[q]["value_current"] for q in QUANTILES),
                **figures,
                reading=move(by["ks"]),
                adjusted=by["ks"].get("p_adjusted"),
            )
        )
    shifts.sort(key=lambda row: (not row.everything, -(row.gap or 0.0), row.domain))
    return tuple(shifts[: LISTED + 1])


def _turnover(row: Row) -> TurnoverRow:
    counts = ("kept", "added", "removed", "moved_in", "moved_out", "added_tokens", "removed_tokens")
    return TurnoverRow(
        row["domain"],
        row["domain"] == ALL_DOMAINS,
        **{name: row[name] for name in counts},
        edited=row.get("edited"),  # runs of earlier versions have no such columns
        renamed=row.get("renamed"),
        replaced=row.get("replaced"),
        edited_tokens=row.get("edited_tokens_current"),
        changed=has_changed(row),
    )


def _most_changed(row: TurnoverRow) -> tuple[int, str]:
    return -(row.added + row.removed + (row.edited or 0)), row.domain


def _classifier(row: Row) -> ClassifierRow:
    return ClassifierRow(
        row["domain"],
        row["domain"] == ALL_DOMAINS,
        documents_before=row["documents_baseline"],
        documents_now=row["documents_current"],
        auc=row["auc"],
        low=row["low"],
        high=row["high"],
        p=row["p"],
        features_before=_features(row["features_baseline"]),
        features_now=_features(row["features_current"]),
        excerpts_before=tuple(row["excerpts_baseline"][:EXCERPTS]),
        excerpts_now=tuple(row["excerpts_current"][:EXCERPTS]),
        reason=row["reason"] or "",
        reading=separation(row),
        adjusted=row.get("p_adjusted"),
    )


def _features(names: Sequence[str]) -> tuple[str, ...]:
    """Buckets, their tokens joined by a slash; the table joins them by `FEATURE_JOINT`."""
    return tuple(" / ".join(token_text(text) for text in name.split(FEATURE_JOINT)) for name in names[:FEATURES])


def _near(row: Row) -> NearRow:
    everything = row["domain"] == ALL_DOMAINS
    return NearRow(
        row["domain"], everything, row["documents"], row["rate"], row["low"], row["high"], row["reason"] or ""
    )


def _other(row: Row) -> OtherDistance:
    return OtherDistance(
        *(row[name] for name in ("statistic", "unit", "value", "null_mean", "null_low", "null_high", "p"))
    )
