"""The report's section on images: sizes, kinds, copies and contact sheets. A run of an image corpus has it."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from jinja2 import Environment
from markupsafe import Markup

from corpus_audit.checks.report.images.records import (
    BenchmarkRow,
    DomainRow,
    ImagesView,
    KindChange,
    KindRow,
    Part,
    Picture,
    Property,
    Quantile,
    Sheet,
    SizeChange,
    Unit,
)
from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.plurals import agree
from corpus_audit.checks.text.safe_text import safe_text
from corpus_audit.checks.text.sentences import Finding, Name, Sentence
from corpus_audit.pipelines.storage.run_directory import RunDirectory
from corpus_audit.schemas.tables.run_tables import ALL_DOMAINS

DOMAINS = 30
SHEETS = 8
PICTURES = 12
KIND_CHANGES = 12

PROPERTIES: dict[Property, str] = {
    "format": "Format",
    "mode": "Mode",
    "orientation": "EXIF orientation",
    "frames": "Pictures in the file",
    "flat": "Nearly one grey",
    "mislabelled": "Named as another format",
}
UNITS: dict[Unit, tuple[str, int]] = {
    "short_side": ("Shorter side, pixels", 1),
    "pixels": ("Pixels", 1),
    "aspect": ("Longer side by shorter", 1_000),
    "bytes_per_pixel": ("Bytes per pixel", 1_000),
}
"""Unit of the tables -> heading, and what figures are divided by."""

_QUANTILES = (0.05, 0.5, 0.95)
_ALL_OF_THEM = "all domains"


def load(run: RunDirectory) -> ImagesView | None:
    """What the section shows; None where no image was measured.

    Raises:
        StoreError: a table is damaged or missing.
    """
    totals = sorted(run.table("image_totals").to_pylist(), key=lambda row: (-row["images"], row["domain"]))
    if not totals:
        return None
    shown = [row["domain"] for row in totals[:DOMAINS]]
    near = run.table("image_near_duplicates").to_pylist()
    whole = {name: sum(row[name] for row in totals) for name in ("images", "pixels", "bytes")}
    figures = _Figures(run, near)
    rows = [figures.row(ALL_DOMAINS, whole), *(figures.row(row["domain"], row) for row in totals[:DOMAINS])]
    return ImagesView(
        rows=tuple(rows),
        hidden=max(len(totals) - DOMAINS, 0),
        kinds=tuple(_kinds(run.table("image_kinds"))),
        bits=near[0]["bits"],
        distance=near[0]["distance"],
        chance=near[0]["chance"],
        near_reason=next((row["reason"] for row in near if row["domain"] == ALL_DOMAINS and row["reason"]), ""),
        benchmarks=tuple(_benchmarks(run)) if _has(run, "image_benchmarks") else (),
        sheets=tuple(_sheets(run, shown[:SHEETS])) if _has(run, "image_thumbnails") else (),
        sizes_then=tuple(_sizes_then(run.table("image_drift_sizes"))) if _has(run, "image_drift_sizes") else (),
        kinds_then=tuple(_kinds_then(run.table("image_drift_kinds"))) if _has(run, "image_drift_kinds") else (),
    )


def section(view: ImagesView, environment: Environment) -> Markup:
    """The section as markup, rendered with the page's environment."""
    widths = [p.high - p.low for row in view.rows for p in row.shares if p.low is not None and p.high is not None]
    template = environment.get_template("images/images.html")
    return Markup(
        template.render(
            view=view,
            units=UNITS,
            properties=PROPERTIES,
            digits=numbers.share_decimals(widths),
            quantile=_quantile_text,
            size=_size_text,
            log2=_log2_text,
        )
    )


def findings(view: ImagesView) -> tuple[Finding, ...]:
    """The summary's finding."""
    return (Finding("Images", "images", tuple(_sentences(view))),)


def _sentences(view: ImagesView) -> Iterator[Sentence]:
    whole = view.everything
    short = whole.sizes["short_side"][1].value
    yield (
        f"{numbers.plural(whole.images, 'image')} {agree(whole.images, 'has', 'have')} "
        f"{numbers.compact(whole.pixels)} pixels and {numbers.byte_size(whole.bytes)}; the median of the shorter side "
        f"is {numbers.length(short)} pixels.",
    )
    _, picture, across = whole.copies
    if picture.share is not None:
        yield (
            f"{numbers.percent(picture.share, 2)} of the images repeat a picture of the corpus, pixel by pixel; "
            f"{numbers.percent(across.share or 0, 2)} show one that another domain has.",
        )
    if view.near_reason:
        yield (f"Near duplicates have no share: {view.near_reason}.",)
    elif whole.near[0].share is not None:
        yield (
            f"{numbers.percent(whole.near[0].share, 2)} are near another picture of their domain, "
            f"{numbers.percent(whole.near[1].share or 0, 2)} near one of another domain.",
        )
    for benchmark in view.benchmarks:
        if benchmark.failed:
            yield (
                "The search for images of ",
                Name(benchmark.name),
                " missed planted copies: do not use its figures.",
            )
        yield (
            "Of ",
            Name(benchmark.name),
            f", the corpus holds {numbers.grouped(benchmark.exact)} of {numbers.plural(benchmark.items, 'image')} and "
            f"near duplicates of {numbers.grouped(benchmark.near)} more.",
        )
    wrong = sum(row.images for row in view.kinds if row.property == "mislabelled" and row.value != "no")
    if wrong:
        verb = agree(wrong, "is named", "are named")
        yield (f"{numbers.plural(wrong, 'image')} {verb} as another format than the content is of.",)


