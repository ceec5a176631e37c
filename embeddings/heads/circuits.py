"""Circuits of two layers: which earlier head an induction head reads its keys from, and what heads copy.

After Elhage et al. 2021 ("A Mathematical Framework for Transformer Circuits"). For row vectors, a query x_q and a key
x_k have the score x_q W_QK x_k^T with W_QK = W_Q W_K^T, and a head writes x W_OV with W_OV = W_V W_O.

    K-composition   ||W_QK^b (W_OV^a)^T|| / (||W_QK^b|| ||W_OV^a||), Frobenius norms: how much of what head a writes
                    head b can use in its keys. Random matrices of the same shapes have a score above zero, which is
                    subtracted.
    OV eigenvalues  sum(Re l) / sum(|l|) over the eigenvalues l of W_E W_OV W_U: 1 if attending to a token raises that
                    token's own logit, whatever the token is (copying).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from corpus_audit.embeddings.attention.matrices import HeadMatrices
from corpus_audit.embeddings.attention.readout import Readout
from corpus_audit.embeddings.models.models import LanguageModel

_DRAWS = 4


@dataclass(frozen=True, slots=True)
class Composition:
    """K-composition of an earlier head with a later one.

    Attributes:
        source, reader: (block, head) of the earlier and the later head.
        score: K-composition less `random`.
        random: the score of random matrices of the same shapes.
    """

    source: tuple[int, int]
    reader: tuple[int, int]
    score: float
    random: float


def _frobenius(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """||left right^T|| of [..., d, s] and [..., e, s], without the product of size d times e."""
    gram = (left.transpose(-1, -2) @ left) @ (right.transpose(-1, -2) @ right)
    return gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(0).sqrt()


def _composed(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """K-composition of one later head [d, s] with earlier heads [H, d, v] and [H, v, d]; float [H]."""
    # W_QK (W_V W_O)^T = W_Q (W_V (W_O W_K))^T, of rank s.
    inner = value @ (output @ key)
    size = _frobenius(query, key) * _frobenius(value, output.transpose(-1, -2))
    return _frobenius(query.expand_as(inner), inner) / size.clamp_min(torch.finfo(size.dtype).tiny)


def k_composition(matrices: Mapping[int, HeadMatrices], reader: tuple[int, int]) -> list[Composition]:
    """K-composition of all heads of earlier blocks with one head, highest first.

    Empty if that head's queries and keys, or the earlier heads' values, are not linear in the stream.
    """
    block, head = reader
    later = matrices[block]
    if later.query is None or later.key is None:
        return []
    query, key = later.query[head].double(), later.key[head].double()
    compositions: list[Composition] = []
    for earlier in sorted(matrices):
        if earlier >= block or (value := matrices[earlier].value) is None:
            continue
        output = matrices[earlier].output.double()
        scores = _composed(query, key, value.double(), output)
        random = _random_score(query.shape, value.shape[1:])
        compositions += [Composition((earlier, h), reader, s - random, random) for h, s in enumerate(scores.tolist())]
    return sorted(compositions, key=lambda composition: -composition.score)


def _random_score(query: Sequence[int], value: Sequence[int]) -> float:
    """The mean K-composition of Gaussian matrices [d, s] and [d, v]."""
    generator = torch.Generator().manual_seed(0)
    (d, s), (_, v) = query, value

    def draw(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(_DRAWS, rows, columns, generator=generator, dtype=torch.float64)

    queries, keys, values, outputs = draw(d, s), draw(d, s), draw(d, v), draw(v, d)
    scores = [
        float(_composed(q, k, w[None], o[None])[0]) for q, k, w, o in zip(queries, keys, values, outputs, strict=True)
    ]
    return sum(scores) / len(scores)


def ov_eigenvalues(
    model: LanguageModel, matrices: Mapping[int, HeadMatrices], readout: Readout
) -> dict[tuple[int, int], float]:
    """The OV eigenvalue score of every head, between -1 and 1; heads whose values are not linear are left out.

    Empty if the embedding or the output layer is not as wide as the stream. Of the matrix over all pairs of tokens, the
    eigenvalues that are not 0 are those of a matrix of the head's own size, W_O W_U W_E W_V.
    """
    embed = model.module.get_input_embeddings()
    weight = getattr(embed, "weight", None)
    unembedding = readout.unembedding
    if not isinstance(weight, torch.Tensor) or weight.shape[1] != unembedding.shape[0]:
        return {}
    ids = min(weight.shape[0], unembedding.shape[1])
    tokens = unembedding[:, :ids] @ weight[:ids].float()
    scores = {}
    for block, heads in matrices.items():
        if heads.value is None:
            continue
        written = heads.output if readout.norm is None else readout.norm.unscaled(heads.output)
        eigenvalues = torch.linalg.eigvals((written @ tokens @ heads.value).double().cpu())
        total = eigenvalues.abs().sum(-1).clamp_min(torch.finfo(torch.float64).tiny)
        for head, score in enumerate((eigenvalues.real.sum(-1) / total).tolist()):
            scores[block, head] = score
    return scores
