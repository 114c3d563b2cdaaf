"""The known null space, as an orthogonal projector onto its complement."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

# Singular values of given modes, relative to the largest: what is below is rounding.
_DEPENDENT = 1e-10


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Projector:
    """P x = m x - Z (Z^T m x): drops inactive degrees of freedom, then the null modes Z.

    P is symmetric and idempotent as long as the columns of Z are orthonormal and zero where the
    mask is. A column of zeros stands for a mode that is absent, so that shapes may stay the same
    under `jit` while the number of null modes changes.

    Attributes:
        mask: (n,) 1.0 for an active degree of freedom, 0.0 for one that never moves.
        basis: (n, k) orthonormal null modes, zero outside the mask; k may be 0.
    """

    mask: jax.Array
    basis: jax.Array

    def __call__(self, x: jax.Array) -> jax.Array:
        """P x for x of shape (n,) or (n, c)."""
        kept = x * (self.mask if x.ndim == 1 else self.mask[:, None])
        return kept - self.basis @ (self.basis.T @ kept)

    @property
    def size(self) -> int:
        """n, removed degrees of freedom included."""
        return self.mask.shape[0]

    @property
    def empty(self) -> jax.Array:
        """Whether nothing is left to move, as of one particle in a periodic cell."""
        return jnp.sum(self.mask > 0.0) - jnp.sum(self.basis**2) < 0.5

    @staticmethod
    def identity(n: int) -> Projector:
        """The projector that removes nothing."""
        return Projector(jnp.ones(n), jnp.zeros((n, 0)))

    @staticmethod
    def complement(modes: jax.Array) -> Projector:
        """The projector that removes the span of `modes`, (n,) or the columns of (n, k).

        They need not be orthogonal or of unit length; one that depends on others counts for nothing.
        """
        columns = jax.lax.stop_gradient(jnp.reshape(modes, (jnp.shape(modes)[0], -1)))
        left, weights, _ = jnp.linalg.svd(columns, full_matrices=False)
        present = weights > _DEPENDENT * jnp.max(weights, initial=0.0)
        return Projector(jnp.ones(columns.shape[0]), left * present[None].astype(left.dtype))
