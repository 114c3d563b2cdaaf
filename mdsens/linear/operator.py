"""The matrix of a linear system, by its action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.linear.projector import Projector


@dataclass(frozen=True)
class Operator:
    """A symmetric n x n matrix A known by x -> A x, with what else is known about it.

    Attributes:
        matvec: (n,) -> (n,), linear and traceable by JAX.
        size: n.
        blocks: (m, b, b) diagonal blocks of A with m b = n, for preconditioning; optional.
        matrix: the assembled matrix on the host, any SciPy sparse format; optional.
    """

    matvec: Callable[[jax.Array], jax.Array]
    size: int
    blocks: jax.Array | None = None
    matrix: Any = None

    def projected(self, projector: Projector) -> Callable[[jax.Array], jax.Array]:
        """x -> P A P x."""
        return lambda x: projector(self.matvec(projector(x)))

    def on_host(self, x: np.ndarray) -> np.ndarray:
        """A x for x (n,), with the assembled matrix if there is one."""
        return np.asarray(self.matvec(jnp.asarray(x))) if self.matrix is None else self.matrix @ x

    def columns(self, x: jax.Array) -> jax.Array:
        """A X for X of shape (n, c)."""
        return jax.vmap(self.matvec, in_axes=1, out_axes=1)(x)

    def dense(self) -> jax.Array:
        """A as an (n, n) array: n products, n^2 numbers."""
        return self.columns(jnp.eye(self.size))
