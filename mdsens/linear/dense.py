"""Solving by the full spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mdsens.linear.accuracy import allowance, relative
from mdsens.linear.operator import Operator
from mdsens.linear.outcome import Outcome, SolveInfo, summary
from mdsens.linear.precision import require_float64
from mdsens.linear.projector import Projector


@dataclass(frozen=True)
class Dense:
    """x = (P A P)^+ P b from the eigenvectors of P A P + s (1 - P), s the size of A.

    The shift s lifts the known null modes out of the way, so that any eigenvalue still near zero
    is one that nobody explained: the outcome is then SINGULAR and x is NaN. Nothing is regularised.
    Indefinite matrices are as good as definite ones. Costs about 10 n^3 operations; good up to
    n of about 1500. Traceable.

    Attributes:
        cutoff: eigenvalues below `cutoff` times the largest count as zero; 1e-11 leaves room for
            condition numbers far beyond those of solids and is well above rounding.
        rtol: largest relative residual accepted.
    """

    cutoff: float = 1e-11
    rtol: float = 1e-10

    def solve(
        self, operator: Operator, rhs: jax.Array, projector: Projector
    ) -> tuple[jax.Array, SolveInfo]:
        """Minimum-norm solution for rhs (n,) or (n, c); NaN unless CONVERGED."""
        require_float64(rhs)
        matrix = _restricted(operator, projector)
        spectrum = _shifted_spectrum(matrix, projector)
        b = projector(rhs if rhs.ndim == 2 else rhs[:, None])
        x = projector(_inverted(spectrum, b))
        # One step of refinement removes what eigenvectors lose against an LU factorisation.
        x = x + projector(_inverted(spectrum, b - matrix @ x))
        left, size = _norms(b - matrix @ x), _norms(b)
        values = spectrum[0]
        allowed = allowance(size, _norms(x), jnp.max(jnp.abs(values)), self.rtol)
        outcome = self._judge(values, left <= allowed, b)
        x = jnp.where(outcome == Outcome.CONVERGED, x, jnp.nan)
        negative = jnp.sum(values < -self.cutoff * jnp.max(jnp.abs(values)))
        info = summary(relative(left, size), 0, outcome, "dense", negative, jnp.min(values))
        return x.reshape(rhs.shape), info

    def _judge(self, eigenvalues: jax.Array, solved: jax.Array, b: jax.Array) -> jax.Array:
        size = jnp.abs(eigenvalues)
        singular = jnp.min(size) <= self.cutoff * jnp.max(size)
        missed = jnp.where(solved, Outcome.CONVERGED, Outcome.NOT_CONVERGED)
        outcome = jnp.where(singular, Outcome.SINGULAR, missed)
        finite = jnp.all(jnp.isfinite(size)) & jnp.all(jnp.isfinite(b), axis=0)
        return jnp.where(finite, outcome, Outcome.NOT_FINITE)


def _restricted(operator: Operator, projector: Projector) -> jax.Array:
    """P A P, symmetric to the last bit so that eigh and the residual see the same matrix."""
    full = projector(projector(operator.dense()).T)
    return 0.5 * (full + full.T)


def _shifted_spectrum(matrix: jax.Array, projector: Projector) -> tuple[jax.Array, jax.Array]:
    scale = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    removed = jnp.eye(projector.size) - projector(jnp.eye(projector.size))
    return jnp.linalg.eigh(matrix + jnp.where(scale > 0, scale, 1.0) * removed)


def _inverted(spectrum: tuple[jax.Array, jax.Array], b: jax.Array) -> jax.Array:
    eigenvalues, vectors = spectrum
    return vectors @ ((vectors.T @ b) / eigenvalues[:, None])


def _norms(columns: jax.Array) -> jax.Array:
    return jnp.linalg.norm(columns, axis=0)
