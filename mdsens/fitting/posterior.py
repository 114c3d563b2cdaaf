"""What a fit knows about its parameters, and about everything they predict.

    C = s^2 (J^T J)^-1,   s^2 = chi^2 / (m - k)

at the best fit, J the derivatives of all m residuals by the k free numbers u. s^2 > 1 says that the
potential cannot meet its targets within their deviations; the bars grow accordingly. A property with
derivatives G by u has the variance G C G^T. What the targets do not tell where the fit ended has infinite
bars, and k counts the combinations that they tell. With a robust loss J^T J is weighted by rho'(r^2), and
s^2 is that of an M-estimate (`mdsens.fitting.losses`): outliers do not widen the bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mdsens.errors import InputError, MdsensError
from mdsens.fit_record import not_told
from mdsens.fitting.losses import inflation_of, weights_of
from mdsens.fitting.null_space import null_space, told
from mdsens.fitting.problem import Evaluation
from mdsens.fitting.space import Space
from mdsens.fitting.targets import Target
from mdsens.potentials import Potential

# A prediction with at least this part along what is not told is not told.
_PART = 1e-6


@dataclass(frozen=True, eq=False)
class Posterior:
    """A normal distribution of u around the best fit.

    Attributes:
        space: what u stands for.
        u: (k,) the best fit.
        jacobian: (m, k) of all residuals, each by the root of its weight.
        freedom: m - k.
        inflation: s^2; at least 1.
    """

    space: Space
    u: np.ndarray
    jacobian: np.ndarray
    freedom: int
    inflation: float

    @cached_property
    def untold(self) -> tuple[str, ...]:
        """The parameters that, alone or together, change no residual where the fit ended."""
        known = told(self.jacobian)
        return tuple(label for label, k in zip(self.space.labels, known, strict=True) if not k)

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Deviations (k,) along the principal directions, stiffest first, and these, (k, k) rows.
        Those of directions that are not told are infinite."""
        _, stiffness, directions = np.linalg.svd(self.jacobian, full_matrices=False)
        rank = len(stiffness) - len(null_space(self.jacobian)[0])
        deviations = np.full(len(stiffness), np.inf)
        deviations[:rank] = np.sqrt(self.inflation) / stiffness[:rank]
        return deviations, directions

    @cached_property
    def covariance(self) -> np.ndarray:
        """(k, k) of u; infinite variances, and covariances that are no numbers, of what is not told."""
        deviations, directions = self.spectrum
        finite = np.isfinite(deviations)
        found = (directions[finite].T * deviations[finite] ** 2) @ directions[finite]
        lost = [self.space.labels.index(label) for label in self.untold]
        found[lost, :] = found[:, lost] = np.nan
        found[lost, lost] = np.inf
        return found

    @property
    def sigma(self) -> np.ndarray:
        """(k,) standard deviations of the parameters themselves."""
        return np.sqrt(np.diag(self.covariance)) * np.abs(self.space.slope(self.u))

    @property
    def correlation(self) -> np.ndarray:
        """(k, k)."""
        deviation = np.sqrt(np.diag(self.covariance))
        with np.errstate(invalid="ignore"):
            return self.covariance / np.outer(deviation, deviation)

    def deviations(self, jacobian: np.ndarray) -> np.ndarray:
        """(n,) standard deviations of predictions with derivatives (n, k) by u."""
        deviations, directions = self.spectrum
        finite = np.isfinite(deviations)
        moved = jacobian @ directions.T
        lost = np.linalg.norm(moved[:, ~finite], axis=1) > _PART * np.linalg.norm(moved, axis=1)
        found = np.linalg.norm(moved[:, finite] * deviations[finite], axis=1)
        return np.where(lost, np.inf, found)

    def draws(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, k) points u; those outside the bounds are moved onto them.

        Raises:
            InputError: parameters that the targets do not tell.
        """
        if self.untold:
            raise InputError(f"ensemble: {not_told(self.untold)}")
        deviations, directions = self.spectrum
        normal = np.random.default_rng(seed).standard_normal((count, len(self.u)))
        return np.clip(self.u + (normal * deviations) @ directions, *self.space.bounds())


def posterior(space: Space, at: Evaluation, loss: str = "linear") -> Posterior | None:
    """From the residuals at the best fit; None without their derivatives."""
    if at.jacobian is None:
        return None
    weighted = np.sqrt(weights_of(at.residuals, loss))[:, None] * at.jacobian
    freedom = len(at.residuals) - space.size + len(null_space(weighted)[0])
    inflation = inflation_of(at.residuals, freedom, loss) if freedom > 0 else 1.0
    return Posterior(space, at.u, weighted, freedom, float(np.maximum(1.0, inflation)))


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
