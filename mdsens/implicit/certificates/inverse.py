"""A^-1 at one point, on the complement of the null modes, and how small A gets there."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import lu_factor, lu_solve

from mdsens.implicit.auto import AUTO
from mdsens.implicit.certificates.equation import Equation, Map
from mdsens.implicit.projected import Projected
from mdsens.implicit.solve import Certified
from mdsens.linear import MINRES, Projector
from mdsens.linear.extremes import (
    SingularValues,
    all_singular_values,
    singular_values_by_inverse,
)

# Unknowns up to which all singular values are computed, and up to which A is written down.
_SPECTRUM, _DENSE = 1000, 4000
# Columns of A computed at once.
_BATCH = 256


class Inverse(NamedTuple):
    """A^-1, A^-T, and the ends of the spectrum of A.

    Attributes:
        apply, apply_transposed: b (n,) -> (n,); NaN where they fail.
        values: smallest and largest singular value.
    """

    apply: Map
    apply_transposed: Map
    values: SingularValues


def invert(equation: Equation, x: jax.Array) -> Inverse:
    """A^-1 at x: by LU up to 4000 unknowns; beyond, by MINRES if A is symmetric, else by GMRES."""
    if x.size <= _DENSE:
        return _by_elimination(equation, x)
    apply = partial(_solve, equation, x)
    return _with_spectrum(equation, x, apply, partial(_solve_transposed, equation, x))


def _by_elimination(equation: Equation, x: jax.Array) -> Inverse:
    matrix = _matrix(equation, x)
    factor = _factor(matrix, equation.projector)
    apply = partial(_eliminated, factor, equation.projector, trans=0)
    transposed = partial(_eliminated, factor, equation.projector, trans=1)
    if x.size <= _SPECTRUM:
        values = all_singular_values(np.asarray(matrix), equation.projector)
        return Inverse(apply, transposed, values)
    return _with_spectrum(equation, x, apply, transposed)


def _with_spectrum(equation: Equation, x: jax.Array, apply: Map, transposed: Map) -> Inverse:
    values = singular_values_by_inverse(
        jax.jit(equation.jacobian(x)),
        jax.jit(equation.transposed(x)),
        apply,
        transposed,
        equation.projector,
    )
    return Inverse(apply, transposed, values)


@jax.jit
def _matrix(equation: Equation, x: jax.Array) -> jax.Array:
    columns = lax.map(equation.jacobian(x), jnp.eye(x.size), batch_size=min(_BATCH, x.size))
    return columns.T


@jax.jit
def _factor(matrix: jax.Array, projector: Projector) -> tuple[jax.Array, jax.Array]:
    """LU of A + s (1 - P), s the size of A, so that null modes do not make it singular."""
    removed = jnp.eye(projector.size) - projector(jnp.eye(projector.size))
    return lu_factor(matrix + jnp.linalg.norm(matrix) * removed)


@partial(jax.jit, static_argnames="trans")
def _eliminated(factor: Any, projector: Projector, b: jax.Array, trans: int) -> jax.Array:
    return projector(lu_solve(factor, projector(b), trans=trans))


@jax.jit
def _solve(equation: Equation, x: jax.Array, b: jax.Array) -> jax.Array:
    return _iterative(equation)(equation.jacobian(x), equation.projector(b))


@jax.jit
def _solve_transposed(equation: Equation, x: jax.Array, b: jax.Array) -> jax.Array:
    return _iterative(equation)(equation.transposed(x), equation.projector(b))


def _iterative(equation: Equation) -> Certified:
    return Projected(MINRES(), equation.projector) if equation.symmetric else AUTO
