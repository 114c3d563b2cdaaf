"""What the two Krylov solvers share: columns, projection, limits, NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo, summary
from mdsens.linear.precision import require_float64
from mdsens.linear.preconditioner import block_jacobi
from mdsens.linear.projector import Projector
from mdsens.linear.refinement import Matvec, Step, refine


@dataclass(frozen=True)
class Krylov:
    """Settings of a matrix-free solver.

    Attributes:
        rtol: largest true relative residual accepted.
        max_iterations: products with A allowed per refinement round; None means 5 n + 100, which
            leaves room for what rounding adds to the n of exact arithmetic.
        rounds: how often the true residual may be recomputed and solved for again.
    """

    rtol: float = 1e-10
    max_iterations: int | None = None
    rounds: int = 5

    def limit(self, n: int) -> int:
        """Iterations allowed per round for n unknowns."""
        return 5 * n + 100 if self.max_iterations is None else self.max_iterations


Iteration = Callable[[Matvec, Matvec, jax.Array, jax.Array, int], Step]


def solve_columns(
    iteration: Iteration,
    settings: Krylov,
    operator: Operator,
    rhs: jax.Array,
    projector: Projector,
    method: str,
) -> tuple[jax.Array, SolveInfo]:
    """Solve P A P x = P b for each column of rhs; a column that fails is NaN, its neighbours not.

    Right-hand side, products and preconditioned residuals are all projected, so that no iterate ever
    leaves the complement of the null space and a cotangent that is not translation invariant does
    no harm.
    """
    require_float64(rhs)
    matvec = operator.projected(projector)
    local = block_jacobi(operator.blocks)

    def step(r: jax.Array, tol: jax.Array) -> Step:
        return iteration(
            matvec, lambda y: projector(local(y)), r, tol, settings.limit(operator.size)
        )

    columns = rhs.T if rhs.ndim == 2 else rhs[None, :]
    ends = jax.vmap(lambda b: refine(matvec, projector(b), step, settings.rtol, settings.rounds))(
        columns
    )
    good = ends.outcome == Outcome.CONVERGED
    x = jnp.where(good[:, None], jax.vmap(projector)(ends.x), jnp.nan)
    info = summary(ends.residual, ends.iterations, ends.outcome, method)
    return (x.T if rhs.ndim == 2 else x[0]), info
