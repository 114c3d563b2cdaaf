"""The solve used when none is given: general, robust, and unaware of any structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.implicit.checked import Wanted
from mdsens.implicit.dense import solve_matrix
from mdsens.implicit.matrix_free import solve_by_gmres, solve_matrix_free
from mdsens.implicit.solve import Certified, Matvec, certified
from mdsens.linear.precision import require_float64


@dataclass(frozen=True)
class Auto(Certified):
    """x = A^+ b for any square A; NaN where that cannot be had to the tolerance.

    Up to `dense_limit` unknowns A is materialised (n products, n^2 numbers) and eliminated, or
    pseudo-inverted where it is singular: condition numbers up to 1e6 leave 9 digits, those above
    1e10 are refused, and a singular A gives the minimum-norm answer. Beyond that, MINRES for a
    symmetric A, refined until the true residual is small; elimination still for others, up to
    `elimination_limit`, and restarted GMRES from there, which condition numbers above 1e4 or so
    defeat. A large problem that knows its structure does better to say so.

    Attributes:
        dense_limit: largest number of unknowns for which any A is materialised.
        elimination_limit: the same for an A that is not symmetric; n = 4000 takes a few seconds.
        rtol: largest relative residual accepted.
    """

    dense_limit: int = 1000
    elimination_limit: int = 4000
    rtol: float = 1e-12

    def __call__(self, matvec: Matvec, b: Any) -> Any:
        """x with A x = b for pytrees; all NaN if it cannot be had."""
        require_float64(b)
        flat, unravel = ravel_pytree(b)

        def product(x: jax.Array) -> jax.Array:
            return ravel_pytree(matvec(unravel(x)))[0]

        if flat.size <= self.dense_limit:
            return unravel(self._eliminated(product, flat))
        wanted = Wanted(self.rtol)
        others = partial(self._unsymmetric, product, flat, wanted)
        return unravel(solve_matrix_free(product, flat, wanted, others))

    def _eliminated(self, product: Matvec, b: jax.Array) -> jax.Array:
        matrix = jax.vmap(product, out_axes=1)(jnp.eye(b.size))
        return solve_matrix(matrix, b, self.rtol)

    def _unsymmetric(self, product: Matvec, b: jax.Array, wanted: Wanted) -> jax.Array:
        if b.size <= self.elimination_limit:
            return self._eliminated(product, b)
        return solve_by_gmres(product, b, wanted)


AUTO = Auto()


def trusted(solve: Callable[..., Any] | None) -> Certified:
    """`certified(solve)`, and AUTO for None."""
    return AUTO if solve is None else certified(solve)
