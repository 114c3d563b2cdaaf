"""64-bit floats or nothing: a Hessian solve in float32 fails or lies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mdsens.errors import Float32Error


def require_float64(*trees: Any) -> None:
    """Raise Float32Error unless JAX runs in 64 bits and no leaf is a shorter float."""
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise Float32Error(
            "mdsens: 64-bit floats are off; call jax.config.update('jax_enable_x64', True) "
            "before anything else"
        )
    for path, leaf in jax.tree_util.tree_flatten_with_path(trees)[0]:
        dtype = jnp.result_type(leaf)
        if jnp.issubdtype(dtype, jnp.floating) and dtype != jnp.float64:
            raise Float32Error(
                f"mdsens: argument {jax.tree_util.keystr(path[1:])} is {dtype}; "
                "convert it to float64"
            )
