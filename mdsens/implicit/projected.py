"""Solving through a known null space: the bridge to `mdsens.linear`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.implicit.solve import Certified, Matvec
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import SolveInfo
from mdsens.linear.projector import Projector

# Of |A x|. Modes given in another order or for other unknowns leave about 1; rotations of a state with
# forces left on it are null only to these forces over the stiffness.
_ALONG = 1e-3


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

        Projected(CG())                                   A positive definite
        Projected(MINRES())                               A indefinite
        Projected(CG(), Projector.complement(modes))      A modes = 0: modes (n, k), any basis

    The answer has no part along the null space. That is the derivative of a solution that is held
    there: a set of particles that does not drift, for translations. For observables that do not
    change along the null space it makes no difference.

    Modes that A does not annihilate are found out in x, and make it NaN.

    The projector and the blocks may be traced: a value of this class is a pytree, and travels
    through jit, vmap and differentiation with the solution it belongs to.

    Attributes:
        solver: `CG()` at minima, `MINRES()` at saddles, `Dense()` for small systems.
        projector: onto the complement of the null space, in the order of `ravel_pytree(b)`; None
            where A is regular.
        blocks: (m, b, b) diagonal blocks of A for preconditioning, or None.
    """

    solver: Solver = field(metadata={"static": True})
    projector: Projector | None = None
    blocks: jax.Array | None = None
    symmetric = True

    def __call__(self, matvec: Matvec, b: Any) -> Any:
        """The minimum-norm solution for a pytree b."""
        flat, unravel = ravel_pytree(b)

        def product(x: jax.Array) -> jax.Array:
            return ravel_pytree(matvec(unravel(x)))[0]

        projector = Projector.identity(flat.size) if self.projector is None else self.projector
        operator = Operator(product, flat.size, self.blocks)
        x = self.solver.solve(operator, flat, projector)[0]
        return unravel(jnp.where(_are_null(projector, product(x)), x, jnp.nan))


def _are_null(projector: Projector, image: jax.Array) -> jax.Array:
    """Whether A x has no part along the modes, as it has none for a symmetric A with A modes = 0."""
    along = projector.basis.T @ (projector.mask * image)
    return jnp.linalg.norm(along) <= _ALONG * jnp.linalg.norm(image)
