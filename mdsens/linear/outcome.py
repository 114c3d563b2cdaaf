"""How a linear solve ended, in words."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import DerivativeUndefined


class Outcome(enum.IntEnum):
    """How a solve of A x = b ended; `sentence` says it in English. Larger codes are worse."""

    CONVERGED = 0
    NOT_CONVERGED = 1
    INDEFINITE = 2
    SINGULAR = 3
    NOT_FINITE = 4

    @property
    def sentence(self) -> str:
        """A whole English sentence with the likely causes."""
        return _SENTENCES[self]


_SENTENCES = {
    Outcome.CONVERGED: "The linear solve reached its tolerance.",
    Outcome.NOT_CONVERGED: (
        "The linear solve missed its tolerance: the matrix is probably too badly conditioned for "
        "the number of iterations allowed, or not symmetric; try a direct solver, or relax further."
    ),
    Outcome.INDEFINITE: (
        "Negative curvature was met by a solver for positive definite matrices: the state is "
        "probably a saddle and not a minimum; use a solver for indefinite matrices if that is "
        "meant."
    ),
    Outcome.SINGULAR: (
        "The matrix has a zero mode that was not projected out: probably a rattler, a free "
        "rotation, particles that went apart beyond the cutoff, or a marginal state whose "
        "derivative does not exist."
    ),
    Outcome.NOT_FINITE: (
        "The matrix or the right-hand side holds NaN or infinity: the state or the parameters "
        "were probably not finite to begin with."
    ),
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SolveInfo:
    """What is told about one solve (never needed to continue).

    Attributes:
        residual: true relative residual max_k |P A P x_k - P b_k| / |P b_k|, recomputed at the end.
        iterations: Krylov iterations of the slowest column; 0 for direct solvers.
        outcome: code of the worst column's `Outcome`.
        negative: number of negative eigenvalues on the complement of the null space; -1 = unknown.
        lowest: lowest eigenvalue there; NaN = unknown.
        method: name of the solver.
    """

    residual: Any
    iterations: Any
    outcome: Any
    negative: Any
    lowest: Any
    method: str = field(metadata={"static": True})

    def raise_if_failed(self) -> None:
        """Raise in eager code what a traced solve can only tell by NaN.

        Raises:
            DerivativeUndefined: any outcome (the worst one, if batched) is not CONVERGED.
        """
        worst = Outcome(int(np.max(np.asarray(self.outcome))))
        if worst is not Outcome.CONVERGED:
            residual = float(np.max(np.asarray(self.residual)))
            raise DerivativeUndefined(
                f"{worst.sentence} ({self.method}, relative residual {residual:.1e})"
            )


def summary(
    residual: jax.Array,
    iterations: Any,
    outcome: jax.Array,
    method: str,
    negative: Any = -1,
    lowest: Any = jnp.nan,
) -> SolveInfo:
    """`SolveInfo` of the worst column, from per-column residuals and outcomes."""
    return SolveInfo(
        residual=jnp.max(residual),
        iterations=jnp.max(jnp.asarray(iterations)),
        outcome=jnp.max(outcome),
        negative=jnp.asarray(negative),
        lowest=jnp.asarray(lowest, dtype=float),
        method=method,
    )
