"""Which quantity a tag is: canonical names, their units, and how sure the mapping is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Quantity(StrEnum):
    """What a series measures, whatever a program calls it."""

    LOSS = "loss"
    VALIDATION_LOSS = "validation_loss"
    GRADIENT_NORM = "gradient_norm"
    UPDATE_NORM = "update_norm"
    PARAMETER_NORM = "parameter_norm"
    LEARNING_RATE = "learning_rate"
    TOKENS = "tokens"
    SAMPLES = "samples"
    THROUGHPUT = "throughput"
    STEP_TIME = "step_time"
    SKIPPED = "skipped_steps"
    NAN = "nan_steps"
    LOSS_SCALE = "loss_scale"
    LOAD_BALANCING_LOSS = "load_balancing_loss"
    Z_LOSS = "z_loss"


class Certainty(StrEnum):
    """How sure a mapping is."""

    DOCUMENTED = "documented"  # the name that the program of this format gives the quantity
    BY_NAME = "by name"  # the tag looks like it


UNITS = {
    Quantity.LOSS: "nats per token",
    Quantity.VALIDATION_LOSS: "nats per token",
    Quantity.LEARNING_RATE: "",
    Quantity.TOKENS: "tokens",
    Quantity.SAMPLES: "samples",
    Quantity.THROUGHPUT: "tokens/s",
    Quantity.STEP_TIME: "s",
    Quantity.SKIPPED: "steps",
    Quantity.NAN: "steps",
}
"""Units after scaling; quantities that are not here have none."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A tag's quantity; values times ``scale`` are in ``unit``."""

    quantity: Quantity
    certainty: Certainty
    unit: str
    scale: float = 1.0


_Q = Quantity
_DOCUMENTED: dict[str, dict[str, tuple[Quantity, float]]] = {
    "megatron": {
        "lm loss": (_Q.LOSS, 1),
        "validation lm loss value": (_Q.VALIDATION_LOSS, 1),
        "grad norm": (_Q.GRADIENT_NORM, 1),
        "params norm": (_Q.PARAMETER_NORM, 1),
        "learning rate": (_Q.LEARNING_RATE, 1),
        "consumed samples": (_Q.SAMPLES, 1),
        "consumed tokens": (_Q.TOKENS, 1),
        "elapsed time per iteration (ms)": (_Q.STEP_TIME, 1e-3),
        "number of skipped iterations": (_Q.SKIPPED, 1),
        "number of nan iterations": (_Q.NAN, 1),
        "loss scale": (_Q.LOSS_SCALE, 1),
        "load_balancing_loss": (_Q.LOAD_BALANCING_LOSS, 1),
        "z_loss": (_Q.Z_LOSS, 1),
    },
    "golden_values": {"lm loss": (_Q.LOSS, 1), "iteration-time": (_Q.STEP_TIME, 1)},
    "trainer_state": {
        "loss": (_Q.LOSS, 1),
        "eval_loss": (_Q.VALIDATION_LOSS, 1),
        "grad_norm": (_Q.GRADIENT_NORM, 1),
        "learning_rate": (_Q.LEARNING_RATE, 1),
        "num_input_tokens_seen": (_Q.TOKENS, 1),
    },
    "llm.c": {
        "trl": (_Q.LOSS, 1),
        "tel": (_Q.VALIDATION_LOSS, 1),
        "norm": (_Q.GRADIENT_NORM, 1),
        "lr": (_Q.LEARNING_RATE, 1),
    },
    "llm.c terminal": {
        "loss": (_Q.LOSS, 1),
        "norm": (_Q.GRADIENT_NORM, 1),
        "lr": (_Q.LEARNING_RATE, 1),
        "ms": (_Q.STEP_TIME, 1e-3),
        "tok/s": (_Q.THROUGHPUT, 1),
    },
    "modded-nanogpt": {"train_loss": (_Q.LOSS, 1), "val_loss": (_Q.VALIDATION_LOSS, 1)},
    "nanogpt": {"loss": (_Q.LOSS, 1), "val loss": (_Q.VALIDATION_LOSS, 1), "time": (_Q.STEP_TIME, 1e-3)},
    "torchtitan": {
        "loss": (_Q.LOSS, 1),
        "grad_norm": (_Q.GRADIENT_NORM, 1),
        "grad": (_Q.GRADIENT_NORM, 1),
        "lr": (_Q.LEARNING_RATE, 1),
        "tps": (_Q.THROUGHPUT, 1),
        "wps": (_Q.THROUGHPUT, 1),
    },
    "deepspeed": {
        "loss": (_Q.LOSS, 1),
        "lr": (_Q.LEARNING_RATE, 1),
        "skipped": (_Q.SKIPPED, 1),
        "iter time (s)": (_Q.STEP_TIME, 1),
    },
    "olmo": {
        "train/CE loss": (_Q.LOSS, 1),
        "train/CrossEntropyLoss": (_Q.LOSS, 1),
        "train/Z loss": (_Q.Z_LOSS, 1),
        "train/load balancing loss": (_Q.LOAD_BALANCING_LOSS, 1),
        "optim/total grad norm": (_Q.GRADIENT_NORM, 1),
        "optim/total_grad_norm": (_Q.GRADIENT_NORM, 1),
        "optim/LR (group 0)": (_Q.LEARNING_RATE, 1),
        "optim/learning_rate_group0": (_Q.LEARNING_RATE, 1),
        "throughput/total tokens": (_Q.TOKENS, 1),
        "throughput/total_tokens": (_Q.TOKENS, 1),
        "throughput/device/TPS": (_Q.THROUGHPUT, 1),
    },
    "jsonl": {  # lingua's metrics.jsonl; its other names are those of many programs
        "loss/out": (_Q.LOSS, 1),
        "optim/grad_norm": (_Q.GRADIENT_NORM, 1),
        "optim/lr": (_Q.LEARNING_RATE, 1),
        "optim/total_tokens": (_Q.TOKENS, 1),
        "speed/wps": (_Q.THROUGHPUT, 1),
    },
}

