"""A unit of a language model as a function of word embeddings, which attribution methods differentiate.

Word embeddings are what varies. Everything else that a model makes of its ids (positions, segments, masks) stays as it
is for the ids of the text, and so do special tokens around the text. A pass ends where the unit is computed: blocks
above it do not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from corpus_audit.embeddings.attribution.methods.names import BaselineToken
from corpus_audit.embeddings.attribution.methods.target import ScalarTarget
from corpus_audit.embeddings.models.autoencoders import Autoencoder
from corpus_audit.embeddings.models.hooks import Activations, Directions, Taps
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Unit, UnitPattern

BATCH_TOKENS = 2048
"""Tokens that the model sees at once; with gradients, the activations of all of them are in memory."""

_MASKS = "[MASK]", "<mask>"


class _DifferentiableModel(LanguageModel):
    """A model whose passes can be differentiated."""

    def run(self, ids: torch.Tensor) -> Any:
        """Run the forward pass; whether gradients are recorded is the caller's choice."""
        return self.module(input_ids=ids)


class _UnitComputedError(Exception):
    """Ends a forward pass when the unit's activation is there."""


@dataclass(frozen=True)
class UnitFiles:
    """What a unit is read from besides the model: its autoencoder or its directions; empty for the model's own."""

    saes: dict[str, Autoencoder] = field(default_factory=dict)
    directions: dict[str, Directions] = field(default_factory=dict)


