"""Runs a model to attribute a unit's activation to tokens, and to check the attribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from corpus_audit.embeddings.attribution.methods.faithfulness import faithfulness
from corpus_audit.embeddings.attribution.methods.gradients import (
    IntegratedGradients,
    gradient_x_input,
    integrate,
    integrated_gradients,
    saliency,
)
from corpus_audit.embeddings.attribution.methods.names import Method
from corpus_audit.embeddings.attribution.methods.occlusion import occlusion
from corpus_audit.embeddings.attribution.methods.randomisation import permuted_weights, spearman
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget
from corpus_audit.embeddings.attribution.results import Attributed
from corpus_audit.embeddings.attribution.settings import AttributionSettings
from corpus_audit.embeddings.attribution.sources import UnitSource
from corpus_audit.embeddings.attribution.unit_function import UnitFiles, UnitFunction, open_unit, peak
from corpus_audit.embeddings.index.reader import Example, Index
from corpus_audit.embeddings.models.autoencoders import load_autoencoder
from corpus_audit.embeddings.models.directions import load_vectors
from corpus_audit.embeddings.models.hooks import Directions
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.scan.encoder import open_model
from corpus_audit.embeddings.scan.windows import WindowPlan, cut, document_key
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit

SAME = 1e-3
"""Of the larger of a stored activation and 1, by how much the one that is computed now may differ."""

_RANDOMISED_STEPS = 32
"""Points of integrated gradients of a model with permuted weights: only the order of its tokens is used."""


def computed(
    index: Index,
    unit: Unit,
    examples: Sequence[Example],
    text: str | None,
    settings: AttributionSettings,
    source: UnitSource | None,
    model: str | None,
) -> tuple[list[Attributed], dict[str, Any]]:
    """The attributions of examples, or of a text, and what was found out on the way: baseline and device.

    Raises:
        UsageError: as `attribute.attribute`.
    """
    loaded = open_model(index.facts, index.folder, model, with_head=unit.point.kind is Kind.LOGIT)
    files = unit_files(unit, source)
    with open_unit(loaded, unit, files, settings.lowest) as function:
        if text is not None:
            attributed = [_of_text(index, function, text)]
        else:
            attributed = [_of_example(index, function, example) for example in examples]
        name, baseline = function.baseline_embedding(settings.baseline)
        measured = {
            "baseline": name,
            "baseline_length": _relative_length(function, baseline, attributed),
            "device": str(loaded.device),
        }
        results = []
        for number, example in enumerate(attributed):
            target = function.target(example.tokens.tolist(), example.position, baseline)
            result = _attribute(target, settings, example)
            if number < settings.checked:
                result = _checked(loaded, unit, files, result, target, baseline, settings)
            results.append(result)
    return results, measured


def _relative_length(function: UnitFunction, baseline: torch.Tensor, attributed: Sequence[Attributed]) -> float:
    """The length of the baseline's embedding over the median length of those of the examples' tokens."""
    ids = np.concatenate([example.tokens[example.in_text] for example in attributed])
    words = function.embed(torch.from_numpy(ids.astype(np.int64)).to(function.model.device)).norm(dim=-1)
    median = float(words.median())
    return float(baseline.norm()) / median if median else 1.0


def unit_files(unit: Unit, source: UnitSource | None) -> UnitFiles:
    """Load what a unit is read from besides the model.

    Raises:
        UsageError: a file cannot be read, or holds no such unit.
    """
    if source is None:
        return UnitFiles()
    if unit.point.kind is Kind.SAE:
        return UnitFiles(saes={unit.point.name: load_autoencoder(source.path, source.ignore)})
    vectors = torch.from_numpy(load_vectors(source.path))
    if unit.index >= len(vectors):
        raise UsageError(f"{source.path} holds {len(vectors):,} vectors, and {unit} is none of them")
    return UnitFiles(directions={unit.point.name: Directions(source.block, vectors)})


def window_plan(index: Index, model: LanguageModel) -> WindowPlan:
    """The rules by which the index's windows were cut, but for their overlap."""
    card = model.card
    return WindowPlan(index.facts.window, 0, card.causal, card.prefix, card.suffix, card.special, card.tokenizer)