_PATTERNS = tuple(
    (re.compile(pattern), quantity)
    for pattern, quantity in (
        (r"\b(?:vs|std|var|min|max|scaler|history|count)\b", None),
        (r"\bloss scale\b|\bscale loss\b", Quantity.LOSS_SCALE),
        (r"\bz loss\b", Quantity.Z_LOSS),
        (r"\b(?:load balanc\w*|lb|aux|router)\b.*\bloss\b", Quantity.LOAD_BALANCING_LOSS),
        (r"\b(?:val|valid|validation|eval|evaluation|test|dev)\b.*\bloss\b|\bloss (?:val|valid|validation|eval|test)$",
         Quantity.VALIDATION_LOSS),
        (r"^(?:\w+ ){0,2}(?:train |training )?(?:lm |ce |nll |cross entropy |batch |total )?"
         r"(?:loss|crossentropyloss)(?: train| total| out)?$",
         Quantity.LOSS),
        (r"^(?:\w+ ){0,2}(?:grad|grads|gradient|gradients)(?: global| total)? norm$|\bgnorm$",
         Quantity.GRADIENT_NORM),
        (r"^(?:\w+ )?(?:\w+ )?update norm$", Quantity.UPDATE_NORM),
        (r"^(?:\w+ )?(?:param|params|parameter|weight) norm$", Quantity.PARAMETER_NORM),
        (r"^(?:\w+ )?(?:\w+ )?(?:lr|learning rate)(?: 0| group 0)?$", Quantity.LEARNING_RATE),
        (r"\b(?:tokens|tok|toks) (?:per |/ )?(?:s|sec|second)\b|\b(?:tps|wps)$", Quantity.THROUGHPUT),
        (r"\b(?:total|consumed|seen|num) tokens\b|\btokens (?:seen|consumed|total)\b", Quantity.TOKENS),
        (r"\b(?:iteration|step|iter) time$|\btime per (?:iteration|step|iter)$|\bsecs? per step$", Quantity.STEP_TIME),
        (r"\bskipped (?:steps|iterations|batches)\b", Quantity.SKIPPED),
    )
)  # fmt: skip


def canonical(kind: str, tag: str) -> Mapped | None:
    """The quantity of a tag in a file of a format; None if it is not known."""
    documented = _DOCUMENTED.get(kind, {}).get(tag)
    if documented is not None:
        quantity, scale = documented
        return Mapped(quantity, Certainty.DOCUMENTED, UNITS.get(quantity, ""), scale)
    name = tag[:200].rpartition(" - ")[2]  # W&B writes "run - metric" into CSV
    words = " ".join(re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    for pattern, named in _PATTERNS:
        if pattern.search(words):
            return Mapped(named, Certainty.BY_NAME, UNITS.get(named, "")) if named is not None else None
    return None
