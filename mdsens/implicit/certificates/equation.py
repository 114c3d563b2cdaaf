"""F(x, theta) = 0 in flat vectors, and its linear maps at any point.

    A = P dF/dx P,    B = P dF/dtheta,    x (n,), theta (p,), F (n,)

P projects onto the complement of the null modes that were declared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
from jax.tree_util import Partial

from mdsens.implicit.checked import transposed
from mdsens.linear import Projector

Map = Callable[[jax.Array], jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Equation:
    """F(x, theta) = 0 at fixed theta. Traceable.

    Attributes:
        residual: (x, theta) -> F; a Partial, so that what it holds may be traced.
        theta: (p,)
        projector: P.
        symmetric: A = A^T.
    """

    residual: Partial
    theta: jax.Array
    projector: Projector
    symmetric: bool = field(metadata={"static": True})

    def force(self, x: jax.Array) -> jax.Array:
        """P F(x)."""
        return self.projector(self.residual(x, self.theta))

    def jacobian(self, x: jax.Array) -> Map:
        """v -> A v."""
        product = jax.linearize(self.force, x)[1]
        return lambda v: product(self.projector(v))

    def transposed(self, x: jax.Array) -> Map:
        """w -> A^T w."""
        product = self.jacobian(x)
        return product if self.symmetric else transposed(product, x)

    def response(self, x: jax.Array) -> Map:
        """t (p,) -> B t (n,)."""
        return jax.linearize(lambda t: self.projector(self.residual(x, t)), self.theta)[1]

    def pull(self, x: jax.Array) -> Map:
        """w (n,) -> B^T w (p,)."""
        return transposed(self.response(x), self.theta)
