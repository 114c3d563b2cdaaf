"""When a solution is good enough, the same rule for every solver."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

# In units of eps |A| |x|: what rounding in one product with A leaves of a residual.
_ROUNDING = 64.0
# Above this relative residual a large |x| is a sign of a singular matrix, and excuses nothing.
_CEILING = 1e-7
EPS = 2.220446049250313e-16


def allowance(b_norm: Any, x_norm: Any, matrix_norm: Any, rtol: float, xp: Any = jnp) -> Any:
    """Largest |b - A x| that is accepted: max(rtol |b|, 64 eps |A| |x|), at most 1e-7 |b|.

    The second term is the residual that the exact solution, rounded to float64, would show; where
    A is so badly conditioned that it exceeds rtol |b|, no solver can do better, and the error it
    leaves in x, cond(A) 64 eps, is below 1e-7 for condition numbers up to 1e7.
    `xp` is NumPy where JAX must not run.
    """
    rounding = xp.minimum(_ROUNDING * EPS * matrix_norm * x_norm, _CEILING * b_norm)
    return xp.maximum(rtol * b_norm, rounding)


def relative(residual_norm: Any, b_norm: Any) -> jax.Array:
    """|r| / |b|, and 0 for r = b = 0."""
    return residual_norm / jnp.where(b_norm > 0, b_norm, 1.0)
