"""One question asked at every door: are the numbers 64-bit?"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import Float32Error

ENABLE = 'call jax.config.update("jax_enable_x64", True) before creating any array'


def require_float64(*trees: Any) -> None:
    """Refuse to go on in single precision.

    A Hessian solve loses log10(condition number) digits; float32 has seven of them to begin with,
    so conjugate gradients fail or, worse, report a convergence that is not there.

    Raises:
        Float32Error: 64-bit floats are switched off, or a floating leaf of `trees` is narrower.
    """
    if jnp.result_type(float) != jnp.float64:
        raise Float32Error(f"64-bit floats are switched off in JAX; {ENABLE}")
    for leaf in jax.tree_util.tree_leaves(trees):
        dtype = getattr(leaf, "dtype", None)
        if dtype is not None and _is_narrow(dtype):
            raise Float32Error(
                f"an array of type {dtype} was given where float64 is needed; {ENABLE}"
            )


def _is_narrow(dtype: Any) -> bool:
    if not jnp.issubdtype(dtype, jnp.inexact):
        return False
    return dtype not in (jnp.float64, jnp.complex128)