def _of_example(index: Index, function: UnitFunction, example: Example) -> Attributed:
    """An example of the index, without its attribution, once its activation has come out again."""
    row = int(np.searchsorted(index.window_names, np.uint64(example.window)))
    tokens = np.array(index.windows["tokens"][row].as_py(), np.int32)
    counted = np.arange(len(tokens)) == example.position
    _, value = peak(function, tokens.tolist(), counted)
    stored = -example.value if function.lowest else example.value
    if not abs(value - stored) <= SAME * max(abs(stored), 1.0):
        raise UsageError(
            f"the activation of an example is {value:.5g} now, and the index holds {stored:.5g}: "
            "the model or the unit's files are not those of the index"
        )
    origin = example.locations[0] if example.locations else None
    return Attributed(
        window=example.window,
        document=index.windows["document"][row].as_py(),
        domain=None if origin is None else origin.domain,
        shard=None if origin is None else origin.shard,
        row=None if origin is None else origin.row,
        id=None if origin is None else origin.id,
        text=example.text,
        text_start=example.text_start,
        position=example.position,
        value=value,
        baseline_value=0.0,
        tokens=tokens,
        starts=np.array(example.starts),
        ends=np.array(example.ends),
        attribution=np.zeros(len(tokens)),
    )


def _of_text(index: Index, function: UnitFunction, text: str) -> Attributed:
    """A text, without its attribution: its window with the highest activation."""
    model = function.model
    windows = cut([text], [document_key(None, text)], model.tokenizer, window_plan(index, model))
    if not len(windows):
        raise UsageError("the text has no token that the model counts")
    best: tuple[float, int, int] | None = None
    for number in range(len(windows)):
        part = slice(windows.offsets[number], windows.offsets[number + 1])
        position, value = peak(function, windows.tokens[part].tolist(), windows.counted[part])
        if best is None or value > best[0]:
            best = value, number, position
    assert best is not None
    value, number, position = best
    part = slice(windows.offsets[number], windows.offsets[number + 1])
    return Attributed(
        window=None,
        document=None,
        domain=None,
        shard=None,
        row=None,
        id=None,
        text=windows.texts[number],
        text_start=int(windows.text_starts[number]),
        position=position,
        value=value,
        baseline_value=0.0,
        tokens=windows.tokens[part],
        starts=windows.starts[part],
        ends=windows.ends[part],
        attribution=np.zeros(part.stop - part.start),
    )


def _attribute(target: ScalarTarget, settings: AttributionSettings, example: Attributed) -> Attributed:
    """The example with its attribution; tokens behind the peak of a causal model have 0."""
    result = by_method(target, settings)
    values = result.values if isinstance(result, IntegratedGradients) else result
    attribution = np.zeros(len(example.tokens))
    attribution[: len(values)] = values
    example = replace(example, attribution=attribution, value=target.value, baseline_value=target.baseline_value)
    if isinstance(result, IntegratedGradients):
        example = replace(example, steps=result.steps, completeness_error=result.error, converged=result.converged)
    return example


def by_method(target: ScalarTarget, settings: AttributionSettings) -> IntegratedGradients | np.ndarray:
    """The attribution by the method of the settings; gradients of special tokens, which stay, are left out."""
    match settings.method:
        case Method.INTEGRATED_GRADIENTS:
            return integrated_gradients(target, settings.tolerance, settings.steps, settings.most_steps)
        case Method.OCCLUSION:
            return occlusion(target)
        case Method.GRADIENT_X_INPUT:
            return np.where(target.free, gradient_x_input(target), 0.0)
        case Method.SALIENCY:
            return np.where(target.free, saliency(target), 0.0)


def _checked(
    model: LanguageModel,
    unit: Unit,
    files: UnitFiles,
    example: Attributed,
    target: ScalarTarget,
    baseline: torch.Tensor,
    settings: AttributionSettings,
) -> Attributed:
    """The example with deletion and insertion, and the correlation with attributions of permuted weights."""
    values = example.attribution[: len(target.free)]
    areas = faithfulness(target, values, settings.seed, settings.orders, settings.curve)
    if areas is not None:
        example = replace(example, deletion=areas.deletion, insertion=areas.insertion, random_areas=list(areas.random))
    with open_unit(model, unit, files, settings.lowest) as function:
        modules = function.at_or_below()
    correlations = []
    for depth in (1, len(modules)):
        with (
            permuted_weights(modules[:depth], settings.seed),
            open_unit(model, unit, files, settings.lowest) as function,
        ):
            again = function.target(example.tokens.tolist(), example.position, baseline)
            if settings.method is Method.INTEGRATED_GRADIENTS:
                permuted = integrate(again, min(example.steps or _RANDOMISED_STEPS, _RANDOMISED_STEPS))
            else:
                result = by_method(again, settings)
                assert isinstance(result, np.ndarray)
                permuted = result
        correlations.append(spearman(values[target.free], permuted[target.free]))
    return replace(example, randomised_block=correlations[0], randomised_all=correlations[1])
