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


def token_rows(found: Sequence[Snapshots]) -> Iterable[str]:
    """Rejections of nulls by band of document frequency."""
    nulls = [one for one in found if one.drift == "none"]
    ends = [f"{low}-{high - 1}" for low, high in pairwise(BANDS)] + [f"{BANDS[-1]}-"]
    for title, name in (("clustered z", "clustered"), ("Monroe / sqrt(deff)", "monroe")):
        rows = [[f"{title} rejects at 5 %, df", *ends, "all", "tests"]]
        for one in nulls:
            hits = getattr(one, name)
            cells = [percent(*pair) for pair in zip(hits, one.tested, strict=True)]
            total = sum(one.tested)
            rows.append([f"  {one.source}, {one.plan}", *cells, percent(sum(hits), total), str(total)])
        bands = [
            percent(sum(getattr(one, name)[b] for one in nulls), sum(one.tested[b] for one in nulls))
            for b in range(len(BANDS))
        ]
        total = sum(sum(one.tested) for one in nulls)
        rows.append(["  pooled", *bands, percent(sum(sum(getattr(o, name)) for o in nulls), total), str(total)])
        yield from aligned(rows)
        yield ""


def summary_rows(found: Sequence[Snapshots]) -> Iterable[str]:
    """p-values and intervals of the divergence."""
    rows = [["JSD", "pairs", "truth, bits", "covers", "low > 0", "p <= 0.05", "smallest KS p"]]
    for one in found:
        trials = len(one.low)
        least = f"{min(uniformity(p) for p in one.p.values()):.3f}" if one.drift == "none" else "-"
        rows.append(
            [
                f"  {one.source}, {one.plan}, drift {one.drift}",
                str(trials),
                f"{one.truth[0]:.5f}",
                percent(one.covered, trials),
                percent(one.failed, trials),
                percent(one.rejected, trials),
                least,
            ]
        )
    yield from aligned(rows)
    yield ""


def domain_rows(shares: Sequence[DomainShares], classifiers: Sequence[ClassifierNulls]) -> Iterable[str]:
    """Domain shares and the classifier."""
    rows = [["Domain shares, documents with replacement", "intervals", "shares covered", "differences covered"]]
    for one in shares:
        cells = percent(one.shares, one.intervals), percent(one.differences, one.intervals)
        rows.append([f"  {one.plan}", str(one.intervals), *cells])
    yield from aligned(rows)
    yield ""
    rows = [["Classifier, nulls", "splits", "enough documents", "p <= 0.05", "interval holds 0.5"]]
    for test in classifiers:
        cells = percent(test.rejected, test.told), percent(test.covered, test.told)
        rows.append([f"  {test.plan}", str(test.replicates), str(test.told), *cells])
    yield from aligned(rows)
    yield ""


def planted_rows(found: Sequence[Planted]) -> Iterable[str]:
    """Power and attribution."""
    rows = [
        ["Planted in one of two halves", "pairs", "p <= 0.05", "low > 0", "domain", "tokens", "false", "mix", "text"]
    ]
    for one in found:
        n = one.replicates
        rows.append(
            [
                f"  {one.plant}",
                str(n),
                percent(one.rejected, n),
                percent(one.failed, n),
                percent(one.domain_found, n),
                percent(one.tokens_found, 20 * n) if "tokens" in one.plant else "-",
                f"{one.tokens_false / max(n, 1):.1f} a pair",
                f"{one.mixture:+.4f}",
                f"{one.content:+.4f}",
            ]
        )
    yield from aligned(rows)
    yield "  domain: its share moved (q <= 0.05); tokens: of the 20, found; mix, text: TVD less what chance gives"
    for one in found:
        if one.plant != "none":
            mix, text = one.identical_mixture, one.identical_content
            yield f"  planted on identical documents, {one.plant}: {mix:.1%} mix, {text:.1%} text"
    yield ""


def edit_rows(found: Sequence[EditedSnapshots]) -> Iterable[str]:
    """Snapshots with edited documents."""
    rows = [["Documents edited", "pairs", "truth", "p <= 0.05", "covers", "low > 0", "z rejects", "any token", "power"]]
    for one in found:
        n = len(one.p)
        rows.append(
            [
                f"  {one.plan}",
                str(n),
                f"{one.truth:.5f}" if one.truth else "0",
                percent(rejected(one.p), n) if one.bounded else "too few",
                percent(one.covered, n) if one.bounded else "-",
                percent(one.above, n) if one.bounded else "-",
                percent(one.rejected, one.tested),
                percent(one.discoveries, n),
                f"{one.power:.0%}" if one.directed else "-",
            ]
        )
    yield from aligned(rows)
    yield "  covers: intervals that hold the true divergence (bits); power: tokens that edits move, found"
    yield "  any token: pairs with a token of q <= 0.05 that no edit moves"
    yield ""


def rival_rows(found: Sequence[Snapshots], bins: PairedBins) -> Iterable[str]:
    """What tests that ignore documents, and customary limits, make of two samples of one source."""
    rows = [["For contrast, nulls at 1:1", "G-test rejects", "Monroe without deff", "PSI > 0.25", "PSI, zeros filled"]]
    for one in found:
        if one.drift == "none" and one.plan == "1:1":
            total, pairs = sum(one.tested), len(one.low)
            cells = percent(sum(one.g_test), total), percent(sum(one.monroe_plain), total)
            rows.append([f"  {one.source}", *cells, percent(one.psi, pairs), percent(one.psi_filled, pairs)])
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
    for one in limits:
        families.setdefault(one.family, []).append(one)
    for family, members in families.items():
        worst = min(members, key=lambda one: (one.holds, one.margin))
        for one in [worst, *(other for other in members if not other.holds and other is not worst)]:
            name = one.name if len(members) == 1 or not one.holds else f"{family}, worst of {len(members)}"
            cells = f"{one.value:.4f}", f"{one.low:.4f}", f"{one.high:.4f}", str(one.trials)
            rows.append([f"  {name}", *cells, "holds" if one.holds else "MISSED"])
    yield from aligned(rows)
