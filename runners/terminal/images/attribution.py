"""What ``attribute`` and ``prototype`` print of image models: where in images the attribution lies, and the checks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from corpus_audit.checks.text import numbers
from corpus_audit.checks.text.safe_text import fit, safe_text
from corpus_audit.embeddings.attribution.images.names import FACTS, ImageMethod
from corpus_audit.embeddings.attribution.images.regions import (
    AttributedImage,
    DomainRegions,
    Region,
    StandsOut,
    by_domain,
)
from corpus_audit.embeddings.attribution.images.results import StoredAttribution
from corpus_audit.embeddings.attribution.images.settings import ImageAttribution
from corpus_audit.embeddings.attribution.methods.names import SENSITIVE
from corpus_audit.pipelines.statistics.intervals.ratios import LEAST_CLUSTERS

if TYPE_CHECKING:
    from corpus_audit.embeddings.attribution.images.folders import FolderAttribution
    from corpus_audit.embeddings.attribution.images.image_prototype import ImagePrototype
    from corpus_audit.embeddings.attribution.images.indexed import ExampleAttribution

REGIONS = 4
"""Regions that are listed."""
_BASELINES = {"mean": "the image's mean colour", "black": "black", "white": "white"}


def image_attribution_lines(stored: StoredAttribution, width: int) -> Iterator[str]:
    """Lines for a terminal; names from files are made safe."""
    provenance, target, attribution = stored.provenance, stored.target, stored.attribution
    method = ImageMethod(provenance["method"])
    name = target["class_name"]
    head = f"{provenance['unit']}{f' ({safe_text(name)})' if name else ''}  {safe_text(provenance['image']['name'])}"
    yield fit(head, width).rstrip()
    yield fit(f"model {safe_text(provenance['model']['name'])}, {provenance['model']['digest'][:12]}", width).rstrip()
    if not FACTS[method].evidence:
        yield "NOT EVIDENCE of what the unit responds to; see Limits."
    about = f"{method}: {FACTS[method].about}. Baseline: {_BASELINES[provenance['parameters']['baseline']]}."
    yield from textwrap.wrap(about, width)
    yield f"F(x) {attribution.value:.4f}, F(b) {attribution.baseline_value:.4f}"
    if target["position"] is not None:
        y, x = target["position"]
        patch = target.get("patch")
        left, top, right, bottom = patch or target["field"]
        yield f"At row {y}, column {x} of the {'patches' if patch else 'map'}, counted from 0"
        what = "Patch" if patch else "Receptive field"
        yield f"{what}: pixels {left} to {right - 1} across, {top} to {bottom - 1} down"
    yield ""
    yield from _region_lines(attribution, width)
    yield ""
    yield "Checks"
    for label, text in _checks(attribution, method, provenance["parameters"]):
        yield from textwrap.wrap(f"{label:14}{text}", width, subsequent_indent=" " * 14)
    yield from textwrap.wrap(f"{'Limits':14}{FACTS[method].caveat}", width, subsequent_indent=" " * 14)


def _region_lines(attribution: ImageAttribution, width: int) -> Iterator[str]:
    """The regions with most of what is above 0."""
    (domain,) = by_domain([AttributedImage("", "", attribution.values)])
    regions = [region for region in domain.regions if region.share]
    if not regions:
        yield "Nothing of the attribution is above 0."
        if not attribution.values.any() and attribution.value != attribution.baseline_value:
            yield from textwrap.wrap(
                "It is 0 everywhere, while the activation is not that of the baseline: the unit is saturated (a ReLU6 "
                "at 6), where no gradient sees it. Use integrated_gradients or occlusion.",
                width,
            )
        return
    yield f"{'Region (of 4 x 4)':24} {'share':>8}  {'of the area':>11}"
    for region in sorted(regions, key=lambda region: -(region.share or 0))[:REGIONS]:
        where = f"row {region.row}, column {region.column}{' (peak)' if region.peaks else ''}"
        yield f"{where:24} {numbers.percent(region.share or 0):>8}  {numbers.percent(region.area):>11}"
    yield "Shares are of what is above 0."


def _checks(
    attribution: ImageAttribution, method: ImageMethod, parameters: dict[str, object]
) -> Iterator[tuple[str, str]]:
    yield "completeness", _completeness(attribution, method, parameters)
    if not parameters["checked"]:
        yield "not checked", "deletion, insertion and randomisation (--checked 0)"
        return
    random = attribution.random_areas
    if attribution.deletion is None or attribution.insertion is None:
        yield "deletion", "not computed: the baseline has the same activation"
    else:
        spread = f"(mean {sum(random) / len(random):.3f}, {random[0]:.3f} to {random[-1]:.3f})"
        lower = sum(area < attribution.deletion for area in random)
        higher = sum(area > attribution.insertion for area in random)
        grid = f"{parameters['grid']} x {parameters['grid']} cells"
        beaten = f"of {len(random)} random orders of {grid}, {lower} have a lower one {spread}"
        yield "deletion", f"area {attribution.deletion:.3f}; {beaten}"
        beaten = f"of {len(random)} random orders, {higher} have a higher one {spread}"
        yield "insertion", f"area {attribution.insertion:.3f}; {beaten}"
    last, every = attribution.randomised_last, attribution.randomised_all
    if last is None or every is None:
        yield "randomisation", "no correlation: with permuted weights the map is constant"
    else:
        text = f"Spearman {last:.2f} with the permuted weights of the last layer, {every:.2f} of all layers"
        if FACTS[method].judged and every > SENSITIVE:
            text += ": the map hardly depends on the weights and shows the image, not the unit"
        yield "randomisation", text


def _completeness(attribution: ImageAttribution, method: ImageMethod, parameters: dict[str, object]) -> str:
    if attribution.completeness_error is not None or method is ImageMethod.INTEGRATED_GRADIENTS:
        error = attribution.completeness_error
        shown = "infinite" if error is None else f"{error:.1e}"
        what = f"error {shown}, at most {parameters['tolerance']} is asked for, {attribution.steps} steps"
        return what if attribution.converged else f"NOT CONVERGED: {what}"
    if method is ImageMethod.CAM and attribution.bias is not None:
        mean = float(attribution.values.mean())
        return f"the mean {mean:.4f} and the bias {attribution.bias:.4f} are the logit, {mean + attribution.bias:.4f}"
    if method is ImageMethod.SALIENCY:
        return "none: lengths of gradients do not sum to the activation"
    if method is ImageMethod.OCCLUSION:
        return "none: a pixel's value is the effect of whole patches"
    total, fall = float(attribution.values.sum()), attribution.value - attribution.baseline_value
    return f"none to expect: the values sum to {total:.4g}, and F(x) - F(b) is {fall:.4g}"


def folder_lines(together: FolderAttribution, unit: str, method: str, width: int) -> Iterator[str]:
    """Lines for a terminal: the regions of each domain's strongest images, and where one domain stands out."""
    heads = {}
    for domain in together.domains:
        values = [each.value for each in together.ranked if each.domain == domain.domain]
        refused = together.refused[domain.domain]
        heads[domain.domain] = (
            f"the {domain.images} strongest of {together.images[domain.domain]:,} images, {_range(values)}"
            + (f"; {refused} could not be read" if refused else "")
        )
    yield from _domain_lines(together.domains, together.standing_out, heads, unit, method, width)
    unread = {domain: count for domain, count in together.refused.items() if not together.images[domain]}
    for name, count in unread.items():
        yield f"{safe_text(name)}: none of {count} images could be read"


