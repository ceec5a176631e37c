"""Top examples by brute force: every activation of every window by hooks of its own, sorted in plain Python."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from corpus_audit.embeddings.scan.batches import LEAST_TOKENS

Readers = dict[str, tuple[torch.nn.Module, str, Callable[[torch.Tensor], torch.Tensor]]]


def minilm_readers(module) -> Readers:
    """MLP neurons, residual dimensions and heads of all-MiniLM-L6-v2."""
    result: Readers = {}
    for b, layer in enumerate(module.encoder.layer):
        result[f"mlp.{b}"] = (layer.output.dense, "input", lambda z: z)
        result[f"resid.{b}"] = (layer, "output", lambda z: z)
        result[f"head.{b}"] = (layer.attention.output.dense, "input", _heads(layer.attention.output.dense.weight.T, 12))
    return result


def gpt2_readers(module) -> Readers:
    """The same of GPT-2; its projections are stored as [inputs, outputs]."""
    result: Readers = {}
    for b, layer in enumerate(module.h):
        result[f"mlp.{b}"] = (layer.mlp.c_proj, "input", lambda z: z)
        result[f"resid.{b}"] = (layer, "output", lambda z: z)
        result[f"head.{b}"] = (layer.attn.c_proj, "input", _heads(layer.attn.c_proj.weight, 4))
    return result


def _heads(weight: torch.Tensor, heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Norms of what each head writes, computed as it is written: z_h W_h."""
    parts = weight.detach().reshape(heads, -1, weight.shape[-1])

    def read(z: torch.Tensor) -> torch.Tensor:
        split = z.unflatten(-1, (heads, -1))
        return torch.stack([(split[..., h, :] @ parts[h]).norm(dim=-1) for h in range(heads)], -1)

    return read


def peaks(module, readers: Readers, windows, batch_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Peak of every window and unit and its position, float32 and int [N, U]; windows of one length at once."""
    order = ["mlp", "resid", "head"]
    names = sorted(readers, key=lambda name: (order.index(name.split(".")[0]), int(name.split(".")[1])))
    captured: dict[str, torch.Tensor] = {}
    handles = []
    for name, (part, side, read) in readers.items():

        def before(_, given, name=name, read=read):
            captured[name] = read(given[0])

        def after(_, __, out, name=name, read=read):
            captured[name] = read(out[0] if isinstance(out, tuple) else out)

        is_input = side == "input"
        handles.append(part.register_forward_pre_hook(before) if is_input else part.register_forward_hook(after))
    value, position = [None] * len(windows), [None] * len(windows)
    try:
        for length in np.unique(windows.lengths):
            same = np.flatnonzero(windows.lengths == length)
            rows = max(1, batch_tokens // int(length))
            for begin in range(0, len(same), rows):
                batch = same[begin : begin + rows]
                at = windows.offsets[batch][:, None] + np.arange(length)
                ids = windows.tokens[at].astype(np.int64)
                ids = np.concatenate([ids, np.repeat(ids[-1:], max(0, -(-LEAST_TOKENS // length) - len(ids)), axis=0)])
                with torch.inference_mode():
                    module(input_ids=torch.from_numpy(ids))
                joined = torch.cat([captured[name].float() for name in names], -1).numpy()
                joined = np.where(windows.counted[at][:, :, None], joined[: len(batch)], -np.inf)
                for b, i in enumerate(batch):
                    position[i] = joined[b].argmax(axis=0)
                    value[i] = joined[b].max(axis=0)
    finally:
        for handle in handles:
            handle.remove()
    return np.stack(value), np.stack(position)


def top_of(value: np.ndarray, position: np.ndarray, windows, unit: int, k: int) -> list[tuple[float, int, int]]:
    """(value, window, position) of the first k windows of a unit, one a context."""
    names = windows.ids[:, 0]
    order = np.lexsort((names, -value[:, unit]))
    contexts: set[int] = set()
    result = []
    for i in order:
        at = int(position[i, unit])
        context = int(windows.contexts[windows.offsets[i] + at])
        if context not in contexts:
            contexts.add(context)
            result.append((float(value[i, unit]), int(names[i]), at))
            if len(result) == k:
                break
    return result
