"""A small encoder on disk: BERT or RoBERTa with fixed random weights and a tokenizer of words."""

from __future__ import annotations

from pathlib import Path

SHAPE = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 60, "initializer_range": 0.3}  # fmt: skip
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{i}" for i in range(100))]


def write_encoder(folder: Path, family: str = "Bert", **more: object) -> Path:
    """A model of random weights with a tokenizer of words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(**SHAPE, **more)
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(WORDS[:4])
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