def example_lines(together: ExampleAttribution, unit: str, method: str, width: int) -> Iterator[str]:
    """Lines for a terminal: the regions of a domain's examples in an index, and where one domain stands out."""
    heads = {}
    for domain in together.domains:
        values = [each.example.value for each in together.examples if each.domain == domain.domain]
        documents = numbers.plural(domain.documents, "document")
        heads[domain.domain] = f"{numbers.plural(domain.images, 'example')} of {documents}, {_range(values)}"
    yield from _domain_lines(together.domains, together.standing_out, heads, unit, method, width)
    if together.missing:
        yield f"{together.missing} of the examples are left out: the corpus does not hold their images any more"


def _range(values: Sequence[float]) -> str:
    return f"activation {max(values):.4g} to {min(values):.4g}"


def _domain_lines(
    domains: Sequence[DomainRegions],
    standing_out: Sequence[StandsOut],
    heads: Mapping[str, str],
    unit: str,
    method: str,
    width: int,
) -> Iterator[str]:
    yield from textwrap.wrap(f"{unit}  {method}: {FACTS[ImageMethod(method)].about}", width)
    for domain in domains:
        yield ""
        yield from textwrap.wrap(f"{safe_text(domain.domain)}: {heads[domain.domain]}", width)
        yield f"  {'Region (of 4 x 4)':24} {'share, %':>8} {'95 % interval':16} {'peaks':>6}"
        for region in sorted(domain.regions, key=lambda region: -(region.share or 0))[:REGIONS]:
            if region.share:
                yield _region_line(region)
    yield ""
    for entry in standing_out:
        where = f"row {entry.region.row}, column {entry.region.column}"
        yield from textwrap.wrap(
            f"{safe_text(entry.domain)} stands out in {where}: {_reach(entry.region)} % of its attribution above 0 "
            f"lies there, at most {100 * entry.others:.1f} % in every other domain",
            width,
        )
    if len(domains) < 2:
        yield "There is no other domain to compare with."
    elif not standing_out:
        yield "No domain stands out in a region."
    if any(region.low is None and region.share for domain in domains for region in domain.regions):
        yield from textwrap.wrap(f"There are no intervals with fewer than {LEAST_CLUSTERS} documents.", width)


def _region_line(region: Region) -> str:
    where = f"row {region.row}, column {region.column}"
    reach = "" if region.low is None else f"[{_reach(region)}]"
    return f"  {where:24} {100 * (region.share or 0):>8.1f} {reach:16} {region.peaks:>6}"


def _reach(region: Region) -> str:
    low, high = region.low or 0.0, region.high or 0.0
    return f"{100 * low:.1f} to {100 * high:.1f}"


def image_prototype_lines(result: ImagePrototype, width: int) -> Iterator[str]:
    """Lines for a terminal: the synthetic image's activation beside those of real images."""
    unit = result.provenance["unit"]
    yield fit(f"{unit}  model {safe_text(result.provenance['model']['name'])}", width).rstrip()
    yield "Synthetic: found by the search, no image of a corpus"
    yield f"{result.value:8.3f}  {result.files[0]}"
    held_out = f"Under transforms that the search has not seen: {result.held_out:.3f} on average"
    if result.of_class is not None:
        held_out += f"; its class has the highest logit in {result.of_class:.0%} of them"
    yield from textwrap.wrap(held_out, width, initial_indent=" " * 10, subsequent_indent=" " * 10)
    if result.images:
        yield "Real images"
        if result.value < result.images[0][1]:
            yield "          The search has not reached the first of them: give more --steps."
    for name, value in result.images:
        yield fit(f"{value:8.3f}  {safe_text(name)}", width).rstrip()
    yield f"File      {result.files[1]}"
