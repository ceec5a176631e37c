"""BERT-like encoders in numpy: MiniLM, BERT, RoBERTa, XLM-R, from safetensors.

Importing torch and transformers takes seconds of processor time, and a query takes a tenth of one. What is
computed is what `transformers` computes in float32, within 1e-5 (rounding differs): post-norm blocks of self-attention
and an MLP with the exact GELU, over rows of equal length, so that there is no mask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_audit.schemas.units import Kind

Visit = Callable[[Kind, int, np.ndarray], None]
"""Called with a kind of unit, a block, and float32 [B, L, units]: their activations."""

IN_NUMPY = (Kind.MLP, Kind.RESID, Kind.HEAD)
"""Kinds of units that are computed here."""

_FAMILIES = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta."}
"""Model types of config.json that are known, and what their tensors' names begin with in some checkpoints."""


class UnknownModelError(Exception):
    """The model is none that is computed here; not an error of the user's."""


@dataclass(frozen=True)
class _Block:
    """Weights of a block, [outputs, inputs], and biases."""

    query: tuple[np.ndarray, np.ndarray]
    key: tuple[np.ndarray, np.ndarray]
    value: tuple[np.ndarray, np.ndarray]
    out: tuple[np.ndarray, np.ndarray]
    after_attention: tuple[np.ndarray, np.ndarray]
    up: tuple[np.ndarray, np.ndarray]
    down: tuple[np.ndarray, np.ndarray]
    after_mlp: tuple[np.ndarray, np.ndarray]