class UnitFunction:
    """One unit of a model; `open_unit` makes one whose hooks are on.

    Attributes:
        model: the model.
        block: the block at which the unit is read; None: after the last.
        lowest: whether what is computed is the negative of the activation that minima are taken of.
    """

    def __init__(
        self,
        model: LanguageModel,
        taps: Taps,
        column: int,
        embedding: nn.Module,
        block: int | None = None,
        lowest: bool = False,
    ) -> None:
        self.model, self.block, self.lowest = model, block, lowest
        self._taps, self._column, self._embedding = taps, column, embedding
        self._replacement: torch.Tensor | None = None

    def activations(self, ids: torch.Tensor) -> torch.Tensor:
        """The unit's activations at every token of ids [B, L], float32 [B, L]; their negatives with ``lowest``."""
        collected: list[torch.Tensor] = []

        def sink(activations: Activations) -> None:
            first, width = activations.row, activations.values.shape[-1]
            wanted = activations.lowest if self.lowest else activations.highest
            if wanted and first <= self._column < first + width:
                values = activations.values[..., self._column - first].float()
                collected.append(-values if self.lowest else values)
                raise _UnitComputedError

        with suppress(_UnitComputedError):
            self._taps.run(ids, sink)
        return collected[0]

    def at(self, ids: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """The activations, float32 [B, L], of ids [L] whose word embeddings are replaced by [B, L, d]."""
        self._replacement = embeddings
        try:
            values = self.activations(ids[None].expand(len(embeddings), -1))
            if self._replacement is not None:
                raise UsageError(f"{self.model.card.name} does not use its word embeddings: nothing can be attributed")
            return values
        finally:
            self._replacement = None

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """The word embeddings of ids, as the model's embedding layer gives them, float32 [.., d]."""
        with torch.no_grad():
            embeddings: torch.Tensor = self._embedding(ids).float()
        return embeddings

    def replace_embeddings(self, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
        """A forward hook of the embedding layer: what it returns is replaced once a pass of `at`."""
        replacement, self._replacement = self._replacement, None
        if replacement is None:
            return None
        if output.shape != replacement.shape:
            replacement = replacement.transpose(0, 1)  # XLNet: [L, B, d]
        if output.shape != replacement.shape:
            raise UsageError(f"{self.model.card.name} gives word embeddings of the shape {list(output.shape)}")
        return replacement.to(output.dtype)

    def baseline_embedding(self, kind: BaselineToken) -> tuple[str, torch.Tensor]:
        """The embedding [d] of a token that says nothing, and what it is called.

        Raises:
            UsageError: a mask token is asked for, and the tokenizer has none.
        """
        tokenizer, device = self.model.tokenizer, self.model.device
        mask = next((i for i in map(tokenizer.token_to_id, _MASKS) if i is not None), None)
        if kind is BaselineToken.MASK and mask is None:
            raise UsageError(f"{self.model.card.name} has no mask token: use the baseline mean or zero")
        if mask is not None and (
            kind is BaselineToken.MASK or (kind is BaselineToken.AUTO and not self.model.card.causal)
        ):
            return "mask", self.embed(torch.tensor([mask], device=device))[0]
        if kind is BaselineToken.ZERO:
            return "zero", torch.zeros_like(self.embed(torch.tensor([0], device=device))[0])
        total = torch.zeros_like(self.embed(torch.tensor([0], device=device))[0], dtype=torch.float64)
        size = tokenizer.get_vocab_size()
        for part in torch.arange(size, device=device).split(BATCH_TOKENS):
            total += self.embed(part).double().sum(dim=0)
        return "mean", (total / size).float()

    def target(self, ids: Sequence[int], position: int, baseline: torch.Tensor) -> ScalarTarget:
        """The unit's activation at a position of a window, as a function of the window's word embeddings.

        Of a causal model the tokens after ``position`` are left out: they cannot change the activation, and their
        attribution is 0.

        Args:
            ids: of the window as the model sees it.
            position: the token whose activation it is.
            baseline: an embedding [d] that stands for every token but the special ones around the text.
        """
        card = self.model.card
        end = position + 1 if card.causal else len(ids)
        tokens = torch.tensor(list(ids[:end]), device=self.model.device)
        embeddings = self.embed(tokens)
        replaced = embeddings.clone()
        replaced[len(card.prefix) : min(end, len(ids) - len(card.suffix))] = baseline
        return ScalarTarget(
            function=lambda batch: self.at(tokens, batch)[:, position],
            input=embeddings,
            baseline=replaced,
            features=(1,),
            rows=max(1, BATCH_TOKENS // end),
        )

    def at_or_below(self) -> list[nn.Module]:
        """The modules whose weights the activation depends on, by block: from the unit's block down to the first."""
        blocks = [block.module for block in self.model.blocks]
        last = self.block
        return blocks[last::-1] if last is not None else blocks[::-1]


@contextmanager
def open_unit(model: LanguageModel, unit: Unit, files: UnitFiles, lowest: bool = False) -> Iterator[UnitFunction]:
    """Hook a unit of a model; within the block its activations can be computed and differentiated.

    Args:
        model: the model.
        unit: its address.
        files: what it is read from besides the model.
        lowest: compute the negative of the activation that minima are taken of (`models/hooks.py`).

    Raises:
        UnitError: the model has no such unit.
        UsageError: an autoencoder or directions do not fit the model, or it has no word embeddings that can be found.
    """
    find: Callable[[], nn.Module | None] | None = getattr(model.module, "get_input_embeddings", None)
    try:
        embedding = find() if find is not None else None
    except NotImplementedError:
        embedding = None
    if not isinstance(embedding, nn.Module):
        raise UsageError(f"{model.card.name} has no word embeddings that this version can find (get_input_embeddings)")
    differentiable = _DifferentiableModel(**{each.name: getattr(model, each.name) for each in fields(model)})
    narrowed, index = _only(unit, files)
    own = () if unit.point.kind in (Kind.SAE, Kind.DIR) else (UnitPattern(str(unit.point), unit.index, unit.index),)
    taps = Taps(differentiable, own, narrowed.saes, narrowed.directions)
    function = UnitFunction(model, taps, index, embedding, _block(unit, narrowed), lowest)
    handle = embedding.register_forward_hook(function.replace_embeddings)
    try:
        with taps.hooked():
            yield function
    finally:
        handle.remove()


def _only(unit: Unit, files: UnitFiles) -> tuple[UnitFiles, int]:
    """The files of one unit, cut down to what it needs, and its row among the units that are then read."""
    name, index = unit.point.name, unit.index
    if unit.point.kind is Kind.DIR:
        directions = files.directions[name]
        return UnitFiles(directions={name: replace(directions, vectors=directions.vectors[index : index + 1])}), 0
    if unit.point.kind is not Kind.SAE:
        return UnitFiles(), 0
    sae = files.saes[name]
    if sae.config.k:  # which latents stay depends on all of them
        return UnitFiles(saes={name: sae}), index
    part = slice(index, index + 1)
    cut = {n: t[part] for n in ("b", "threshold", "magnitude", "b_magnitude") if (t := getattr(sae, n)) is not None}
    return UnitFiles(saes={name: replace(sae, w=sae.w[:, part], **cut)}), 0


def _block(unit: Unit, files: UnitFiles) -> int | None:
    name = unit.point.name
    if unit.point.kind is Kind.SAE:
        return files.saes[name].hook.block
    if unit.point.kind is Kind.DIR:
        return files.directions[name].block
    return unit.point.block


def peak(function: UnitFunction, ids: Sequence[int], counted: np.ndarray) -> tuple[int, float]:
    """The token that counts with the unit's highest activation in a window, and that activation.

    Args:
        function: the unit.
        ids: of the window as the model sees it.
        counted: bool [L], at least one of which is true.
    """
    with torch.no_grad():
        values = function.activations(torch.tensor([list(ids)], device=function.model.device))[0].cpu().numpy()
    position = int(np.where(counted, values, -np.inf).argmax())
    return position, float(values[position])
