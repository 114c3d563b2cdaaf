"""What a linear solve must promise before a derivative is built on it.

A solve is called as `solve(matvec, b) -> x` with pytrees x, b. One that is `Certified` returns NaN
where it misses; any other callable is wrapped in `Refined`, which checks its answers.

    of A is known                        solve =
    nothing                              AUTO
    that it is too large to write down   Auto(dense_limit=0, elimination_limit=0)
    A = A^T, positive definite           Projected(CG())
    A = A^T                              Projected(MINRES())
    A = A^T, A modes = 0                 the same with Projector.complement(modes)
    how to solve with it                 your function, or Refined(function, symmetric=True)

Where A is singular, b is projected onto its range: a cotangent may be anything. AUTO then gives the
minimum-norm answer in forward and in reverse mode alike. A direction t whose B t leaves the range,
as at a fold, has no derivative, and A^+ does not say so; `certify` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mdsens.errors import InputError
from mdsens.implicit.checked import Wanted, refine_unknown, transposed
from mdsens.implicit.condition import require_like
from mdsens.implicit.leaves import closes_over_tracers

Matvec = Callable[[Any], Any]


class Certified:
    """A solve whose answer is right to its tolerance, or NaN.

    Attributes:
        symmetric: promises that A = A^T, which spares the transposition of the matvec. A wrong
            promise gives wrong reverse-mode derivatives; leave it False when in doubt.
    """

    symmetric: bool = False

    def __call__(self, matvec: Matvec, b: Any) -> Any:
        """x with A x = b; all NaN if it cannot be had."""
        raise NotImplementedError


def certified(solve: Callable[..., Any]) -> Certified:
    """`solve` itself if it keeps that promise, else wrapped so that it does.

    Raises:
        InputError: it is no function, or one inside closes over a value that is being transformed,
            which would have escaped by the time the solve is called.
    """
    if not callable(solve):
        raise InputError(f"solve must be a function solve(matvec, b) -> x, not {solve!r}")
    if closes_over_tracers(solve):
        raise InputError(
            "the solve closes over a value that is being differentiated, batched or compiled; hand "
            "it over as an argument, solve=jax.tree_util.Partial(function, value)"
        )
    return solve if isinstance(solve, Certified) else Refined(solve)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Refined(Certified):
    """Somebody's solve(matvec, b), refined until it is right, NaN if it never gets there.

        x <- x + solve(A, r),    r = b - A x

    Krylov routines with their customary tolerance of 1e-5 reach 1e-10 in two or three rounds; one
    that diverges, or was made for another kind of matrix, stalls and is found out. Rounds go on to
    rounding: a residual of 1e-12 may hide an error of 1e-6 at a condition number of 1e6.

    Of a singular A a residual may remain that is orthogonal to its range, |A^T r| = 0 to rounding;
    the solution is the one that `solve` picks, up to null vectors.

    Attributes:
        solve: the callable; an attribute so that its arrays, if it is a pytree, may be traced.
        symmetric: see `Certified`.
        rtol: largest relative residual accepted.
        rounds: calls of `solve` at most.
    """

    solve: Callable[..., Any]
    symmetric: bool = field(default=False, metadata={"static": True})
    rtol: float = field(default=1e-12, metadata={"static": True})
    rounds: int = field(default=10, metadata={"static": True})

    def __call__(self, matvec: Matvec, b: Any) -> Any:
        """x with A x = b; all NaN if it cannot be had."""
        flat, unravel = ravel_pytree(b)

        def product(x: jax.Array) -> jax.Array:
            return ravel_pytree(matvec(unravel(x)))[0]

        def inner(r: jax.Array) -> jax.Array:
            x = self.solve(matvec, unravel(r))
            require_like(x, b, "the solve returned", "its right-hand side")
            return ravel_pytree(x)[0]

        transpose = product if self.symmetric else transposed(product, flat)
        wanted = Wanted(self.rtol, self.rounds)
        x, good = refine_unknown(product, transpose, inner, flat, wanted)
        return unravel(jnp.where(good, x, jnp.nan))