class NumpyBert:
    """A BERT-like encoder whose weights are read when they are needed.

    Attributes:
        hidden: width of the residual stream; heads: of a block; blocks: their number.
    """

    def __init__(self, folder: Path) -> None:
        """Open a model's folder.

        Raises:
            UnknownModelError: it is of another architecture, or has a setting or a format that is not known here.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnknownModelError(str(error)) from None
        files = sorted(folder.glob("*.safetensors"))
        family = _FAMILIES.get(str(config.get("model_type")))
        if family is None or len(files) != 1 or not _is_plain(config):
            raise UnknownModelError(f"{folder}: {config.get('model_type')}")
        self.hidden, self.heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        self.blocks = int(config["num_hidden_layers"])
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        # RoBERTa's positions begin behind that of padding.
        self._first_position = 0 if family == "bert." else int(config.get("pad_token_id", 1)) + 1
        self._padding = None if family == "bert." else int(config.get("pad_token_id", 1))
        self._file = _opened(files[0])
        names = set(self._file.keys())
        self._prefix = family if f"{family}embeddings.word_embeddings.weight" in names else ""
        words = f"{self._prefix}embeddings.word_embeddings.weight"
        if words not in names or self._file.get_slice(words).get_dtype() not in ("F32", "F16"):
            raise UnknownModelError(f"{files[0]} has no word embeddings, or of a type that numpy does not have")
        self._loaded: dict[int, _Block] = {}
        self._threads = _thread_pools()

    def run(
        self,
        ids: np.ndarray,
        last: int,
        visit: Visit | None = None,
        wanted: Container[tuple[Kind, int | None]] | None = None,
    ) -> np.ndarray:
        """The residual stream after block ``last`` of [B, L] ids without padding, float32 [B, L, d].

        Args:
            ids: token ids; special tokens included.
            last: the block after which to stop.
            visit: called with the activations of MLP neurons, heads and residual dimensions of every block, as
                `models.hooks` defines them.
            wanted: kinds and blocks for which it is called; of all, if not given.

        Raises:
            UnknownModelError: the ids need what is not computed here.
        """
        if self._padding is not None and (ids == self._padding).any():
            raise UnknownModelError("padding tokens within a text")
        # Most products are small, and threads of BLAS that wait for the next one take several times the work's time.
        with self._threads.limit(limits=1, user_api="blas"):
            return self._run(ids, last, visit, wanted)

    def _run(
        self, ids: np.ndarray, last: int, visit: Visit | None, wanted: Container[tuple[Kind, int | None]] | None
    ) -> np.ndarray:
        def is_wanted(kind: Kind, number: int) -> bool:
            return wanted is None or (kind, number) in wanted

        stream = self._embedded(ids)
        for number in range(last + 1):
            block = self._block(number)
            context = self._attention(stream, block)
            if visit is not None and is_wanted(Kind.HEAD, number):
                visit(Kind.HEAD, number, self._head_norms(context, block.out[0]))
            stream = _normed(_dense(context, block.out) + stream, block.after_attention, self._epsilon)
            neurons = _gelu(_dense(stream, block.up))
            if visit is not None and is_wanted(Kind.MLP, number):
                visit(Kind.MLP, number, neurons)
            stream = _normed(_dense(neurons, block.down) + stream, block.after_mlp, self._epsilon)
            if visit is not None and is_wanted(Kind.RESID, number):
                visit(Kind.RESID, number, stream)
        return stream

    def _embedded(self, ids: np.ndarray) -> np.ndarray:
        front = f"{self._prefix}embeddings."
        unique, inverse = np.unique(ids, return_inverse=True)
        words = self._file.get_slice(f"{front}word_embeddings.weight")
        rows = np.concatenate([words[int(number) : int(number) + 1] for number in unique.tolist()])
        positions = self._tensor(f"{front}position_embeddings.weight")
        first = self._first_position
        if first + ids.shape[1] > len(positions):
            raise UnknownModelError("a longer text than the model reads")
        total = rows.astype(np.float32)[inverse.reshape(ids.shape)] + positions[first : first + ids.shape[1]]
        total = total + self._tensor(f"{front}token_type_embeddings.weight")[0]
        return _normed(total, self._pair(f"{front}LayerNorm"), self._epsilon)

    def _attention(self, stream: np.ndarray, block: _Block) -> np.ndarray:
        """What the heads pass on, before the output projection, float32 [B, L, d]."""
        batch, length, _ = stream.shape
        size = self.hidden // self.heads

        def split(projection: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            return _dense(stream, projection).reshape(batch, length, self.heads, size).transpose(0, 2, 1, 3)

        query, key, value = split(block.query), split(block.key), split(block.value)
        scores = (query @ key.transpose(0, 1, 3, 2)) * np.float32(size**-0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = scores / scores.sum(axis=-1, keepdims=True)
        mixed: np.ndarray = (shares @ value).transpose(0, 2, 1, 3).reshape(batch, length, self.hidden)
        return mixed

    def _head_norms(self, context: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """||z_h W_O|| of every head, float32 [B, L, heads]: of W_O = Q R with orthonormal Q it is ||R z_h||."""
        batch, length, _ = context.shape
        size = self.hidden // self.heads
        by_head = weight.reshape(-1, self.heads, size).transpose(1, 0, 2).astype(np.float64)
        triangles = np.asarray(np.linalg.qr(by_head, mode="r"), np.float32)
        split = context.reshape(batch * length, self.heads, size).transpose(1, 0, 2)
        norms = np.linalg.norm(split @ triangles.transpose(0, 2, 1), axis=-1)
        by_token: np.ndarray = norms.T.reshape(batch, length, self.heads)
        return by_token

    def _block(self, number: int) -> _Block:
        if number not in self._loaded:
            front = f"{self._prefix}encoder.layer.{number}."
            names = (
                "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
            )  # fmt: skip
            self._loaded[number] = _Block(*(self._pair(front + name) for name in names))
        return self._loaded[number]

    def _pair(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")

    def _tensor(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._file.get_tensor(name), np.float32)
        except Exception as error:  # safetensors raises its own kind; numpy has no bfloat16
            raise UnknownModelError(f"{name}: {error}") from None


def _opened(path: Path) -> Any:
    """A safetensors file; its library has no types for what it returns."""
    from safetensors import safe_open

    return safe_open(path, framework="np")


def _thread_pools() -> Any:
    """The thread pools of the libraries that are loaded; the package that controls them has no types."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _is_plain(config: dict[str, Any]) -> bool:
    """Whether all settings that change what a block computes are those that are computed here."""
    return (
        config.get("hidden_act", "gelu") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
        and not config.get("add_cross_attention", False)
        and "quantization_config" not in config
    )


def _dense(values: np.ndarray, layer: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    weight, bias = layer
    # Two dimensions: numpy would otherwise multiply batch by batch.
    product = values.reshape(-1, values.shape[-1]) @ weight.T
    product += bias
    shaped: np.ndarray = product.reshape(*values.shape[:-1], len(weight))
    return shaped


def _normed(values: np.ndarray, layer: tuple[np.ndarray, np.ndarray], epsilon: float) -> np.ndarray:
    weight, bias = layer
    centred = values - values.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    normed: np.ndarray = centred / np.sqrt(variance + np.float32(epsilon)) * weight + bias
    return normed


def _gelu(values: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    activated: np.ndarray = values * np.float32(0.5) * (1 + erf(values * np.float32(2**-0.5)))
    return activated
