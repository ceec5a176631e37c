"""The printed table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tests.benchmarks.calibration.domains import ClassifierNulls, DomainShares, PairedBins
from tests.benchmarks.calibration.edits import EditedSnapshots
from tests.benchmarks.calibration.limits import Limit, rejected, share, uniformity
from tests.benchmarks.calibration.planted import Planted
from tests.benchmarks.calibration.snapshots import BANDS, Snapshots


def percent(hits: int, trials: int) -> str:
    """A rate as it is printed."""
    return f"{100 * share(hits, trials):.1f} %" if trials else "-"


def aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines of columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def token_rows(result: Sequence[Snapshots]) -> Iterable[str]:
    """Rejections of nulls by band of document frequency."""
    nulls = [entry for entry in result if entry.drift == "none"]
    ends = [f"{low}-{high - 1}" for low, high in pairwise(BANDS)] + [f"{BANDS[-1]}-"]
    for title, name in (("clustered z", "clustered"), ("Monroe / sqrt(deff)", "monroe")):
        rows = [[f"{title} rejects at 5 %, df", *ends, "all", "tests"]]
        for entry in nulls:
            hits = getattr(entry, name)
            cells = [percent(*pair) for pair in zip(hits, entry.tested, strict=True)]
            total = sum(entry.tested)
            rows.append([f"  {entry.source}, {entry.plan}", *cells, percent(sum(hits), total), str(total)])
        bands = [
            percent(sum(getattr(entry, name)[b] for entry in nulls), sum(entry.tested[b] for entry in nulls))
            for b in range(len(BANDS))
        ]
        total = sum(sum(entry.tested) for entry in nulls)
        rows.append(["  pooled", *bands, percent(sum(sum(getattr(o, name)) for o in nulls), total), str(total)])
        yield from aligned(rows)
        yield ""


def summary_rows(result: Sequence[Snapshots]) -> Iterable[str]:
    """p-values and intervals of the divergence."""
    rows = [["JSD", "pairs", "truth, bits", "covers", "low > 0", "p <= 0.05", "smallest KS p"]]
    for entry in result:
        trials = len(entry.low)
        least = f"{min(uniformity(p) for p in entry.p.values()):.3f}" if entry.drift == "none" else "-"
        rows.append(
            [
                f"  {entry.source}, {entry.plan}, drift {entry.drift}",
                str(trials),
                f"{entry.truth[0]:.5f}",
                percent(entry.covered, trials),
                percent(entry.failed, trials),
                percent(entry.rejected, trials),
                least,
            ]
        )
    yield from aligned(rows)
    yield ""


def domain_rows(shares: Sequence[DomainShares], classifiers: Sequence[ClassifierNulls]) -> Iterable[str]:
    """Domain shares and the classifier."""
    rows = [["Domain shares, documents with replacement", "intervals", "shares covered", "differences covered"]]
    for entry in shares:
        cells = percent(entry.shares, entry.intervals), percent(entry.differences, entry.intervals)
        rows.append([f"  {entry.plan}", str(entry.intervals), *cells])
    yield from aligned(rows)
    yield ""
    rows = [["Classifier, nulls", "splits", "enough documents", "p <= 0.05", "interval holds 0.5"]]
    for test in classifiers:
        cells = percent(test.rejected, test.tested), percent(test.covered, test.tested)
        rows.append([f"  {test.plan}", str(test.replicates), str(test.tested), *cells])
    yield from aligned(rows)
    yield ""


def planted_rows(result: Sequence[Planted]) -> Iterable[str]:
    """Power and attribution."""
    rows = [
        ["Planted in one of two halves", "pairs", "p <= 0.05", "low > 0", "domain", "tokens", "false", "mix", "text"]
    ]
    for entry in result:
        n = entry.replicates
        rows.append(
            [
                f"  {entry.plant}",
                str(n),
                percent(entry.rejected, n),
                percent(entry.failed, n),
                percent(entry.domain_found, n),
                percent(entry.tokens_found, 20 * n) if "tokens" in entry.plant else "-",
                f"{entry.tokens_false / max(n, 1):.1f} a pair",
                f"{entry.mixture:+.4f}",
                f"{entry.content:+.4f}",
            ]
        )
    yield from aligned(rows)
    yield "  domain: its share moved (q <= 0.05); tokens: of the 20, found; mix, text: TVD less what chance gives"
    for entry in result:
        if entry.plant != "none":
            mix, text = entry.identical_mixture, entry.identical_content
            yield f"  planted on identical documents, {entry.plant}: {mix:.1%} mix, {text:.1%} text"
    yield ""


def edit_rows(result: Sequence[EditedSnapshots]) -> Iterable[str]:
    """Snapshots with edited documents."""
    rows = [["Documents edited", "pairs", "truth", "p <= 0.05", "covers", "low > 0", "z rejects", "any token", "power"]]
    for entry in result:
        n = len(entry.p)
        rows.append(
            [
                f"  {entry.plan}",
                str(n),
                f"{entry.truth:.5f}" if entry.truth else "0",
                percent(rejected(entry.p), n) if entry.bounded else "too few",
                percent(entry.covered, n) if entry.bounded else "-",
                percent(entry.above, n) if entry.bounded else "-",
                percent(entry.rejected, entry.tested),
                percent(entry.discoveries, n),
                f"{entry.power:.0%}" if entry.directed else "-",
            ]
        )
    yield from aligned(rows)
    yield "  covers: intervals that hold the true divergence (bits); power: tokens that edits move, found"
    yield "  any token: pairs with a token of q <= 0.05 that no edit moves"
    yield ""


def rival_rows(result: Sequence[Snapshots], bins: PairedBins) -> Iterable[str]:
    """What tests that ignore documents, and customary limits, make of two samples of one source."""
    rows = [["For contrast, nulls at 1:1", "G-test rejects", "Monroe without deff", "PSI > 0.25", "PSI, zeros filled"]]
    for entry in result:
        if entry.drift == "none" and entry.plan == "1:1":
            total, pairs = sum(entry.tested), len(entry.low)
            cells = percent(sum(entry.g_test), total), percent(sum(entry.monroe_plain), total)
            rows.append([f"  {entry.source}", *cells, percent(entry.psi, pairs), percent(entry.psi_filled, pairs)])
    yield from aligned(rows)
    yield (
        f"  paired t-test on histogram bins, lengths of two different domains: rejects {bins.rejected} of "
        f"{bins.replicates}, smallest p {bins.smallest_p:.2f}; a rank test rejects {bins.rank_test_rejected}"
    )
    yield ""


def limit_rows(limits: Sequence[Limit]) -> Iterable[str]:
    """Limits with what was seen; of a limit on many scenarios the worst one, and all that are missed."""
    rows = [["Limit", "seen", "from", "to", "trials", ""]]
    families: dict[str, list[Limit]] = {}
    for entry in limits:
        families.setdefault(entry.family, []).append(entry)
    for family, members in families.items():
        worst = min(members, key=lambda entry: (entry.holds, entry.margin))
        for entry in [worst, *(other for other in members if not other.holds and other is not worst)]:
            name = entry.name if len(members) == 1 or not entry.holds else f"{family}, worst of {len(members)}"
            cells = f"{entry.value:.4f}", f"{entry.low:.4f}", f"{entry.high:.4f}", str(entry.trials)
            rows.append([f"  {name}", *cells, "holds" if entry.holds else "MISSED"])
    yield from aligned(rows)
