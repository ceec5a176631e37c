"""Records latents that SAELens computes: ``python -m tests.embeddings.record_saelens``, with ``sae-lens`` installed.

Written are 1,000 activations, and of every architecture a small autoencoder or transcoder as SAELens saves it, with
SAELens' own latents: `tests/embeddings/models/saelens_latents.npz`, which the tests compare with, without SAELens.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PATH = Path(__file__).parent / "models" / "saelens_latents.npz"
INPUTS, LATENTS, OUTPUTS, TOKENS = 6, 8, 5, 1000


def cases() -> dict[str, tuple[Any, Any]]:
    """Class and configuration by name."""
    from sae_lens.saes import gated_sae, jumprelu_sae, standard_sae, topk_sae, transcoder
    from sae_lens.saes.sae import SAEMetadata

    sizes: dict[str, Any] = {"d_in": INPUTS, "d_sae": LATENTS}
    sizes["metadata"] = SAEMetadata(hook_name="blocks.0.hook_resid_post", prepend_bos=True)
    standard, config = standard_sae.StandardSAE, standard_sae.StandardSAEConfig
    made: dict[str, tuple[Any, Any]] = {
        f"standard {norm}": (standard, config(**sizes, normalize_activations=norm))
        for norm in ("none", "layer_norm", "constant_norm_rescale")
    }
    made["standard no b_dec"] = standard, config(**sizes, apply_b_dec_to_input=False)
    made["gated"] = gated_sae.GatedSAE, gated_sae.GatedSAEConfig(**sizes)
    made["jumprelu"] = jumprelu_sae.JumpReLUSAE, jumprelu_sae.JumpReLUSAEConfig(**sizes)
    top_k = topk_sae.TopKSAEConfig
    made["topk"] = topk_sae.TopKSAE, top_k(**sizes, k=3)
    made["topk rescaled"] = topk_sae.TopKSAE, top_k(**sizes, k=3, rescale_acts_by_decoder_norm=True)
    sizes["metadata"] = SAEMetadata(
        hook_name="blocks.0.mlp.hook_in", hook_name_out="blocks.0.hook_mlp_out", prepend_bos=True
    )
    sizes |= {"d_out": OUTPUTS, "apply_b_dec_to_input": False}
    for name, kind in (
        ("transcoder", "Transcoder"),
        ("skip_transcoder", "SkipTranscoder"),
        ("jumprelu_transcoder", "JumpReLUTranscoder"),
    ):
        made[name] = getattr(transcoder, kind), getattr(transcoder, f"{kind}Config")(**sizes)
    return made


def record() -> None:
    """Write the file."""
    import torch
    from safetensors.numpy import load_file

    rng = np.random.default_rng(3)
    x = (rng.normal(size=(TOKENS, INPUTS)) * 2).astype(np.float32)
    arrays: dict[str, np.ndarray] = {"x": x}
    configs = {}
    for name, (kind, config) in cases().items():
        sae = kind(config)
        for of, parameter in sae.named_parameters():
            values = rng.normal(size=parameter.shape) * (0.6 if "W" in of else 0.3)
            if of == "threshold":
                values = np.abs(values) * 3
            if of == "W_dec":
                values = values * 10 ** rng.uniform(-1, 1, (parameter.shape[0], 1))
            parameter.data = torch.from_numpy(values.astype(np.float32))
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            sae.save_model(folder)
            configs[name] = json.loads((Path(folder) / "cfg.json").read_text(encoding="utf-8"))
            for of, weights in load_file(Path(folder) / "sae_weights.safetensors").items():
                arrays[f"{name}/{of}"] = weights
            arrays[f"{name}/latents"] = sae.encode(torch.from_numpy(x)).to_dense().numpy()
    np.savez_compressed(PATH, cfg=np.array(json.dumps(configs)), **arrays)


if __name__ == "__main__":
    record()
