"""Solving through a known null space: the bridge to `mdsens.linear`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
from jax.flatten_util import ravel_pytree

from mdsens.implicit.solve import Certified, Matvec
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import SolveInfo
from mdsens.linear.projector import Projector


class Solver(Protocol):
    """A traceable solver of `mdsens.linear`: CG, MINRES or Dense."""

    def solve(
        self, operator: Operator, rhs: jax.Array, projector: Projector
    ) -> tuple[jax.Array, SolveInfo]:
        """x = (P A P)^+ P b, NaN where it fails."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Projected(Certified):
    """x = (P A P)^+ P b for symmetric A whose null space is known; NaN where the solver fails.

    The projector and the blocks may be traced: a value of this class is a pytree, and travels
    through jit, vmap and differentiation with the solution it belongs to.

    Attributes:
        solver: `CG()` at minima, `MINRES()` at saddles, `Dense()` for small systems.
        projector: onto the complement of the null space, in the order of `ravel_pytree(b)`.
        blocks: (m, b, b) diagonal blocks of A for preconditioning, or None.
    """

    solver: Solver = field(metadata={"static": True})
    projector: Projector
    blocks: jax.Array | None = None
    symmetric = True

    def __call__(self, matvec: Matvec, b: Any) -> Any:
        """The minimum-norm solution for a pytree b."""
        flat, unravel = ravel_pytree(b)

        def product(x: jax.Array) -> jax.Array:
            return ravel_pytree(matvec(unravel(x)))[0]

        operator = Operator(product, flat.size, self.blocks)
        return unravel(self.solver.solve(operator, flat, self.projector)[0])
