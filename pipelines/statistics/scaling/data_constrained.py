"""What repeated tokens are worth: the data-constrained law, with decaying value of epochs and of excess parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corpus_audit.pipelines.statistics.intervals.clustered import Floats
from corpus_audit.pipelines.statistics.scaling.law import ChinchillaLaw

_DECADES = 2
_GRID = 401


@dataclass(frozen=True, slots=True)
class DataConstrainedLaw:
    """L(N, D, U) of Muennighoff et al. (2023, arXiv 2305.16264, equations 5, 6 and 19).

    Attributes:
        law: the law of unrepeated data.
        token_decay: R_D*, repetitions after which a further one is worth 1 / e of a new token.
        parameter_decay: R_N*, the same of parameters beyond the optimum of the unique tokens.
    """

    law: ChinchillaLaw
    token_decay: float = 15.387756
    parameter_decay: float = 5.309743

    def effective_tokens(self, tokens: float, unique: float) -> float:
        """D' = U + U R_D* (1 - exp(-R_D / R_D*)), what D tokens in R_D + 1 epochs are worth in unique tokens.

        Raises:
            ValueError: there are more unique tokens than tokens, or none.
        """
        if not 0 < unique <= tokens:
            raise ValueError("unique tokens must be above 0 and at most the tokens")
        return float(_effective(tokens, unique, self.token_decay))

    def effective_parameters(self, parameters: float, unique: float) -> float:
        """N' with U_N, the parameters that are optimal for the unique tokens, in the place of U."""
        return float(_effective(parameters, min(parameters, self.parameters_for(unique)), self.parameter_decay))

    def parameters_for(self, tokens: float) -> float:
        """Parameters for which ``tokens`` are optimal: (D G)^(beta / alpha) G, as the paper's own code has it."""
        return float(self._parameters_for(np.asarray(tokens, dtype=np.float64)))

    def _parameters_for(self, tokens: Floats) -> Floats:
        law = self.law
        g = np.exp((np.log(law.alpha / law.beta) + law.a - law.b) / (law.alpha + law.beta))
        return np.asarray((tokens * g) ** (law.beta / law.alpha) * g)

    def optimal(self, flops: float, unique: float) -> tuple[float, float, float]:
        """Parameters, tokens and loss of the smallest loss for 6 N D operations on a corpus of U unique tokens.

        Tokens beyond U are epochs. By a search in ln N, two decades to either side of the optimum of unrepeated data,
        to 0.03 %.
        """
        centre, reach = np.log(self.law.optimal(flops)[0]), _DECADES * np.log(10.0)
        for _ in range(2):
            n = np.exp(np.linspace(centre - reach, centre + reach, _GRID))
            losses = self._losses(n, flops / 6 / n, unique)
            best = int(np.argmin(losses))
            centre, reach = np.log(n[best]), 4 * reach / (_GRID - 1)
        return float(n[best]), float(flops / 6 / n[best]), float(losses[best])

    def _losses(self, parameters: Floats, tokens: Floats, unique: float) -> Floats:
        fresh = np.minimum(unique, tokens)
        base = np.minimum(parameters, self._parameters_for(fresh))
        n = _effective(parameters, base, self.parameter_decay)
        return self.law.loss(n, _effective(tokens, fresh, self.token_decay))

    def loss(self, parameters: float, tokens: float, unique: float) -> float:
        """The loss of N parameters after D tokens of which U are unique, in nats a token.

        Raises:
            ValueError: there are more unique tokens than tokens, or none.
        """
        n, d = self.effective_parameters(parameters, unique), self.effective_tokens(tokens, unique)
        return float(self.law.loss(n, d))


def _effective(total: Floats | float, unique: Floats | float, decay: float) -> Floats:
    return np.asarray(unique + unique * decay * -np.expm1(-(total / unique - 1) / decay))


MUENNIGHOFF_C4 = DataConstrainedLaw(
    ChinchillaLaw(a=6.255414, alpha=0.3526596, b=7.3049974, beta=0.3526596, e=0.6254804)
)
"""The constants that the paper fits to C4."""
