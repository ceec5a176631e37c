"""Reading units while a model runs: hooks that hand each point's activations to a sink, and keep nothing.

A sink sees one tensor [B, L, columns] at a time, and its buffer is free again before the next block runs, so nothing of
the size of tokens by all units exists. What a unit's activation is:

    mlp     the input of the down projection: after the activation function, of a gated MLP also times the up half
    resid   the output of the block
    head    the norm of what the head writes into the residual stream, ||z_h W_O||
    sae     the latent after its activation function, of what is where the autoencoder was trained (`sublayers.py`)
    dir     the dot product with the residual stream after a block
    expert  the router's logit before the softmax (or sigmoid); it fires where the router sends the token to it
    logit   the logit before the softmax as the model returns it, so with Cohere's and Granite's scaling, Gemma 2's cap

Each tensor is arranged as [B, L, units] and its shape checked (`readings`) before a sink sees it.

The lowest activations of an ungated MLP are those before the activation function: after it they are one large tie.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from corpus_audit.embeddings.architecture.parts import ROUTED
from corpus_audit.embeddings.models.activations import Activations, Directions, InputSink, Sink, StreamSink
from corpus_audit.embeddings.models.autoencoder_config import HookKind
from corpus_audit.embeddings.models.autoencoders import Autoencoder
from corpus_audit.embeddings.models.blocks import NotOffered, Reading, TransformerBlock
from corpus_audit.embeddings.models.models import LanguageModel
from corpus_audit.embeddings.models.readings import ReadingHooks, head_norms
from corpus_audit.embeddings.models.routers import Router
from corpus_audit.embeddings.models.selection import Selection
from corpus_audit.embeddings.models.sublayers import SUMMED, Sublayers, check_centering, check_sums
from corpus_audit.schemas.errors import UsageError
from corpus_audit.schemas.units import Kind, Point, UnitError, UnitPattern, select

__all__ = ["TILE", "Activations", "Directions", "InputSink", "Sink", "StreamSink", "Taps"]

TILE = 8192
"""Columns of a tile, where a point is computed here (latents, logits) and not by the model."""


class Taps:
    """Hooks on the selected units of a model; they hand activations to a sink while the model runs.

    Attributes:
        hidden: width of the residual stream.
        widths: units of every point.
        selection: the units that are read.
        not_offered: units of the model that are not among them, with reasons.
    """

    def __init__(
        self,
        model: LanguageModel,
        patterns: tuple[UnitPattern, ...],
        saes: Mapping[str, Autoencoder] | None = None,
        directions: Mapping[str, Directions] | None = None,
        stream: int | None = None,
    ) -> None:
        """Select units of a model; `hooked` puts the hooks on.

        Args:
            model: the model.
            patterns: units, by pattern.
            saes, directions: by name; all of theirs are units.
            stream: a block whose output goes to the stream sink of `run`.

        Raises:
            UnitError: a pattern matches nothing.
            UsageError: an autoencoder or directions do not fit the model.
        """
        self._model = model
        self._saes, self._directions = saes or {}, directions or {}
        self._readings = ReadingHooks()
        self.hidden = model.hidden
        self.not_offered: tuple[NotOffered, ...] = model.not_offered
        self.widths = self._widths()
        named = tuple(UnitPattern(f"{p}") for p in self.widths if p.kind in (Kind.SAE, Kind.DIR))
        self.selection = Selection(self._selected((*patterns, *named)))
        self._rows = self.selection.first_rows()
        if stream is not None:
            self._check_stream("vectors.block", stream)
        self._stream = stream
        self._hooked = False
        self._local = threading.local()

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self._model.device

    @property
    def saes(self) -> Mapping[str, Autoencoder]:
        """The autoencoders, by name."""
        return self._saes

    def _selected(self, patterns: tuple[UnitPattern, ...]) -> dict[Point, Any]:
        try:
            return select(patterns, self.widths)
        except UnitError as error:
            missing = [str(each) for each in self.not_offered if any(each.matches(str(p)) for p in patterns)]
            raise UnitError(". ".join([str(error), *missing])) from None

    def decided(self) -> np.ndarray:
        """Which units stand behind a decision that rounding can turn, bool [rows].

        These are latents with a threshold or of a top-k autoencoder, and all units where routers send tokens to
        experts: a token that goes to another expert changes everything behind it.
        """
        has_routers = any(block.router is not None for block in self._model.blocks)
        has_routers |= any(ROUTED in each.reason for each in self.not_offered)
        parts = []
        for point, indices in self.selection.indices.items():
            is_gated = point.kind is Kind.SAE and self._saes[point.name].has_threshold
            parts.append(np.full(len(indices), has_routers or is_gated))
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    def rows_of(self, kind: Kind, name: str) -> tuple[int, int]:
        """The first row of a named point's units, and the one after its last."""
        point = Point(kind, name=name)
        return self._rows[point], self._rows[point] + len(self.selection.indices[point])

    def _widths(self) -> dict[Point, int]:
        model, widths = self._model, {}
        for b, block in enumerate(model.blocks):
            if block.neurons is not None:
                widths[Point(Kind.MLP, b)] = block.neurons.width
            if block.stream is not None:
                widths[Point(Kind.RESID, b)] = block.stream.width
            if block.values is not None:
                widths[Point(Kind.HEAD, b)] = block.heads
            if block.router is not None:
                widths[Point(Kind.EXPERT, b)] = block.router.experts
        for name, sae in self._saes.items():
            self._check_block(f"sae.{name}", sae.hook.block)
            self._check_hook(f"sae.{name}", sae)
            widths[Point(Kind.SAE, name=name)] = sae.latents
        for name, directions in self._directions.items():
            self._check_stream(f"dir.{name}", directions.block)
            _check_width(f"dir.{name}", directions.vectors.shape[1], self.hidden)
            widths[Point(Kind.DIR, name=name)] = len(directions.vectors)
        if model.logits is not None:
            widths[Point(Kind.LOGIT)] = model.logits.width
        return widths

    def _check_hook(self, what: str, sae: Autoencoder) -> None:
        """Check that the model has an autoencoder's input, as wide, and computed as TransformerLens computes it."""
        hook, block = sae.hook, self._model.blocks[sae.hook.block]
        part = {
            HookKind.MLP_IN: block.entering,
            HookKind.MLP_POST: block.neurons,
            HookKind.Z: block.values,
        }.get(hook.kind)
        if not hook.kind.is_in_stream and part is None:
            raise UsageError(f"{what} reads {hook}, which {self._model.card.architecture} does not offer")
        _check_width(what, sae.inputs, self.hidden if part is None else part.width)
        if hook.kind in SUMMED:
            check_sums(self._model, hook, what)
        if sae.config.is_centered:
            check_centering(self._model, what)

    def _check_block(self, what: str, block: int) -> None:
        if block >= len(self._model.blocks):
            raise UsageError(f"{what} is read at block {block}; the model has {len(self._model.blocks)}")

    def _check_stream(self, what: str, block: int) -> None:
        self._check_block(what, block)
        if self._model.blocks[block].stream is None:
            reasons = [each.reason for each in self.not_offered if each.kind is Kind.RESID and block in each.blocks]
            raise UsageError(f"{what} is read after block {block}, which is not offered: {'; '.join(reasons)}")

    @contextmanager
    def sinking(self, sink: Sink, stream: StreamSink | None = None, inputs: InputSink | None = None) -> Iterator[None]:
        """Within the block, forward passes of this thread hand activations, stream and inputs to these sinks."""
        self._local.sink, self._local.stream, self._local.inputs = sink, stream, inputs
        try:
            with self._readings.reading():
                yield
        finally:
            self._local.sink = self._local.stream = self._local.inputs = None

    @contextmanager
    def hooked(self) -> Iterator[Taps]:
        """Within the block, the hooks are on; they cost nothing in threads that are not `sinking`."""
        handles: list[Any] = [self._readings.begin(self._model.module)]
        try:
            for point in self.selection.indices:
                handles += self._hook(point)
            if self._stream is not None:
                reading = self._model.blocks[self._stream].stream
                assert reading is not None
                handles.append(self._readings.put(reading, "vectors", self._emit_stream))
            self._hooked = True
            yield self
        finally:
            self._hooked = False
            for handle in handles:
                handle.remove()

    def _emit(self, point: Point, values: torch.Tensor, **roles: Any) -> None:
        indices = self.selection.indices[point]
        if len(indices) != self.widths[point]:
            columns = torch.as_tensor(indices, device=values.device)
            values = values[..., columns]
            if roles.get("fired") is not None:
                roles["fired"] = roles["fired"][..., columns]
        self._local.sink(Activations(self._rows[point], values, **roles))

    def _emit_stream(self, stream: torch.Tensor) -> None:
        if self._local.stream is not None:
            self._local.stream(stream)

    def _hook(self, point: Point) -> list[Any]:
        match point.kind:
            case Kind.SAE:
                return self._hook_sae(point, self._saes[point.name])
            case Kind.DIR:
                return [self._hook_directions(point, self._directions[point.name])]
            case Kind.LOGIT:
                return [self._put(point, self._model.logits)]
        assert point.block is not None
        block = self._model.blocks[point.block]
        match point.kind:
            case Kind.MLP if block.before is None:
                return [self._put(point, block.neurons)]
            case Kind.MLP:
                return [self._put(point, block.before, highest=False), self._put(point, block.neurons, lowest=False)]
            case Kind.RESID:
                return [self._put(point, block.stream)]
            case Kind.HEAD:
                return [self._hook_heads(point, block)]
            case _:
                assert block.router is not None
                return [self._hook_experts(point, block.router)]

    def _put(self, point: Point, reading: Reading | None, **roles: bool) -> Any:
        assert reading is not None
        return self._readings.put(reading, str(point), lambda values: self._emit(point, values, **roles))

    def _hook_heads(self, point: Point, block: TransformerBlock) -> Any:
        assert block.attention_out is not None and block.values is not None
        norms = head_norms(block.attention_out, block.heads)
        return self._readings.put(block.values, str(point), lambda values: self._emit(point, norms(values)))

    def _hook_experts(self, point: Point, router: Router) -> Any:
        def use(output: Any) -> None:
            logits, routed = router.read(output, self._readings.shape)
            self._emit(point, logits, fired=routed)

        return self._readings.put_output(router.module, use)

    def _hook_directions(self, point: Point, directions: Directions) -> Any:
        vectors = directions.vectors.to(self._model.device).float().T.contiguous()
        reading = self._model.blocks[directions.block].stream
        assert reading is not None
        return self._readings.put(reading, str(point), lambda stream: self._emit(point, stream.float() @ vectors))

    def _hook_sae(self, point: Point, sae: Autoencoder) -> list[Any]:
        sae = sae.to(self._model.device)
        name = point.name
        assert name is not None

        def use(values: torch.Tensor) -> None:
            if self._local.inputs is not None:
                self._local.inputs(name, values)
            for start, latents in sae.encode(values.float(), TILE):
                self._local.sink(Activations(self._rows[point] + start, latents))

        return Sublayers(self._model.blocks, self._readings).put(sae.hook, str(point), use)

    def run(
        self, ids: torch.Tensor, sink: Sink, stream: StreamSink | None = None, inputs: InputSink | None = None
    ) -> None:
        """One forward pass of [B, L] ids without padding, its activations handed to ``sink``.

        Args:
            ids: token ids.
            sink: called with the activations of every selected point.
            stream: called with the output [B, L, d] of the block `stream`, if there is one.
            inputs: called with the input of each autoencoder.

        Raises:
            RuntimeError: the hooks are off, so that no activation would reach the sink.
        """
        if not self._hooked:
            raise RuntimeError("the hooks are off: run within `hooked`")
        with self.sinking(sink, stream, inputs):
            self._model.run(ids)


def _check_width(what: str, width: int, expected: int) -> None:
    if width != expected:
        raise UsageError(f"{what} reads vectors of {width} numbers; the model has {expected} there")
