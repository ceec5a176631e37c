"""Trains a small byte-level decoder on the spot, in which induction heads form within a minute.

A quarter of what it reads is text, the rest random bytes that repeat with a random period. Induction heads form on both
in the end (Olsson et al. 2022); the repeats bring that forward. It is an example to look into, and no useful language
model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

LENGTH = 80
TEXTS, REPEATS = 8, 24
"""Rows of a batch."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training came to.

    Attributes:
        steps: of training.
        seconds: processor time that it took.
        text_loss, repeat_loss: loss of the next byte in the last steps, in nats, on text and on repeats.
    """

    steps: int
    seconds: float
    text_loss: float
    repeat_loss: float


def byte_tokenizer() -> Any:
    """A tokenizer of 256 bytes and the token that begins a text, ``<s>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0} | {symbol: i for i, symbol in enumerate(alphabet, 1)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>"])
    return tokenizer


def train_byte_decoder(
    text: str,
    folder: Path,
    seconds: float = 60.0,
    progress: Callable[[float, float], None] = lambda _share, _loss: None,
) -> Trained:
    """Train a decoder of two blocks with two heads each, and save it as `transformers` does.

    Args:
        text: is read from random positions on.
        folder: where the model is written.
        seconds: of processor time; one thread is used.
        progress: called with the share of the time that has passed, and the loss.
    """
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        tokenizer = byte_tokenizer()
        ids = torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids)
        config = LlamaConfig(
            vocab_size=257, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=None, pad_token_id=None,
            tie_word_embeddings=False,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        trained = _train(model, ids, generator, seconds, progress)
    finally:
        torch.set_num_threads(threads)
    model.eval().save_pretrained(folder, safe_serialization=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>"}', encoding="utf-8")
    return trained


def _train(
    model: Any, ids: torch.Tensor, generator: torch.Generator, seconds: float, progress: Callable[[float, float], None]
) -> Trained:
    rate, began, steps = 5e-3, time.process_time(), 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    losses, known = torch.zeros(2), torch.unique(ids)
    share = 0.0
    while share < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (steps + 1) / 50, (1.0 - share) / 0.4)
        repeats, period = _repeats(known, generator)
        batch = torch.cat([_excerpts(ids, generator), repeats])
        logits = model(input_ids=batch).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none")
        parts = loss[:TEXTS].mean(), loss[TEXTS:, period:].mean()
        optimizer.zero_grad()
        (parts[0] + parts[1]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        losses = losses * 0.9 + torch.stack(parts).detach() * 0.1
        share = (time.process_time() - began) / seconds
        progress(min(share, 1.0), float(losses[0]))
    unbiased = losses / (1 - 0.9**steps)
    return Trained(steps, time.process_time() - began, float(unbiased[0]), float(unbiased[1]))


def _excerpts(ids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Excerpts of the text behind the token that begins one, int64 [TEXTS, LENGTH + 1]."""
    begins = torch.randint(0, max(1, len(ids) - LENGTH), (TEXTS, 1), generator=generator)
    return _begun(ids[(begins + torch.arange(LENGTH)) % len(ids)])


def _repeats(known: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, int]:
    """Random bytes of the text's that repeat, int64 [REPEATS, LENGTH + 1], and their period."""
    period = int(torch.randint(8, 30, (1,), generator=generator))
    once = known[torch.randint(0, len(known), (REPEATS, period), generator=generator)]
    return _begun(once.repeat(1, LENGTH // period + 1)[:, :LENGTH]), period


def _begun(ids: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros(len(ids), 1, dtype=torch.long), ids], 1)
