"""Null modes that were declared: made orthonormal, and checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import DerivativeUndefined, InputError
from mdsens.implicit.certificates.equation import Equation
from mdsens.linear import Projector
from mdsens.linear.accuracy import EPS

# |A z| / |A| and |B^T z| / |B| of a null mode z; not zero, because x is not quite the root.
_NULL = 1e-6
# Component of F along z, in units of eps times the terms that cancel in F.
_ROUNDING = 64.0


def projector_for(null_basis: Any, n: int, symmetric: bool) -> Projector:
    """Onto the complement of the columns of null_basis (n, k).

    Raises:
        InputError: of another shape, linearly dependent, or given for an A that is not symmetric.
    """
    if null_basis is None:
        return Projector.identity(n)
    if not symmetric:
        raise InputError(
            "null_basis needs symmetric=True: a matrix that is not symmetric has another null "
            "space on its left; remove the null modes from the unknowns instead"
        )
    columns = np.asarray(null_basis, dtype=float)
    if columns.ndim != 2 or columns.shape[0] != n or columns.shape[1] >= n:
        raise InputError(f"null_basis has the shape {columns.shape}, and must be ({n}, k), k < {n}")
    left, weights, _ = np.linalg.svd(columns, full_matrices=False)
    if not np.all(weights > 1e-8 * weights.max(initial=0.0)):
        raise InputError("the columns of null_basis are linearly dependent; give each mode once")
    return Projector(jnp.ones(n), jnp.asarray(left))


def require_null(equation: Equation, x: jax.Array, norm: float, response_norm: float) -> None:
    """Refuse modes that are not null, or along which F or its dependence on theta is not.

    Args:
        equation: with the modes.
        x: (n,)
        norm, response_norm: |A| and |B|, the scales.

    Raises:
        InputError: A z is not zero.
        DerivativeUndefined: B^T z or F z is not zero: A u = -B t, or F = 0, has no solution.
    """
    modes = equation.projector.basis
    if modes.shape[1] == 0:
        return
    whole = replace(equation, projector=Projector.identity(x.size))
    curvature, slope, force = map(float, _along(whole, x, modes))
    if curvature > _NULL * norm:
        raise InputError(
            f"the columns of null_basis are no null modes: |A z| reaches {curvature:.1e}, where "
            f"|A| = {norm:.1e}; give motions along which F does not change, or solve F = 0 further"
        )
    rounding = _ROUNDING * EPS * (norm * _size(x) + response_norm * _size(equation.theta))
    if slope > _NULL * response_norm or force > _NULL * _size(whole.force(x)) + rounding:
        raise DerivativeUndefined(
            "the derivative is undefined: F has a component along a null mode "
            f"(|z F| = {force:.1e}, |z dF/dtheta| = {slope:.1e}) that no displacement can balance"
        )


@jax.jit
def _along(
    equation: Equation, x: jax.Array, modes: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The largest |A z|, |B^T z| and |z . F| of all modes z, the columns."""
    columns = jax.vmap(lambda z: (equation.jacobian(x)(z), equation.pull(x)(z)), in_axes=1)(modes)
    curvature, slope = (jnp.max(jnp.linalg.norm(c, axis=1)) for c in columns)
    return curvature, slope, jnp.max(jnp.abs(modes.T @ equation.force(x)))


def _size(v: jax.Array) -> float:
    return float(jnp.linalg.norm(v))