class _Figures:
    """The tables of a run by domain."""

    def __init__(self, run: RunDirectory, near: list[dict[str, Any]]) -> None:
        self._shares = {(r["domain"], r["unit"]): r for r in run.table("image_shares").to_pylist()}
        quantiles = run.table("image_size_quantiles").to_pylist()
        self._quantiles = {(r["domain"], r["unit"], r["quantile"]): r for r in quantiles}
        self._copies = {(r["domain"], r["by"]): r for r in run.table("image_duplicates").to_pylist()}
        self._near = {(r["domain"], r["scope"]): r for r in near}

    def row(self, name: str, totals: dict[str, Any]) -> DomainRow:
        everything = name == ALL_DOMAINS
        files, pictures = (self._copies[name, by] for by in ("bytes", "pixels"))
        across = Part(pictures["across_images"] / pictures["images"] if pictures["images"] else None, None, None)
        units = () if everything else ("images", "pixels", "bytes")
        return DomainRow(
            name=_ALL_OF_THEM if everything else name,
            everything=everything,
            images=totals["images"],
            pixels=totals["pixels"],
            bytes=totals["bytes"],
            shares=tuple(_part(self._shares[name, unit]) for unit in units),
            sizes={unit: tuple(self._quantile(name, unit, at) for at in _QUANTILES) for unit in UNITS},
            copies=(_part(files), _part(pictures), across),
            near=tuple(_part(self._near[name, scope]) for scope in ("within", "across")),
        )

    def _quantile(self, name: str, unit: Unit, at: float) -> Quantile:
        row = self._quantiles[name, unit, at]
        divisor = UNITS[unit][1]
        low, high = (None if row[end] is None else row[end] / divisor for end in ("low", "high"))
        return Quantile(row["value"] / divisor, low, high)


def _part(row: dict[str, Any]) -> Part:
    return Part(row["share"], row["low"], row["high"])


def _kinds(table: pa.Table) -> Iterator[KindRow]:
    rows = [row for row in table.to_pylist() if row["domain"] == ALL_DOMAINS]
    for property_ in PROPERTIES:
        for row in rows:
            if row["property"] == property_:
                yield KindRow(property_, row["value"], row["images"], _part(row))


def _benchmarks(run: RunDirectory) -> Iterator[BenchmarkRow]:
    checks = run.table("image_benchmark_check").to_pylist()
    for row in run.table("image_benchmarks").to_pylist():
        copies = [
            (each["copy"], each["required"], each["planted"], each["found"])
            for each in checks
            if each["benchmark"] == row["benchmark"]
        ]
        items, refused, exact, near = (row[name] for name in ("items", "refused", "exact", "near"))
        yield BenchmarkRow(row["benchmark"], items, refused, exact, near, _part(row), tuple(copies))


def _sheets(run: RunDirectory, domains: list[str]) -> Iterator[Sheet]:
    distinct = {(r["domain"], r["by"]): r["distinct"] for r in run.table("image_duplicates").to_pylist()}
    rows = run.table("image_thumbnails").to_pylist()
    for domain in domains:
        mine = [row for row in rows if row["domain"] == domain and row["thumbnail"]][:PICTURES]
        pictures = []
        for number, row in enumerate(mine, 1):
            size = f"{row['width']:,} × {row['height']:,}"
            copies = f", {numbers.grouped(row['images'])} copies" if row["images"] > 1 else ""
            label = f"Picture {number} of {len(mine)} of the domain {safe_text(domain, 60)}, {size} pixels{copies}"
            uri = "data:image/jpeg;base64," + base64.b64encode(row["thumbnail"]).decode()
            pictures.append(Picture(Markup(uri), label, size + copies))
        if pictures:
            yield Sheet(domain, tuple(pictures), distinct[domain, "pixels"])


def _sizes_then(table: pa.Table) -> Iterator[SizeChange]:
    rows = [row for row in table.to_pylist() if row["domain"] == ALL_DOMAINS]
    gaps = {(row["baseline"], row["unit"]): row["p_adjusted"] for row in rows if row["statistic"] == "ks"}
    for row in rows:
        if row["statistic"] == "p50":
            divisor = UNITS[row["unit"]][1]
            before, now = (
                None if row[side] is None else row[side] / divisor for side in ("value_baseline", "value_current")
            )
            key = row["baseline"], row["unit"]
            yield SizeChange(*key, before, now, row["change"], row["low"], row["high"], gaps.get(key))


def _kinds_then(table: pa.Table) -> list[KindChange]:
    moved = [row for row in table.to_pylist() if row["difference"]]
    moved.sort(key=lambda row: (-abs(row["difference"]), row["baseline"], row["property"], row["value"]))
    names = (
        "baseline",
        "property",
        "value",
        "share_baseline",
        "share_current",
        "difference",
        "low",
        "high",
        "p_adjusted",
    )
    return [KindChange(*(row[name] for name in names)) for row in moved[:KIND_CHANGES]]


def _has(run: RunDirectory, table: str) -> bool:
    return (run.folder / "tables" / f"{table}.parquet").exists()


def _size_text(value: float | None) -> str:
    """A size in three digits, as it is known to 1 %: 29,600; whole below 1,000."""
    if value is None:
        return numbers.NONE
    if value >= 100:
        return numbers.grouped(int(round(value, 2 - int(math.log10(value)))) if value >= 1_000 else round(value))
    return f"{value:.0f}" if value == int(value) and value >= 10 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _quantile_text(quantile: Quantile) -> str:
    if quantile.low is None or quantile.high is None:
        return numbers.NONE
    return f"[{_size_text(quantile.low)}, {_size_text(quantile.high)}]"


def _log2_text(change: float | None) -> str:
    if change is None:
        return numbers.NONE
    text = f"{change:+.2f}"
    return text.replace("-", numbers.MINUS) if float(text) else "0.00"
