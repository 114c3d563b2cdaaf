"""What a fit knows about its parameters, and about everything they predict.

    C = s^2 (J^T J)^-1,   s^2 = chi^2 / (m - k)

at the best fit, J the derivatives of all m residuals by the k free numbers u. s^2 > 1 says that the
potential cannot meet its targets within their deviations; the bars grow accordingly. A property with
derivatives G by u has the variance G C G^T.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdsens.errors import MdsensError
from mdsens.fitting.problem import Evaluation
from mdsens.fitting.space import Space
from mdsens.fitting.targets import Target
from mdsens.potentials import Potential

# Directions with singular values below this fraction of the largest move nothing.
_NULL = 1e-9


@dataclass(frozen=True, eq=False)
class Posterior:
    """A normal distribution of u around the best fit.

    Attributes:
        space: what u stands for.
        u: (k,) the best fit.
        jacobian: (m, k) of all residuals.
        inflation: s^2; at least 1.
    """

    space: Space
    u: np.ndarray
    jacobian: np.ndarray
    inflation: float

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Deviations (k,) along the principal directions, stiffest first, and these, (k, k) rows."""
        _, stiffness, directions = np.linalg.svd(self.jacobian, full_matrices=False)
        # What the targets say nothing about where the fit ended is as good as unknown.
        known = np.maximum(stiffness, _NULL * stiffness[0])
        return np.sqrt(self.inflation) / known, directions

    @cached_property
    def covariance(self) -> np.ndarray:
        """(k, k) of u."""
        deviations, directions = self.spectrum
        return (directions.T * deviations**2) @ directions

    @property
    def sigma(self) -> np.ndarray:
        """(k,) standard deviations of the parameters themselves."""
        return np.sqrt(np.diag(self.covariance)) * np.abs(self.space.slope(self.u))

    @property
    def correlation(self) -> np.ndarray:
        """(k, k)."""
        deviation = np.sqrt(np.diag(self.covariance))
        return self.covariance / np.outer(deviation, deviation)

    def deviations(self, jacobian: np.ndarray) -> np.ndarray:
        """(n,) standard deviations of predictions with derivatives (n, k) by u."""
        return np.linalg.norm(jacobian @ self.spectrum[1].T * self.spectrum[0], axis=1)

    def draws(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, k) points u; those outside the bounds are moved onto them."""
        deviations, directions = self.spectrum
        normal = np.random.default_rng(seed).standard_normal((count, len(self.u)))
        return np.clip(self.u + (normal * deviations) @ directions, *self.space.bounds())


def posterior(space: Space, at: Evaluation) -> Posterior | None:
    """From the residuals at the best fit; None without their derivatives."""
    if at.jacobian is None:
        return None
    freedom = len(at.residuals) - space.size
    inflation = max(1.0, at.chi2 / freedom) if freedom > 0 else 1.0
    return Posterior(space, at.u, at.jacobian, inflation)


def sampled(
    potential: Potential, knowledge: Posterior, target: Target, count: int, seed: int = 0
) -> np.ndarray:
    """(count, m) what the target says at draws of the parameters, NaN where it cannot be evaluated.

    A check of `Posterior.deviations`, which takes predictions for linear in u; and the way to
    predict where they are not.
    """
    rows = []
    for u in knowledge.draws(count, seed):
        try:
            rows.append(target.values(potential, knowledge.space, u))
        except MdsensError:
            rows.append(np.full(len(target.wanted), np.nan))
    return np.array(rows)
